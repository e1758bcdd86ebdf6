"""One path of the named scenario as a picture: the price, what was sold where and when, and how much was done."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lit_router.market.batch.pools import POOLS
from lit_router.market.batch.regimes import CALM
from ml.slicer.execution import ADDED, CROSSING, FIRST_POOL, RESTING
from ml.slicer.playing import Policy
from ml.slicer.scenario import StagedExecution
from ml.slicer.situation import Intent, Moment, View
from rfq.domain.values import Instrument
from rfq.studies import page
from rfq.studies.spread_over import Array

INK, QUIET, NEWS = "#1b2a3a", "#98a4b3", "#b3261e"
LIT = {"lit, resting": ((RESTING, ADDED), "#2f6fb0", "o"), "lit, crossing": ((CROSSING,), "#e4572e", "v")}
DARK_COLOURS = ("#2c7a3f", "#7fb069", "#8e5ea2")
LARGEST_MARK = 260.0
"""Area of the mark of the largest fill, points squared."""


class Followed:
    """One path on its way, remembering what it goes through; see `playing.Underway`."""

    def __init__(self, execution: StagedExecution) -> None:
        self.execution, self.residual = execution, execution.residual
        self.quotes: list[tuple[float, float]] = []
        """Bid and ask at each decision."""
        self.usual: list[float] = []
        """Share of the horizon's volume that has usually come by the next decision."""
        self.done: list[Array] = []
        """Lots so far by slot, and what was paid for them, after each decision, [2, SLOTS]."""

    @property
    def over(self) -> bool:
        return self.execution.over

    @property
    def left(self) -> torch.Tensor:
        return self.execution.left

    def moment(self) -> Moment:
        return self.execution.moment()

    def view(self) -> View:
        return self.execution.view()

    def step(self, intent: Intent) -> None:
        seen = self.execution.view()
        self.quotes.append((float(seen.bid[0]), float(seen.ask[0])))
        self.usual.append(float(self.execution.moment().curve_later[0]))
        self.execution.step(intent)
        self.done.append(torch.stack([self.execution.by_slot[0], self.execution.paid_by_slot[0]]).numpy())

    def shortfall(self) -> torch.Tensor:
        return self.execution.shortfall()


class SoldPath(NamedTuple):
    """D decisions of one path; prices in price units."""

    minutes: Array
    """Of each decision."""
    bids: Array
    asks: Array
    sold: Array
    """Lots in the time after each decision, by slot, [D, SLOTS]."""
    prices: Array
    """Their average price, not a number where nothing was sold, [D, SLOTS]."""
    usual: Array
    """Share of the horizon's volume that has usually come by the end of that time."""
    turns: tuple[tuple[float, bool], ...]
    """Minutes, and whether it is news."""
    arrival: float
    shortfall: float
    """Price units a lot."""


def followed(policy: Policy, execution: StagedExecution) -> SoldPath:
    """Works an execution of one path to its end, and tells how it went."""
    path = Followed(execution)
    shortfall = policy(path)
    law = execution.law
    minutes = np.arange(law.decisions) * law.horizon_s / law.decisions / 60
    lots, paid = np.diff(np.array(path.done), axis=0, prepend=0).transpose(1, 0, 2)
    bids, asks = np.array(path.quotes).T
    turns = tuple((float(minutes[turn.decision]), turn.regime != CALM) for turn in execution.scenario.turns)
    with np.errstate(invalid="ignore"):
        prices = paid / lots
    arrival = float(execution.residual.arrival[0])
    return SoldPath(minutes, bids, asks, lots, prices, np.array(path.usual), turns, arrival, float(shortfall[0]))


def write_page(place: Path, path: SoldPath, name: str, instrument: Instrument) -> None:
    """Writes a PNG. The whole file or nothing. Raises BadInput for a place that is not writable."""
    unit = float(instrument.price_unit)
    figure = Figure(figsize=(13, 9.4), dpi=110, facecolor="white",
                    layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, rect=(0.0, 0.0, 1.0, 0.91)))  # fmt: skip
    canvas = FigureCanvasAgg(figure)
    price, done, spread = figure.subplots(3, 1, sharex=True, height_ratios=(3.2, 2.0, 1.0))
    for axes in (price, done, spread):
        page.plain(axes, 9)
    _draw_price(price, path, unit)
    _draw_done(done, path)
    spread.plot(path.minutes, (path.asks - path.bids) * unit * 100, color=INK, linewidth=1.1)
    spread.set_ylabel("spread, cents", fontsize=9.5)
    spread.set_ylim(0, None)
    spread.set_xlabel("minutes since the order came", fontsize=9.5)
    for axes in (price, done, spread):
        _mark_turns(axes, path, named=axes is price)
    lots = path.sold.sum()
    average = np.nansum(path.sold * np.nan_to_num(path.prices)) / lots * unit
    cost = path.shortfall / path.arrival * 1e4
    figure.text(0.012, 0.967, f"{lots:,.0f} {instrument.symbol} sold in three hours by {name}", fontsize=15,
                fontweight="bold", color=INK, va="center")  # fmt: skip
    said = rf"mid at arrival \${path.arrival * unit:,.2f}, average price \${average:,.2f}"
    figure.text(0.012, 0.934, f"{said}, shortfall {cost:.0f} bps with fees", fontsize=11, color="#555555", va="center")
    page.write(canvas, place)


def _draw_price(axes: Axes, path: SoldPath, unit: float) -> None:
    axes.fill_between(path.minutes, path.bids * unit, path.asks * unit, color=QUIET, alpha=0.55, linewidth=0,
                      label="bid to ask", step="post")  # fmt: skip
    dark = {pool.name.replace("_", ", "): ((FIRST_POOL + k,), DARK_COLOURS[k], "D") for k, pool in enumerate(POOLS)}
    middle = path.minutes + (path.minutes[1] - path.minutes[0]) / 2
    for label, (slots, colour, mark) in {**LIT, **dark}.items():
        lots = path.sold[:, slots].sum(1)
        if not lots.any():
            continue
        paid = np.nansum(path.sold[:, slots] * np.nan_to_num(path.prices[:, slots]), 1)
        there = lots > 0
        areas = LARGEST_MARK * lots[there] / path.sold.max()
        axes.scatter(middle[there], paid[there] / lots[there] * unit, s=np.maximum(areas, 3), color=colour,
                     marker=mark, alpha=0.75, linewidth=0, zorder=3,
                     label=f"{label}: {lots.sum() / path.sold.sum():.0%}")  # fmt: skip
    axes.axhline(path.arrival * unit, color=QUIET, linewidth=0.9, linestyle=":")
    axes.set_ylabel(r"price, \$ (area of a mark: shares)", fontsize=9.5)
    axes.set_title("Price, and what was sold where", loc="left", fontsize=11.5, fontweight="bold", color=INK)
    legend = axes.legend(fontsize=9, frameon=False, loc="lower left", ncols=2)
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([40.0])  # type: ignore[union-attr]


def _draw_done(axes: Axes, path: SoldPath) -> None:
    after = path.minutes + path.minutes[1] - path.minutes[0]
    axes.plot(after, path.sold.sum(1).cumsum() / path.sold.sum() * 100, color=INK, linewidth=2.0, label="sold")
    axes.plot(after, np.arange(1, len(after) + 1) / len(after) * 100, color="#2f6fb0", linewidth=1.1, linestyle="--",
              label="TWAP's schedule")  # fmt: skip
    axes.plot(after, path.usual * 100, color="#e4572e", linewidth=1.1, linestyle="--", label="VWAP's schedule")
    axes.set_ylabel("% of the order", fontsize=9.5)
    axes.set_ylim(0, 103)
    axes.set_title("How much is done", loc="left", fontsize=11.5, fontweight="bold", color=INK)
    axes.legend(fontsize=9, frameon=False, loc="upper left")


def _mark_turns(axes: Axes, path: SoldPath, *, named: bool) -> None:
    for minutes, is_news in path.turns:
        colour = NEWS if is_news else QUIET
        axes.axvline(minutes, color=colour, linewidth=1.2, linestyle="-" if is_news else "--", zorder=1)
        if named:
            text = " news: bids leave, the price falls" if is_news else " calm again"
            place = axes.get_xaxis_transform()
            axes.text(minutes, 1.01, text, transform=place, color=colour, fontsize=9.5, va="bottom")

"""How policies of execution do on recorded days: GOOG in full depth, BAC and IBM by their best quotes and trades. Many
starts, both sides, several sizes and horizons; every policy works the same starts, and differences are taken by start.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lit_router.market import lobster, nbbo, parameters, top_of_book
from lit_router.market.lobster import Recording
from lit_router.market.recorded_book import RecordedBook
from ml.slicer.episodes import share_of_day
from ml.slicer.execution import ADDED, CROSSING, RESTING
from ml.slicer.playing import Policy
from ml.slicer.recorded import RecordedExecution, Start, Usual, usual_of
from ml.slicer.recorded_orders import DARK
from rfq.domain.errors import BadInput
from rfq.studies.block_bootstrap import interval_by_blocks
from rfq.studies.figures import Figures, progress
from rfq.studies.slicer_evaluation import tail
from rfq.studies.spread_over import Array

GOOG = "GOOG"
GOOG_DAY = "lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip"
TICKS = {"BAC": "us_equity_tick_nbbo/bac", "IBM": "us_equity_tick_nbbo/ibm"}
TICK_DAYS = ("20131007", "20131008", "20131009")
SIDES = (1, -1)
FIRST_S, SWEEP_S = 600.0, 900.0
"""No start sooner after the open; so much is left after the last horizon for what is swept."""
BLOCK_S = 1800.0
"""Starts closer than this, or than two horizons, are drawn together in the bootstrap."""
TEXT = {
    "market": "recorded days played back: the market does not react to our orders, so impact is understated",
    "dark_liquidity": "recorded hidden executions (GOOG) and off-exchange and midpoint prints (BAC, IBM) serve as one "
    "dark pool, the broker's, and ours are served first; the block and stream pools are closed",
    "usual": "volume, spread and event size of the same stock's day before (of the day after for the first); of GOOG, "
    "of which there is one day, the day's own totals as its declared average, with BAC's shape of the day",
    "unit": "implementation shortfall with fees in usual spreads, positive a cost; differences paired by start",
    "interval": "95%, bootstrap of blocks of successive starts",
}


class Size(NamedTuple):
    """How much is played."""

    days: tuple[str, ...]
    """Of ticks."""
    every_s: float
    horizons_s: tuple[float, ...]
    shares: tuple[float, ...] = (0.01, 0.05)
    """Of the volume that is usual over the horizon."""
    decisions: int = 40
    stocks: tuple[str, ...] = (GOOG, *TICKS)


QUICK = Size(TICK_DAYS[1:2], 1200.0, (300.0, 600.0))
FULL = Size(TICK_DAYS, 300.0, (300.0, 600.0, 1800.0))


class Day(NamedTuple):
    recording: Recording
    usual: Usual

    @property
    def name(self) -> str:
        return f"{self.recording.symbol} {self.recording.begins_at:%Y-%m-%d}"


class Worked(NamedTuple):
    """By one policy on one day."""

    costs: Array
    """Usual spreads, [horizons, starts, sides x shares]."""
    lots: Array
    """Filled: passively in the lit book, crossing, dark; and not at all."""


def run(
    policies: Mapping[str, Policy],
    judged: Sequence[str],
    against: str,
    folder: Path,
    *,
    full: bool = False,
    size: Size | None = None,
) -> Figures:
    """Figures of all policies; of the `judged` ones less each of the others, overall, with the recorded dark liquidity
    and with none; and less the one they are held `against`, by stock and horizon. `folder` holds the recorded data.

    Raises BadInput for judged policies that are not there, and for data that are missing or broken.
    """
    if missing := [name for name in (*judged, against) if name not in policies]:
        raise BadInput("policies", missing, f"must be among {', '.join(policies)}")
    size = size or (FULL if full else QUICK)
    figures = Figures("execution on recorded days, in usual spreads")
    for name, text in TEXT.items():
        figures.add(name, text)
    open_dark, no_dark = dict[str, list[Worked]](), dict[str, list[Worked]]()
    names, symbols = list[str](), list[str]()
    for day in days_of(folder, size):
        names.append(day.name)
        symbols.append(str(day.recording.symbol))
        book = RecordedBook(day.recording)
        for name, policy in policies.items():
            progress(f"{day.name}: {name}")
            open_dark.setdefault(name, []).append(_worked(book, day.usual, policy, size, dark=True))
            no_dark.setdefault(name, []).append(_worked(book, day.usual, policy, size, dark=False))
    figures.add("days", ", ".join(names))
    figures.add("starts", len(starts_s(size)) * len(names))
    figures.add("residuals", sum(worked.costs.size for worked in next(iter(open_dark.values()))))
    _tell_each(figures, open_dark, no_dark)
    for suffix, found in (("", open_dark), ("_no_dark", no_dark)):
        for mine, other in product(judged, policies):
            if other not in judged:
                _tell_difference(figures, found, mine, other, size, symbols if other == against else (), suffix)
    discarded = sum(worked.lots[3] for found in (open_dark, no_dark) for days in found.values() for worked in days)
    figures.goal("lots_discarded", float(discarded), "<=", 0)
    return figures


def days_of(folder: Path, size: Size) -> Iterator[Day]:
    """The recorded days, one after the other, each with what was usual before it."""
    if GOOG in size.stocks:
        goog = lobster.read(folder / GOOG_DAY)
        yield Day(goog, usual_of(goog)._replace(curve=parameters.load("large_tick").volume_curve))
    for place in (TICKS[stock] for stock in size.stocks if stock in TICKS):
        for day in size.days:
            at = TICK_DAYS.index(day)
            other = TICK_DAYS[at - 1 if at else 1]
            yield Day(_ticks(folder / place, day), usual_of(_ticks(folder / place, other)))


def starts_s(size: Size) -> list[float]:
    """Seconds of the session: the same for every horizon."""
    last = 23_400.0 - max(size.horizons_s) - SWEEP_S
    return np.arange(FIRST_S, last + 1, size.every_s).tolist()


def _ticks(folder: Path, day: str) -> Recording:
    return top_of_book.recording(nbbo.read(folder / f"{day}_trade.zip", folder / f"{day}_quote.zip"))


def _worked(book: RecordedBook, usual: Usual, policy: Policy, size: Size, *, dark: bool) -> Worked:
    times, kinds = starts_s(size), list(product(SIDES, size.shares))
    costs, lots = [], np.zeros(4)
    for horizon_s in size.horizons_s:
        starts = list[Start]()
        for at_s, (side, share) in product(times, kinds):
            come = usual.day_lots * float(share_of_day(usual.curve, np.array(at_s), np.array(at_s + horizon_s)))
            starts.append(Start(at_s, side, max(1, round(share * come))))
        execution = RecordedExecution(book, usual, starts, horizon_s, size.decisions, dark=dark)
        cost = policy(execution) / execution.residual.spread
        costs.append(cost.numpy().reshape(len(times), len(kinds)))
        # Every order counts alike, however large.
        share = (execution.by_slot / execution.lots[:, None]).mean(0)
        places = (share[RESTING] + share[ADDED], share[CROSSING], share[DARK])
        lots += [*(float(place) / len(size.horizons_s) for place in places), float(execution.left.sum())]
    return Worked(np.array(costs), lots)


def _tell_each(figures: Figures, open_dark: Mapping[str, list[Worked]], no_dark: Mapping[str, list[Worked]]) -> None:
    for name, days in open_dark.items():
        costs = np.concatenate([worked.costs.ravel() for worked in days])
        figures.add(f"{name}_shortfall_spreads", float(costs.mean()))
        figures.add(f"{name}_cvar95_spreads", tail(costs))
        for place, what in enumerate(("passive", "crossed", "dark")):
            figures.add(f"{name}_{what}_share", float(np.mean([worked.lots[place] for worked in days])))
        without = np.concatenate([worked.costs.ravel() for worked in no_dark[name]])
        figures.add(f"{name}_shortfall_no_dark_spreads", float(without.mean()))


def _tell_difference(
    figures: Figures, found: Mapping[str, list[Worked]], mine: str, other: str, size: Size, symbols: Sequence[str],
    suffix: str,
) -> None:  # fmt: skip
    """Negative: `mine` is cheaper. Overall, and by stock where the days' `symbols` are given."""
    apart = [a.costs - b.costs for a, b in zip(found[mine], found[other], strict=True)]
    name = f"{mine}_less_{other}{suffix}"
    _tell_interval(figures, name, [each.mean((0, 2)) for each in apart], size, max(size.horizons_s))
    for symbol, (place, horizon_s) in product(dict.fromkeys(symbols), enumerate(size.horizons_s)):
        its = [each[place].mean(1) for each, of in zip(apart, symbols, strict=True) if of == symbol]
        _tell_interval(figures, f"{name}_{symbol.lower()}_{horizon_s / 60:g}_min", its, size, horizon_s)


def _tell_interval(figures: Figures, name: str, series: Sequence[Array], size: Size, horizon_s: float) -> None:
    block = max(1, round(max(BLOCK_S, 2 * horizon_s) / size.every_s))
    for what, value in zip(("", "_low", "_high"), interval_by_blocks(series, block), strict=True):
        figures.add(f"{name}{what}_spreads", value)

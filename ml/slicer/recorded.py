"""Residuals worked on a recorded day from many starts at once, each in a book of its own: what `Execution` is to the
simulator. The market does not react; see `RecordedBook` for what our orders meet.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from lit_router.market.lobster import ADD, TICK, TRADES, Recording
from lit_router.market.recorded_book import RecordedBook
from ml.slicer.episodes import DAY_S, share_of_day
from ml.slicer.execution import notch
from ml.slicer.recorded_orders import DARK, HIDDEN_POOL, RecordedOrders
from ml.slicer.situation import POOLS, Intent, Moment, Residual, View
from rfq.domain.errors import BadInput

HALF_HOURS = 13


class Usual(NamedTuple):
    """What was known of the instrument before the order came."""

    day_lots: float
    spread: float
    """Price units."""
    event_lots: float
    curve: tuple[float, ...]
    """Of volume, by half hour."""


class Start(NamedTuple):
    """One residual: 1 buys, -1 sells."""

    at_s: float
    side: int
    lots: int


def usual_of(recording: Recording) -> Usual:
    """Of a recorded day: all that traded (hidden and off exchange included), the mean spread over time, the mean size
    of what is added to the book."""
    traded = np.isin(recording.kinds, TRADES)
    edges = np.linspace(0.0, DAY_S, HALF_HOURS + 1)
    by_half_hour = np.histogram(recording.times_s[traded], edges, weights=recording.sizes[traded])[0]
    lasts_s = np.diff(recording.times_s, append=recording.ends_s) * (recording.mids > 0)
    spread = float(((recording.asks[:, 0, 0] - recording.bids[:, 0, 0]) * lasts_s).sum() / lasts_s.sum())
    added = recording.sizes[recording.kinds == ADD]
    return Usual(float(recording.sizes[traded].sum()), spread, float(added.mean()), tuple(by_half_hour.tolist()))


class RecordedExecution:
    """B residuals on their way, one a start. Costs are in price units a lot, as in `Execution`."""

    def __init__(
        self,
        book: RecordedBook,
        usual: Usual,
        starts: Sequence[Start],
        horizon_s: float,
        decisions: int,
        *,
        dark: bool = True,
    ) -> None:
        """`book` is the recording's before anything was done in it; without `dark` its hidden liquidity is closed to
        us. Raises BadInput for starts that do not leave the horizon, or that come before both sides are known."""
        ends_s = book.recording.ends_s
        if not starts or any(not 0 <= start.at_s <= ends_s - horizon_s or start.lots < 1 for start in starts):
            raise BadInput("starts", len(starts), f"must each have lots and leave {horizon_s:g} s of {ends_s:g}")
        self.horizon_s, self.decisions, self.decision = horizon_s, decisions, 0
        self.orders: list[RecordedOrders] = []
        for start in starts:
            fork = book.fork()
            fork.advance(start.at_s)
            self.orders.append(RecordedOrders(fork, start.side, start.lots))
        begins_s = np.array([start.at_s for start in starts])
        edges = [begins_s + horizon_s * k / decisions for k in range(decisions + 1)]
        come = torch.as_tensor(np.array([share_of_day(usual.curve, begins_s, edge) for edge in edges]))
        self._curve = come / come[-1]
        lots = _column([start.lots for start in starts])
        full = torch.ones_like(lots)
        pools = torch.zeros(len(starts), POOLS, dtype=torch.bool)
        pools[:, HIDDEN_POOL] = dark
        self.lots = lots.long()
        self.residual = Residual(
            side=_column([start.side for start in starts]),
            lots=lots,
            arrival=self._mids(),
            horizon_s=full * horizon_s,
            risk=full * 0.0,
            spread=full * usual.spread,
            notch=notch(full * usual.spread, full * TICK),
            volume_s=usual.day_lots * come[-1] / horizon_s,
            event_lots=full * usual.event_lots,
            pools=pools,
        )

    @property
    def left(self) -> torch.Tensor:
        """Lots not filled, int64 [B]."""
        return self.lots - torch.tensor([each.filled for each in self.orders])

    @property
    def by_slot(self) -> torch.Tensor:
        """Lots filled by slot of `Execution`, int64 [B, SLOTS]."""
        return torch.tensor([each.by_slot for each in self.orders])

    @property
    def over(self) -> bool:
        return self.decision >= self.decisions

    def moment(self) -> Moment:
        """The present decision's."""
        at, count, full = self.decision, self.decisions, torch.ones_like(self.residual.lots)
        return Moment(full * (at / count), full * ((at + 1) / count), self._curve[at + 1])

    def view(self) -> View:
        """What is seen now."""
        rows = []
        filled, waiting = torch.zeros(2, len(self.orders), POOLS, dtype=torch.float64)
        for place, each in enumerate(self.orders):
            each.look()
            sizes = (each.displayed(True), each.displayed(False), each.volume, each.left)
            rows.append((each.bid, each.ask, *sizes, *each.resting))
            filled[place, HIDDEN_POOL] = each.by_slot[DARK]
            waiting[place, HIDDEN_POOL] = each.leaves(DARK)
        bid, ask, bid_lots, ask_lots, volume, left, resting, price = torch.tensor(rows, dtype=torch.float64).T
        return View(bid, ask, bid_lots, ask_lots, volume, left, resting, price, filled, waiting)

    def step(self, intent: Intent) -> None:
        """Sends what is intended, and lets the recording go on to the next decision; after the last, all that is left
        is sent to the market until nothing is."""
        dark = (intent.dark * self.residual.pools)[:, HIDDEN_POOL]
        wanted = zip(*(part.tolist() for part in (intent.cross, intent.rest, intent.price, dark)), strict=True)
        self.decision += 1
        for each, orders in zip(self.orders, wanted, strict=True):
            each.send(*orders)
            each.advance(each.begins_s + self.horizon_s * self.decision / self.decisions)
            if self.over:
                each.finish()

    def shortfall(self) -> torch.Tensor:
        """As `Execution.shortfall`: of what was filled and of what is left at the present mid, fees included."""
        r, left = self.residual, self.left
        cash, fees = _column([each.cash for each in self.orders]), _column([each.fees for each in self.orders])
        done = r.side * (cash - (self.lots - left) * r.arrival)
        return (done + r.side * (self._mids() - r.arrival) * left + fees) / r.lots

    def _mids(self) -> torch.Tensor:
        for each in self.orders:
            each.look()
        return _column([each.mid for each in self.orders])


def _column(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)

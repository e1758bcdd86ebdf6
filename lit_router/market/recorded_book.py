"""Our orders against a recorded book. The market does not react; what we took is remembered, so nothing is had twice.

Rules, all declared:
- Taking: an order walks the displayed depth less what participants took there before. What was taken at a price stays
  taken until recorded executions eat it, or the price level empties (its queue is then a new one).
- Resting: an order stands behind all that is displayed at its price on arrival. Recorded executions there eat what was
  taken by us, then what is ahead, then fill us; executions at worse prices, and hidden ones we have priority over,
  fill us at our price. A recorded cancel moves us up only if its order was added before ours: the recording knows.
- A recorded order that arrives at a price which crosses ours trades with ours, and what it gave us counts as taken.
- Hidden liquidity: a recorded hidden execution strictly inside the spread shows a resting hidden order; our hidden
  orders on the other side may have its lots, at its price, before the recorded aggressor does.
"""

from bisect import bisect_right
from copy import copy
from typing import Self

import numpy as np

from lit_router.market.level_book import PassiveFill, Walk
from lit_router.market.lobster import (
    ADD,
    DELETE,
    EXECUTION,
    HALT,
    HIDDEN_EXECUTION,
    PARTIAL_CANCEL,
    Recording,
)
from lit_router.market.own_orders import UNKNOWN_AHEAD, OwnOrder, OwnQueue
from lit_router.market.tape import Steps


class RecordedBook:
    """One recorded instrument. `row` is the next message to be played; the book shown is that of the row before."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.now_s = 0.0
        self.halted = False
        self.row = 0
        self.passive_fills: list[PassiveFill] = []
        self.bids: dict[int, OwnQueue] = {}
        self.asks: dict[int, OwnQueue] = {}
        self.hidden: list[OwnOrder] = []
        self._consumed: dict[bool, dict[int, int]] = {True: {}, False: {}}
        self._arrived: dict[tuple[str, str], int] = {}
        self._taken_volume = Steps()
        self._taken_lots = 0
        executed = np.isin(recording.kinds, (EXECUTION, HIDDEN_EXECUTION))
        self._mids: list[int] = recording.mids.tolist()
        self._times: list[float] = recording.times_s.tolist()
        self._volumes: list[int] = np.cumsum(np.where(executed, recording.sizes, 0)).tolist()
        self._last_trades: list[int] = np.maximum.accumulate(np.where(executed, np.arange(len(executed)), -1)).tolist()
        self._halts: list[int] = np.flatnonzero(recording.kinds == HALT).tolist()
        self._kinds, self._sizes = recording.kinds.tolist(), recording.sizes.tolist()
        self._prices, self._buys = recording.prices.tolist(), recording.buys.tolist()

    # --- what is public -------------------------------------------------------------------------------------------

    @property
    def mid(self) -> int | None:
        return self._mid_of(self.row)

    @property
    def volume(self) -> int:
        return self.volume_at(self.now_s)

    @property
    def over(self) -> bool:
        """The recording has ended."""
        return self.now_s >= self.recording.ends_s

    def mid_at(self, at_s: float) -> int | None:
        return self._mid_of(bisect_right(self._times, at_s))

    def volume_at(self, at_s: float) -> int:
        """Recorded lots traded, and those that participants took besides."""
        row = bisect_right(self._times, at_s)
        return (self._volumes[row - 1] if row else 0) + (self._taken_volume.at(at_s) or 0)

    def last_trade(self) -> tuple[int, int] | None:
        last = self._last_trades[self.row - 1] if self.row else -1
        return None if last < 0 else (self._prices[last], self._sizes[last])

    def depth(self, bids: bool, most: int = 5) -> list[tuple[int, int]]:
        """Recorded levels from the best, with what is still to be had of them (possibly nothing)."""
        consumed = self._consumed[bids]
        return [(price, max(0, lots - consumed.get(price, 0))) for price, lots in self._levels(bids)[:most]]

    def own(self, bids: bool) -> dict[int, OwnQueue]:
        return self.bids if bids else self.asks

    def _mid_of(self, row: int) -> int | None:
        return self._mids[row - 1] if row and self._mids[row - 1] >= 0 else None

    def _levels(self, bids: bool) -> list[tuple[int, int]]:
        if not self.row:
            return []
        side = (self.recording.bids if bids else self.recording.asks)[self.row - 1]
        return [(price, lots) for price, lots in side.tolist() if lots]

    def _displayed(self, bids: bool, price: int) -> int | None:
        """Lots displayed at a price; None if the price is beyond the recorded levels."""
        levels = self._levels(bids)
        for level, lots in levels:
            if level == price:
                return lots
        full = len(levels) == self.recording.bids.shape[1]
        beyond = full and (price < levels[-1][0] if bids else price > levels[-1][0])
        return None if beyond else 0

    # --- participants ---------------------------------------------------------------------------------------------

    def execute(self, order: OwnOrder, *, rests: bool) -> Walk:
        """A participant's order walks the displayed depth; what is left joins its queue if it `rests`."""
        taken, met_itself = self._walk(order)
        if rests and order.leaves and not met_itself:
            self._rest(order)
        return Walk(taken, met_itself)

    def hide(self, order: OwnOrder) -> None:
        """Rests an order among the hidden ones."""
        self.hidden.append(order)

    def pull(self, order: OwnOrder) -> None:
        """Takes a resting order out, displayed or hidden."""
        self._arrived.pop((order.participant, order.order_id), None)
        if any(hidden is order for hidden in self.hidden):
            self.hidden = [hidden for hidden in self.hidden if hidden is not order]
            return
        assert order.price is not None
        side = self.own(order.buys)
        side[order.price].orders.remove(order)
        if not side[order.price].orders:
            del side[order.price]

    def _walk(self, order: OwnOrder) -> tuple[list[tuple[int, int]], bool]:
        bids, taken = not order.buys, list[tuple[int, int]]()
        levels, facing, consumed = dict(self._levels(bids)), self.own(bids), self._consumed[bids]
        met_itself = False
        for price in sorted({*levels, *facing}, reverse=bids):
            beyond = order.price is not None and (price > order.price if order.buys else price < order.price)
            if not order.leaves or met_itself or beyond:
                break
            available = max(0, levels.get(price, 0) - consumed.get(price, 0))
            here = facing.get(price, OwnQueue()).take(order.leaves, available, order.participant)
            if here.anonymous:
                consumed[price] = consumed.get(price, 0) + here.anonymous
            self._record_hits(bids, price, here.hits, self.now_s)
            met_itself = here.met_itself
            if here.lots:
                taken.append((price, here.lots))
                order.leaves -= here.lots
                order.filled += here.lots
                self._taken_lots += here.lots
                self._taken_volume.put(self.now_s, self._taken_lots)
        return taken, met_itself

    def _rest(self, order: OwnOrder) -> None:
        assert order.price is not None
        displayed = self._displayed(order.buys, order.price)
        gone = self._consumed[order.buys].get(order.price, 0)
        ahead = UNKNOWN_AHEAD if displayed is None else max(0, displayed - gone)
        self.own(order.buys).setdefault(order.price, OwnQueue()).join(order, ahead)
        self._arrived[order.participant, order.order_id] = self.row

    def _record_hits(self, bids: bool, price: int, hits: list[tuple[OwnOrder, int]], at_s: float) -> None:
        for order, lots in hits:
            self.passive_fills.append(PassiveFill(at_s, order, price, lots, order.leaves, self.mid))
            if not order.leaves:
                self._arrived.pop((order.participant, order.order_id), None)
        side = self.own(bids)
        if price in side and not side[price].orders:
            del side[price]

    # --- the recording --------------------------------------------------------------------------------------------

    def advance(self, until_s: float) -> None:
        """Plays messages up to `until_s`; without participants in the book it skips straight there."""
        end = bisect_right(self._times, until_s)
        watched = self.bids or self.asks or self.hidden or any(self._consumed.values())
        if watched:
            for row in range(self.row, end):
                self._play(row)
                self.row = row + 1
                self._refresh(self._buys[row], self._prices[row])
        self.row = max(self.row, end)
        self.now_s = max(self.now_s, until_s)
        halts = bisect_right(self._halts, self.row - 1)
        self.halted = self.over or (halts > 0 and self._prices[self._halts[halts - 1]] != 1)

    def _play(self, row: int) -> None:
        kind, price, lots, buys = self._kinds[row], self._prices[row], self._sizes[row], self._buys[row]
        at_s = self._times[row]
        if kind == ADD:
            given = self._fill_better(not buys, price, lots, at_s, including=True)
            if given:
                self._consumed[buys][price] = self._consumed[buys].get(price, 0) + given
        elif kind in (PARTIAL_CANCEL, DELETE):
            own = self.own(buys).get(price)
            if own is not None:
                self._cancelled(own, lots, int(self.recording.added_at[row]))
        elif kind == EXECUTION:
            left = lots - self._fill_better(buys, price, lots, at_s, including=False)
            eaten = min(left, self._consumed[buys].get(price, 0))
            if eaten:
                self._consumed[buys][price] -= eaten
            own = self.own(buys).get(price)
            if own is not None:
                self._record_hits(buys, price, own.take(left - eaten, UNKNOWN_AHEAD, None).hits, at_s)
        elif kind == HIDDEN_EXECUTION:
            self._fill_better(buys, price, lots, at_s, including=True)
            self._fill_hidden(not buys, price, lots, at_s)

    def _fill_better(self, bids: bool, price: int, lots: int, at_s: float, *, including: bool) -> int:
        """Fills our orders that have priority over `price` (ours there too if `including`), at their own prices."""
        side, left = self.own(bids), lots
        for level in sorted(side, reverse=bids):
            first = level > price if bids else level < price
            if not left or not (first or (including and level == price)):
                break
            hits = side[level].take(left, 0, None).hits
            left -= sum(hit for _, hit in hits)
            self._record_hits(bids, level, hits, at_s)
        return lots - left

    def _cancelled(self, own: OwnQueue, lots: int, added_at: int) -> None:
        floor = 0
        for order in own.orders:
            if added_at < self._arrived[order.participant, order.order_id]:
                order.ahead = max(0, order.ahead - lots)
            order.ahead = floor = max(floor, order.ahead)

    def _fill_hidden(self, buys: bool, price: int, lots: int, at_s: float) -> None:
        bid, ask = self.best(True), self.best(False)
        if bid is None or ask is None or not bid < price < ask:
            return
        for order in self.hidden:
            within = order.price is None or (price <= order.price if buys else price >= order.price)
            hit = min(lots, order.leaves)
            if order.buys != buys or not within or not hit or hit < min(order.minimum, order.leaves):
                continue
            order.leaves -= hit
            order.filled += hit
            lots -= hit
            self.passive_fills.append(PassiveFill(at_s, order, price, hit, order.leaves, self.mid))
        self.hidden = [order for order in self.hidden if order.leaves]

    def best(self, bids: bool) -> int | None:
        """The best recorded price of a side."""
        levels = self._levels(bids)
        return levels[0][0] if levels else None

    def _refresh(self, bids: bool, price: int) -> None:
        """After a message at a price: what was taken cannot exceed what is displayed, nor can what stands ahead."""
        consumed, own = self._consumed[bids], self.own(bids).get(price)
        if price not in consumed and own is None:
            return
        displayed = self._displayed(bids, price)
        if displayed is None:
            return
        gone = min(consumed.get(price, 0), displayed)
        if gone:
            consumed[price] = gone
        else:
            consumed.pop(price, None)
        if own is not None:
            own.redrawn(displayed - gone)

    def fork(self) -> Self:
        """An independent twin on the same recording."""
        twin = copy(self)
        twin.bids = {price: queue.copy() for price, queue in self.bids.items()}
        twin.asks = {price: queue.copy() for price, queue in self.asks.items()}
        twin.hidden = [order.copy() for order in self.hidden]
        twin.passive_fills = list(self.passive_fills)
        twin._consumed = {side: dict(taken) for side, taken in self._consumed.items()}
        twin._arrived, twin._taken_volume = dict(self._arrived), self._taken_volume.copy()
        return twin

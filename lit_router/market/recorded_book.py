"""Our orders against a recorded book. The market does not react; what we took is remembered, so nothing is had twice.

Rules, all declared:
- Taking: an order walks the displayed depth less what participants took there before. What was taken at a price stays
  taken until recorded executions eat it, or the price level empties (its queue is then a new one).
- Resting: an order stands behind all that is displayed at its price on arrival. Recorded executions there eat what was
  taken by us, then what is ahead, then fill us; executions at worse prices, and hidden ones we have priority over,
  fill us at our price. A recorded cancel moves us up only if its order was added before ours: the recording knows.
- A recorded order that arrives at a price which crosses ours trades with ours, and what it gave us counts as taken.
- Hidden liquidity: a recorded hidden execution strictly inside the spread shows a resting hidden order; our hidden
  orders on the other side may have its lots, at its price, before the recorded aggressor does. In a recording of
  ticks, off-exchange trades are that liquidity, at the best prices too; those at the mid serve either side.
- While the quotes are locked or crossed there is no market: no side is shown and nothing recorded trades with anybody
  (two participants still meet at a price that both gave). An order that comes then rests, whatever its price.

Only messages that may touch something of ours are played; see Touches.
"""

from bisect import bisect_right
from copy import copy
from typing import Self

from lit_router.market.lobster import (
    ADD,
    DARK_PRINT,
    DELETE,
    EXECUTION,
    FALL,
    HIDDEN_EXECUTION,
    PARTIAL_CANCEL,
    Recording,
)
from lit_router.market.own_orders import UNKNOWN_AHEAD, OwnOrder, OwnQueue, PassiveFill, Walk
from lit_router.market.recorded_tape import RecordedTape
from lit_router.market.tape import Steps
from lit_router.market.touches import Touches, Watch

STRETCH = 1024
"""Messages searched at once for those that may touch something."""


class RecordedBook(RecordedTape):
    """One recorded instrument with our orders in it."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording)
        self.passive_fills: list[PassiveFill] = []
        self.bids: dict[int, OwnQueue] = {}
        self.asks: dict[int, OwnQueue] = {}
        self.hidden: list[OwnOrder] = []
        self._consumed: dict[bool, dict[int, int]] = {True: {}, False: {}}
        self._arrived: dict[tuple[str, str], int] = {}
        self._taken_volume = Steps()
        self._taken_lots = 0
        self._touches = Touches(recording)
        self._searched = 0
        """Messages before this row that may touch something are in `_ahead`, last first. 0: search anew, because there
        is more to be touched, or so much less that the search pays."""
        self._ahead: list[int] = []

    @property
    def volume(self) -> int:
        return self.volume_at(self.now_s)

    def volume_at(self, at_s: float) -> int:
        """Recorded lots traded, and those that participants took besides."""
        return self.recorded_volume_at(at_s) + (self._taken_volume.at(at_s) or 0)

    def depth(self, bids: bool, most: int = 5) -> list[tuple[int, int]]:
        """Recorded levels from the best, with what is still to be had of them (possibly nothing)."""
        consumed = self._consumed[bids]
        return [(price, max(0, lots - consumed.get(price, 0))) for price, lots in self.levels(bids)[:most]]

    def own(self, bids: bool) -> dict[int, OwnQueue]:
        return self.bids if bids else self.asks

    # --- participants ---------------------------------------------------------------------------------------------

    def execute(self, order: OwnOrder, *, rests: bool) -> Walk:
        """A participant's order walks the displayed depth; what is left joins its queue if it `rests`."""
        self._searched = 0
        taken, met_itself = self._walk(order)
        if rests and order.leaves and not met_itself:
            self._rest(order)
        return Walk(taken, met_itself)

    def hide(self, order: OwnOrder) -> None:
        """Rests an order among the hidden ones."""
        self._searched = 0
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
        levels, facing, consumed = dict(self.levels(bids)), self.own(bids), self._consumed[bids]
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
        displayed = self.displayed(order.buys, order.price)
        gone = self._consumed[order.buys].get(order.price, 0)
        ahead = UNKNOWN_AHEAD if displayed is None else max(0, displayed - gone)
        self.own(order.buys).setdefault(order.price, OwnQueue()).join(order, ahead)
        self._arrived[order.participant, order.order_id] = self.row

    def _record_hits(self, bids: bool, price: int, hits: list[tuple[OwnOrder, int]], at_s: float) -> None:
        for order, lots in hits:
            self.passive_fills.append(PassiveFill(at_s, order, price, lots, order.leaves, self.mid))
            if not order.leaves:
                self._arrived.pop((order.participant, order.order_id), None)
                self._searched = 0
        side = self.own(bids)
        if price in side and not side[price].orders:
            del side[price]

    # --- the recording --------------------------------------------------------------------------------------------

    def advance(self, until_s: float) -> None:
        """Plays messages up to `until_s`; those that cannot touch anything of ours it skips."""
        end = bisect_right(self._times, until_s, self.row)
        while self.row < end and (self.bids or self.asks or self.hidden or any(self._consumed.values())):
            self._play_some(end)
        self.row = end
        if until_s > self.now_s:
            self.now_s = until_s
        self.halted = self.over or (bool(self._halts) and self._halt_stands())

    def _play_some(self, end: int) -> None:
        """Plays what may touch something of ours, up to row `end` or as far as was searched for it."""
        if self.row >= self._searched:
            self._searched = min(self.row + STRETCH, len(self._times))
            self._ahead = self._touching(self.row, self._searched)[::-1]
        end = min(end, self._searched)
        while self._ahead and self._ahead[-1] < end:
            self.row = self._ahead.pop()
            self._step()
            if not self._searched:
                return
        self.row = end

    def _touching(self, begin: int, end: int) -> list[int]:
        """Rows that may touch something of ours."""
        watches = list[Watch]()
        for bids in (True, False):
            own, consumed = self.own(bids), self._consumed[bids]
            for price in {*own, *consumed}:
                deep, joined, rests = consumed.get(price, 0), -1, price in own
                if rests:
                    last = own[price].orders[-1]
                    deep, joined = deep + last.ahead, self._arrived[last.participant, last.order_id]
                watches.append(Watch(bids, price, rests, deep, joined))
        return self._touches.rows(begin, end, watches, hidden=bool(self.hidden))

    def _step(self) -> None:
        """Plays the next message."""
        row, recording = self.row, self.recording
        kind, price, buys = recording.kinds.item(row), recording.prices.item(row), recording.buys.item(row)
        self._play(row, kind, price, recording.sizes.item(row), buys)
        self.row = row + 1
        for touched in {*self.own(buys), *self._consumed[buys]} if kind == FALL else (price,):
            self._refresh(buys, touched)

    def _play(self, row: int, kind: int, price: int, lots: int, buys: bool) -> None:
        """What the message does to ours, before the book shows it."""
        at_s = self._times[row]
        if kind == ADD:
            self._arrive(buys, price, lots, at_s)
        elif kind == FALL:
            # The best price behind the one that went was there before; what it still has may cross ours.
            price, lots = (self.recording.bids if buys else self.recording.asks)[row, 0].tolist()
            self._arrive(buys, price, max(0, lots - self._consumed[buys].get(price, 0)), at_s)
        elif kind in (PARTIAL_CANCEL, DELETE):
            own = self.own(buys).get(price)
            if own is not None:
                self._cancelled(own, lots, self.recording.added_at.item(row))
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
            bid, ask = self.best(True), self.best(False)
            if bid is not None and ask is not None and bid < price < ask:
                self._fill_hidden(not buys, price, lots, at_s)
        elif kind == DARK_PRINT:
            self._fill_hidden(None if price == self.mid else not buys, price, lots, at_s)

    def _arrive(self, bids: bool, price: int, lots: int, at_s: float) -> None:
        """A recorded order comes: what it gives to ours that it crosses counts as taken."""
        given = self._fill_better(not bids, price, lots, at_s, including=True)
        if given:
            self._consumed[bids][price] = self._consumed[bids].get(price, 0) + given
            self._searched = 0

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

    def _fill_hidden(self, buys: bool | None, price: int, lots: int, at_s: float) -> None:
        """Serves our hidden buyers (or sellers; None: whoever was first) with lots at a price."""
        for order in self.hidden:
            within = order.price is None or (price <= order.price if order.buys else price >= order.price)
            hit = min(lots, order.leaves)
            wrong_side = buys is not None and order.buys != buys
            if wrong_side or not within or not hit or hit < min(order.minimum, order.leaves):
                continue
            order.leaves -= hit
            order.filled += hit
            lots -= hit
            self.passive_fills.append(PassiveFill(at_s, order, price, hit, order.leaves, self.mid))
        self.hidden = [order for order in self.hidden if order.leaves]

    def _refresh(self, bids: bool, price: int) -> None:
        """After a message at a price: what was taken cannot exceed what is displayed, nor can what stands ahead."""
        consumed, own = self._consumed[bids], self.own(bids).get(price)
        if price not in consumed and own is None:
            return
        displayed = self.displayed(bids, price)
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
        twin.passive_fills, twin._ahead = list(self.passive_fills), list(self._ahead)
        twin._consumed = {side: dict(taken) for side, taken in self._consumed.items()}
        twin._arrived, twin._taken_volume = dict(self._arrived), self._taken_volume.copy()
        return twin

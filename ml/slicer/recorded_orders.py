"""One residual's orders in a recorded book, sent as `Execution` sends them in the batched market: what rests keeps its
place while its price is wanted, what crosses comes first, nothing is promised twice. Prices in price units, lots exact.
"""

from lit_router.market.own_orders import OwnOrder
from lit_router.market.recorded_book import RecordedBook
from lit_router.venues.dark import DARK_FEES
from lit_router.venues.lit import LIT_FEES
from ml.slicer.execution import ADDED, CROSSING, FIRST_POOL, REENTER, RESTING, SLOTS
from rfq.domain.errors import BadInput

HIDDEN_POOL = 1
"""The pool that recorded hidden executions and off-exchange prints stand for: the broker's. The others are closed."""
DARK = FIRST_POOL + HIDDEN_POOL
DESK = "desk"


class RecordedOrders:
    """`lots` to be bought (side 1) or sold (-1) in a book that is given away: give it a fork."""

    def __init__(self, book: RecordedBook, side: int, lots: int) -> None:
        """Begins at the book's present time. Raises BadInput where no two-sided quotes were seen before it."""
        self.book, self.side, self.lots = book, side, lots
        self.begins_s, self._volume = book.now_s, book.volume
        self.filled, self.by_slot = 0, [0] * SLOTS
        self.cash = 0
        self.fees = 0.0
        self._orders: dict[int, OwnOrder] = {}
        self.bid, self.ask = _last_quotes(book)
        self.look()

    @property
    def left(self) -> int:
        return self.lots - self.filled

    @property
    def volume(self) -> int:
        """Lots traded since the beginning, ours included."""
        return self.book.volume - self._volume

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2

    @property
    def resting(self) -> tuple[int, int]:
        """Lots in the lit book, and their price (0 where nothing rests)."""
        standing = [order for slot, order in self._orders.items() if slot in (RESTING, ADDED)]
        return sum(order.leaves for order in standing), max((order.price or 0 for order in standing), default=0)

    def leaves(self, slot: int) -> int:
        order = self._orders.get(slot)
        return order.leaves if order else 0

    def look(self) -> None:
        """Remembers the best prices, ours among them, where both sides are there."""
        bid, ask = self._best(True), self._best(False)
        if bid is not None and ask is not None:
            self.bid, self.ask = bid, ask

    def displayed(self, bids: bool) -> int:
        """Lots to be had at the best price of a side, ours not counted."""
        best = self.bid if bids else self.ask
        return next((lots for price, lots in self._levels(bids) if price == best), 0)

    def send(self, cross: int, rest: int, price: int, dark: int) -> None:
        """What is wanted from now on; more than is left is cut, what crosses first."""
        cross = max(0, min(cross, self.left))
        rest = max(0, min(rest, self.left - cross))
        dark = max(0, min(dark, self.left - cross - rest))
        self._trim(DARK, dark)
        self._rest(rest, price)
        if cross:
            self._enter(CROSSING, cross, None)
        self._wait(dark)

    def advance(self, until_s: float) -> None:
        """Plays the recording up to `until_s` and books what was executed."""
        self.book.advance(until_s)
        self._book_passive()

    def finish(self) -> None:
        """Cancels what stands, and sends what is left to the market every second until nothing is or the day ends."""
        for slot in tuple(self._orders):
            self._pull(slot)
        while self.left and not self.book.over:
            self._enter(CROSSING, self.left, None)
            if self.left:
                self.advance(self.book.now_s + 1.0)

    # --- orders ----------------------------------------------------------------------------------------------------

    def _rest(self, rest: int, price: int) -> None:
        first, second = self._orders.get(RESTING), self._orders.get(ADDED)
        stays = first is not None and first.price == price and rest > 0
        if not stays:
            self._pull(RESTING)
        self._trim(RESTING, rest)
        kept = self.leaves(RESTING)
        if not (stays and second is not None and second.price == price):
            self._pull(ADDED)
        self._trim(ADDED, rest - kept)
        more = rest - kept - self.leaves(ADDED)
        if more > 0 and (not stays or ADDED not in self._orders):
            self._enter(ADDED if stays else RESTING, more, price)

    def _wait(self, wanted: int) -> None:
        """The order in the dark, at a limit that the mid has not passed."""
        order = self._orders.get(DARK)
        if order is not None and order.price is not None:
            passed = self.side * (order.price - self.mid) < 0
            if passed or wanted > REENTER * order.leaves:
                self._pull(DARK)
        if wanted > 0 and DARK not in self._orders and not self.book.halted:
            order = OwnOrder(DESK, str(DARK), self.side > 0, self.ask if self.side > 0 else self.bid, wanted)
            self._orders[DARK] = order
            self.book.hide(order)

    def _trim(self, slot: int, keep: int) -> None:
        """Makes an order no larger; it keeps its place. With nothing kept it is cancelled."""
        if keep <= 0:
            self._pull(slot)
        elif slot in self._orders:
            self._orders[slot].leaves = min(self._orders[slot].leaves, keep)

    def _pull(self, slot: int) -> None:
        order = self._orders.pop(slot, None)
        if order is not None:
            self.book.pull(order)

    def _enter(self, slot: int, lots: int, price: int | None) -> None:
        """An order to the lit book; while it is halted none is taken."""
        if self.book.halted:
            return
        order = OwnOrder(DESK, str(slot), self.side > 0, price, lots)
        walk = self.book.execute(order, rests=price is not None)
        for at, taken in walk.taken:
            self._fill(slot, at, taken, LIT_FEES.take_bps)
        if price is not None and order.leaves:
            self._orders[slot] = order

    # --- accounts --------------------------------------------------------------------------------------------------

    def _book_passive(self) -> None:
        fills, self.book.passive_fills = self.book.passive_fills, []
        for fill in fills:
            slot = int(fill.order.order_id)
            self._fill(slot, fill.price, fill.lots, DARK_FEES.make_bps if slot == DARK else LIT_FEES.make_bps)
            if not fill.leaves and self._orders.get(slot) is fill.order:
                del self._orders[slot]

    def _fill(self, slot: int, price: int, lots: int, fee_bps: float) -> None:
        self.filled += lots
        self.by_slot[slot] += lots
        self.cash += price * lots
        self.fees += price * lots * fee_bps * 1e-4

    def _levels(self, bids: bool) -> list[tuple[int, int]]:
        return self.book.depth(bids, self.book.recording.bids.shape[1])

    def _best(self, bids: bool) -> int | None:
        """Of what is to be had and of ours."""
        there = [price for price, lots in self._levels(bids) if lots] + list(self.book.own(bids))
        return (max if bids else min)(there, default=None)


def _last_quotes(book: RecordedBook) -> tuple[int, int]:
    """Best bid and ask of the last row before now that had both."""
    bids, asks, crossed = book.recording.bids, book.recording.asks, book.recording.crossed
    for row in range(book.row - 1, -1, -1):
        if bids[row, 0, 1] and asks[row, 0, 1] and not (crossed is not None and crossed[row]):
            return bids[row, 0, 0].item(), asks[row, 0, 0].item()
    raise BadInput("starts_s", book.now_s, "must not be before both sides of the book are known")

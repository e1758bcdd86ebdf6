"""One instrument of the simulated market as the exchange sees it: participants' orders in slots of a batched market.

The batch knows orders by slot and owner by number. Here they have names, executions get their price and time, and the
past of the mid and of volume is kept. Slots are handed out in the order of arrival: where the batch takes slots for
time, they are.
"""

from typing import NamedTuple

import numpy as np

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.orders import NO_LIMIT
from lit_router.market.own_orders import OwnOrder, PassiveFill, Walk

KEPT_S = 4 * 3600.0
"""The past is kept at least this long; marks are taken up to half an hour back, reports over the whole block."""
FOR_EVER = 1 << 30
MOST_LOTS = 1 << 28
"""The largest order taken: sums of lots stay within 32 bits."""


class Dealt(NamedTuple):
    """An execution in a pool, at the midpoint."""

    order: OwnOrder
    at_s: float
    price: int
    lots: int
    leaves: int
    maker: bool


class SimulatedBook:
    """Prices in price units, sizes in lots, times in seconds since the opening. See `lit_matching.LitBook`."""

    def __init__(self, batch: BatchedMarket, place: int, owners: dict[str, int]) -> None:
        """`place` is the instrument's market in the batch; `owners` numbers the participants, for all books alike."""
        self._batch, self._place, self._owners = batch, place, owners
        self._slots: list[OwnOrder | None] = [None] * self._market["side"].shape[1]
        self._filled, self._paid = np.zeros((2, len(self._slots)), np.int64)
        self.passive_fills: list[PassiveFill] = []
        self.dealt: list[Dealt] = []
        self._begins = self._steps = batch.steps
        self._mids, self._volumes = np.zeros((2, 1024), np.int64)
        self._remember(np.array([self._twice_mid()]), self._market["volume"].copy())

    # --- what is public -------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self._steps * self._batch.step_s

    @property
    def halted(self) -> bool:
        return bool(self._market["halt"][0] > 0)

    @halted.setter
    def halted(self, halted: bool) -> None:
        self._market["halt"] = FOR_EVER if halted else 0

    @property
    def mid(self) -> int | None:
        return _mid(self._twice_mid())

    @property
    def volume(self) -> int:
        """Lots traded in the lit book."""
        return int(self._market["volume"][0])

    @property
    def dark_volume(self) -> int:
        """Lots participants traded in the pools."""
        return int(self._market["dark_volume"][0])

    def mid_at(self, at_s: float) -> int | None:
        """The mid that stood then; None before what is kept."""
        place = int(at_s / self._batch.step_s) - self._begins
        return None if place < 0 else _mid(int(self._mids[min(place, self._steps - self._begins)]))

    def volume_at(self, at_s: float) -> int:
        place = max(0, int(at_s / self._batch.step_s) - self._begins)
        return int(self._volumes[min(place, self._steps - self._begins)])

    def last_trade(self) -> tuple[int, int] | None:
        """Price and lots of the last execution in the lit book."""
        lots = int(self._market["last_lots"][0])
        return (int(self._market["last_price"][0]), lots) if lots else None

    def depth(self, bids: bool, most: int = 5) -> list[tuple[int, int]]:
        """Up to `most` (price, lots) levels from the best, participants' orders included."""
        market = self._market[0]
        shown = np.maximum(market["queues"] - market["taken"], 0)
        levels = len(shown) // 2
        cells = range(levels - 1, -1, -1) if bids else range(levels, 2 * levels)
        sizes = {self._price(cell): int(shown[cell]) for cell in cells if shown[cell]}
        for k in np.flatnonzero((market["venue"] == 0) & (market["side"] == (1 if bids else -1))).tolist():
            price = int(market["price"][k])
            sizes[price] = sizes.get(price, 0) + int(market["leaves"][k])
        return sorted(sizes.items(), reverse=bids)[:most]

    @property
    def _market(self) -> np.ndarray:
        """The market's record, in an array of one: a view."""
        return self._batch.processor.records[self._place : self._place + 1]

    @property
    def _levels(self) -> int:
        return self._market["queues"].shape[1] // 2

    def _price(self, cell: int) -> int:
        return int(self._market["first_bid"][0] + (cell - self._levels + 1) * self._market["grid"][0])

    def _twice_mid(self) -> int:
        bids, asks = self.depth(True, 1), self.depth(False, 1)
        return bids[0][0] + asks[0][0] if bids and asks else -1

    # --- participants ---------------------------------------------------------------------------------------------

    def refusal(self, lots: int) -> str | None:
        """Why the book cannot take another order, or None."""
        if lots > MOST_LOTS:
            return f"quantity is above {MOST_LOTS} lots"
        if not self._free():
            return f"{len(self._slots)} participants' orders rest here already"
        return None

    def least(self, pool: int) -> int:
        """Smallest execution of a pool, lots."""
        return max(1, int(self._batch.rules.pool_least[pool] * self._batch.state.day_lots[self._place]))

    def execute(self, order: OwnOrder, *, rests: bool) -> Walk:
        """A participant's order walks the book now; what is left joins its queue if it `rests`, else leaves."""
        market, leaves = self._market[0], order.leaves
        taken, filled = market["taken"].copy(), self._filled.copy()
        slot, met_itself = self._enter(order, 0, rests)
        lots = int(market["filled"][slot])
        by_price = {self._price(cell): int(got) for cell, got in enumerate(market["taken"] - taken) if got}
        for k, other in enumerate(self._slots):
            got = int(market["filled"][k] - filled[k])
            if other is not None and k != slot and got:
                assert other.price is not None
                by_price[other.price] = by_price.get(other.price, 0) + got
        order.leaves, order.filled = leaves - lots, order.filled + lots
        self._settle(self.now_s, _mid(int(self._mids[self._steps - self._begins])))
        self._keep(order if market["side"][slot] else None, slot)
        return Walk(sorted(by_price.items(), reverse=not order.buys), met_itself)

    def enter_pool(self, order: OwnOrder, pool: int, *, rests: bool) -> None:
        """A participant's order arrives at pool `pool`: executions are in `dealt`; what is left rests if it `rests`."""
        slot, _ = self._enter(order, pool + 1, rests)
        mid, lots = self.mid, int(self._market["filled"][0, slot])
        if lots:
            assert mid is not None
            order.leaves, order.filled = order.leaves - lots, order.filled + lots
            self.dealt.append(Dealt(order, self.now_s, mid, lots, order.leaves, False))
        self._settle(self.now_s, mid)
        self._keep(order if self._market["side"][0, slot] else None, slot)

    def pull(self, order: OwnOrder) -> None:
        """Takes a participant's resting order out."""
        slot = self._slot_of(order)
        self._market["side"][0, slot] = self._market["leaves"][0, slot] = 0
        self._slots[slot] = None
        self._see_now()

    def reduce(self, order: OwnOrder, leaves: int) -> None:
        """Makes a resting order smaller; it keeps its place."""
        self._market["leaves"][0, self._slot_of(order)] = order.leaves = leaves

    def orders(self) -> list[OwnOrder]:
        """Participants' orders that rest here, in the lit book or in a pool."""
        return [order for order in self._slots if order is not None]

    def _slot_of(self, order: OwnOrder) -> int:
        return next(k for k, other in enumerate(self._slots) if other is order)

    def _free(self) -> bool:
        return any(order is None for order in self._slots)

    def _enter(self, order: OwnOrder, venue: int, rests: bool) -> tuple[int, bool]:
        """Hands the order to the batch in the first slot after all others; returns the slot, and whether it was stopped
        by an order of the same participant."""
        if self._slots[-1] is not None:
            self._close_up()
        last = max((k for k, other in enumerate(self._slots) if other is not None), default=-1)
        slot, side = last + 1, 1 if order.buys else -1
        price = side * NO_LIMIT if order.price is None else order.price
        owner = self._owners.setdefault(order.participant, len(self._owners) + 1)
        stopped = self._batch.processor.enter_one(
            self._place, slot, side, order.leaves, price, venue, int(rests), order.minimum, owner
        )
        return slot, bool(stopped)

    def _close_up(self) -> None:
        """Moves orders to the first slots, in their order."""
        kept = [k for k, order in enumerate(self._slots) if order is not None]
        gone = [k for k, order in enumerate(self._slots) if order is None]
        order = kept + gone
        for name in ("side", "venue", "price", "leaves", "ahead", "least", "owner", "rank", "filled", "paid"):
            self._market[name][0] = self._market[name][0][order]
        self._filled, self._paid = self._filled[order], self._paid[order]
        self._slots = [self._slots[k] for k in order]

    def _keep(self, order: OwnOrder | None, slot: int) -> None:
        self._slots[slot] = order
        self._filled[slot], self._paid[slot] = (self._market[name][0, slot] for name in ("filled", "paid"))
        self._see_now()

    # --- time -----------------------------------------------------------------------------------------------------

    def advance(self, steps: int) -> None:
        """Plays `steps` steps; executions of resting orders are in `passive_fills` and `dealt`."""
        mids, volumes = np.zeros((2, steps, self._batch.markets), np.int64)
        played, before = 0, int(self._mids[self._steps - self._begins])
        while played < steps:
            watching = any(order is not None for order in self._slots)
            played += self._batch.processor.play_one(
                self._place, self._steps + played, mids[played:], volumes[played:], stop_at_fills=watching
            )
            if watching:
                mid = int(mids[played - 2, self._place]) if played > 1 else before
                self._settle((self._steps + played) * self._batch.step_s, _mid(mid))
        self._remember(mids[:, self._place], volumes[:, self._place], steps)

    def _settle(self, at_s: float, mid: int | None) -> None:
        """Finds out which resting orders were executed since the last look."""
        market = self._market[0]
        for k in np.flatnonzero(market["filled"] != self._filled).tolist():
            order, lots = self._slots[k], int(market["filled"][k] - self._filled[k])
            if order is None:
                continue
            price, rest = divmod(int(market["paid"][k] - self._paid[k]), 2 * lots)
            assert not rest, "one price a step, and prices are whole"
            order.leaves, order.filled = order.leaves - lots, order.filled + lots
            if market["venue"][k] == 0:
                self.passive_fills.append(PassiveFill(at_s, order, price, lots, order.leaves, mid))
            else:
                self.dealt.append(Dealt(order, at_s, price, lots, order.leaves, True))
            if not order.leaves:
                self._slots[k] = None
        self._filled[:], self._paid[:] = market["filled"], market["paid"]

    def _remember(self, mids: np.ndarray, volumes: np.ndarray, steps: int = 0) -> None:
        first = self._steps - self._begins + (1 if steps else 0)
        if first + len(mids) > len(self._mids):
            keep = max(0, first - int(KEPT_S / self._batch.step_s))
            room = 2 * (first - keep + len(mids))
            old = self._mids[keep:first], self._volumes[keep:first]
            self._mids, self._volumes = np.zeros((2, room), np.int64)
            self._mids[: first - keep], self._volumes[: first - keep] = old
            self._begins, first = self._begins + keep, first - keep
        self._mids[first : first + len(mids)], self._volumes[first : first + len(mids)] = mids, volumes
        self._steps += steps

    def _see_now(self) -> None:
        """The book changed between two steps."""
        place = self._steps - self._begins
        self._mids[place], self._volumes[place] = self._twice_mid(), self.volume

    def twin(self, batch: BatchedMarket, place: int, owners: dict[str, int]) -> "SimulatedBook":
        """The same book on a copy of its market: orders are copies, and its past begins now."""
        twin = SimulatedBook(batch, place, owners)
        twin._slots = [None if order is None else order.copy() for order in self._slots]
        twin._filled, twin._paid = self._filled.copy(), self._paid.copy()
        return twin


def _mid(twice: int) -> int | None:
    return None if twice < 0 else twice // 2

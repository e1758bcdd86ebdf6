"""A book of real price levels: anonymous queues around a reference price, and participants' orders at any tick.

Anonymous volume sits on `levels` grid prices on each side; participants may rest anywhere. Whatever trades is taken
off here, once, by `walk`; nothing else removes liquidity by trading.
"""

from typing import NamedTuple

from lit_router.market.own_orders import UNKNOWN_AHEAD, CancelAssumption, OwnOrder, OwnQueue
from lit_router.market.rates import LARGEST
from lit_router.market.tape import Tape

EMPTY = OwnQueue()
"""Stands for a price at which no participant rests; never joined."""


class PassiveFill(NamedTuple):
    """A resting participant's order was hit: market time in seconds, price in price units, lots.

    `leaves` is what remained of it, `mid` the mid just before (None while a side was empty).
    """

    at_s: float
    order: OwnOrder
    price: int
    lots: int
    leaves: int
    mid: int | None


class Walk(NamedTuple):
    """What an incoming order took: (price, lots) pairs, and whether it stopped at its own participant's order."""

    taken: list[tuple[int, int]]
    met_itself: bool

    @property
    def lots(self) -> int:
        return sum(lots for _, lots in self.taken)


class LevelBook:
    """Anonymous queues are a flat list: bids 0..K-1 from the best, then asks K..2K-1 from the best.

    `counts` holds the queue sizes in average event sizes: first what is displayed (participants included; those
    priced inside the first level count there), then the anonymous part alone.
    """

    def __init__(self, *, best_bid: int, grid: int, levels: int, mean_lots: int) -> None:
        """Prices in price units; `mean_lots` is the average event size in lots."""
        self.levels, self.grid, self.mean_lots = levels, grid, mean_lots
        self.first_bid = best_bid
        self.queues = [0] * (2 * levels)
        self.counts = [0] * (4 * levels)
        self.own_lots = [0] * (2 * levels)
        """Participants' lots displayed at each level or just inside it."""
        self.own_here = [False] * (2 * levels)
        """Whether a participant rests exactly at each anonymous queue's price."""
        self.crossable = [False, False]
        """Whether an anonymous bid (ask) arriving at any level could cross a participant's order."""
        self.bids: dict[int, OwnQueue] = {}
        self.asks: dict[int, OwnQueue] = {}
        self.now_s = 0.0
        self.mid: int | None = None
        """As it stood when last quoted: during a walk, before the walk."""
        self.tape = Tape()
        self.passive_fills: list[PassiveFill] = []
        self.assumption = CancelAssumption.RANDOM

    def price_of(self, queue: int) -> int:
        """The grid price of a flat queue index."""
        if queue < self.levels:
            return self.first_bid - queue * self.grid
        return self.first_bid + (1 + queue - self.levels) * self.grid

    def queue_at(self, bids: bool, price: int) -> int | None:
        """The flat index of the anonymous queue at a price; None off the grid or beyond the modelled levels."""
        away = self.first_bid - price if bids else price - self.first_bid - self.grid
        level, off_grid = divmod(away, self.grid)
        if off_grid or not 0 <= level < self.levels:
            return None
        return level if bids else self.levels + level

    def own(self, bids: bool) -> dict[int, OwnQueue]:
        return self.bids if bids else self.asks

    def depth(self, bids: bool, most: int = 5) -> list[tuple[int, int]]:
        """Up to `most` (price, lots) levels from the best, participants' orders included."""
        start = 0 if bids else self.levels
        sizes = {
            self.price_of(queue): self.queues[queue]
            for queue in range(start, start + self.levels)
            if self.queues[queue]
        }
        for price, queue in self.own(bids).items():
            sizes[price] = sizes.get(price, 0) + queue.lots
        return sorted(sizes.items(), reverse=bids)[:most]

    def best(self, bids: bool) -> int | None:
        """The best price of a side, or None when nobody is there."""
        start = 0 if bids else self.levels
        best = None
        for queue in range(start, start + self.levels):
            if self.queues[queue]:
                best = self.price_of(queue)
                break
        own = self.own(bids)
        if own:
            inner = max(own) if bids else min(own)
            if best is None or (inner > best if bids else inner < best):
                best = inner
        return best

    def recount(self) -> None:
        """Recomputes `counts`, and where participants stand, from the queues and the participants' orders."""
        levels, mean, counts, shown = self.levels, self.mean_lots, self.counts, self.own_lots
        width = 2 * levels
        shown[:] = [0] * width
        self.own_here[:] = [False] * width
        for bids, side in ((True, self.bids), (False, self.asks)):
            for price, queue in side.items():
                away = self.first_bid - price if bids else price - self.first_bid - self.grid
                level = max(0, -(-away // self.grid))
                if level < levels:
                    place = level if bids else levels + level
                    shown[place] += queue.lots
                    self.own_here[place] |= away == level * self.grid
        self.crossable[:] = [
            bool(self.asks) and min(self.asks) <= self.first_bid,
            bool(self.bids) and max(self.bids) >= self.first_bid + self.grid,
        ]
        for place, lots in enumerate(self.queues):
            counts[place] = min(LARGEST, -(-(lots + shown[place]) // mean))
            counts[width + place] = min(LARGEST, -(-lots // mean))

    def walk(self, buys: bool, lots: int, limit: int | None, participant: str | None) -> Walk:
        """Takes up to `lots` from the other side, best price first, no worse than `limit`, front of queue first.

        Participants' orders that are hit are recorded in `passive_fills`. It stops before an order of the same
        `participant`. The caller recounts.
        """
        taken: list[tuple[int, int]] = []
        bids = not buys
        while lots:
            price = self.best(bids)
            if price is None or (limit is not None and (price > limit if buys else price < limit)):
                break
            here, met_itself = self._take_at(bids, price, lots, participant)
            if here:
                taken.append((price, here))
                self.tape.traded(self.now_s, price, here, buys)
            lots -= here
            if met_itself:
                return Walk(taken, True)
        return Walk(taken, False)

    def _take_at(self, bids: bool, price: int, lots: int, participant: str | None) -> tuple[int, bool]:
        """Takes from one price level; returns lots taken and whether it stopped at the participant's own order."""
        place = self.queue_at(bids, price)
        side = self.own(bids)
        own = side.get(price, EMPTY)
        taken = own.take(lots, 0 if place is None else self.queues[place], participant)
        if place is not None:
            self.queues[place] -= taken.anonymous
        for order, hit in taken.hits:
            self.passive_fills.append(PassiveFill(self.now_s, order, price, hit, order.leaves, self.mid))
        if not own.orders and price in side:
            del side[price]
        return taken.lots, taken.met_itself

    def mid_at(self, at_s: float) -> int | None:
        return self.tape.mids.at(at_s)

    def volume_at(self, at_s: float) -> int:
        return self.tape.volumes.at(at_s) or 0

    @property
    def volume(self) -> int:
        """Lots traded since the opening."""
        return self.tape.volume

    def last_trade(self) -> tuple[int, int] | None:
        """Price and lots of the last public trade."""
        last = self.tape.last
        return None if last is None else (last.price, last.lots)

    def rest(self, order: OwnOrder) -> None:
        """Puts a priced order at the back of its queue. The caller has walked it first, and recounts."""
        assert order.price is not None
        place = self.queue_at(order.buys, order.price)
        if place is not None:
            ahead = self.queues[place]
        else:
            away = self.first_bid - order.price if order.buys else order.price - self.first_bid - self.grid
            on_grid_beyond = away % self.grid == 0 and away >= self.levels * self.grid
            ahead = UNKNOWN_AHEAD if on_grid_beyond else 0
        self.own(order.buys).setdefault(order.price, OwnQueue()).join(order, ahead)

    def withdraw(self, order: OwnOrder) -> None:
        """Takes a resting order out. The caller recounts."""
        assert order.price is not None
        side = self.own(order.buys)
        queue = side[order.price]
        queue.orders.remove(order)
        if not queue.orders:
            del side[order.price]

    def clamp_own(self) -> None:
        """After anonymous queues changed by a shift or redraw: nobody stands behind more than there is."""
        for bids in (True, False):
            for price, queue in self.own(bids).items():
                place = self.queue_at(bids, price)
                if place is not None:
                    queue.redrawn(self.queues[place])

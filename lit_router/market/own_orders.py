"""Orders of participants, what they trade, and how far each resting one stands from the front of its queue.

A queue holds anonymous volume, known only as a number of lots, and participants' orders, each with `ahead`: the
anonymous lots that must go before it. Anonymous orders join the back, so `ahead` never grows.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

UNKNOWN_AHEAD = 1 << 62
"""The order was placed beyond the modelled levels; what stands ahead becomes known when the level comes into view."""


@dataclass(slots=True)
class OwnOrder:
    """A participant's order at the exchange. Price in price units (None: a market order), lots exact."""

    participant: str
    order_id: str
    buys: bool
    price: int | None
    leaves: int
    filled: int = 0
    ahead: int = 0
    minimum: int = 0

    def copy(self) -> Self:
        return type(self)(
            self.participant,
            self.order_id,
            self.buys,
            self.price,
            self.leaves,
            self.filled,
            self.ahead,
            self.minimum,
        )


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


class Taken(NamedTuple):
    """What one price level gave: anonymous lots, participants' orders hit (with lots), and whether it stopped short."""

    anonymous: int
    hits: list[tuple[OwnOrder, int]]
    met_itself: bool

    @property
    def lots(self) -> int:
        return self.anonymous + sum(lots for _, lots in self.hits)


@dataclass(slots=True)
class OwnQueue:
    """Our participants' orders at one price, first in first out; `ahead` never falls along the list."""

    orders: list[OwnOrder] = field(default_factory=list)

    @property
    def lots(self) -> int:
        return sum(order.leaves for order in self.orders)

    def join(self, order: OwnOrder, anonymous_lots: int) -> None:
        """Puts the order last, behind `anonymous_lots`."""
        order.ahead = anonymous_lots
        self.orders.append(order)

    def take(self, lots: int, anonymous_lots: int, participant: str | None) -> "Taken":
        """Trades up to `lots` from the front, where `anonymous_lots` of the queue are anonymous.

        Orders that are hit lose leaves, and leave the queue when nothing remains. It stops before an order of
        `participant`, if one is named.
        """
        hits: list[tuple[OwnOrder, int]] = []
        anonymous = 0
        while self.orders and lots:
            first = self.orders[0]
            before = min(lots, first.ahead, anonymous_lots - anonymous)
            self._eaten(before)
            anonymous += before
            lots -= before
            if not lots:
                break
            if participant is not None and first.participant == participant:
                return Taken(anonymous, hits, True)
            hit = min(lots, first.leaves)
            first.leaves -= hit
            first.filled += hit
            lots -= hit
            hits.append((first, hit))
            if not first.leaves:
                self.orders.pop(0)
        behind = min(lots, anonymous_lots - anonymous)
        self._eaten(behind)
        return Taken(anonymous + behind, hits, False)

    def _eaten(self, lots: int) -> None:
        for order in self.orders:
            order.ahead = max(0, order.ahead - lots)

    def redrawn(self, anonymous_lots: int) -> None:
        """The anonymous volume is known anew: nobody can stand behind more than there is."""
        for order in self.orders:
            order.ahead = min(order.ahead, anonymous_lots)

    def copy(self) -> Self:
        return type(self)([order.copy() for order in self.orders])

"""Orders of participants resting in the book, and how far each stands from the front of its queue.

A queue holds the model's anonymous volume, known only as a number of lots, and our participants' orders, each with
`ahead`: the anonymous lots that must go before it. Anonymous orders join the back, so `ahead` never grows.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self

UNKNOWN_AHEAD = 1 << 62
"""The order was placed beyond the modelled levels; what stands ahead becomes known when the level comes into view."""


class CancelAssumption(StrEnum):
    """Where in the queue anonymous cancels fall relative to our orders: unknown in practice, so an assumption."""

    FRONT = "front"
    RANDOM = "random"
    BACK = "back"


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
        """The anonymous volume was drawn anew: nobody can stand behind more than there is."""
        for order in self.orders:
            order.ahead = min(order.ahead, anonymous_lots)

    def cancelled(self, lots: int, anonymous_lots: int, assumption: CancelAssumption, uniform: float) -> None:
        """`lots` of the `anonymous_lots` that were in the queue are withdrawn.

        RANDOM takes them ahead of an order with probability ahead / (ahead + behind), from the last order to the
        first, reusing the uniform; what one stretch of the queue cannot give, the stretches before and then
        behind it give.
        """
        edges = [min(order.ahead, anonymous_lots) for order in self.orders]
        place = self._stretch(edges, anonymous_lots, assumption, uniform)
        stretches = [end - begin for begin, end in zip([0, *edges], [*edges, anonymous_lots], strict=True)]
        for stretch in [*range(place, -1, -1), *range(place + 1, len(stretches))]:
            taken = min(lots, stretches[stretch])
            stretches[stretch] -= taken
            lots -= taken
            if not lots:
                break
        ahead = 0
        for order, stretch in zip(self.orders, stretches, strict=False):
            ahead += stretch
            order.ahead = ahead

    @staticmethod
    def _stretch(edges: list[int], anonymous_lots: int, assumption: CancelAssumption, uniform: float) -> int:
        if assumption is CancelAssumption.FRONT:
            return 0
        if assumption is CancelAssumption.BACK:
            return len(edges)
        end = anonymous_lots
        for place in range(len(edges), 0, -1):
            is_ahead = edges[place - 1] / end if end else 0.0
            if uniform >= is_ahead:
                return place
            uniform /= is_ahead
            end = edges[place - 1]
        return 0

    def copy(self) -> Self:
        return type(self)([order.copy() for order in self.orders])

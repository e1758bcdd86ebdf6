"""Ways to split a block between quotes and residual, as studies compare them: what to lift next, or to work the rest.

Each is asked again after every lift, confirmed or refused. `Blended` decides as the service does, over every exact
split (`rfq.domain.blend`) through the curve of the residual's cost.
"""

from collections.abc import Callable
from typing import NamedTuple

from rfq.domain.auction import RankedQuote
from rfq.domain.blend import ResidualCurve, split
from rfq.domain.values import DealerId, Price, Quantity, QuoteId, Side

POINTS = 24
"""Of the curve, as `ml.residual_cost` makes it: denser near 0, where it bends most."""
UNIT = Price(10**9)
"""Arrival in price units so small that a quote in bps is hardly rounded."""


class Offer(NamedTuple):
    """A quote as the desk may lift it."""

    cost_bps: float
    place: int
    lots: float


class Standing(NamedTuple):
    """Where an award stands before the next lift."""

    offers: list[Offer]
    """Best first; none of them was lifted yet."""
    left: float
    """Lots that nobody has taken."""
    quantity: int
    winners: int
    """So many more may be lifted."""
    worked_bps: Callable[[float], float]
    """Cost of working a share of the block, in bps of the whole block."""


Splitting = Callable[[Standing], tuple[Offer, float] | None]
"""A way to split a block between quotes and residual: what to lift next, and how many lots of it; None to work the
rest."""


def while_cheaper(s: Standing) -> tuple[Offer, float] | None:
    """The best quote, while it is cheaper than working its lots."""
    take, left = min(s.left, s.offers[0].lots), s.left / s.quantity
    share = take / s.quantity
    worked_bps = s.worked_bps(left) - s.worked_bps(left - share)
    return None if take < 1 or s.offers[0].cost_bps * share >= worked_bps else (s.offers[0], take)


def all_at_quotes(s: Standing) -> tuple[Offer, float] | None:
    """The best quotes, whatever working would cost."""
    take = min(s.left, s.offers[0].lots)
    return (s.offers[0], take) if take >= 1 else None


def all_residual(s: Standing) -> tuple[Offer, float] | None:
    """No quote."""
    return None


def half(s: Standing) -> tuple[Offer, float] | None:
    """Half of the block at the best quotes."""
    take = float(min(s.left - s.quantity // 2, s.offers[0].lots))
    return (s.offers[0], take) if take >= 1 else None


class Blended:
    """The exact split of least expected cost, as the service makes it."""

    def __init__(self) -> None:
        self.leakage_bps = 0.0
        """Adverse move expected of all that were asked: paid on every lot worked. To be set for each request."""

    def __call__(self, s: Standing) -> tuple[Offer, float] | None:
        left = Quantity(round(s.left))
        if left < 1:
            return None
        lots = sorted({round((i / POINTS) ** 1.5 * left) for i in range(POINTS + 1)})
        cost = tuple(s.quantity * s.worked_bps(n / s.quantity) + self.leakage_bps * n for n in lots)
        curve = ResidualCurve(tuple(map(Quantity, lots)), cost)
        ranked = [_ranked(place, offer) for place, offer in enumerate(s.offers)]
        made = split(ranked, left, Side.BUY, UNIT, residual=curve, max_winners=s.winners)
        if not made.allocations:
            return None
        first = made.allocations[0]
        return s.offers[int(first.quote_id)], float(first.quantity)


def _ranked(place: int, offer: Offer) -> RankedQuote:
    price = Price(round(UNIT * (1.0 + offer.cost_bps / 1e4)))
    lots = Quantity(max(1, int(offer.lots)))
    name = str(place)
    return RankedQuote(place + 1, QuoteId(name), 1, DealerId(name), price, lots, Quantity(0), True)

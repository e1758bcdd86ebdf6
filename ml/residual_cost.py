"""What working a residual costs, first version: spread, square-root impact, the flow of those who lost and of those who
won."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from ml.hedging_cost import DAY_S, Hedging
from ml.outcomes import spread_now_bps
from rfq.domain.blend import ResidualCurve
from rfq.domain.rfq import ResidualTerms, Urgency
from rfq.domain.values import Quantity
from rfq.ports import ResidualRequest

POINTS = 24


class Impact(msgspec.Struct, frozen=True):
    """Declared coefficients.

    `impact` times daily volatility times sqrt(lots / ADV) is the mean cost of working the lots (the square-root
    law, Toth et al. 2011: the prefactor of the peak is about 1, and the mean over the order two thirds of it).
    `spread_paid` is the share of half the spread paid on average, `hurry` a factor on impact, both by urgency.
    Lots beyond what the participation limit allows in the horizon cost `overflow` times as much impact.
    """

    impact: float = 2.0 / 3.0
    spread_paid: Mapping[Urgency, float] = MappingProxyType({Urgency.LOW: 0.3, Urgency.MEDIUM: 0.6, Urgency.HIGH: 1.0})
    hurry: Mapping[Urgency, float] = MappingProxyType({Urgency.LOW: 0.9, Urgency.MEDIUM: 1.0, Urgency.HIGH: 1.15})
    overflow: float = 2.0
    band: tuple[float, float] = (0.6, 1.6)
    """Impact differs between days by about so much: the curve's low and high."""


class SquareRootResidual:
    """The ResidualCost port. Synchronous and quick: some twenty points of a formula."""

    def __init__(self, impact: Impact | None = None, hedging: Hedging | None = None) -> None:
        self._impact, self._hedging = impact or Impact(), hedging or Hedging()

    def curve(self, request: ResidualRequest) -> ResidualCurve:
        """Cost in bps of arrival x lots of working 0 to `quantity` lots; leakage is paid on every lot worked, and so is
        what hedging of the others does."""
        terms = request.terms.residual or ResidualTerms(horizon_s=DAY_S)
        lots = points(request.quantity)
        parts = [self._parts(request, terms, n) for n in lots]
        worked = [(flat, own + n * self.hedging_bps(request, n)) for n, (flat, own) in zip(lots, parts, strict=True)]
        low, high = self._impact.band
        return ResidualCurve(
            lots=lots,
            cost=tuple(flat + impact for flat, impact in worked),
            low=tuple(flat + low * impact for flat, impact in worked),
            high=tuple(flat + high * impact for flat, impact in worked),
        )

    def per_lot_bps(self, request: ResidualRequest, lots: float, horizon_s: float) -> float:
        """Impact and nothing else of each of `lots` worked over `horizon_s`, bps of arrival."""
        terms = msgspec.structs.replace(request.terms.residual or ResidualTerms(horizon_s=DAY_S), horizon_s=horizon_s)
        return self._parts(request, terms, lots)[1] / lots if lots else 0.0

    def hedging_bps(self, request: ResidualRequest, lots: int) -> float:
        """What winners' hedging adds to each of `lots` worked, all others of the request awarded; bps of arrival."""
        instrument, terms = request.instrument, request.terms.residual or ResidualTerms(horizon_s=DAY_S)
        worked, awarded = lots / instrument.adv, (request.quantity - lots) / instrument.adv
        return instrument.volatility_bps * self._hedging.per_lot(worked, awarded, terms.horizon_s)

    def _parts(self, request: ResidualRequest, terms: ResidualTerms, lots: float) -> tuple[float, float]:
        """(spread and leakage, impact) of working `lots`, in bps x lots."""
        c, instrument = self._impact, request.instrument
        half_spread = spread_now_bps(instrument, request.market.bid, request.market.ask) / 2
        flat = lots * (c.spread_paid[terms.urgency] * half_spread + max(0.0, request.leakage_bps))
        room = max(1.0, instrument.adv * terms.horizon_s / DAY_S * terms.max_participation)
        excess = max(0.0, lots - room)
        weighted = lots + (c.overflow - 1.0) * excess
        root = math.sqrt(lots / instrument.adv)
        return flat, weighted * c.impact * c.hurry[terms.urgency] * instrument.volatility_bps * root


def points(quantity: Quantity) -> tuple[Quantity, ...]:
    """0 to `quantity`, denser near 0 where the curve bends most; each a whole number of lots."""
    shares = [(i / POINTS) ** 1.5 for i in range(POINTS + 1)]
    return tuple(Quantity(n) for n in sorted({round(share * quantity) for share in shares}))

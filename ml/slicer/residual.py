"""What working a residual will cost, as the slicer's critic foretells it: V(quantity, state, what those asked will do).

The critic was taught by the episodes that the policy itself worked. Where a residual lies beyond them (more of the
volume, a longer horizon, more than the desk's participation allows) the square-root law says how much dearer it gets
from there: the learned curve is never trusted beyond its evidence. Nobody hedged there either: what winners' hedging
adds is a law too, see `ml.hedging_cost`.
"""

from typing import NamedTuple

import torch

from ml.residual_cost import DAY_S, SquareRootResidual, points
from ml.slicer.episodes import STANDARD
from ml.slicer.execution import notch
from ml.slicer.features import features
from ml.slicer.network import LEVELS
from ml.slicer.observed import EVENTS_A_DAY
from ml.slicer.policy import DECISIONS, PACE_S
from ml.slicer.rules import intend
from ml.slicer.situation import POOLS, RISK, Moment, Residual, View, remembered
from ml.slicer.weights import Slicer
from rfq.domain.blend import ResidualCurve
from rfq.domain.values import Side
from rfq.ports import ResidualRequest

MOST_SHARE = max(law.participation[1] for _, law in STANDARD)
LONGEST_S = max(law.horizon_s for _, law in STANDARD)
"""Beyond these nothing was learned."""
MIDDLE = (0.25, 0.75)
"""The curve's low and high: the middle half of outcomes."""


class PerLot(NamedTuple):
    """Cost of each lot in bps of arrival, by the number worked: expected, and where the middle half lies."""

    mean: list[float]
    low: list[float]
    high: list[float]


class CriticResidual:
    """The ResidualCost port. Synchronous: one pass of a small network over some twenty quantities."""

    def __init__(self, slicer: Slicer, law: SquareRootResidual | None = None) -> None:
        self._slicer, self._law = slicer, law or SquareRootResidual()

    def curve(self, request: ResidualRequest) -> ResidualCurve:
        """Cost in bps of arrival x lots of working 0 to `quantity` lots; leakage is paid on every lot worked, and so
        is what hedging of the others does. Without a side, or without both best prices, the square-root law alone."""
        market, terms = request.market, request.terms.residual
        if request.side is None or terms is None or market.bid is None or market.ask is None:
            return self._law.curve(request)
        lots = points(request.quantity)
        learned_s = min(terms.horizon_s, LONGEST_S)
        usual = request.instrument.adv * learned_s / DAY_S
        # As many lots as it was taught with: beyond them, and beyond its horizon, the law takes over.
        within = [max(1e-9, min(n * learned_s / terms.horizon_s, usual * MOST_SHARE)) for n in lots]
        known = self._foretold(request, within, learned_s)
        beyond = [
            self._law.per_lot_bps(request, n, terms.horizon_s) - self._law.per_lot_bps(request, w, learned_s)
            for n, w in zip(lots, within, strict=True)
        ]
        leaked = max(0.0, request.leakage_bps)
        added = [max(0.0, b) + leaked + self._law.hedging_bps(request, n) for n, b in zip(lots, beyond, strict=True)]

        def whole(per_lot: list[float]) -> tuple[float, ...]:
            return tuple(n * (cost + more) if n else 0.0 for n, cost, more in zip(lots, per_lot, added, strict=True))

        return ResidualCurve(lots=lots, cost=whole(known.mean), low=whole(known.low), high=whole(known.high))

    def _foretold(self, request: ResidualRequest, lots: list[float], horizon_s: float) -> PerLot:
        residual, seen = self._situation(request, lots, horizon_s)
        step = min(PACE_S[1], max(PACE_S[0], horizon_s / DECISIONS)) / horizon_s
        first = torch.zeros_like(residual.lots)
        moment = Moment(first, first + step, first + step)
        s = self._slicer
        with torch.inference_mode():
            x = features(residual, seen, remembered(None, seen), moment, intend(s.rule, residual, seen, moment))
            _, quantiles = s.critic(x)
        in_bps = float(residual.spread[0] / residual.arrival[0]) * 1e4
        ordered = quantiles.sort(1).values.double() * in_bps
        low, high = (min(range(len(LEVELS)), key=lambda k: abs(LEVELS[k] - at)) for at in MIDDLE)
        return PerLot(ordered.mean(1).tolist(), ordered[:, low].tolist(), ordered[:, high].tolist())

    def _situation(self, request: ResidualRequest, lots: list[float], horizon_s: float) -> tuple[Residual, View]:
        """One order of each size, nothing done, in the market as it is."""
        instrument, market, terms = request.instrument, request.market, request.terms.residual
        assert market.bid is not None and market.ask is not None and terms is not None
        size = torch.tensor(lots, dtype=torch.float64)
        tick = instrument.tick_at(market.bid)
        mid = (market.bid + market.ask) / 2
        spread = max(float(tick), instrument.spread_bps * 1e-4 * mid)

        def all_alike(value: float) -> torch.Tensor:
            return torch.full_like(size, value)

        residual = Residual(
            side=all_alike(1.0 if request.side is Side.BUY else -1.0),
            lots=size,
            arrival=all_alike(mid),
            horizon_s=all_alike(horizon_s),
            risk=all_alike(RISK[terms.urgency]),
            spread=all_alike(spread),
            notch=notch(all_alike(spread), all_alike(float(tick))),
            volume_s=all_alike(instrument.adv / DAY_S),
            event_lots=all_alike(max(1.0, instrument.adv / EVENTS_A_DAY)),
            pools=torch.ones(len(lots), POOLS, dtype=torch.bool),
        )
        nothing, in_pools = all_alike(0.0), torch.zeros(len(lots), POOLS, dtype=torch.float64)
        return residual, View(
            all_alike(float(market.bid)),
            all_alike(float(market.ask)),
            all_alike(float(market.bid_quantity)),
            all_alike(float(market.ask_quantity)),
            nothing,
            size,
            nothing,
            nothing,
            in_pools,
            in_pools,
        )

"""How much of an order ought to be done by when: the schedules as functions from time to a share of the quantity."""

from collections.abc import Callable, Mapping
from math import exp, expm1, sqrt
from typing import TypeAlias

from lit_router.domain.observation import Observation
from rfq.domain.rfq import Urgency
from rfq.domain.values import Instrument, Symbol

Trajectory: TypeAlias = Callable[[Observation, float], float]
"""(observation, market seconds from now, may be negative) -> share of the order's quantity due by then, 0 to 1."""


def twap(seen: Observation, ahead_s: float) -> float:
    """Evenly over the horizon."""
    return _share(seen.elapsed + ahead_s / seen.order.horizon_s)


def vwap(seen: Observation, ahead_s: float) -> float:
    """As the day's volume is expected to come. Straight between and beyond this decision and the next."""
    if seen.elapsed + ahead_s / seen.order.horizon_s >= 1 - 1e-9:
        return 1.0
    slope = (seen.next_volume_curve - seen.volume_curve) / seen.decision_s
    return _share(seen.volume_curve + slope * ahead_s)


POV_RATE: Mapping[Urgency, float] = {Urgency.LOW: 0.5, Urgency.MEDIUM: 0.75, Urgency.HIGH: 1.0}
"""Share of `max_participation` that POV aims at."""


def pov(seen: Observation, ahead_s: float) -> float:
    """A share of the market's volume, whatever that turns out to be; may leave lots undone at the horizon.

    Volume ahead is expected at its average pace so far.
    """
    order = seen.order
    passed_s = seen.elapsed * order.horizon_s
    pace = seen.market_volume / passed_s if passed_s else 0.0
    rate = order.max_participation * POV_RATE[order.urgency]
    return _share(rate * (seen.market_volume + pace * ahead_s) / order.quantity)


RISK_AVERSION: Mapping[Urgency, float] = {Urgency.LOW: 1e-6, Urgency.MEDIUM: 1e-5, Urgency.HIGH: 1e-4}
"""Almgren and Chriss's lambda, per unit of currency. Theirs, for a $50 stock, is 1e-6."""

STEEPEST = 30.0


class AlmgrenChriss:
    """Optimal execution under linear temporary impact: fast first, the faster the more risk is feared.

    Remaining x(t) = X sinh(k(T - t)) / sinh(kT), k = sqrt(lambda sigma^2 / eta): Almgren and Chriss, Optimal execution
    of portfolio transactions, J. Risk 3(2), 2000, in the continuous limit. eta by the rule of thumb of their numerical
    example: trading at 1% of the day's volume costs one bid-ask spread. At zero risk aversion it is TWAP.
    """

    def __init__(
        self, instruments: Mapping[Symbol, Instrument], risk_aversion: Mapping[Urgency, float] = RISK_AVERSION
    ) -> None:
        self._instruments, self._risk_aversion = instruments, risk_aversion

    def __call__(self, seen: Observation, ahead_s: float) -> float:
        done = _share(seen.elapsed + ahead_s / seen.order.horizon_s)
        steepness = self.steepness(seen)
        if steepness < 1e-6 or done in (0.0, 1.0):
            return done
        # sinh(s(1 - u)) / sinh(s), with the exponentials taken out so that nothing overflows.
        left = exp(-steepness * done) * expm1(-2 * steepness * (1 - done)) / expm1(-2 * steepness)
        return _share(1 - left)

    def steepness(self, seen: Observation) -> float:
        """k times the horizon, without dimension: at 0 it is TWAP, at 3 some 64% is done in the first third."""
        order = seen.order
        instrument = self._instruments[order.symbol]
        price = float(order.arrival * instrument.price_unit * instrument.lot * instrument.multiplier)
        session_s = (instrument.hours.closes - instrument.hours.opens) * 60
        sigma = instrument.volatility_bps * 1e-4 * price  # money per lot, per square root of a day
        eta = instrument.spread_bps * 1e-4 * price / (0.01 * instrument.adv)  # money per lot, per lot a day
        kappa = sqrt(self._risk_aversion[order.urgency] * sigma * sigma / eta) if eta else 0.0
        return min(STEEPEST, kappa * order.horizon_s / session_s)


def _share(value: float) -> float:
    """Within 0 and 1, and exactly 1 where only rounding stands between."""
    return 1.0 if value >= 1 - 1e-9 else max(0.0, value)

"""What winners' hedging adds to the cost of a residual: they trade the desk's way while it is being worked.

What participants trade together presses on the price as the square root of their pace, and a push decays as a power of
time (the propagator of Bouchaud et al. 2004; Gatheral 2010). Beside a residual worked evenly at pace `v`, hedging at
pace `w` adds sqrt(v + w) - sqrt(v): less than it would do alone, because the desk's own trading is on the flat of the
root already. Averaged over the time the residual is worked, in days and daily volatilities, each lot costs

    level * (sqrt(v + w) - sqrt(v)) * (T^(2 - decay) - (T - H)^(2 - decay)) / ((1 - decay) (2 - decay) T)

more, T being the horizon and H the part of it in which winners hedge.
"""

import math

import msgspec

from rfq.domain.errors import BadInput

DAY_S = 23_400.0


class Hedging(msgspec.Struct, frozen=True):
    """Declared coefficients. `tests/simulation/test_hedging_cost.py` holds `level` and `decay` to paired markets."""

    share: float = 0.7
    """Of what is awarded, hedged in the market; inventory keeps the rest. Dealers do not publish it."""
    horizon_s: float = 1800.0
    """Over which winners hedge, evenly and from the award on. Dealers do not publish it either."""
    level: float = 0.55
    """Of the push: daily volatilities, with times in days and volumes as shares of ADV. It is the square-root law's
    prefactor, near one at the end of an order (Toth et al. 2011), times 1 - decay."""
    decay: float = 0.4
    """Exponent of time: half of an order's move is left after as long again (measured: Bucci et al. 2018)."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise BadInput("hedging.share", self.share, "must lie between 0 and 1")
        if not self.horizon_s > 0:
            raise BadInput("hedging.horizon_s", self.horizon_s, "must be positive")
        if not self.level >= 0:
            raise BadInput("hedging.level", self.level, "must not be negative")
        if not 0 <= self.decay < 1:
            raise BadInput("hedging.decay", self.decay, "must be at least 0 and below 1")

    def per_lot(self, worked: float, awarded: float, horizon_s: float) -> float:
        """Added to the mean cost of each lot worked, in daily volatilities: `worked` and `awarded` are shares of ADV,
        `horizon_s` the residual's. Nothing where nothing is awarded; never falls when more is."""
        days, hedging_days = horizon_s / DAY_S, self.horizon_s / DAY_S
        own, theirs = worked / days, self.share * awarded / hedging_days
        power = 2.0 - self.decay
        after = max(0.0, days - hedging_days)
        reach = (days**power - after**power) / ((power - 1.0) * power * days)
        return self.level * reach * (math.sqrt(own + theirs) - math.sqrt(own))

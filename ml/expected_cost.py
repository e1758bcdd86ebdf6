"""What asking a set of dealers is expected to cost, all in: Monte Carlo over who answers and at what price.

One draw: each dealer answers or not, at a cost read off its predicted quantiles, for its usual quantity. The
best quotes are taken while that is cheaper than working the rest; those asked and not hit move the price that
the rest is worked at. The same draws serve every set, so that differences between sets are not noise.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ml.dealer_models import Forecast
from ml.outcomes import RequestFacts
from ml.set_cost import costs_of_adding, draw_costs, reading
from rfq.domain.blend import ResidualCurve
from rfq.domain.rfq import RfqTerms
from rfq.domain.selection import QUANTILES

Array = NDArray[np.float64]

DRAWS = 128
GRID = 200
"""Points of the residual's cost by share of the block."""
SHARES = np.linspace(0.0, 1.0, GRID + 1)

IDLE_IMPACT = 0.8
"""Square-root impact charged for lots that the desk wants done and gives nobody to work."""


class BlockTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What of the request matters to the cost of a set. Shares are of the quantity asked."""

    size: float
    """Quantity as a share of ADV."""
    least_share: float = 0.0
    """What must trade at quotes if anything does."""
    max_winners: int = 3
    standing_weight: float = 0.25
    """Least weight of leakage, though little be left to work: the desk will trade the name again. Declared."""

    @classmethod
    def of(cls, terms: RfqTerms, size: float) -> "BlockTerms":
        """Those of a request of this size, a share of ADV."""
        least_share = terms.least_at_quotes / terms.leg.quantity
        return cls(size=size, least_share=least_share, max_winners=terms.max_winners)


def rest_of(curve: ResidualCurve | None, facts: RequestFacts) -> Array:
    """The cost of working shares of a request's block; without a curve, as if worked over a day."""
    if curve is not None:
        return rest_cost(curve)
    return default_rest(facts.size, facts.volatility_bps, facts.spread_bps)


def rest_cost(curve: ResidualCurve) -> Array:
    """Cost of working shares 0, 1/GRID, ... 1 of the block, in bps of the whole block."""
    most = curve.lots[-1]
    return np.interp(SHARES * most, np.array(curve.lots, dtype=np.float64), np.array(curve.cost)) / most


class ExpectedCost:
    """Draws made once for a forecast; then the cost of any set, in bps of arrival over the whole block."""

    def __init__(self, forecast: Forecast, terms: BlockTerms, rest: Array, rng: Generator, draws: int = DRAWS) -> None:
        """`rest` as made by rest_cost. Memory is (numbers asked, dealers, draws) doubles."""
        count = len(forecast.dealers)
        self.dealers = count
        self._terms, self._rest = terms, np.array(rest, dtype=np.float64)
        # The row of the forecast that is nearest to each number asked.
        away = np.abs(np.array(forecast.asked) - np.arange(count + 1)[:, None])
        self._row: list[int] = away.argmin(axis=1).tolist()
        ranks = np.tile(np.arange(draws), (count, 1))
        self._answer, self._level = rng.permuted(ranks, axis=1), rng.permuted(ranks, axis=1)
        self._reading = reading(QUANTILES, draws)
        # A dealer that fades is worth what one that never answered is; and it leaks.
        self._answers = forecast.response * (1.0 - forecast.fade)
        self._quantiles = np.array(forecast.cost_bps, order="C")
        self._cost = np.empty((len(forecast.asked), count, draws))
        self._drawn = np.zeros(self._cost.shape[:2], dtype=bool)
        self._lots = np.minimum(1.0, forecast.quoted_size / terms.size)
        self._leak = np.array(forecast.leakage_bps, order="C")

    def of_none(self) -> float:
        return float(self._rest[-1])

    def of(self, dealers: Sequence[int]) -> float:
        """Mean cost of asking these dealers together."""
        return float(self.adding(dealers[:-1], dealers[-1:])[0]) if dealers else self.of_none()

    def adding(self, base: Sequence[int], candidates: Sequence[int]) -> Array:
        """Mean cost of asking `base` and one candidate more, for each candidate. Sets differ by nothing but who is in
        them."""
        at, terms = self._row[len(base) + 1], self._terms
        found = np.empty(len(candidates))
        dealers = np.array([*base, *candidates], dtype=np.int64)
        known, ranks = (self._quantiles[at], self._answers[at]), (self._answer, self._level)
        # Of a large panel few are looked at for every number asked: the others are not drawn.
        draw_costs(*known, *ranks, *self._reading, self._drawn[at], self._cost[at], dealers)
        sides = (self._lots, self._leak[at], self._rest, terms.least_share, terms.standing_weight)
        costs_of_adding(self._cost[at], dealers, len(base), *sides, terms.max_winners, found)
        return found


def default_rest(size: float, volatility_bps: float, spread_bps: float) -> Array:
    """What is not filled and not to be worked, priced as if worked over a day: half spread + square root."""
    return SHARES * (spread_bps / 2 + IDLE_IMPACT * volatility_bps * np.sqrt(SHARES * size))

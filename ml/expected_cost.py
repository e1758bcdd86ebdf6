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
from rfq.domain.blend import ResidualCurve
from rfq.domain.selection import QUANTILES

Array = NDArray[np.float64]

DRAWS = 128
GRID = 200
"""Points of the residual's cost by share of the block."""

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


def rest_cost(curve: ResidualCurve) -> Array:
    """Cost of working shares 0, 1/GRID, ... 1 of the block, in bps of the whole block."""
    most = curve.lots[-1]
    shares = np.linspace(0.0, 1.0, GRID + 1)
    return np.interp(shares * most, np.array(curve.lots, dtype=np.float64), np.array(curve.cost)) / most


class ExpectedCost:
    """Draws made once for a forecast; then the cost of any set, in bps of arrival over the whole block."""

    def __init__(self, forecast: Forecast, terms: BlockTerms, rest: Array, rng: Generator, draws: int = DRAWS) -> None:
        """`rest` as made by rest_cost. Memory is (numbers asked, dealers, draws) doubles."""
        count = len(forecast.dealers)
        self.dealers = count
        self._terms, self._rest = terms, rest
        self._asked = list(forecast.asked)
        strata = (np.arange(draws) + 0.5) / draws
        answer = np.stack([rng.permutation(strata) for _ in range(count)]) if count else np.empty((0, draws))
        level = np.stack([rng.permutation(strata) for _ in range(count)]) if count else np.empty((0, draws))
        # A dealer that fades is worth what one that never answered is; and it leaks.
        answers = answer[None] < (forecast.response * (1.0 - forecast.fade))[:, :, None]
        self._cost = np.where(answers, _cost_at(forecast.cost_bps, level), np.inf)
        self._lots = np.minimum(1.0, forecast.quoted_size / terms.size)
        self._leak = forecast.leakage_bps

    def of_none(self) -> float:
        return float(self._rest[-1])

    def of(self, dealers: Sequence[int]) -> float:
        """Mean cost of asking these dealers together."""
        return float(self.adding(dealers[:-1], dealers[-1:])[0]) if dealers else self.of_none()

    def adding(self, base: Sequence[int], candidates: Sequence[int]) -> Array:
        """Mean cost of asking `base` and one candidate more, for each candidate.

        Only the best `max_winners` quotes of the base can matter beside the newcomer, so the rest is not sorted
        again for every candidate.
        """
        at, most = self._row(len(base) + 1), self._terms.max_winners
        kept, new = np.asarray(base, dtype=np.int64), np.asarray(candidates, dtype=np.int64)
        cost = self._cost[at]
        mine = cost[kept].T  # (draws, base)
        front = np.argsort(mine, axis=1, kind="stable")[:, :most]
        shape = (len(new), cost.shape[1])
        who = np.empty((*shape, front.shape[1] + 1), dtype=np.int64)
        who[:, :, :-1] = kept[front] if len(kept) else 0
        who[:, :, -1] = new[:, None]
        quotes = np.empty(who.shape)
        quotes[:, :, :-1] = np.take_along_axis(mine, front, axis=1)
        quotes[:, :, -1] = cost[new]
        order = np.argsort(quotes, axis=2, kind="stable")[:, :, :most]
        rows, draws = np.arange(shape[0])[:, None, None], np.arange(shape[1])[None, :, None]
        who, quotes = who[rows, draws, order], quotes[rows, draws, order]

        answered = np.isfinite(quotes)
        quotes[~answered] = 0.0
        leaks = self._leak[at]
        told = leaks[kept].sum() + leaks[new]
        filled, paid, spared = 0.0, 0.0, 0.0
        found = self._worked(0.0, np.ones((1, 1)), told[:, None])
        for place in range(quotes.shape[2]):
            lots = np.where(answered[:, :, place], self._lots[who[:, :, place]], 0.0)
            taken = np.minimum(lots, 1.0 - filled)
            filled = filled + taken
            paid = paid + taken * quotes[:, :, place]
            spared = spared + np.where(taken > 0, leaks[who[:, :, place]], 0.0)
            stop = self._worked(paid, 1.0 - filled, told[:, None] - spared)
            found = np.where(filled + 1e-9 >= self._terms.least_share, np.minimum(found, stop), found)
        return found.mean(1)

    def _worked(self, paid: Array | float, left: Array, leak_bps: Array) -> Array:
        """Paid at quotes, plus working what is left at a price moved by those who were not hit."""
        share = np.maximum(left, self._terms.standing_weight)
        return paid + self._rest[np.rint(left * GRID).astype(np.int64)] + leak_bps * share

    def _row(self, asked: int) -> int:
        """Index of the forecast made for the nearest number asked."""
        return min(range(len(self._asked)), key=lambda i: abs(self._asked[i] - asked))


def _cost_at(quantiles: Array, level: Array) -> Array:
    """Inverse distribution at `level` (D, M), linear between the predicted quantiles (A, D, Q).

    Beyond the outer ones the tails run on, the dear tail twice as far as the keen one: quotes are skewed.
    """
    known = np.array(QUANTILES)
    low = quantiles[:, :, :1] - 1.0 * (quantiles[:, :, 1:2] - quantiles[:, :, :1])
    high = quantiles[:, :, -1:] + 2.0 * (quantiles[:, :, -1:] - quantiles[:, :, -2:-1])
    knots = np.concatenate([low, quantiles, high], axis=2)
    grid = np.concatenate([[0.0], known, [1.0]])
    right = np.clip(np.searchsorted(grid, level, side="right"), 1, len(grid) - 1)
    share = (level - grid[right - 1]) / (grid[right] - grid[right - 1])
    index = np.broadcast_to(right, (quantiles.shape[0], *right.shape))
    below = np.take_along_axis(knots, index - 1, axis=2)
    above = np.take_along_axis(knots, index, axis=2)
    return below + share[None] * (above - below)


def default_rest(size: float, volatility_bps: float, spread_bps: float) -> Array:
    """What is not filled and not to be worked, priced as if worked over a day: half spread + square root."""
    shares = np.linspace(0.0, 1.0, GRID + 1)
    return shares * (spread_bps / 2 + IDLE_IMPACT * volatility_bps * np.sqrt(shares * size))

"""Arrival rates of the queue-reactive book by queue size, and the invariant law of a queue that they imply.

Source: Huang, Lehalle, Rosenbaum, "Simulating and analyzing order book data: the queue-reactive model"
(JASA 2015), model I, France Telecom. Rates are events per second; queue sizes are counts of the average event
size (AES). Levels beyond the third, which the paper does not give, take the third's rates.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

SIZES = (0, 1, 5, 10, 20, 50)
LIMIT = (
    (0.25, 0.63, 0.575, 0.638, 0.75, 0.70),
    (2.8, 1.3, 0.725, 0.593, 0.47, 0.52),
    (3.1, 0.96, 0.40, 0.40, 0.40, 0.55),
)
CANCEL = (
    (0.0, 0.23, 0.525, 0.648, 0.87, 0.73),
    (0.0, 0.42, 0.59, 0.591, 0.562, 0.60),
    (0.0, 0.50, 0.304, 0.344, 0.424, 0.60),
)
MARKET = ((0.0, 0.25, 0.105, 0.081, 0.073, 0.092), (0.0,) * 6, (0.0,) * 6)
THETA = 0.7
"""Probability that the reference price follows when a best queue empties."""
THETA_REINIT = 0.85
"""Probability that the book is then redrawn from its invariant law rather than shifted."""
LARGEST = 120
"""Queue sizes are tabulated up to here; rates stay constant beyond the published 50."""


class LevelRates(NamedTuple):
    """Rates of one level by queue size 0..LARGEST, in events per second at pace 1."""

    limit: tuple[float, ...]
    cancel: tuple[float, ...]
    market: tuple[float, ...]


def _by_size(points: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(rate) for rate in np.interp(np.arange(LARGEST + 1), SIZES, points))


def level_rates(levels: int) -> tuple[LevelRates, ...]:
    """Rates of levels 1..`levels`, linear between the published sizes."""
    deepest = len(LIMIT) - 1
    return tuple(
        LevelRates(*(_by_size(table[min(level, deepest)]) for table in (LIMIT, CANCEL, MARKET)))
        for level in range(levels)
    )


def invariant_law(rates: LevelRates) -> tuple[float, ...]:
    """Cumulative stationary distribution of the birth-death queue: P(size <= n) for n in 0..LARGEST."""
    weights = [1.0]
    for size in range(LARGEST):
        weights.append(weights[-1] * rates.limit[size] / (rates.cancel[size + 1] + rates.market[size + 1]))
    whole = sum(weights)
    return (*(mass / whole for mass in accumulate(weights[:-1])), 1.0)

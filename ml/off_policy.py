"""What another policy would have cost, from the log of one that drew its sets with known probability.

Doubly robust (Dudik, Langford, Li 2011): the models' expectation of the other policy's sets, corrected by what the
logged sets really cost beyond expectation, weighted by how much likelier the other policy was to ask just them. It is
right where the propensities are exact, whatever the models say, and nearly so where the models are right. The weights
tell how much of the log speaks of the other policy at all: `effective` auctions of it. Where that is few, the estimate
is the models' word, and nobody knows how far it is off: the interval has no bounds.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from rfq.domain.errors import BadInput

WIDTHS = 1.96
LEAST_EFFECTIVE = 30.0


class LoggedChoice(msgspec.Struct, frozen=True):
    """One auction of the log. Costs in bps of arrival."""

    cost_bps: float
    """All-in, as it turned out."""
    expected_bps: float
    """What the models, not trained on it, expected of the set that was asked."""
    propensity: float
    """Exact probability with which just this set was asked."""
    candidate_propensity: float
    """The same under the other policy."""
    candidate_bps: float
    """What the models expect of the other policy: the mean over its sets."""


class Estimate(msgspec.Struct, frozen=True):
    """Mean cost of the other policy with its 95% interval, in bps."""

    mean_bps: float
    low_bps: float
    high_bps: float
    effective: float
    """Auctions of the log that the weights leave: (sum of weights)^2 / sum of squares."""
    models_bps: float
    """What the models alone say."""


def doubly_robust(log: Sequence[LoggedChoice], most_weight: float = 50.0) -> Estimate:
    """Weights beyond `most_weight` are cut off there, which leans the estimate towards the models.

    Raises BadInput for fewer than two auctions, a propensity outside (0, 1], or a cost that is no number.
    """
    if len(log) < 2:
        raise BadInput("log", len(log), "must hold at least two auctions")
    for name in ("propensity", "candidate_propensity", "cost_bps", "expected_bps", "candidate_bps"):
        values = np.array([getattr(one, name) for one in log], dtype=np.float64)
        if not np.isfinite(values).all():
            raise BadInput(name, "missing", "must be known of every auction")
    taken = np.array([one.propensity for one in log])
    other = np.array([one.candidate_propensity for one in log])
    if taken.min() <= 0 or taken.max() > 1 + 1e-9 or other.min() < 0 or other.max() > 1 + 1e-9:
        raise BadInput("propensity", float(taken.min()), "must lie above 0 and up to 1")
    weight = np.minimum(most_weight, other / taken)
    beyond = np.array([one.cost_bps - one.expected_bps for one in log])
    models = np.array([one.candidate_bps for one in log])
    scores = models + weight * beyond
    mean, reach = float(scores.mean()), WIDTHS * float(scores.std(ddof=1)) / len(scores) ** 0.5
    squares = float((weight**2).sum())
    effective = float(weight.sum()) ** 2 / squares if squares else 0.0
    if effective < LEAST_EFFECTIVE:
        reach = math.inf
    return Estimate(mean, mean - reach, mean + reach, effective, float(models.mean()))

"""The plain hierarchical fit of leakage, for comparison: one horizon, no context, every dealer shrunk to its peers.

In daily volatilities: mark_out = sqrt(size) * sum of theta_d over losers + hedging + beta * control + hurry + noise,
theta_d ~ N(mu, tau^2), by expectation-maximisation.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.leakage import leak_scale_bps
from ml.leakage_marks import mark_outs
from ml.outcomes import MARK_OUT_S, Outcome, RequestFacts
from rfq.domain.values import DealerId

Array = NDArray[np.float64]

ROUNDS = 60


class PlainLeakage(msgspec.Struct, frozen=True):
    """Thetas in daily volatilities per root of (quantity / ADV), and their posterior standard deviations."""

    theta: Mapping[DealerId, float]
    spread: Mapping[DealerId, float]

    def expected_bps(self, facts: RequestFacts, dealers: Sequence[DealerId]) -> Array:
        return np.maximum(0.0, [self.theta[d] for d in dealers]) * leak_scale_bps(facts)

    def interval_bps(self, facts: RequestFacts, dealer: DealerId) -> tuple[float, float]:
        """90%."""
        scale, middle, away = leak_scale_bps(facts), self.theta[dealer], 1.645 * self.spread[dealer]
        return (middle - away) * scale, (middle + away) * scale


def fit_plain_leakage(outcomes: Sequence[Outcome]) -> PlainLeakage:
    """Raises BadInput with fewer auctions with mark-outs than `leakage_marks` asks for."""
    dealers = sorted({a.dealer for o in outcomes for a in o.asked})
    seen = mark_outs(outcomes, dealers)
    mark = seen.horizons_s.index(MARK_OUT_S)
    moves, count = seen.moves[:, mark], len(dealers)
    design = np.column_stack([seen.losers, seen.shared[:, mark], seen.hidden])
    gram, projected = design.T @ design, design.T @ moves
    others = design.shape[1] - count
    mu, tau2, noise2 = 0.0, 0.01, float(moves.var())
    mean, cov = np.zeros(design.shape[1]), np.eye(design.shape[1])
    for _ in range(ROUNDS):
        prior = np.concatenate([np.full(count, 1.0 / tau2), np.full(others, 1e-4)])
        centre = np.concatenate([np.full(count, mu), np.zeros(others)])
        cov = np.linalg.inv(gram / noise2 + np.diag(prior))
        mean = cov @ (projected / noise2 + prior * centre)
        mu = float(mean[:count].mean())
        tau2 = max(1e-6, float(((mean[:count] - mu) ** 2 + np.diag(cov)[:count]).mean()))
        left = moves - design @ mean
        noise2 = float((left @ left + np.sum(gram * cov)) / len(moves))
    return PlainLeakage(
        theta={d: float(mean[i]) for i, d in enumerate(dealers)},
        spread={d: math.sqrt(cov[i, i]) for i, d in enumerate(dealers)},
    )

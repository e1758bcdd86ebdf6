"""The win model: ridge logistic regression on the quote, again with recent surprises, and boosted trees on top.

The first stage says what to expect of a quote by itself; how outcomes fell short of it or beat it lately becomes a
feature of the second (`ml.wins.features.surprises`), so that clients and instruments may change and new ones start at
no effect. The second stage is the margin of shallow trees, which rise with the price by constraint. What is left is an
intercept and a slope, fitted on predictions of later rows than those learned from (Platt 1999), and the level of the
last days, since the share of wins drifts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xgboost as xgb
from numpy.typing import ArrayLike

from ml.wins.features import FEATURES, RISING, SURPRISES, level, surprises
from ml.wins.requests import Floats, Requests

PARAMETERS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 2,
    "eta": 0.03,
    "min_child_weight": 10,
    "lambda": 50.0,
    "subsample": 0.7,
    "colsample_bytree": 0.3,
    "monotone_constraints": tuple(int(name in RISING) for name in FEATURES + SURPRISES),
    "nthread": 1,
}
OUTLIERS = (0.005, 0.995)
"""Quantiles of the training rows to which features are held."""
NEWTON_STEPS = 50
FARTHEST_STEP = 4.0


class Plan(NamedTuple):
    """What validation chooses: how fast surprises fade, the ridge of both regressions, the number of trees."""

    half_life_days: float
    ridge: float
    trees: int


def probability(margin: ArrayLike) -> Floats:
    return 1 / (1 + np.exp(-np.clip(margin, -30.0, 30.0)))


def ridge_logistic(z: Floats, happened: Floats, ridge: float, offset: Floats | float = 0.0) -> Floats:
    """Intercept and slopes, on top of `offset`, that minimise the logistic loss plus half of `ridge` times the slopes'
    squares (Newton's method)."""
    design = np.column_stack((np.ones(len(z)), z))
    penalty = np.array([1e-6] + [ridge] * z.shape[1])
    found = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        expected = probability(design @ found + offset)
        slope = design.T @ (expected - happened) + penalty * found
        curvature = (design * (expected * (1 - expected))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        # Far steps diverge where a class is rare.
        found -= step * min(1.0, FARTHEST_STEP / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return found


class Logistic(NamedTuple):
    """Ridge logistic regression on standardised features, each held to the range of its training rows."""

    low: Floats
    high: Floats
    mean: Floats
    scale: Floats
    coefficients: Floats

    @classmethod
    def fit(cls, x: Floats, happened: Floats, ridge: float) -> "Logistic":
        low, high = np.quantile(x, OUTLIERS, axis=0)
        held = np.clip(x, low, high)
        mean, scale = held.mean(0), held.std(0)
        scale[scale < 1e-9] = 1.0
        return cls(low, high, mean, scale, ridge_logistic((held - mean) / scale, happened, ridge))

    def margin(self, x: Floats) -> Floats:
        held = (np.clip(x, self.low, self.high) - self.mean) / self.scale
        return self.coefficients[0] + held @ self.coefficients[1:]


class WinModel(NamedTuple):
    plan: Plan
    quote: Logistic
    lately: Logistic
    trees: Sequence[xgb.Booster]
    calibration: tuple[float, float] = (0.0, 1.0)
    """Intercept and slope of the margin."""

    @classmethod
    def fit(cls, x: Floats, requests: Requests, plan: Plan, seeds: Sequence[int]) -> "WinModel":
        """Learns from rows of `quote_features`, all of whose outcomes are known: some won and some not."""
        quote = Logistic.fit(x, requests.won, plan.ridge)
        wide = np.column_stack((x, surprises(requests, probability(quote.margin(x)), plan.half_life_days)))
        lately = Logistic.fit(wide, requests.won, plan.ridge)
        matrix = xgb.DMatrix(wide, requests.won, base_margin=lately.margin(wide), nthread=1)
        trees = [xgb.train(PARAMETERS | {"seed": seed}, matrix, plan.trees) for seed in seeds if plan.trees]
        return cls(plan, quote, lately, trees)

    def margins(self, x: Floats, requests: Requests, trees: Sequence[int]) -> Floats:
        """Log-odds before calibration with the first so many trees, shape (len(trees), rows).

        `requests` are all rows from the first one learned from, in time order: surprises come from the known outcomes
        among them, of strictly earlier moments than a row's own.
        """
        expected = probability(self.quote.margin(x))
        wide = np.column_stack((x, surprises(requests, expected, self.plan.half_life_days)))
        base = self.lately.margin(wide)
        matrix = xgb.DMatrix(wide, base_margin=base, nthread=1)

        def boosted(count: int) -> Floats:
            if not count:
                return base
            found = [one.predict(matrix, iteration_range=(0, count), output_margin=True) for one in self.trees]
            return np.stack(found).astype(np.float64).mean(axis=0)

        return np.stack([boosted(count) for count in trees])

    def predict(self, x: Floats, requests: Requests) -> Floats:
        """Probability of the win for each row; `requests` as for `margins`."""
        return self.calibrated(self.margins(x, requests, [self.plan.trees])[0], requests)

    def calibrated(self, margin: Floats, requests: Requests) -> Floats:
        """Probabilities of the margins of `requests`, which are in time order."""
        intercept, slope = self.calibration
        log_odds = intercept + slope * margin
        return probability(log_odds + level(requests, probability(log_odds)))

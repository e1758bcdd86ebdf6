"""How leakage bends with the request: boosted trees on top of each dealer's shrunk theta and the bend that all share.

Only the sum over an auction's losers is seen, so the loss is that of the sum: each row's gradient is the
auction's error times its own scale, and its curvature is bounded by the number of losers that move together.
"""

from collections.abc import Mapping

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.features import constraints
from ml.leakage import Leakage
from ml.training_rows import TrainingRows

Array = NDArray[np.float64]

SIGNS = {"log_size": 1, "size_of_usual": 1, "log_window": -1, "anonymous": 1, "two_way": -1, "lost_move": 1}
"""Leakage rises with size, hurry and distance, and with what followed earlier losses; a hidden side leaves less to
trade on."""
PARAMETERS = {
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.05,
    "min_child_weight": 10.0,
    "lambda": 20.0,
    "subsample": 1.0,
    "colsample_bytree": 0.7,
    "base_score": 0.0,
    "nthread": 1,
    "disable_default_eval_metric": 1,
    "monotone_constraints": constraints(SIGNS),
}
MOST_ROUNDS = 150
PATIENCE = 20


class _Sums:
    """Losing rows of some auctions with usable mark-outs, and what their sum has to explain."""

    def __init__(self, rows: TrainingRows, leakage: Leakage, first: int, last: int) -> None:
        target = np.full(len(rows.outcomes), np.nan)
        for number in range(first, last):
            outcome = rows.outcomes[number]
            if outcome.mark_out_bps is not None and outcome.control_bps is not None and outcome.facts.side:
                sigma = outcome.facts.volatility_bps
                explained = leakage.unrelated(outcome)
                target[number] = outcome.mark_out_bps / sigma - explained
        self.mask = rows.between(first, last) & rows.lost & ~np.isnan(target[rows.auction])
        self.x = rows.x[self.mask]
        bends = np.array([leakage.bend_at(outcome.facts) for outcome in rows.outcomes])
        self.scale = (rows.leak_scale * bends[rows.auction])[self.mask]
        numbers, self.group = np.unique(rows.auction[self.mask], return_inverse=True)
        self.target = target[numbers]
        self.base = _theta(rows, leakage)[self.mask]
        self.losers = np.bincount(self.group).astype(np.float64)
        self.matrix = xgb.DMatrix(self.x, base_margin=self.base, nthread=1)

    def error(self, coefficients: Array) -> Array:
        """Predicted minus seen, per auction, in daily volatilities."""
        sums = np.bincount(self.group, weights=coefficients * self.scale)
        return np.asarray(sums, dtype=np.float64) - self.target

    def loss(self, coefficients: Array) -> float:
        return float(np.mean(self.error(coefficients) ** 2))

    def objective(self, coefficients: Array, _: xgb.DMatrix) -> tuple[Array, Array]:
        gradient = self.error(coefficients)[self.group] * self.scale
        return gradient, self.scale**2 * self.losers[self.group]


def _theta(rows: TrainingRows, leakage: Leakage) -> Array:
    return np.array(
        [
            leakage.hidden if outcome.facts.two_way else leakage.theta.get(asked.dealer, leakage.peers)
            for outcome in rows.outcomes
            for asked in outcome.asked
        ]
    )


def fit_leakage_trees(
    rows: TrainingRows, leakage: Leakage, fit: tuple[int, int], check: tuple[int, int], seed: int
) -> tuple[xgb.Booster | None, Mapping[str, float]]:
    """Trees that lower the later stretch's loss, or None where none does; with both losses."""
    train, held = _Sums(rows, leakage, *fit), _Sums(rows, leakage, *check)
    plain = held.loss(held.base)
    booster = xgb.train(
        PARAMETERS | {"seed": seed},
        train.matrix,
        MOST_ROUNDS,
        obj=train.objective,
        evals=[(held.matrix, "check")],
        custom_metric=lambda coefficients, _: ("squared", held.loss(np.asarray(coefficients))),
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    booster = booster[: booster.best_iteration + 1]
    found = held.loss(np.asarray(booster.predict(held.matrix), dtype=np.float64))
    losses = {"check_loss_theta": plain, "check_loss_trees": found}
    # Noise is many times the effect: a gain must be more than a rounding of the loss to be believed.
    if found > plain * (1 - 5e-4):
        return None, losses
    return booster, losses

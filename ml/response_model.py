"""Will the dealer quote? Boosted trees on the probability, with the signs that theory gives."""

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.features import FEATURES, constraints
from ml.forest import Predict

USED = len(FEATURES) - 2
"""All but what the dealer's law says, which moves with the number asked: the sign below would not hold through it."""
SIGNS = {"log_asked": -1, "log_size": 1, "size_of_usual": 1, "answer_rate": 1, "sector_answer_rate": 1}
"""Riggs et al.: dealers answer less the more compete, and more the larger the request. Choosing relies on the first."""
PARAMETERS = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.08,
    "min_child_weight": 8,
    "subsample": 0.8,
    "colsample_bytree": 0.7,
    "lambda": 5.0,
    "nthread": 1,
    "monotone_constraints": constraints(SIGNS, FEATURES[:USED]),
}
MOST_ROUNDS = 300
PATIENCE = 25


def fit_response(
    x: NDArray[np.float32],
    answered: NDArray[np.bool_],
    check: tuple[NDArray[np.float32], NDArray[np.bool_]],
    seed: int,
) -> xgb.Booster:
    """Fits until `check`, a later stretch of time, stops improving."""
    fit, held = (xgb.DMatrix(rows[:, :USED], y, nthread=1) for rows, y in ((x, answered), check))
    booster = xgb.train(
        PARAMETERS | {"seed": seed},
        fit,
        MOST_ROUNDS,
        evals=[(held, "check")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    return booster[: booster.best_iteration + 1]


def response_probability(predict: Predict, x: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(predict(x[:, :USED]), dtype=np.float64)

"""What would the quote cost? A ridge on the features as the margin, boosted quantiles on what it leaves.

Targets are quoted cost over the reference cost, so that sizes, spreads and volatilities share one scale. What the
dealer's own law expects is a feature, so the ridge stands for the dealer and dealer-by-sector effects. What it leaves
is measured in the dealer's own usual distance from its law: the trees need only bend a shape. Every level is then moved
so that it holds on a later stretch (split conformal prediction; Romano, Patterson, Candes 2019), and quantiles, which
cross on some rows, are sorted, always.
"""

from functools import cached_property

import msgspec
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.features import FEATURES, constraints
from ml.forest import Predict
from rfq.domain.selection import QUANTILES

Array = NDArray[np.float64]

SIGNS = {"law": 1}
"""A quote is never cheaper for its dealer's own law expecting more. No sign is known of size, over the reference cost,
nor of the number asked: competition and a provision for losers pull against each other."""
PARAMETERS = {
    "objective": "reg:quantileerror",
    "quantile_alpha": list(QUANTILES),
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.1,
    "min_child_weight": 20,
    "subsample": 0.8,
    "colsample_bytree": 0.7,
    "lambda": 3.0,
    "nthread": 1,
    "monotone_constraints": constraints(SIGNS),
}
MOST_ROUNDS = 100
PATIENCE = 12
RIDGE = 30.0
SCALE = FEATURES.index("law_scale")
LEAST_SCALE = 0.02
CLIP = 6.0
"""Targets beyond this many reference costs are a wrong price or a typing error, not a cost."""


class Margin(msgspec.Struct, frozen=True, dict=True):
    """The linear part: intercept + (x - mean) . slope, with each feature held to the range it was fitted on.

    Held, because a dealer without history lies far outside it, where a straight line says anything at all.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    slope: tuple[float, ...]
    intercept: float
    shift: tuple[float, ...] = (0.0,) * len(QUANTILES)
    """Added to each level of what is left, in its own scale: the calibration."""

    def at(self, x: NDArray[np.float32]) -> Array:
        return self.intercept + self.contributions(x).sum(1)

    def contributions(self, x: NDArray[np.float32]) -> Array:
        """Per row and feature: how far it moves the margin from its average."""
        low, high, mean, slope = self._columns
        return (np.clip(x.astype(np.float64), low, high) - mean) * slope

    @cached_property
    def _columns(self) -> tuple[Array, Array, Array, Array]:
        return np.array(self.low), np.array(self.high), np.array(self.mean), np.array(self.slope)


def fit_margin(x: NDArray[np.float32], target: Array) -> Margin:
    """Ridge on standardised features."""
    wide = x.astype(np.float64)
    low, high = np.quantile(wide, (0.005, 0.995), axis=0)
    wide = np.clip(wide, low, high)
    mean, scale = wide.mean(0), wide.std(0)
    scale[scale < 1e-9] = 1.0
    z = (wide - mean) / scale
    middle = float(target.mean())
    slope = np.linalg.solve(z.T @ z + RIDGE * np.eye(z.shape[1]), z.T @ (target - middle)) / scale
    return Margin(_plain(low), _plain(high), _plain(mean), _plain(slope), middle)


def _plain(row: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(value) for value in row)


def scale_of(x: NDArray[np.float32]) -> Array:
    """What quotes stray by, over the reference cost."""
    return np.maximum(LEAST_SCALE, x[:, SCALE].astype(np.float64))


def fit_quantiles(
    x: NDArray[np.float32],
    target: Array,
    margin: Margin | None,
    check: tuple[NDArray[np.float32], Array],
    seed: int,
    clip: float = CLIP,
) -> xgb.Booster:
    """Boosted quantiles of target minus margin, in the row's scale (of the target itself with no margin, for
    comparison)."""

    def left(rows: NDArray[np.float32], values: Array) -> xgb.DMatrix:
        clipped = np.clip(values, -clip, clip)
        return xgb.DMatrix(rows, (clipped - margin.at(rows)) / scale_of(rows) if margin else clipped, nthread=1)

    booster = xgb.train(
        PARAMETERS | {"seed": seed},
        left(x, target),
        MOST_ROUNDS,
        evals=[(left(*check), "check")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    return booster[: booster.best_iteration + 1]


def calibrated(booster: xgb.Booster, margin: Margin, x: NDArray[np.float32], target: Array) -> Margin:
    """The margin with the shifts at which every level holds on these rows, which were not fitted to."""
    found = np.sort(_trees(booster.inplace_predict, x), axis=1)
    left = ((np.clip(target, -CLIP, CLIP) - margin.at(x)) / scale_of(x))[:, None] - found
    shift = tuple(float(np.quantile(left[:, i], q)) for i, q in enumerate(QUANTILES))
    return msgspec.structs.replace(margin, shift=shift)


def raw_quantiles(
    fit: tuple[NDArray[np.float32], Array], check: tuple[NDArray[np.float32], Array], x: NDArray[np.float32], seed: int
) -> Array:
    """What boosted quantiles alone say at `x`: the same trees straight on the target. For comparison."""
    return relative_quantiles(fit_quantiles(*fit, None, check, seed, clip=np.inf).inplace_predict, None, x)


def relative_quantiles(predict: Predict, margin: Margin | None, x: NDArray[np.float32]) -> Array:
    """Quantiles at QUANTILES of cost over reference cost, shape (rows, levels), rising along each row."""
    found = np.sort(_trees(predict, x), axis=1)
    if margin is not None:
        found = (found + np.array(margin.shift)) * scale_of(x)[:, None] + margin.at(x)[:, None]
    return np.sort(found, axis=1)


def _trees(predict: Predict, x: NDArray[np.float32]) -> Array:
    return np.asarray(predict(x), dtype=np.float64).reshape(len(x), len(QUANTILES))

"""Boosted trees read off an XGBoost booster once, and walked in compiled code afterwards.

XGBoost spends some tenths of a millisecond on any call before it looks at a row, and its contributions cost ten times
a prediction: too much for a decision that has a few milliseconds. Trees are laid out complete, so that many rows
go through one in step. What comes out is XGBoost's own answer, which a test holds it to.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from rfq.domain.errors import OurFault

LEVELS = 3
"""Of every tree; shallower ones are filled up."""
INNER = 2**LEVELS - 1

Array = NDArray[np.float64]
Rows = NDArray[np.float32]
Predict = Callable[[Rows], Any]
"""What a model says of rows of features: XGBoost's own `inplace_predict`, or a forest's."""

_F4, _I4 = "float32[:, ::1]", "int32[:, ::1]"
_STEP = 32
"""Panels are filled up to a multiple of it, so that no row is walked by itself."""


@numba.njit(f"Tuple((int64, {_F4}))(float32[:, :], boolean[::1], int64)", cache=True, nogil=True, error_model="numpy")
def _laid_out(x, fixed, first):  # pyright: ignore  # pragma: no cover
    """(rows after which the fixed columns of `x` repeat themselves, all of it by column, every repetition filled up).

    What repeats is a panel, at several numbers asked. The varying column `first` is another one in every repetition."""
    rows, block = x.shape[0], 1
    while block < rows and x[block, first] == x[0, first]:
        block += 1
    if rows % block:
        block = rows
    for row in range(block, rows):
        for column in range(x.shape[1]):
            if fixed[column] and x[row, column] != x[row - block, column]:
                block = rows
        if block == rows:
            break
    times, width = rows // block, -(-block // _STEP) * _STEP
    columns = np.zeros((x.shape[1], times * width), dtype=np.float32)
    for again in range(times):
        for row in range(block):
            for column in range(x.shape[1]):
                columns[column, again * width + row] = x[again * block + row, column]
    return block, columns


@numba.njit(error_model="numpy")
def _add(x0, x1, x2, x3, x4, x5, x6, bound, leaf, to):  # pyright: ignore  # pragma: no cover
    """One tree of three levels: what each node looks at, first the root's, by row.

    From the leaves up: each node takes, of what its two branches say, the one that the row does. That is more work than
    to follow one row down, and many rows go in step.
    """
    b0, b1, b2, b3, b4, b5, b6 = bound[0], bound[1], bound[2], bound[3], bound[4], bound[5], bound[6]
    l0, l1, l2, l3, l4, l5, l6, l7 = leaf[0], leaf[1], leaf[2], leaf[3], leaf[4], leaf[5], leaf[6], leaf[7]
    for row in range(len(to)):
        low = l0 if x3[row] < b3 else l1
        next_low = l2 if x4[row] < b4 else l3
        high = l4 if x5[row] < b5 else l5
        next_high = l6 if x6[row] < b6 else l7
        low = low if x1[row] < b1 else next_low
        high = high if x2[row] < b2 else next_high
        to[row] += low if x0[row] < b0 else high


@numba.njit(
    f"void({_F4}, {_I4}, {_F4}, {_F4}, int32[::1], boolean[::1], {_F4}, {_F4})",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _walk(columns, feature, threshold, leaf, group, varies, alike, out):  # pyright: ignore  # pragma: no cover
    """Adds every tree to `out`, or, where its varying features play no part, to `alike`, which is of the first
    repetition; both [outputs, rows]."""
    for tree in range(feature.shape[0]):
        f, to = feature[tree], out[group[tree]] if varies[tree] else alike[group[tree]]
        _add(
            columns[f[0]], columns[f[1]], columns[f[2]], columns[f[3]], columns[f[4]], columns[f[5]], columns[f[6]],
            threshold[tree], leaf[tree], to,
        )  # fmt: skip


@numba.njit(
    f"void({_F4}, {_I4}, {_F4}, {_F4}, int32[::1], int32, float64[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _explain(x, feature, threshold, mean, group, wanted, out):  # pyright: ignore  # pragma: no cover
    inner = feature.shape[1]
    for tree in range(feature.shape[0]):
        if group[tree] != wanted:
            continue
        for row in range(x.shape[0]):
            node = 0
            while node < inner:
                cause = feature[tree, node]
                below = 2 * node + 1 + (not x[row, cause] < threshold[tree, node])
                out[row, cause] += mean[tree, below] - mean[tree, node]
                node = below


class Forest:
    """The trees of one booster. Features must be finite: nothing is missing where history stands in for it."""

    def __init__(self, booster: xgb.Booster, varying: Sequence[int]) -> None:
        """`varying`: the features in which the blocks of a matrix may differ, that are alike in all others. The first
        differs between any two.

        Raises OurFault for a booster of another kind than numeric trees, or of more LEVELS."""
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        model = learner["gradient_booster"].get("model")
        if model is None or any(tree["categories"] for tree in model["trees"]):
            raise OurFault("only boosted trees with numeric splits can be walked")
        trees: list[dict[str, Any]] = model["trees"]
        base = json.loads(learner["learner_model_param"]["base_score"])
        self._base = np.asarray(base if isinstance(base, list) else [base], dtype=np.float32)
        self._logistic = learner["objective"]["name"] == "binary:logistic"
        if self._logistic:
            self._base = np.log(self._base / (1 - self._base)).astype(np.float32)
        depth = max((_depth(tree, 0) for tree in trees), default=0)
        if depth > LEVELS:
            raise OurFault(f"trees of {depth} levels: at most {LEVELS} can be walked")
        self._feature = np.zeros((len(trees), INNER), dtype=np.int32)
        self._threshold = np.full((len(trees), INNER), np.inf, dtype=np.float32)
        self._mean = np.zeros((len(trees), 2 * INNER + 1), dtype=np.float32)
        for number, tree in enumerate(trees):
            self._lay(tree, number, 0, 0)
        self._leaf = np.ascontiguousarray(self._mean[:, INNER:])
        self._group = np.asarray(model["tree_info"], dtype=np.int32)
        self._first = varying[0]
        self._varies = (np.isin(self._feature, varying) & np.isfinite(self._threshold)).any(axis=1)
        self._fixed = ~np.isin(np.arange(int(learner["learner_model_param"]["num_feature"])), varying)
        self.outputs = max(len(self._base), 1 + int(self._group.max(initial=0)))

    def inplace_predict(self, x: Rows) -> NDArray[np.float32]:
        """As the booster's: (rows, outputs), or (rows,) of one output; probabilities of a logistic model."""
        if not len(x):
            return np.empty((0, self.outputs)[: 1 + (self.outputs > 1)], dtype=np.float32)
        block, columns = _laid_out(np.asarray(x, dtype=np.float32), self._fixed, self._first)
        width, times = -(-block // _STEP) * _STEP, len(x) // block
        alike = np.empty((self.outputs, width), dtype=np.float32)
        alike[:] = self._base[:, None]
        found = np.zeros((self.outputs, times * width), dtype=np.float32)
        _walk(columns, self._feature, self._threshold, self._leaf, self._group, self._varies, alike, found)
        found = found.reshape(self.outputs, times, width)[:, :, :block] + alike[:, None, :block]
        found = found.reshape(self.outputs, len(x))
        if self._logistic:
            found = np.reciprocal(1.0 + np.exp(-found), dtype=np.float32)
        return found.T if self.outputs > 1 else found[0]

    def contributions(self, x: Rows, output: int) -> Array:
        """(rows, features): how far each split on a feature moved the row's output from the trees' average (Saabas).

        It is what XGBoost calls approximate contributions; with their average they add up to the prediction.
        """
        found = np.zeros(x.shape, dtype=np.float64)
        rows = np.ascontiguousarray(x, dtype=np.float32)
        _explain(rows, self._feature, self._threshold, self._mean, self._group, output, found)
        return found

    def _lay(self, tree: dict[str, Any], number: int, node: int, place: int) -> float:
        """Puts a node at its place of the complete tree, and all below; returns its mean by rows seen in training."""
        left, right = tree["left_children"][node], tree["right_children"][node]
        if left < 0:
            self._fill(number, place, tree["split_conditions"][node])
            return tree["split_conditions"][node]
        self._feature[number, place] = tree["split_indices"][node]
        self._threshold[number, place] = tree["split_conditions"][node]
        weight = tree["sum_hessian"]
        below = self._lay(tree, number, left, 2 * place + 1) * weight[left]
        below += self._lay(tree, number, right, 2 * place + 2) * weight[right]
        mean = below / weight[node] if weight[node] else 0.0
        self._mean[number, place] = mean
        return mean

    def _fill(self, number: int, place: int, value: float) -> None:
        """A leaf above the last level: all below it say the same."""
        self._mean[number, place] = value
        if place < self._feature.shape[1]:
            self._fill(number, 2 * place + 1, value)
            self._fill(number, 2 * place + 2, value)


def _depth(tree: dict[str, Any], node: int) -> int:
    if tree["left_children"][node] < 0:
        return 0
    return 1 + max(_depth(tree, tree["left_children"][node]), _depth(tree, tree["right_children"][node]))

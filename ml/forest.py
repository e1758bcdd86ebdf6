"""Boosted trees read off an XGBoost booster once, and walked in compiled code afterwards.

XGBoost spends some tenths of a millisecond on any call before it looks at a row, and its contributions cost ten times
a prediction: too much for a decision that has a few milliseconds. Trees are laid out complete, so that a walk has no
branch to guess. What comes out is XGBoost's own answer, which a test holds it to.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from rfq.domain.errors import OurFault

DEEPEST = 8
"""Complete trees double with every level."""

Array = NDArray[np.float64]
Rows = NDArray[np.float32]
Predict = Callable[[Rows], Any]
"""What a model says of rows of features: XGBoost's own `inplace_predict`, or a forest's."""

_F4, _I4 = "float32[:, ::1]", "int32[:, ::1]"


@numba.njit(
    f"void({_F4}, {_I4}, {_F4}, {_F4}, int32[::1], boolean[::1], int64, {_F4}, {_F4})",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _walk(x, feature, threshold, leaf, group, varies, depth, alike, out):  # pyright: ignore  # pragma: no cover
    # Unsigned: an index that might be negative is checked each time.
    one, inner = np.uint32(1), np.uint32(feature.shape[1])
    for tree in range(feature.shape[0]):
        cause, bound, value = feature[tree], threshold[tree], leaf[tree]
        to = out[:, group[tree]] if varies[tree] else alike[:, group[tree]]
        for row in range(to.shape[0]):
            seen = x[row]
            node = np.uint32(0)
            for _ in range(depth):
                right = np.uint32(not seen[np.uint32(cause[node])] < bound[node])
                node = np.uint32(node + node + one + right)
            to[row] += value[np.uint32(node - inner)]


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

        Raises OurFault for a booster of another kind than numeric trees, or of deeper ones than DEEPEST."""
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
        if depth > DEEPEST:
            raise OurFault(f"trees of {depth} levels: at most {DEEPEST} can be walked")
        self._depth, inner = depth, 2**depth - 1
        self._feature = np.zeros((len(trees), inner), dtype=np.int32)
        self._threshold = np.full((len(trees), inner), np.inf, dtype=np.float32)
        self._mean = np.zeros((len(trees), 2 * inner + 1), dtype=np.float32)
        for number, tree in enumerate(trees):
            self._lay(tree, number, 0, 0)
        self._leaf = np.ascontiguousarray(self._mean[:, inner:])
        self._group = np.asarray(model["tree_info"], dtype=np.int32)
        self._varying = list(varying)
        self._varies = (np.isin(self._feature, self._varying) & np.isfinite(self._threshold)).any(axis=1)
        self.outputs = max(len(self._base), 1 + int(self._group.max(initial=0)))

    def inplace_predict(self, x: Rows) -> NDArray[np.float32]:
        """As the booster's: (rows, outputs), or (rows,) of one output; probabilities of a logistic model."""
        x = np.ascontiguousarray(x, dtype=np.float32)
        block = self._block(x)
        found = np.zeros((len(x), self.outputs), dtype=np.float32)
        alike = np.empty((block, self.outputs), dtype=np.float32)
        alike[:] = self._base
        _walk(x, self._feature, self._threshold, self._leaf, self._group, self._varies, self._depth, alike, found)
        if block:
            found += np.tile(alike, (len(x) // block, 1))
        if self._logistic:
            found = np.reciprocal(1.0 + np.exp(-found), dtype=np.float32)
        return found if self.outputs > 1 else found[:, 0]

    def contributions(self, x: Rows, output: int) -> Array:
        """(rows, features): how far each split on a feature moved the row's output from the trees' average (Saabas).

        It is what XGBoost calls approximate contributions; with their average they add up to the prediction.
        """
        found = np.zeros(x.shape, dtype=np.float64)
        rows = np.ascontiguousarray(x, dtype=np.float32)
        _explain(rows, self._feature, self._threshold, self._mean, self._group, output, found)
        return found

    def _block(self, x: Rows) -> int:
        """Rows after which the matrix repeats itself in all but the varying features: a panel, at several numbers
        asked. Most trees then need one look at each dealer."""
        column = self._varying[0]
        changes = np.flatnonzero(x[:, column] != x[0, column]) if len(x) else np.empty(0)
        block = int(changes[0]) if len(changes) else len(x)
        if block < len(x) and len(x) % block == 0:
            alike = x.reshape(-1, block, x.shape[1]) == x[:block]
            alike[:, :, self._varying] = True
            if alike.all():
                return block
        return len(x)

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

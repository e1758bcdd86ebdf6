"""Discrete laws as packed alias tables: one look-up and one comparison draw from any of them (Walker 1977; Vose 1991).

An entry is 31 bits: threshold (15), outcome (8), other outcome (8). A draw is a column and a 15-bit uniform.
"""

import numpy as np
import numpy.typing as npt
import torch

from lit_router.market.batch.compilation import compiled
from lit_router.market.parameters import Floats

THRESHOLD_BITS = 15


@compiled
def _filled(laws: np.ndarray, thresholds: np.ndarray, others: np.ndarray) -> None:  # pragma: no cover (compiled)
    rows, columns = laws.shape
    small, large = np.empty(columns, np.int64), np.empty(columns, np.int64)
    for row in range(rows):
        scaled = laws[row] * columns / laws[row].sum()
        smalls, larges = 0, 0
        for i in range(columns):
            if scaled[i] < 1.0:
                small[smalls] = i
                smalls += 1
            else:
                large[larges] = i
                larges += 1
        while smalls and larges:
            smalls -= 1
            a, b = small[smalls], large[larges - 1]
            thresholds[row, a], others[row, a] = scaled[a], b
            scaled[b] -= 1.0 - scaled[a]
            if scaled[b] < 1.0:
                larges -= 1
                small[smalls] = b
                smalls += 1
        for i in range(larges):
            thresholds[row, large[i]], others[row, large[i]] = 1.0, large[i]
        for i in range(smalls):
            thresholds[row, small[i]], others[row, small[i]] = 1.0, small[i]


def packed(laws: Floats, outcomes: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Laws of shape (rows, columns) with the outcome (0..255) of each column, as entries of the same shape."""
    thresholds, others = np.zeros(laws.shape), np.zeros(laws.shape, np.int64)
    _filled(np.ascontiguousarray(laws, dtype=np.float64), thresholds, others)
    level = np.minimum(np.rint(thresholds * (1 << THRESHOLD_BITS)), (1 << THRESHOLD_BITS) - 1).astype(np.int64)
    # The largest threshold cannot say "always": such an entry has no other outcome.
    other = np.where(thresholds >= 1.0, np.arange(laws.shape[1]), others)
    first = np.broadcast_to(outcomes, laws.shape).astype(np.int64)
    return (level << 16 | first << 8 | np.take_along_axis(first, other, axis=1)).astype(np.int32)


def drawn(entry: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The outcome of each entry for a uniform of THRESHOLD_BITS bits."""
    return torch.where(uniform < (entry >> 16), (entry >> 8) & 0xFF, entry & 0xFF)

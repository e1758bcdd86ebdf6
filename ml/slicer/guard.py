"""Whether a learned slicer has any business deciding: what lies outside of what it was trained on is the rule's."""

import torch

from ml.slicer.features import NAMES
from ml.slicer.weights import Envelope

MOST_OUTSIDE = 2
"""So many features may lie a little outside: each does in two of a thousand decisions of training itself."""
WIDE = 0.5
"""No feature may lie farther outside than this share of its range in training."""
LEAST_RANGE = 0.1
"""A feature that hardly varied in training counts as having had this range."""
NAMED = 4


class Guard:
    """Holds features against the envelope of training."""

    def __init__(self, envelope: Envelope) -> None:
        self._low, self._high = envelope
        self._range = (self._high - self._low).clamp(min=LEAST_RANGE)

    def beyond(self, x: torch.Tensor) -> torch.Tensor:
        """How far each feature lies outside, in its ranges, float32 [B, F]; what is not a number, infinitely."""
        outside = torch.maximum(self._low - x, x - self._high).clamp(min=0) / self._range
        return torch.where(torch.isfinite(x), outside, torch.inf)

    @staticmethod
    def trusts(beyond: torch.Tensor) -> torch.Tensor:
        """bool [B]."""
        return ((beyond > 0).sum(1) <= MOST_OUTSIDE) & (beyond.amax(1) <= WIDE)

    @staticmethod
    def reason(beyond: torch.Tensor) -> str:
        """What lies outside, the farthest first, of one row [F]."""
        farthest = sorted(((far, name) for name, far in zip(NAMES, beyond.tolist(), strict=True) if far), reverse=True)
        more = len(farthest) - NAMED
        names = ", ".join(name for _, name in farthest[:NAMED])
        return f"outside of training: {names}" + (f" and {more} more" if more > 0 else "")

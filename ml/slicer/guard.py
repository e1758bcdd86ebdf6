"""Whether a learned slicer has any business deciding: what lies outside of what it was trained on is the rule's.

Two signs of that. Features lie outside of the envelope of training. Or critics that were trained alike from other seeds
do not agree with its own about the cost to come: where nothing was learned, they have no reason to (Lakshminarayanan et
al. 2017, deep ensembles), though every feature by itself looks usual.
"""

import torch

from ml.slicer.features import NAMES
from ml.slicer.weights import Slicer

MOST_OUTSIDE = 2
"""So many features may lie a little outside: each does in two of a thousand decisions of training itself."""
WIDE = 0.5
"""No feature may lie farther outside than this share of its range in training."""
LEAST_RANGE = 0.1
"""A feature that hardly varied in training counts as having had this range."""
NAMED = 4
DISAGREE = "forecasts of the cost disagree"


class Guard:
    """Holds features against the envelope of training, and forecasts against one another."""

    def __init__(self, slicer: Slicer) -> None:
        self._low, self._high, self._most_apart = slicer.envelope
        self._range = (self._high - self._low).clamp(min=LEAST_RANGE)
        self._forecasts = (slicer.critic.quantiles, *slicer.opinions)

    def trusts(self, x: torch.Tensor) -> torch.Tensor:
        """bool [B], of features float32 [B, F]."""
        return self.within(self.beyond(x)) & (self.apart(x) <= self._most_apart)

    def beyond(self, x: torch.Tensor) -> torch.Tensor:
        """How far each feature lies outside, in its ranges, float32 [B, F]; what is not a number, infinitely."""
        outside = torch.maximum(self._low - x, x - self._high).clamp(min=0) / self._range
        return torch.where(torch.isfinite(x), outside, torch.inf)

    def apart(self, x: torch.Tensor) -> torch.Tensor:
        """How far the forecasts lie apart, float32 [B]: standard deviation, the mean over the quantiles, usual spreads.
        A forecast alone agrees with itself."""
        if len(self._forecasts) == 1:
            return torch.zeros_like(x[:, 0])
        each = torch.stack([forecast(x).sort(1).values for forecast in self._forecasts])
        return each.std(0).mean(1)

    @staticmethod
    def within(beyond: torch.Tensor) -> torch.Tensor:
        """bool [B]."""
        return ((beyond > 0).sum(1) <= MOST_OUTSIDE) & (beyond.amax(1) <= WIDE)

    def reasons(self, x: torch.Tensor) -> list[str]:
        """Why each row is not trusted: what lies outside, the farthest first, or that forecasts disagree."""
        beyond = self.beyond(x)
        known = zip(beyond, self.within(beyond).tolist(), strict=True)
        return [DISAGREE if within else outside(far) for far, within in known]


def outside(beyond: torch.Tensor) -> str:
    """In words, of one row [F]."""
    farthest = sorted(((far, name) for name, far in zip(NAMES, beyond.tolist(), strict=True) if far), reverse=True)
    more = len(farthest) - NAMED
    names = ", ".join(name for _, name in farthest[:NAMED])
    return f"outside of training: {names}" + (f" and {more} more" if more > 0 else "")

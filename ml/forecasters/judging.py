"""Judges forecasts where nobody was trained: by the continuous ranked probability score, the log loss of fills and R2,
with intervals by a block bootstrap (Kuensch 1989)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ml.forecasters.networks import Forecast
from ml.forecasters.samples import CONTINUOUS, ODD, TARGETS, Samples
from ml.forecasters.training import pinball

BASELINES = ("last", "linear")
RESAMPLES = 1000
LEVEL = (0.025, 0.975)


class Judged(NamedTuple):
    """One target in one source; by forecaster's name."""

    target: str
    windows: int
    loss: dict[str, float]
    """CRPS in the target's unit, or log loss of a fill."""
    r2: dict[str, float]
    """Against no change for what is odd, else against the mean where it is judged; of a fill, against its frequency."""
    base: str
    """The baseline that lost least here, known only afterwards: the others are judged against it."""
    gain: dict[str, tuple[float, float, float]]
    """What is saved of the base's loss, as a share of it, with its 95% interval."""

    @property
    def verdict(self) -> dict[str, str]:
        """By forecaster: better or worse than the base, or even where the interval holds 0."""
        return {name: "better" if low > 0 else "worse" if high < 0 else "even"
                for name, (_, low, high) in self.gain.items()}  # fmt: skip


def judged(test: Samples, said: Mapping[str, Forecast]) -> list[Judged]:
    """Every target that is known in one source and is not always the same. BASELINES are among what is said."""
    found = []
    for k, target in enumerate(TARGETS):
        y = test.y[:, k].double()
        known = ~y.isnan()
        if int(known.sum()) < 2 or float(y[known].std()) == 0:
            continue
        losses, r2 = dict[str, np.ndarray](), dict[str, float]()
        for name, forecast in said.items():
            loss, point = _losses(forecast, k, y)
            losses[name] = loss[known].numpy()
            level = 0.0 if target in ODD else float(y[known].mean())
            missed, spread = (y - point)[known].square().mean(), (y[known] - level).square().mean()
            r2[name] = float(1 - missed / spread)
        block = test.block[known].numpy()
        mean = {name: float(loss.mean()) for name, loss in losses.items()}
        base = min((name for name in BASELINES if name in said), key=lambda name: mean[name])
        gain = {name: gained(losses[base], loss, block) for name, loss in losses.items() if name not in BASELINES}
        found.append(Judged(target, int(known.sum()), mean, r2, base, gain))
    return found


def gained(base: np.ndarray, other: np.ndarray, block: np.ndarray) -> tuple[float, float, float]:
    """1 - sum(other) / sum(base) with its 95% interval, resampling whole blocks."""
    _, place = np.unique(block, return_inverse=True)
    sums = np.stack([np.bincount(place, weights=part) for part in (other, base)])
    rows = np.random.default_rng(0).integers(sums.shape[1], size=(RESAMPLES, sums.shape[1]))
    of_other, of_base = sums[:, rows].sum(2)
    low, high = np.quantile(1 - of_other / of_base, LEVEL)
    return float(1 - other.sum() / base.sum()), float(low), float(high)


def _losses(said: Forecast, k: int, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each window, and the point that was forecast."""
    if k < len(CONTINUOUS):
        return 2 * pinball(said.quantiles[:, k : k + 1].double(), y[:, None])[:, 0], said.mean[:, k].double()
    odds = said.fills[:, k - len(CONTINUOUS)].double()
    return binary_cross_entropy_with_logits(odds, y.nan_to_num(0.0), reduction="none"), odds.sigmoid()

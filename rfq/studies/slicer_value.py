"""Whether the slicer's critic knows what a residual will cost: foretold at arrival, beside what it then cost."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lit_router.market.parameters import load
from ml.scores import rank_correlation
from ml.slicer import weights
from ml.slicer.ablation import likeliest
from ml.slicer.episodes import STANDARD
from ml.slicer.execution import Execution
from ml.slicer.guard import Guard
from ml.slicer.network import LEVELS
from ml.slicer.playing import played
from rfq.studies.figures import Figures

SEED = 6 * 10**8
SIZES = ((0.0, 0.02, "below_2_percent"), (0.02, 0.07, "2_to_7_percent"), (0.07, 1.0, "above_7_percent"))
"""Of usual volume over the horizon."""


class Foretold(NamedTuple):
    """By episode; costs in usual spreads."""

    participation: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    """[N, len(LEVELS)]: what the critic said at arrival."""
    cost: NDArray[np.float64]
    handed_over: NDArray[np.float64]
    """Share of the episode's decisions that the guard left to the rule."""


def foretold(slicer: weights.Slicer, sets: tuple[str, ...], episodes: int) -> Foretold:
    """`episodes` in each set, the standard laws by their weights."""
    each, guard = list[tuple[torch.Tensor, ...]](), Guard(slicer)
    with torch.inference_mode():
        for name in sets:
            first, parameters = SEED, load(name)
            for weight, law in STANDARD:
                count = max(2, round(weight * episodes))
                run = Execution(parameters, range(first, first + count), law)
                first += count
                r = run.residual
                share = r.lots / (r.volume_s * r.horizon_s)
                record = played(likeliest(slicer), slicer.rule, run)
                _, quantiles = slicer.critic(record.x[0])
                trusted = guard.trusts(record.x.flatten(0, 1)).view(record.x.shape[:2])
                each.append((share, quantiles.sort(1).values, -record.reward.sum(0), 1 - trusted.double().mean(0)))
    return Foretold(*(torch.cat(part).double().numpy() for part in zip(*each, strict=True)))


def described(figures: Figures, found: Foretold) -> None:
    """Bias by size, rank correlation, and how often the cost lies within the critic's middle half and nine tenths."""
    mean = found.quantiles.mean(1)
    figures.add("handed_over_share", float(found.handed_over.mean()))
    figures.add("value_spearman", rank_correlation(found.cost, mean))
    for low, high, name in SIZES:
        here = (low <= found.participation) & (found.participation < high)
        figures.add(f"value_{name}_foretold_spreads", float(mean[here].mean()))
        figures.add(f"value_{name}_cost_spreads", float(found.cost[here].mean()))
        error = float(1.96 * found.cost[here].std(ddof=1) / here.sum() ** 0.5)
        figures.add(f"value_{name}_cost_half_width_spreads", error)
    for share in (0.5, 0.9):
        low, high = (int(np.argmin(np.abs(np.array(LEVELS) - at))) for at in ((1 - share) / 2, (1 + share) / 2))
        inside = (found.quantiles[:, low] <= found.cost) & (found.cost <= found.quantiles[:, high])
        figures.add(f"value_{share * 100:.0f}_percent_interval_covers", float(inside.mean()))
        figures.add(f"value_{share * 100:.0f}_percent_interval_should_cover", LEVELS[high] - LEVELS[low])

"""What working the residual costs, policy by policy, on the same episodes of the simulated market.

Episodes are fresh (their seeds are nobody else's), as many in each regime, and paired: every policy meets the same
anonymous flow and the same residuals. Costs are in usual spreads of the set, so that sets can be put together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lit_router.market.batch.regimes import REGIMES
from lit_router.market.parameters import BookParameters
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.execution import Execution
from rfq.studies.figures import Figures

SEED = 5 * 10**8
"""Evaluation's seeds begin here; tuning's are below, training's above."""
TAIL = 0.05
TOGETHER = 2048
"""Episodes that are played at once: memory, not result, depends on it."""

Policy = Callable[[Execution], torch.Tensor]
"""Works an execution to its end; shortfalls in price units."""


class Costs(NamedTuple):
    """In usual spreads, by episode [N]; `regime` is an index of REGIMES."""

    regime: NDArray[np.int64]
    by_policy: Mapping[str, NDArray[np.float64]]
    left: Mapping[str, int]
    """Lots that nobody worked: 0."""


def costs(
    sets: Sequence[BookParameters], policies: Mapping[str, Policy], law: EpisodeLaw, a_regime: int,
    say: Callable[[str], None], threads: int = 1,
) -> Costs:  # fmt: skip
    """Plays `a_regime` episodes of each regime in each set, by every policy."""
    regime = [k % len(REGIMES) for k in range(a_regime * len(REGIMES))]
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in policies}
    left, regimes = dict.fromkeys(policies, 0), []
    for parameters in sets:
        for first in range(0, len(regime), TOGETHER):
            places = range(first, min(first + TOGETHER, len(regime)))
            begins = [regime[place] for place in places]
            begun = Execution(parameters, [SEED + k for k in places], law, regimes=begins, threads=threads)
            usual = float(begun.arrival_spread.mean())
            regimes.append(np.array(begins))
            for name, policy in policies.items():
                twin = begun.copy()
                found[name].append((policy(twin) / usual).numpy())
                left[name] += int(twin.left.sum())
            say(f"{parameters.name}: {places.stop:,} of {len(regime):,} episodes")
    return Costs(np.concatenate(regimes), {name: np.concatenate(parts) for name, parts in found.items()}, left)


def report(found: Costs, against: str, title: str) -> Figures:
    """Mean and tail of every policy, and its difference to `against` with 95% intervals, by regime."""
    figures = Figures(title)
    figures.add("episodes", len(found.regime))
    base = found.by_policy[against]
    for name, cost in found.by_policy.items():
        figures.add(f"{name}_mean_spreads", float(cost.mean()))
        figures.add(f"{name}_cvar95_spreads", tail(cost))
        figures.add(f"{name}_left_lots", found.left[name])
        for place, regime in enumerate(REGIMES):
            figures.add(f"{name}_{regime.name}_mean_spreads", float(cost[found.regime == place].mean()))
        if name != against:
            for where, of in [("", found.regime >= 0)] + [
                (f"_{regime.name}", found.regime == place) for place, regime in enumerate(REGIMES)
            ]:
                difference, width = paired(cost[of] - base[of])
                figures.add(f"{name}_less_{against}{where}_spreads", difference)
                figures.add(f"{name}_less_{against}{where}_half_width_spreads", width)
    return figures


def tail(cost: NDArray[np.float64]) -> float:
    """Mean of the dearest TAIL of the episodes (CVaR95)."""
    return float(np.sort(cost)[-max(1, round(TAIL * len(cost))) :].mean())


def paired(difference: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and the half-width of its 95% interval."""
    return float(difference.mean()), float(1.96 * difference.std(ddof=1) / len(difference) ** 0.5)

"""What working the residual costs, policy by policy, on the same episodes of the simulated market.

Episodes are fresh (their seeds are nobody else's), as many in each regime, and paired: every policy meets the same
anonymous flow and the same residuals. Costs are in usual spreads of the set, so that sets can be put together.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lit_router.market.batch.pools import POOLS
from lit_router.market.batch.regimes import REGIMES
from lit_router.market.parameters import load
from ml.slicer import weights
from ml.slicer.ablation import TAKEN, UNGUARDED, likeliest, without
from ml.slicer.episodes import STANDARD, EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.playing import by_policy, by_rule
from ml.slicer.rules import read
from rfq.studies.side_by_side import side_by_side
from rfq.studies.slicer_training import RULES

SEED = 5 * 10**8
"""Evaluation's seeds begin here."""
TAIL = 0.05
TOGETHER = 1024
"""Episodes that are played at once: memory, not result, depends on it."""


class Stress(NamedTuple):
    """A market other than that of training: factors."""

    impact: float = 1.0
    dark: float = 1.0
    activity: float = 1.0


STRESSES: Mapping[str, Stress] = {
    "impact_doubled": Stress(impact=2.0),
    "dark_third": Stress(dark=0.3),
    "activity_low": Stress(activity=0.6),
}


class Candidate(NamedTuple):
    """A rule by its name, or a slicer by its file, with something taken away or its desk's risk given."""

    name: str
    rule: str = ""
    slicer: Path | None = None
    taken: str = ""
    risk: float | None = None


class Part(NamedTuple):
    """Episodes played in one go."""

    parameters: str
    law: EpisodeLaw
    first_seed: int
    regimes: tuple[int, ...]
    stress: Stress
    policies: tuple[Candidate, ...]
    rules: Path


class Costs(NamedTuple):
    """In usual spreads, by episode [N]; `regime` is an index of REGIMES, `market` the set's name."""

    regime: NDArray[np.int64]
    market: NDArray[np.str_]
    by_policy: Mapping[str, NDArray[np.float64]]
    left: Mapping[str, int]
    """Lots that nobody worked: 0."""

    def where(self, which: NDArray[np.bool_]) -> "Costs":
        by_policy = {name: cost[which] for name, cost in self.by_policy.items()}
        return Costs(self.regime[which], self.market[which], by_policy, self.left)


def costs(
    sets: Sequence[str], policies: Sequence[Candidate], a_regime: int, say: Callable[[str], None], *,
    stress: Stress | None = None, jobs: int = 1, file: Path = RULES, first_seed: int = SEED, keep: Path | None = None,
) -> Costs:  # fmt: skip
    """Plays `a_regime` episodes of each regime in each set, the standard laws by their weights, by every policy.

    What is played is kept in the folder `keep` and not played again there.
    """
    stress, parts = stress or Stress(), []
    for parameters in sets:
        first = first_seed
        for weight, law in STANDARD:
            count = len(REGIMES) * max(1, round(a_regime * weight))
            law = law._replace(pace=(law.pace[0] * stress.activity, law.pace[1] * stress.activity))
            for start in range(0, count, TOGETHER):
                regimes = tuple(k % len(REGIMES) for k in range(start, min(start + TOGETHER, count)))
                parts.append(Part(parameters, law, first + start, regimes, stress, tuple(policies), file))
            first += count
    found: dict[int, Costs] = {}
    for place, one in side_by_side(kept, [(part, keep) for part in parts], jobs):
        found[place] = one
        say(f"{len(found)} of {len(parts)} parts played")
    each = [found[place] for place in range(len(parts))]
    return Costs(
        np.concatenate([one.regime for one in each]),
        np.concatenate([one.market for one in each]),
        {p.name: np.concatenate([one.by_policy[p.name] for one in each]) for p in policies},
        {p.name: sum(one.left[p.name] for one in each) for p in policies},
    )


def kept(part: Part, folder: Path | None) -> Costs:
    """The part as it was played before with these weights and rules, else as it is played now."""
    if folder is None:
        return played(part)
    used = {part.rules, *(policy.slicer for policy in part.policies if policy.slicer is not None)}
    digest = hashlib.sha256(repr(part).encode())
    for file in sorted(used):
        digest.update(file.read_bytes())
    path = folder / f"{digest.hexdigest()[:16]}.npz"
    names = [policy.name for policy in part.policies]
    if path.exists():
        with np.load(path) as found:
            lost = dict(zip(names, found["left"].tolist(), strict=True))
            return Costs(found["regime"], found["market"], dict(zip(names, found["costs"], strict=True)), lost)
    costs = played(part)
    folder.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part.npz")
    each, left = [costs.by_policy[name] for name in names], [costs.left[name] for name in names]
    np.savez(half, regime=costs.regime, market=costs.market, costs=np.array(each), left=np.array(left))
    half.replace(path)
    return costs


def played(part: Part) -> Costs:
    """One part by every policy, each from a copy of the same beginning."""
    torch.set_num_threads(1)
    pools = tuple(replace(pool, contra_of_day=pool.contra_of_day * part.stress.dark) for pool in POOLS)
    seeds = range(part.first_seed, part.first_seed + len(part.regimes))
    parameters = load(part.parameters)
    begun = Execution(parameters, seeds, part.law, regimes=part.regimes, impact=part.stress.impact, pools=pools)
    found, left = {}, {}
    with torch.inference_mode():
        for policy in part.policies:
            run = begun.copy()
            found[policy.name] = (worked(policy, run, part.rules) / run.residual.spread).numpy()
            left[policy.name] = int(run.left.sum())
    return Costs(np.array(part.regimes), np.full(len(part.regimes), part.parameters), found, left)


def worked(policy: Candidate, run: Execution, file: Path) -> torch.Tensor:
    """Works an execution to its end; shortfalls in price units."""
    if policy.slicer is None:
        return by_rule(read(file)[policy.rule], run)
    slicer = weights.load(policy.slicer)
    if policy.risk is not None:
        run.residual = run.residual._replace(risk=torch.full_like(run.residual.risk, policy.risk))
    act = without(slicer, policy.taken) if policy.taken else likeliest(slicer)
    return by_policy(act, slicer.rule, run)


def rule_policies(file: Path = RULES) -> list[Candidate]:
    """Every tuned rule but the two descents of which the strong one is the better."""
    return [Candidate(name, rule=name) for name in read(file) if not name.startswith("strong_")]


def ablations(slicer: Path) -> list[Candidate]:
    return [Candidate(name, slicer=slicer, taken=name) for name in (*TAKEN, UNGUARDED)]


def tail(cost: NDArray[np.float64]) -> float:
    """Mean of the dearest TAIL of the episodes (CVaR95)."""
    return float(np.sort(cost)[-max(1, round(TAIL * len(cost))) :].mean())


def paired(difference: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and the half-width of its 95% interval."""
    return float(difference.mean()), float(1.96 * difference.std(ddof=1) / len(difference) ** 0.5)

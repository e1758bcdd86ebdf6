"""What a slicer is trained on, whatever the algorithm: parameter sets, laws of episodes, the rule beside it, and what
the desk's fear of risk makes of the reward."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from lit_router.market.parameters import BookParameters
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.rules import Rule

FIRST_SEED = 10**9
"""Episodes of training have seeds from here on; nobody else's."""
TAIL = 0.9
"""CVaR of this level is what counts at risk 1."""


class Ground(NamedTuple):
    """What is trained on."""

    sets: Sequence[BookParameters]
    laws: Sequence[tuple[float, EpisodeLaw]]
    """With their weights."""
    rule: Rule
    device: str | torch.device = "cpu"
    threads: int = 1


def executions(ground: Ground, groups: int, group: int, seed: int, update: int) -> list[Execution]:
    """Episodes of one update, one execution a parameter set; members of a group share their market's anonymous flow and
    their residual, and lie together."""
    begun = []
    for place, parameters in enumerate(ground.sets):
        number = (seed * 10_000 + update) * len(ground.sets) + place
        seeds = [FIRST_SEED + number * groups + k // group for k in range(groups * group)]
        law = law_of(ground.laws, number)
        begun.append(Execution(parameters, seeds, law, device=ground.device, threads=ground.threads))
    return begun


def law_of(laws: Sequence[tuple[float, EpisodeLaw]], number: int) -> EpisodeLaw:
    """By weight, evenly spread over successive numbers (a golden-ratio sequence)."""
    at = number * 0.6180339887498949 % 1.0 * sum(weight for weight, _ in laws)
    for weight, law in laws:
        at -= weight
        if at < 0:
            return law
    return laws[-1][1]


def feared(reward: torch.Tensor, cost: torch.Tensor, risk: torch.Tensor, tail: torch.Tensor) -> torch.Tensor:
    """The rewards, [decisions, B], with the last one turned into risk's mixture of mean and tail: they sum to minus
    (1 - risk) cost + risk (cost - tail)+ / (1 - TAIL). `tail` and what is beyond it so divided are CVaR, once `tail` is
    the quantile at TAIL (Rockafellar and Uryasev 2000); `tail` alone, which no action changes, is left out."""
    excess = (cost - tail).clamp(min=0) / (1 - TAIL)
    return torch.cat([reward[:-1], (reward[-1] + risk * (cost - excess))[None]])


def loudness(risk: torch.Tensor) -> torch.Tensor:
    """How much larger rewards get where risk is feared, [B]: undone before samples are put together, or the few desks
    that fear most would be all that is learned from."""
    return 1 + risk * TAIL / (1 - TAIL)


def alone(advantage: torch.Tensor, group: int) -> torch.Tensor:
    """Advantages less the mean of the group's others; members of a group lie together in [decisions, B]."""
    grouped = advantage.unflatten(1, (-1, group))
    others = (grouped.sum(2, keepdim=True) - grouped) / max(1, group - 1)
    return (grouped - others).flatten(1)


def untouched(mid: torch.Tensor, group: int) -> torch.Tensor:
    """How far the market moves by itself from each decision to the next, [decisions, groups]: as the last member of
    each group, who does nothing, sees it. From the last decision on nothing is held: 0."""
    idle = mid.unflatten(1, (-1, group))[:, :, -1]
    return torch.cat([idle.diff(dim=0), torch.zeros_like(idle[:1])])

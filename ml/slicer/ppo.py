"""Proximal policy optimisation (Schulman et al. 2017) over episodes of execution, the whole of it from top to bottom.

Episodes come in groups that share a market's anonymous flow and the residual: what a group's others lost from the same
decision on, beyond what the critic expected, is the market's doing and not the action's, and is taken off (a
leave-one-out baseline). The reward is the fall of the shortfall, in usual spreads: it telescopes exactly to minus the
shortfall, and is not discounted.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from lit_router.market.parameters import BookParameters
from ml.slicer.actions import intended
from ml.slicer.episodes import DAY_S, EpisodeLaw
from ml.slicer.execution import Execution, View
from ml.slicer.features import Usual, features
from ml.slicer.network import Actor, Critic, chosen_log, entropy
from ml.slicer.rules import Rule, intend


class Plan(NamedTuple):
    updates: int = 150
    groups: int = 192
    group: int = 4
    epochs: int = 3
    minibatches: int = 8
    rate: float = 7e-4
    clip: float = 0.2
    entropy: float = 0.01
    trace: float = 0.97
    """Lambda of the advantage's exponential average (GAE)."""
    gradient: float = 0.5
    """Longest gradient."""


class Rollout(NamedTuple):
    """[decisions, B, ...]."""

    x: torch.Tensor
    action: torch.Tensor
    log: torch.Tensor
    value: torch.Tensor
    reward: torch.Tensor


def usual_of(execution: Execution) -> Usual:
    """What is known of the instruments of an execution."""
    s = execution.market.state
    a_decision = execution.law.horizon_s / execution.law.decisions
    spread = execution.arrival_spread.mean().expand_as(execution.arrival)
    return Usual(spread, s.day_lots * a_decision / DAY_S, s.mean_lots.double())


def played(
    execution: Execution, act: Callable[[torch.Tensor], torch.Tensor], rule: Rule
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Plays episodes to their end: features, actions and rewards, [decisions, B, ...]."""
    usual, views = usual_of(execution), list[View]()
    unit, was = float(usual.spread[0]), torch.zeros_like(execution.arrival)
    xs, actions, rewards = [], [], []
    while not execution.over:
        views.append(execution.view())
        suggested = intend(rule, execution, views[-1], unit)
        x = features(
            views, usual, execution.side, execution.lots, execution.arrival,
            execution.elapsed, execution.law.decisions, suggested,
        )  # fmt: skip
        action = act(x)
        execution.step(intended(action, suggested, execution, views[-1]))
        now = execution.shortfall() / unit
        rewards.append((was - now).float())
        was = now
        xs.append(x)
        actions.append(action)
    return torch.stack(xs), torch.stack(actions), torch.stack(rewards)


def drawn_from(logs: Sequence[torch.Tensor], generator: torch.Generator) -> torch.Tensor:
    return torch.cat([torch.multinomial(head.exp(), 1, generator=generator) for head in logs], 1)


def advantages(reward: torch.Tensor, value: torch.Tensor, trace: float, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and returns, [decisions, B]; members of a group lie together."""
    follows = torch.cat([value[1:], torch.zeros_like(value[:1])])
    surprise = reward + follows - value
    gained, rest = torch.zeros_like(surprise), torch.zeros_like(surprise[0])
    for t in reversed(range(len(surprise))):
        rest = surprise[t] + trace * rest
        gained[t] = rest
    grouped = gained.unflatten(1, (-1, group))
    others = (grouped.sum(2, keepdim=True) - grouped) / max(1, group - 1)
    return (grouped - others).flatten(1), gained + value


def train(
    sets: Sequence[BookParameters], law: EpisodeLaw, rule: Rule, plan: Plan, seed: int, say: Callable[[str], None],
    *, threads: int = 1,
) -> tuple[Actor, Critic]:  # fmt: skip
    """Trains on episodes whose seeds nobody else uses: 10^9 and above."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    actor, critic = Actor(), Critic()
    optimiser = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=plan.rate, eps=1e-5)
    for update in range(plan.updates):
        left = 1 - update / plan.updates
        optimiser.param_groups[0]["lr"] = plan.rate * max(0.05, left)
        first = 10**9 + (seed * 10_000 + update) * plan.groups
        seeds = [first + k // plan.group for k in range(plan.groups * plan.group)]
        execution = Execution(sets[update % len(sets)], seeds, law, threads=threads)
        with torch.no_grad():
            x, action, reward = played(execution, lambda x: drawn_from(actor(x), generator), rule)
            flat, taken = x.flatten(0, 1), action.flatten(0, 1)
            log = chosen_log(actor(flat), taken)
            value = critic(flat).view(reward.shape)
            advantage, returns = advantages(reward, value, plan.trace, plan.group)
        advantage, returns = advantage.flatten(), returns.flatten()
        for _ in range(plan.epochs):
            for part in torch.randperm(len(flat), generator=generator).chunk(plan.minibatches):
                logs = actor(flat[part])
                ratio = (chosen_log(logs, taken[part]) - log[part]).exp()
                a = advantage[part]
                a = a / (a.std() + 1e-6)
                gain = torch.minimum(ratio * a, ratio.clamp(1 - plan.clip, 1 + plan.clip) * a).mean()
                missed = (critic(flat[part]) - returns[part]).square().mean()
                loss = 0.5 * missed - gain - plan.entropy * left * entropy(logs)
                optimiser.zero_grad()
                loss.backward()
                for network in (actor, critic):
                    torch.nn.utils.clip_grad_norm_(network.parameters(), plan.gradient)
                optimiser.step()
        say(f"update {update + 1}: {-reward.sum(0).mean():+.4f} spreads")
    return actor, critic

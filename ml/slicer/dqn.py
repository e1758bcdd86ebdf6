"""Double deep Q-learning (van Hasselt et al. 2016) over episodes of execution, the whole of it from top to bottom.

Q(s, a) is the critic's value of the situation plus one advantage for each head's choice (dueling, Wang et al. 2016; by
branches, Tavakoli et al. 2018): the best action is each head's best, found among what is allowed. Targets are the
reward of some decisions (n steps) and the slow networks' worth of what the present ones would then choose; episodes
end, so the last decisions look forward to nothing, and nothing is discounted. Losses are squared: Huber's neglect
shocks. Exploration is Boltzmann's, by advantages, colder and colder.

Rewards, groups and risk are as in `ppo`: the reward telescopes to minus the shortfall; what a group's others got beyond
what was expected of them is the market's doing, and is kept out of what the advantages learn.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import NamedTuple

import torch

from ml.slicer.execution import Execution
from ml.slicer.ground import TAIL, Ground, alone, executions, feared
from ml.slicer.network import Advantages, Critic, best, chosen, drawn_from, pinball, tail_level
from ml.slicer.playing import Played, played
from ml.slicer.replay import Replay, Transitions
from ml.slicer.rules import Rule


class Plan(NamedTuple):
    updates: int = 150
    groups: int = 128
    """In each parameter set."""
    group: int = 4
    capacity: int = 400_000
    """Decisions remembered."""
    steps: int = 32
    """Of the optimiser, in each update."""
    minibatch: int = 4096
    rate: float = 7e-4
    ahead: int = 5
    """Decisions whose reward is counted before the target network takes over."""
    follow: float = 0.02
    """Share of the way that the target networks go to the present ones in each step (Polyak)."""
    warmest: float = 0.05
    coldest: float = 0.005
    """Usual spreads by which a choice must be worse to be e times rarer, in the first update and in the last."""
    gradient: float = 0.5
    """Longest gradient."""


class Learner(NamedTuple):
    """All that training changes."""

    actor: Advantages
    critic: Critic
    slow_actor: Advantages
    slow_critic: Critic
    """The target networks."""
    optimiser: torch.optim.Adam
    replay: Replay
    generator: torch.Generator | None
    """Of the actions and samples drawn; None: torch's own of the device."""


class Progress(NamedTuple):
    """Of one update."""

    update: int
    shortfall_spreads: float
    value_loss: float
    quantile_loss: float
    advantage_loss: float
    followed: float
    """Share of choices left to the rule."""


def begun(plan: Plan, seed: int, device: str | torch.device = "cpu") -> Learner:
    """A learner that has learned nothing."""
    torch.manual_seed(seed)
    actor, critic = Advantages().to(device), Critic().to(device)
    optimiser = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=plan.rate, eps=1e-5)
    generator = torch.Generator(device).manual_seed(seed)
    return Learner(
        actor, critic, deepcopy(actor), deepcopy(critic), optimiser, Replay(plan.capacity, device), generator
    )


def train(
    learner: Learner, ground: Ground, plan: Plan, seed: int, after: Callable[[Progress], None], first: int = 0
) -> None:
    """Trains from update `first` on, in place; `after` is told of each. The same seed gives the same policy on the same
    machine, resumed or not."""
    for update in range(first, plan.updates):
        done = update / plan.updates
        warmth = plan.warmest * (plan.coldest / plan.warmest) ** done
        begun = executions(ground, plan.groups, plan.group, seed, update)
        shortfall, followed = collected(learner, begun, ground.rule, plan, warmth)
        learner.optimiser.param_groups[0]["lr"] = plan.rate * max(0.05, 1 - done)
        told = learned(learner, plan)
        # The one time that an update's figures come back from the device.
        after(Progress(update + 1, *torch.cat([shortfall[None], told, followed[None]]).tolist()))


def collected(
    learner: Learner, begun: Sequence[Execution], rule: Rule, plan: Plan, warmth: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Works episodes by the present networks and remembers them; mean shortfall in usual spreads and the share of
    choices left to the rule, [] each."""
    actor, critic, generator = learner.actor, learner.critic, learner.generator

    def explored(x: torch.Tensor, may: torch.Tensor) -> torch.Tensor:
        return drawn_from([(head / warmth).log_softmax(1) for head in actor(x, may)], generator)

    costs, followed = [], []
    for execution in begun:
        with torch.no_grad():
            run = played(explored, rule, execution)
            value, quantiles = (part.unflatten(0, run.reward.shape) for part in critic(run.x.flatten(0, 1)))
            cost = -run.reward.sum(0)
            reward = feared(run.reward, cost, execution.residual.risk.float(), tail_level(quantiles[0], TAIL))
            to_come = -run.reward.flip(0).cumsum(0).flip(0)
            learner.replay.add(*transitions(actor, run._replace(reward=reward), value, to_come, plan))
            costs.append(cost.mean())
            followed.append((run.action == 0).float().mean())
    return torch.stack(costs).mean(), torch.stack(followed).mean()


def transitions(
    actor: Advantages, run: Played, value: torch.Tensor, to_come: torch.Tensor, plan: Plan
) -> tuple[Transitions, torch.Tensor]:
    """Episodes, [decisions, B, ...], as transitions of `plan.ahead` decisions, and where each leads to."""
    count, markets = run.reward.shape
    until = torch.arange(count, device=value.device) + plan.ahead
    later, goes_on = until.clamp(max=count - 1), (until < count).float()[:, None].expand(-1, markets)
    so_far = torch.cat([torch.zeros_like(run.reward[:1]), run.reward.cumsum(0)])
    gained = so_far[until.clamp(max=count)] - so_far[:-1]
    x, may, action = (part.flatten(0, 1) for part in (run.x, run.allowed, run.action))
    scores = actor(x, may)
    mine = chosen(scores, action).view_as(value)
    most = value + torch.stack([head.amax(1) for head in scores]).sum(0).view_as(value)
    surprise = gained + goes_on * most[later] - value - mine
    # What the group's others met with, that was not to be expected, befell this one as well.
    expected = value + surprise - alone(surprise, plan.group)
    columns = (gained, goes_on, expected, to_come)
    place = torch.arange(count * markets, device=value.device).view(count, markets)
    return Transitions(x, may, action, *(column.flatten() for column in columns)), place[later].flatten()


def learned(learner: Learner, plan: Plan) -> torch.Tensor:
    """Steps of the optimiser over what is remembered; mean value loss, quantile loss and advantage loss, [3]."""
    actor, critic, slow_actor, slow_critic, optimiser, replay, generator = learner
    fast = [*actor.parameters(), *critic.parameters()]
    slow = [*slow_actor.parameters(), *slow_critic.parameters()]
    told = []
    for _ in range(plan.steps):
        r, later, may = replay.drawn(plan.minibatch, generator)
        with torch.no_grad():
            # Double: the present networks choose, the slow ones say what it is worth.
            then = slow_critic.value(later)[:, 0] + chosen(slow_actor(later, may), best(actor(later, may)))
            target = r.gained + r.goes_on * then
        value, quantiles = critic(r.x)
        gains = chosen(actor(r.x, r.allowed), r.action)
        missed = (value + gains.detach() - target).square().mean()
        relative = (gains - (target - r.expected)).square().mean()
        spread = pinball(quantiles, r.to_come, critic.levels)
        loss = 0.5 * missed + 0.5 * relative + spread
        optimiser.zero_grad()
        loss.backward()
        for network in (actor, critic.value, critic.quantiles):
            torch.nn.utils.clip_grad_norm_(network.parameters(), plan.gradient)
        optimiser.step()
        with torch.no_grad():
            for behind, ahead in zip(slow, fast, strict=True):
                behind.lerp_(ahead, plan.follow)
        told.append(torch.stack([missed, spread, relative]).detach())
    return torch.stack(told).mean(0)

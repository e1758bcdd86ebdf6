"""Proximal policy optimisation (Schulman et al. 2017) over episodes of execution, the whole of it from top to bottom.

Episodes come in groups that share a market's anonymous flow and the residual. One member of each group does nothing, so
that it is known how the market moves by itself: nobody's trading changes that. What a policy could not foresee of that
move, times the lots that it left to it, is luck whatever the action, and is taken off the reward (a control variate; so
the truth is in the learning signal alone). What a group's others lost from the same decision on, beyond what
the critic expected, is taken off as well (a leave-one-out baseline).

The reward is the fall of the shortfall, in usual spreads: it telescopes exactly to minus the shortfall, and is not
discounted. Where the desk fears risk, the last reward turns that into a mixture of mean and CVaR (Rockafellar and
Uryasev 2000), about the quantile that the critic expected at the start.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ml.slicer.actions import NOTHING
from ml.slicer.execution import Execution
from ml.slicer.ground import TAIL, Ground, alone, executions, feared, loudness, untouched
from ml.slicer.network import Actor, Critic, chosen, drawn_from, entropy, pinball, tail_level
from ml.slicer.playing import Played, played
from ml.slicer.rules import Rule


class Plan(NamedTuple):
    updates: int = 160
    groups: int = 96
    """In each parameter set."""
    group: int = 5
    """The last of them does nothing."""
    epochs: int = 3
    minibatch: int = 4096
    rate: float = 1e-3
    clip: float = 0.2
    entropy: float = 0.001
    trace: float = 0.85
    """Lambda of the advantage's exponential average (GAE)."""
    gradient: float = 0.5
    """Longest gradient."""


class Learner(NamedTuple):
    """All that training changes."""

    actor: Actor
    critic: Critic
    optimiser: torch.optim.Adam
    generator: torch.Generator | None
    """Of the actions drawn and the order of samples; None: torch's own of the device."""


class Rollout(NamedTuple):
    """[samples, ...]."""

    x: torch.Tensor
    allowed: torch.Tensor
    action: torch.Tensor
    log: torch.Tensor
    advantage: torch.Tensor
    returns: torch.Tensor
    to_come: torch.Tensor
    """Plain cost from here on, usual spreads."""
    move: torch.Tensor
    """Of the market by itself until the next decision, signed by the order's side, usual spreads."""


class Progress(NamedTuple):
    """Of one update."""

    update: int
    shortfall_spreads: float
    value_loss: float
    quantile_loss: float
    drift_loss: float
    entropy: float
    clipped: float
    """Share of samples whose ratio was out of bounds."""


def begun(plan: Plan, seed: int, device: str | torch.device = "cpu") -> Learner:
    """A learner that has learned nothing."""
    torch.manual_seed(seed)
    actor, critic = Actor().to(device), Critic().to(device)
    optimiser = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=plan.rate, eps=1e-5)
    return Learner(actor, critic, optimiser, torch.Generator(device).manual_seed(seed))


def train(
    learner: Learner, ground: Ground, plan: Plan, seed: int, after: Callable[[Progress], None], first: int = 0
) -> None:
    """Trains from update `first` on, in place; `after` is told of each. The same seed gives the same policy on the same
    machine, resumed or not."""
    for update in range(first, plan.updates):
        begun = executions(ground, plan.groups, plan.group, seed, update)
        rollout, shortfall = collected(learner, begun, ground.rule, plan)
        left = 1 - update / plan.updates
        learner.optimiser.param_groups[0]["lr"] = plan.rate * max(0.05, left)
        told = learned(learner, rollout, plan, left)
        # The one time that an update's figures come back from the device.
        after(Progress(update + 1, *torch.cat([shortfall[None], told]).tolist()))


def collected(
    learner: Learner, begun: Sequence[Execution], rule: Rule, plan: Plan
) -> tuple[Rollout, torch.Tensor]:
    """Episodes worked by the present policy, and their mean shortfall in usual spreads, []."""
    actor, critic, _, generator = learner
    parts, costs = [], []
    for execution in begun:
        side, risk = execution.residual.side.float(), execution.residual.risk.float()
        # Alone there is nobody to do nothing, and no luck is taken off.
        learning = max(1, plan.group - 1)
        place = torch.arange(len(side), device=side.device)
        active = place % plan.group < learning
        each = place.unflatten(0, (-1, plan.group))[:, :learning].flatten()

        def act(x: torch.Tensor, may: torch.Tensor, active: torch.Tensor = active) -> torch.Tensor:
            return torch.where(active[:, None], drawn_from(actor(x, may), generator), NOTHING)

        with torch.no_grad():
            all_of_them = played(act, rule, execution)
            run = Played(*(part[:, each] for part in all_of_them))
            move = untouched(all_of_them.mid, plan.group).repeat_interleave(learning, 1)
            value, quantiles = (part.unflatten(0, run.reward.shape) for part in critic(run.x.flatten(0, 1)))
            foreseen = critic.foreseen(run.x.flatten(0, 1)).view_as(move) * side[each]
            cost = -run.reward.sum(0)
            reward = feared(run.reward, cost, risk[each], tail_level(quantiles[0], TAIL))
            luck = run.held * (move - foreseen) * (plan.group > 1)
            advantage = advantages(reward + luck, value, plan.trace)
            mine = alone(advantage, learning) / loudness(risk[each])
            to_come = -run.reward.flip(0).cumsum(0).flip(0)
            x, may, action = (part.flatten(0, 1) for part in (run.x, run.allowed, run.action))
            rest = (chosen(actor(x, may), action), mine, advantage + value, to_come, move * side[each])
            parts.append(Rollout(x, may, action, *(part.flatten() for part in rest)))
            costs.append(cost.mean())
    return Rollout(*(torch.cat(part) for part in zip(*parts, strict=True))), torch.stack(costs).mean()


def advantages(reward: torch.Tensor, value: torch.Tensor, trace: float) -> torch.Tensor:
    """Generalised advantages (Schulman et al. 2016), undiscounted, [decisions, B]."""
    surprise = reward + torch.cat([value[1:], torch.zeros_like(value[:1])]) - value
    gained, rest = [], torch.zeros_like(surprise[0])
    for each in surprise.flip(0):
        rest = each + trace * rest
        gained.append(rest)
    return torch.stack(gained).flip(0)


def learned(learner: Learner, r: Rollout, plan: Plan, left: float) -> torch.Tensor:
    """Several epochs over a rollout; mean losses of value, quantiles and drift, entropy and share clipped, [5]."""
    actor, critic, optimiser, generator = learner
    device, told = r.x.device, []
    for _ in range(plan.epochs):
        for part in torch.randperm(len(r.x), generator=generator, device=device).split(plan.minibatch):
            logs = actor(r.x[part], r.allowed[part])
            ratio = (chosen(logs, r.action[part]) - r.log[part]).exp()
            a = r.advantage[part]
            a = a / (a.std() + 1e-6)
            gain = torch.minimum(ratio * a, ratio.clamp(1 - plan.clip, 1 + plan.clip) * a).mean()
            value, quantiles = critic(r.x[part])
            # Squared, not Huber: shocks are what matters.
            missed = (value - r.returns[part]).square().mean()
            spread = pinball(quantiles, r.to_come[part], critic.levels)
            moved = (critic.foreseen(r.x[part]) - r.move[part]).square().mean()
            mixed = entropy(logs)
            loss = 0.5 * missed + spread + moved - gain - plan.entropy * left * mixed
            optimiser.zero_grad()
            loss.backward()
            for network in (actor, critic.value, critic.quantiles, critic.drift):
                torch.nn.utils.clip_grad_norm_(network.parameters(), plan.gradient)
            optimiser.step()
            clipped = ((ratio - 1).abs() > plan.clip).float().mean()
            told.append(torch.stack([missed, spread, moved, mixed, clipped]).detach())
    return torch.stack(told).mean(0)

"""Both learners: what they learn from, that they learn, and that they go on where they stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from learners import DQN, LAW, PPO, QUICK, SET
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ml.slicer import checkpoint, dqn, ppo
from ml.slicer.actions import HEADS
from ml.slicer.curves import Curves
from ml.slicer.execution import CROSSING, Execution
from ml.slicer.features import NAMES, features
from ml.slicer.ground import TAIL, Ground, alone, executions, feared, loudness, untouched
from ml.slicer.network import Actor, Advantages, best, drawn_from, tail_level
from ml.slicer.playing import Act, Played, by_policy, by_rule, played
from ml.slicer.replay import Replay, Transitions
from ml.slicer.rules import TWAP, Rule, intend
from ml.slicer.situation import remembered
from rfq.domain.errors import BadInput


def weights(learner: Any) -> list[torch.Tensor]:
    networks = [part for part in learner if isinstance(part, torch.nn.Module)]
    return [value for network in networks for value in network.state_dict().values()]


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


# --- the same again -----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    algorithm: tuple[str, Any, Any], ground: Ground
) -> None:
    _, module, plan = algorithm
    learners, told = [], []
    for seed in (5, 5, 6):
        learner = module.begun(plan, seed)
        before = [value.clone() for value in weights(learner)]
        module.train(learner, ground, plan._replace(updates=2), seed, told.append)
        assert not all(torch.equal(a, b) for a, b in zip(before, weights(learner), strict=True))
        learners.append(learner)
    assert equal(*learners[:2]) and not equal(*learners[1:])
    assert told[:2] == told[2:4] and told[:2] != told[4:] and [p.update for p in told] == [1, 2] * 3


def test_training_taken_up_from_a_file_is_training_that_never_stopped(
    algorithm: tuple[str, Any, Any], ground: Ground, tmp_path: Path
) -> None:
    name, module, plan = algorithm
    path, terms = tmp_path / "deep" / "half.pt", {"algorithm": name, "seed": 3, "plan": plan._asdict()}
    whole, told = module.begun(plan, 3), []

    def after(progress: Any) -> None:
        told.append(progress)
        if progress.update == 2:
            checkpoint.save(whole, progress.update, terms, path)

    module.train(whole, ground, plan, 3, after)
    resumed, again = module.begun(plan, 99), []
    first = checkpoint.restore(resumed, terms, path)
    assert first == 2 and not equal(resumed, whole)
    module.train(resumed, ground, plan, 3, again.append, first)
    assert equal(resumed, whole) and again == told[2:]
    assert not path.with_suffix(".part").exists()


def test_a_checkpoint_that_cannot_be_is_refused(
    algorithm: tuple[str, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, module, plan = algorithm
    path, learner, terms = tmp_path / "half.pt", module.begun(plan, 1), {"seed": 1, **TWAP._asdict()}
    with pytest.raises(BadInput, match="must be a checkpoint"):
        checkpoint.restore(learner, terms, path)
    for nonsense in (b"", b"nonsense"):
        path.write_bytes(nonsense)
        with pytest.raises(BadInput, match="must be a checkpoint"):
            checkpoint.restore(learner, terms, path)
    checkpoint.save(learner, 7, terms, path)
    assert checkpoint.restore(learner, terms, path) == 7
    with pytest.raises(BadInput, match="with other seed"):
        checkpoint.restore(learner, terms | {"seed": 2}, path)
    wrong = dqn.begun(DQN, 1) if name == "ppo" else ppo.begun(PPO, 1)
    with pytest.raises(BadInput, match="must hold this learner"):
        checkpoint.restore(wrong, terms, path)
    with pytest.raises(BadInput, match="must be writable"):
        checkpoint.save(learner, 8, terms, Path("/proc/none/half.pt"))
    kept = path.read_bytes()

    def breaks(*_: Any) -> None:
        path.with_suffix(".part").write_bytes(b"half")
        raise OSError("no room")

    monkeypatch.setattr(torch, "save", breaks)
    with pytest.raises(BadInput, match="no room"):
        checkpoint.save(learner, 8, terms, path)
    assert path.read_bytes() == kept and not path.with_suffix(".part").exists(), "whole or not at all"


# --- what is learned from -----------------------------------------------------------------------------------------


def test_rewards_sum_to_minus_the_shortfall_or_to_what_risk_makes_of_it(ground: Ground) -> None:
    begun = Execution(SET, range(64), QUICK)
    actor = Actor()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        run = played(lambda x, may: drawn_from(actor(x, may), g), ground.rule, begun)
    cost = -run.reward.sum(0)
    assert torch.allclose(cost.double(), begun.shortfall() / begun.residual.spread, atol=1e-5) and cost.std() > 0
    dearest = cost.sort(descending=True).values
    tail = dearest[6].expand(64)
    none, all_of_it, half = (feared(run.reward, cost, torch.full((64,), r), tail).sum(0) for r in (0.0, 1.0, 0.5))
    assert torch.allclose(none, -cost)
    assert torch.allclose(half, (none + all_of_it) / 2, atol=1e-5)
    assert TAIL == 0.9
    # At the quantile, tail and mean excess are the mean of the dearest tenth (6.4 of 64).
    cvar = (dearest[:6].sum() + 0.4 * dearest[6]) / 6.4
    assert float(tail[0] - all_of_it.mean()) == pytest.approx(float(cvar), abs=1e-4)
    elsewhere = [at - feared(run.reward, cost, torch.ones(64), at).sum(0).mean() for at in (tail - 0.2, tail + 0.2)]
    assert all(float(other[0]) > float(cvar) for other in elsewhere), "least at the quantile"


def test_what_befalls_a_whole_group_is_nobodys_advantage() -> None:
    g = torch.Generator().manual_seed(2)
    advantage, shift = torch.randn(7, 12, generator=g), torch.randn(7, 3, generator=g)
    shifted = advantage + shift.repeat_interleave(4, 1)
    assert torch.allclose(alone(advantage, 4), alone(shifted, 4), atol=1e-5)
    assert torch.allclose(alone(advantage, 1), advantage)
    one = advantage.clone()
    one[:, 0] += 1
    assert torch.allclose((alone(one, 4) - alone(advantage, 4))[:, :4], torch.tensor([1.0, -1 / 3, -1 / 3, -1 / 3]))


def an_episode(actor: Advantages, plan: dqn.Plan) -> tuple[Transitions, torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    x = torch.randn(5, 4, len(NAMES), generator=g)
    may = torch.ones(5, 4, sum(HEADS), dtype=torch.bool)
    action = torch.randint(6, (5, 4, 3), generator=g)
    reward, value = torch.randn(5, 4, generator=g), torch.randn(5, 4, generator=g)
    with torch.no_grad():
        found, later = dqn.transitions(actor, Played(x, may, action, reward, reward, reward), value, -reward, plan)
    return found, later, reward, value


def test_who_does_nothing_shows_how_the_market_moves_by_itself() -> None:
    mid = torch.tensor([[0.0, 9.0, 1.0, 5.0], [3.0, 9.0, 2.0, 5.0], [4.0, 8.0, 0.0, 7.0]])
    assert untouched(mid, 2).tolist() == [[0.0, 0.0], [-1.0, 2.0], [0.0, 0.0]]
    assert untouched(mid, 4).tolist() == [[0.0], [2.0], [0.0]]


def test_one_member_of_each_group_does_nothing_and_is_not_learned_from(ground: Ground) -> None:
    plan = PPO._replace(group=3)
    learner = ppo.begun(plan, 1)
    (begun,) = executions(ground._replace(laws=[(1.0, LAW)]), plan.groups, plan.group, 1, 0)
    rollout, shortfall = ppo.collected(learner, [begun], ground.rule, plan)
    members = begun.by_slot.unflatten(0, (-1, plan.group))
    idle = members[:, -1]
    assert not idle[:, :CROSSING].any(), "only what is swept at the end"
    assert members[:, :-1, :CROSSING].any()
    assert len(rollout.x) == LAW.decisions * plan.groups * (plan.group - 1)
    cost = rollout.to_come.unflatten(0, (LAW.decisions, -1))[0]
    assert torch.allclose(cost.mean(), shortfall)


def test_luck_that_is_taken_off_costs_no_accuracy_and_much_variance() -> None:
    law, group = LAW._replace(pace=(1.0, 1.0), ahead=0.0), 2
    seeds = [k // group for k in range(group * 128)]
    run = Execution(SET, seeds, law)
    active = torch.arange(len(seeds)) % group == 0
    nothing = torch.tensor([1, 1, 1])
    act: Act = lambda x, may: torch.where(active[:, None], 0, nothing)  # noqa: E731
    found = played(act, Rule(grace=0.3, lead=0.3), run)
    reward, luck = found.reward[:, ::group].sum(0), (found.held[:, ::group] * untouched(found.mid, group)).sum(0)
    assert (reward + luck).var() < 0.6 * reward.var()
    assert luck.mean().abs() < 3 * luck.std() / len(luck) ** 0.5


def test_the_louder_the_fear_the_more_is_undone() -> None:
    assert loudness(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([1.0, 1 / (1 - TAIL)])


def test_transitions_lead_some_decisions_on_and_end_where_the_episode_does() -> None:
    found, later, reward, value = an_episode(Advantages(), DQN)
    gained, goes_on = found.gained.view(5, 4), found.goes_on.view(5, 4)
    assert torch.allclose(gained[:4], reward[:4] + reward[1:], atol=1e-6) and torch.allclose(gained[4], reward[4])
    assert goes_on[:3].all() and not goes_on[3:].any()
    assert later.view(5, 4)[:3].flatten().tolist() == list(range(8, 20))
    one = an_episode(Advantages(), DQN._replace(group=1))[0]
    assert torch.allclose(one.expected.view(5, 4), value), "alone, only what the critic expects is expected"
    assert not torch.allclose(found.expected.view(5, 4), value)


def test_the_replay_keeps_the_newest_and_where_each_leads() -> None:
    replay = Replay(10)

    def row(number: float, count: int = 4) -> Transitions:
        full = torch.full((count,), number)
        x, may = full[:, None].expand(-1, len(NAMES)), torch.ones(count, sum(HEADS), dtype=torch.bool)
        return Transitions(x, may, torch.zeros(count, 3, dtype=torch.int64), full, full, full, full)

    later = torch.tensor([2, 3, 2, 3])
    for number in range(4):
        replay.add(row(float(number)), later)
        assert len(replay) == min(10, 4 * number + 4)
    g = torch.Generator().manual_seed(4)
    found, x, may = replay.drawn(500, g)
    assert set(found.gained.tolist()) == {1.0, 2.0, 3.0}, "the first four and half of the second are gone"
    assert (x[:, 0] == found.gained).all() and may.all()
    other = Replay(10)
    other.load_state_dict({name: value for name, value in replay.state_dict().items()})
    same = other.drawn(500, g.manual_seed(4))
    assert all(torch.equal(a, b) for a, b in zip(found, same[0], strict=True)) and len(other) == 10
    with pytest.raises(BadInput, match="must hold all 11"):
        replay.add(row(1.0, 11), torch.zeros(11, dtype=torch.int64))


def test_double_the_present_networks_choose_and_the_slow_ones_value_it() -> None:
    learner = dqn.begun(DQN._replace(steps=1, rate=0.0), 1)
    with torch.no_grad():
        for part in (*learner.slow_actor.parameters(), *learner.slow_critic.parameters()):
            part.zero_()
        learner.slow_critic.value.get_parameter("4.bias").fill_(7.0)
        # The slow networks would choose place 3 of each head; the present ones the rule, which the slow ones dread.
        learner.slow_actor.layers.get_parameter("4.bias").copy_(torch.tensor([-1.0, 0, 0, 5, 0, 0] * 3))
    x, may = torch.randn(1, len(NAMES)), torch.ones(1, sum(HEADS), dtype=torch.bool)
    zero, one = torch.zeros(1), torch.ones(1)
    learner.replay.add(
        Transitions(x, may, torch.zeros(1, 3, dtype=torch.int64), one, one, zero, zero), torch.zeros(1).long()
    )
    with torch.no_grad():
        value = learner.critic(x)[0] + sum(head[:, 0] for head in learner.actor(x, may))
    missed = dqn.learned(learner, DQN._replace(steps=1))[0]
    assert float(missed) == pytest.approx(float((1 + 7 - 3 - value) ** 2), rel=1e-4)


def test_what_is_not_allowed_is_never_best_and_an_actor_of_the_same_weights_does_the_same() -> None:
    torch.manual_seed(5)
    mine, actor = Advantages(), Actor()
    actor.load_state_dict(mine.state_dict())
    x = 10 * torch.randn(200, len(NAMES))
    may = torch.rand(200, sum(HEADS)) < 0.7
    may[:, ::6] = True
    with torch.no_grad():
        mine.layers.get_parameter("4.weight").mul_(100)
        actor.load_state_dict(mine.state_dict())
        action = best(mine(x, may))
        assert torch.equal(action, best(actor(x, may))) and len(action.unique(dim=0)) > 5
    assert all(part.gather(1, action[:, k, None]).all() for k, part in enumerate(may.split(HEADS, 1)))
    at_first = best(Advantages()(x / 10, may))
    assert (at_first == 0).float().mean() > 0.9, "learning starts with the rule"


def test_quantiles_between_levels_are_interpolated() -> None:
    levels = torch.arange(20.0).flip(0)[None]
    assert float(tail_level(levels, 0.9)) == pytest.approx(17.5)


# --- what is seen -------------------------------------------------------------------------------------------------


def test_the_truth_of_the_market_is_not_among_the_features(ground: Ground) -> None:
    run = Execution(SET, range(32), LAW)
    latent = [
        *("regime", "drift", "burst", "flow", "news", "heat", "trend", "inventory", "hidden"),
        *("pending", "pace_lots", "pressed", "kernel", "theta", "key"),
    ]
    g = torch.Generator().manual_seed(6)
    told = set()
    while not run.over:

        def seen() -> torch.Tensor:
            now, moment = run.view(), run.moment()
            suggested = intend(ground.rule, run.residual, now, moment)
            return features(run.residual, now, remembered(None, now), moment, suggested)

        before, state = seen(), run.market.state
        kept = {name: getattr(state, name).clone() for name in latent}
        order = torch.randperm(32, generator=g)
        for name, value in kept.items():
            getattr(state, name).copy_(value[order])
            told |= {name} if not torch.equal(value[order], value) else set()
        assert torch.equal(seen(), before)
        state.queues.copy_(state.queues[order])
        assert not torch.equal(seen(), before), "what is displayed is seen"
        state.queues.copy_(state.queues[order.argsort()])
        for name, value in kept.items():
            getattr(state, name).copy_(value)
        run.step(intend(ground.rule, run.residual, run.view(), run.moment()))
    assert told >= {"regime", "drift", "flow", "news", "trend", "inventory", "hidden", "pending", "key"}


# --- learning -----------------------------------------------------------------------------------------------------

EASY = Ground([SET], [(1.0, LAW._replace(participation=(0.01, 0.02), ahead=0.0))], TWAP)
"""Market orders as the rule beside it: resting first is better, and soon found."""
SOON: dict[str, Any] = {
    "ppo": ppo.Plan(updates=8, groups=32, group=4, minibatch=512, rate=3e-3, epochs=4),
    "dqn": dqn.Plan(updates=8, groups=32, group=4, minibatch=512, rate=3e-3, capacity=8192, warmest=0.1, coldest=0.01),
}


def test_a_few_updates_lower_the_shortfall(algorithm: tuple[str, Any, Any]) -> None:
    name, module, _ = algorithm
    plan = SOON[name]
    learner = module.begun(plan, 0)
    module.train(learner, EASY, plan, 0, lambda _: None)
    begun = Execution(SET, range(256), EASY.laws[0][1])
    twin, unit = begun.copy(), begun.residual.spread
    with torch.no_grad():
        learned = by_policy(lambda x, may: best(learner.actor(x, may)), EASY.rule, begun) / unit
    less = learned - by_rule(EASY.rule, twin) / unit
    assert float(less.mean()) < -3 * float(less.std()) / len(less) ** 0.5


def test_curves_are_read_back(tmp_path: Path) -> None:
    told = [ppo.Progress(1, 0.5, 2.0, 0.25, 0.5, 4.0, 0.125), ppo.Progress(2, 0.25, 1.0, 0.125, 0.5, 3.0, 0.5)]
    with Curves(tmp_path / "deep") as curves:
        for progress in told:
            curves(progress)
    with Curves(tmp_path / "deep", first=1) as curves:
        curves(told[1]._replace(shortfall_spreads=-1.0))
    events = EventAccumulator(str(tmp_path / "deep")).Reload()
    assert set(events.Tags()["scalars"]) == {f"slicer/{name}" for name in ppo.Progress._fields[1:]}
    points = [(event.step, event.value) for event in events.Scalars("slicer/shortfall_spreads")]
    assert points == [(1, 0.5), (2, -1.0)]
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="must be writable"):
        Curves(tmp_path / "file")

"""Both learners keep to one device: episodes and updates on torch's meta device, where anything else raises."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from learners import DQN, QUICK
from one_device import META, OneDevice

from lit_router.market.batch.market import BatchedMarket
from ml.slicer import dqn, execution, ppo
from ml.slicer.execution import Execution
from ml.slicer.ground import Ground, executions
from ml.slicer.network import Actor, Advantages, Critic, drawn_from
from ml.slicer.playing import Act, Played, played
from ml.slicer.replay import Replay
from ml.slicer.rules import Rule


def on_meta(name: str) -> Any:
    """A learner without values; generators do not exist there."""
    if name == "ppo":
        actor, critic = Actor().to(META), Critic().to(META)
        adam = torch.optim.Adam([*actor.parameters(), *critic.parameters()])
        return ppo.Learner(actor, critic, adam, None)
    actor, critic = Advantages().to(META), Critic().to(META)
    adam = torch.optim.Adam([*actor.parameters(), *critic.parameters()])
    slow = Advantages().to(META), Critic().to(META)
    return dqn.Learner(actor, critic, *slow, adam, Replay(DQN.capacity, META), None)


@pytest.fixture(scope="module")
def worked(ground: Ground) -> tuple[Execution, Played]:
    """Episodes worked on the device: orders are entered as anywhere; the steps between decisions, which are known to
    keep to it, are not played."""
    law = QUICK._replace(horizon_s=2.0, decisions=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchedMarket, "advance", lambda self, steps, where=None: None)
        patch.setattr(execution, "SWEEPS_S", (1,))
        (begun,) = executions(ground._replace(device=META, laws=[(1.0, law)]), 4, 2, 0, 0)
        actor = Actor().to(META)
        with OneDevice(), torch.no_grad():
            return begun, played(lambda x, may: drawn_from(actor(x, may)), ground.rule, begun)


@pytest.fixture
def an_update(
    algorithm: tuple[str, Any, Any], worked: tuple[Execution, Played], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], torch.Tensor]:
    """All of an update but the market, of a learner without values, on the device alone; what it tells."""
    name, module, plan = algorithm
    begun, run = worked
    learner = on_meta(name)

    def as_played(act: Act, rule: Rule, execution: Execution) -> Played:
        assert act(run.x[0], run.allowed[0]).shape == run.action[0].shape
        return run

    def update() -> torch.Tensor:
        monkeypatch.setattr(module, "played", as_played)
        with OneDevice():
            collected = module.collected(learner, [begun], Rule(), plan, *([] if name == "ppo" else [0.05]))
        # An optimiser counts its steps on the processor, whatever the device.
        with OneDevice(counts=True):
            if name == "ppo":
                return ppo.learned(learner, collected[0], plan, 0.5)
            return dqn.learned(learner, plan)

    return update


def test_episodes_are_worked_and_learned_from_on_one_device(
    worked: tuple[Execution, Played], an_update: Callable[[], torch.Tensor]
) -> None:
    assert all(value.device == META for value in worked[1])
    assert an_update().device == META


def _reads_back(quantiles: torch.Tensor, level: float) -> object:
    return float(quantiles.mean())


def _comes_from_the_processor(quantiles: torch.Tensor, cost: torch.Tensor, levels: torch.Tensor) -> object:
    return (torch.ones(20) * quantiles).mean()


def _has_a_shape_by_value(quantiles: torch.Tensor, cost: torch.Tensor, levels: torch.Tensor) -> object:
    return quantiles[cost > 0].mean()


WRONG = (("tail_level", _reads_back), ("pinball", _comes_from_the_processor), ("pinball", _has_a_shape_by_value))


@pytest.mark.parametrize(("of", "wrong"), WRONG)
def test_the_same_check_refuses_an_update_that_leaves_it(
    algorithm: tuple[str, Any, Any],
    an_update: Callable[[], torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    of: str,
    wrong: Callable[..., object],
) -> None:
    monkeypatch.setattr(algorithm[1], of, wrong)
    with pytest.raises((RuntimeError, NotImplementedError)):
        an_update()

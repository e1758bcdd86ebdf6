"""Both learners, small enough for tests, and episodes for them."""

from typing import Any

from lit_router.market.parameters import load
from ml.slicer import dqn, ppo
from ml.slicer.episodes import EpisodeLaw

LAW = EpisodeLaw(horizon_s=120.0, decisions=6, warm_up_s=30.0, missing=0.0)
QUICK = LAW._replace(horizon_s=15.0, decisions=3, warm_up_s=5.0, missing=0.2, risk=(0.0, 1.0))
SET = load("large_tick")
PPO = ppo.Plan(updates=4, groups=4, group=2, epochs=2, minibatch=16)
DQN = dqn.Plan(updates=4, groups=4, group=2, steps=4, minibatch=16, capacity=64, ahead=2)
ALGORITHMS: dict[str, tuple[Any, Any]] = {"ppo": (ppo, PPO), "dqn": (dqn, DQN)}

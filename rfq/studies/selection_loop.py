"""Policies side by side in closed loop: each leads a world of its own from one state on, all meet the same chances."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.memory import PanelMemory
from ml.outcomes import Outcome
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Policy
from rfq.studies.selection_policies import Oracle

Array = NDArray[np.float64]


class Lane:
    """One policy, its world and what it remembers."""

    def __init__(self, world: DealerWorld, policy: Policy, history: Sequence[Outcome]) -> None:
        """`policy` chooses in `world`, which is its own."""
        self.world, self.policy = world, policy
        self.memory = PanelMemory.of(history)
        self.heard: list[Outcome] = []

    def step(self, redraws: int) -> tuple[float, int]:
        """The next request: (expected all-in cost in bps of what was chosen, dealers asked). It is played and learned
        from as chance has it."""
        world, policy = self.world, self.policy
        request = world.next_request()
        if isinstance(policy, Oracle):
            policy.meet(request)
        rng = np.random.default_rng([world.seed, 0xB0, request.number])
        chosen = policy.choose(request.facts, world.dealers, self.memory, rng)
        auction = world.play(request, chosen)
        cost = world.expected_cost_bps(request, chosen.asked, redraws) if redraws else auction.cost_bps
        world.settle(auction)
        policy.learn(auction.outcome)
        self.memory.push(auction.outcome)
        self.heard.append(auction.outcome)
        return cost, len(chosen.asked)


def side_by_side(lanes: Mapping[str, Lane], requests: int, redraws: int) -> tuple[dict[str, Array], dict[str, float]]:
    """Costs by policy and request, and the mean number asked."""
    costs = {name: np.empty(requests) for name in lanes}
    asked = dict.fromkeys(lanes, 0.0)
    for number in range(requests):
        for name, lane in lanes.items():
            costs[name][number], count = lane.step(redraws)
            asked[name] += count / requests
    return costs, asked

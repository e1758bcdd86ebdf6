"""What the joint split of quotes and residual is worth: four ways, each in closed loop in a world of its own.

All at quotes, all worked (and nobody asked), half at the best quotes, and the exact split through the curve of the
residual's cost, as the service makes it; beside them the world's own simple rule. All that ask, ask by the same models.
Whether working the residual is cheap or dear decides much, so it is swept; chances are the same for all.
"""

from collections.abc import Callable
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.dealer_models import DealerModels
from ml.memory import PanelMemory
from ml.train_dealers import train_dealers
from rfq.domain.values import Frozen
from rfq.studies import selection_policies as ways
from rfq.studies import splitting
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Chosen, DeskHabit
from rfq.studies.figures import Figures
from rfq.studies.spread_over import interval, spread
from rfq.studies.world_requests import WorldTerms

Array = NDArray[np.float64]

FIRST_SEED = 1_301
IMPACTS = {"cheap": 1.0 / 3.0, "usual": 2.0 / 3.0, "dear": 1.0}
"""Of working the residual: `WorldTerms.rest_impact`."""
WAYS: dict[str, Callable[[], splitting.Splitting]] = {
    "all_at_quotes": lambda: splitting.all_at_quotes,
    "all_residual": lambda: splitting.all_residual,
    "half": lambda: splitting.half,
    "while_cheaper": lambda: splitting.while_cheaper,
    "blended": splitting.Blended,
}


class Plan(Frozen, frozen=True):
    """How much is played."""

    worlds: int = 6
    log: int = 3_000
    requests: int = 100
    redraws: int = 2
    workers: int = 0


Found = dict[str, dict[str, tuple[float, float]]]
"""By impact and way: mean all-in cost in bps, and the share of the blocks that was worked."""


def run(figures: Figures, plan: Plan) -> None:
    """Adds the table, and what the blended split saves over each other way, with 95% intervals over worlds."""
    found = spread(partial(splits, plan), range(FIRST_SEED, FIRST_SEED + plan.worlds), plan.workers)
    describe(figures, found)


def splits(plan: Plan, seed: int) -> Found:
    """One world and its forks."""
    terms = WorldTerms(requests=plan.log)
    world, memory = DealerWorld(seed, terms), PanelMemory()
    habit = DeskHabit(terms, world.requests.unusual)
    log = [auction.outcome for auction in world.run(habit, plan.log, memory)]
    models = train_dealers(log, seed, f"study world {seed}")
    found: Found = {}
    for impact, coefficient in IMPACTS.items():
        found[impact] = {}
        for name, way in WAYS.items():
            own = world.fork()
            own.terms = msgspec.structs.replace(terms, rest_impact=coefficient)
            own.splitting = way()
            found[impact][name] = _led(plan, own, models, PanelMemory.of(log))
    return found


def _led(plan: Plan, world: DealerWorld, models: DealerModels, memory: PanelMemory) -> tuple[float, float]:
    """`world` is led on by its own way to split: (mean all-in cost over redraws, share worked)."""
    costs, worked = list[float](), list[float]()
    for _ in range(plan.requests):
        request = world.next_request()
        facts, chosen = request.facts, Chosen((), ())
        if world.splitting is not splitting.all_residual:
            forecast = models.forecast(facts, world.dealers, memory, ways.COUNTS)
            rng = np.random.default_rng([world.seed, 0xB1, request.number])
            policy = ways.ByForecast(world, lambda *_, made=forecast: made)
            chosen = policy.choose(facts, world.dealers, memory, rng)
            if isinstance(world.splitting, splitting.Blended):
                nearest = min(range(len(ways.COUNTS)), key=lambda i: abs(ways.COUNTS[i] - len(chosen.asked)))
                leaks = forecast.leakage_bps[nearest]
                world.splitting.leakage_bps = float(sum(leaks[world.place[d]] for d in chosen.asked))
        costs.append(world.expected_cost_bps(request, chosen.asked, plan.redraws))
        auction = world.play(request, chosen)
        worked.append(auction.left)
        world.settle(auction)
        memory.push(auction.outcome)
    return float(np.mean(costs)), float(np.mean(worked))


def describe(figures: Figures, found: list[Found]) -> None:
    """Costs and shares worked, and paired savings."""
    for impact in IMPACTS:
        costs = {way: np.array([one[impact][way][0] for one in found]) for way in WAYS}
        for way, cost in costs.items():
            figures.add(f"split_{impact}_{way}_cost_bps", float(cost.mean()))
            figures.add(f"split_{impact}_{way}_worked_share", float(np.mean([one[impact][way][1] for one in found])))
        for way, cost in costs.items():
            if way == "blended":
                continue
            mean, low, high = interval(cost - costs["blended"])
            figures.add(f"split_{impact}_blended_saves_over_{way}_bps", mean)
            figures.add(f"split_{impact}_blended_saves_over_{way}_low_bps", low)
            figures.add(f"split_{impact}_blended_saves_over_{way}_high_bps", high)
            if way != "while_cheaper":
                figures.goal(f"split_{impact}_blended_saves_over_{way}_low_bps", low, ">", 0.0)

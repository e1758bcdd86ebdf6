"""What exploring costs and teaches, online; and what the log of one policy tells of another.

Online, a desk begins with a short log of its habit. Then greedy choice, a fixed share of random slots, and Thompson
sampling each go their own way in a world of the same chances: all choose by models trained on their own log alone, and
trained again as it grows. Cumulative cost is compared in pairs of one seed.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ml import thompson
from ml.dealer_models import DealerModels
from ml.expected_cost import BlockTerms
from ml.memory import PanelMemory
from ml.off_policy import Estimate, LoggedChoice, doubly_robust
from ml.outcomes import Outcome, RequestFacts
from ml.selection import Bounds
from ml.thompson import Thompson
from ml.train_dealers import train_dealers
from rfq.domain.values import DealerId, Frozen
from rfq.studies import selection_policies as ways
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Chosen, DeskHabit, Policy
from rfq.studies.figures import Figures
from rfq.studies.selection_loop import Lane
from rfq.studies.spread_over import interval, spread
from rfq.studies.world_requests import WorldTerms

Array = NDArray[np.float64]

FIRST_SEED = 701
FIXED_SHARE = 0.15
BEGUN = 500
"""Auctions of the habit that everybody begins with."""


class Plan(Frozen, frozen=True):
    """How much is played."""

    seeds: int = 2
    requests: int = 1_500
    retrained: tuple[int, ...] = (500, 1_000)
    """After so many requests models are trained again."""
    off_policy_seeds: int = 2
    off_policy_log: int = 3_000
    workers: int = 0


FULL = Plan(seeds=20, requests=6_000, retrained=(500, 1_000, 2_000, 3_500), off_policy_seeds=6, off_policy_log=8_000)


class ByThompson(ways.ByForecast):
    """Thompson sampling with its budget, propensities logged."""

    def __init__(self, world: DealerWorld, models: DealerModels, how: Thompson) -> None:
        super().__init__(world, ways.by_models(models))
        self._models, self._how = models, how

    def choose(
        self, facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory | None, rng: Generator
    ) -> Chosen:
        forecast = self._forecast(facts, candidates, memory or PanelMemory())
        terms = self._world.terms
        block = BlockTerms(size=facts.size, max_winners=terms.max_winners, standing_weight=terms.standing)
        doubts = thompson.doubts_of(self._models, facts, forecast)
        bounds = Bounds(self._at_least, self._most)
        drawn = thompson.draw(forecast, doubts, block, self._world.rest_curve_bps(facts), bounds, self._how, rng)
        return Chosen(
            tuple(candidates[i] for i in drawn.chosen), tuple(drawn.propensities.tolist()), of_set=drawn.of_set
        )


class FixedShare(ways.ByForecast):
    """The best set, each slot given to a random outsider with a fixed probability."""

    def choose(
        self, facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory | None, rng: Generator
    ) -> Chosen:
        best = super().choose(facts, candidates, memory, rng).asked
        outside = [d for d in candidates if d not in best]
        given = int((rng.random(len(best)) < FIXED_SHARE).sum())
        left = rng.permutation(len(best))[given:]
        come = rng.permutation(len(outside))[:given]
        return Chosen((*(best[i] for i in left.tolist()), *(outside[i] for i in come.tolist())), ())


def run(figures: Figures, plan: Plan) -> None:
    """Adds both tables."""
    _describe_online(figures, plan, spread(partial(online, plan), _seeds(plan.seeds), plan.workers))
    found = spread(partial(off_policy, plan), _seeds(plan.off_policy_seeds), plan.workers)
    _describe_off_policy(figures, found)


def _seeds(count: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + count)


# --- online ----------------------------------------------------------------------------------------------------------


def online(plan: Plan, seed: int) -> dict[str, float]:
    """Mean cost by way of exploring, in bps a request."""
    world = DealerWorld(seed, WorldTerms(requests=BEGUN))
    log = list(world.history())
    found: dict[str, float] = {}
    for name in ("greedy", "fixed", "thompson"):
        found[name] = _led(plan, world.fork(), log, name, seed)
    return found


def _led(plan: Plan, world: DealerWorld, begun: list[Outcome], name: str, seed: int) -> float:
    """`world` is led by one way of exploring to the end."""
    log, costs = list(begun), list[float]()
    lane = Lane(world, _policy(name, world, log, seed), log)
    for number in range(plan.requests):
        if number in plan.retrained:
            lane.policy = _policy(name, world, [*begun, *lane.heard], seed)
        cost, _ = lane.step(0)
        costs.append(cost)
    return float(np.mean(costs))


def _policy(name: str, world: DealerWorld, log: list[Outcome], seed: int) -> Policy:
    models = train_dealers(log, seed, f"study world {seed}, {name}")
    if name == "thompson":
        return ByThompson(world, models, Thompson())
    kind = FixedShare if name == "fixed" else ways.ByForecast
    return kind(world, ways.by_models(models))


def _describe_online(figures: Figures, plan: Plan, found: Sequence[dict[str, float]]) -> None:
    figures.add("online_seeds", len(found))
    figures.add("online_requests", plan.requests)
    figures.add("online_thompson_budget_bps", Thompson().budget_bps)
    costs = {name: np.array([one[name] for one in found]) for name in found[0]}
    for name, cost in costs.items():
        figures.add(f"online_{name}_cost_bps", float(cost.mean()))
    for name in ("greedy", "fixed"):
        mean, low, high = interval(costs["thompson"] - costs[name])
        figures.add(f"online_thompson_less_{name}_bps", mean)
        figures.add(f"online_thompson_less_{name}_low_bps", low)
        figures.add(f"online_thompson_less_{name}_high_bps", high)
        verdict = "cheaper" if high < 0 else "dearer" if low > 0 else "a tie"
        figures.add(f"online_thompson_beside_{name}", verdict)
        figures.goal(f"online_thompson_less_{name}_bps", mean, "<", 0.0)


# --- off policy ------------------------------------------------------------------------------------------------------


def off_policy(plan: Plan, seed: int) -> dict[str, tuple[Estimate, float]]:
    """By candidate: its estimate from the later half of a desk's log, and what it would really have cost there.

    Models come from the earlier half. Costs are those that the cost analysis gives an auction: paid, worked, and moved
    by those asked. What is true is the candidates' expected cost in the very states of the log.
    """
    terms = WorldTerms(requests=plan.off_policy_log)
    world = DealerWorld(seed, terms)
    habit, memory = DeskHabit(terms, world.requests.unusual), PanelMemory()
    half, log = plan.off_policy_log // 2, list[Outcome]()
    for auction in world.run(habit, half, memory):
        log.append(auction.outcome)
    models = train_dealers(log, seed, f"study world {seed}, earlier half")
    chosen = ways.ByForecast(world, ways.by_models(models))
    rows: dict[str, list[LoggedChoice]] = {"pure_habit": [], "models": []}
    true: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(plan.off_policy_log - half):
        request = world.next_request()
        facts, rng = request.facts, np.random.default_rng([seed, 0xB0, request.number])
        forecast = models.forecast(facts, world.dealers, memory, ways.COUNTS)
        cost = ways.priced(world, facts, forecast, np.random.default_rng([seed, 0xB1, request.number]))
        usual = min(terms.most, max(terms.least, habit.usual_count(facts)))
        others = {
            "pure_habit": [world.dealers[i] for i in habit.ranked(facts, world.dealers)[:usual]],
            "models": list(chosen.choose(facts, world.dealers, memory, rng).asked),
        }
        logged = habit.choose(facts, world.dealers, memory, rng)
        auction = world.play(request, logged)
        assert logged.of_set is not None
        places = sorted(world.place[d] for d in logged.asked)
        for name, asked in others.items():
            those = sorted(world.place[d] for d in asked)
            same = float(those == places)
            rows[name].append(LoggedChoice(auction.cost_bps, cost.of(places), logged.of_set, same, cost.of(those)))
            true[name].append(world.expected_cost_bps(request, asked, 4))
        world.settle(auction)
        habit.learn(auction.outcome)
        memory.push(auction.outcome)
    return {name: (doubly_robust(log), float(np.mean(true[name]))) for name, log in rows.items()}


def _describe_off_policy(figures: Figures, found: Sequence[dict[str, tuple[Estimate, float]]]) -> None:
    for name in found[0]:
        pairs = [one[name] for one in found]
        figures.add(f"off_policy_{name}_true_bps", float(np.mean([true for _, true in pairs])))
        figures.add(f"off_policy_{name}_estimate_bps", float(np.mean([e.mean_bps for e, _ in pairs])))
        reach = float(np.mean([e.high_bps - e.mean_bps for e, _ in pairs]))
        figures.add(f"off_policy_{name}_half_interval_bps", reach if np.isfinite(reach) else "unbounded")
        figures.add(f"off_policy_{name}_models_alone_bps", float(np.mean([e.models_bps for e, _ in pairs])))
        figures.add(f"off_policy_{name}_effective_auctions", float(np.mean([e.effective for e, _ in pairs])))
        covered = sum(e.low_bps <= true <= e.high_bps for e, true in pairs)
        figures.add(f"off_policy_{name}_intervals_that_hold", f"{covered} of {len(pairs)}")

"""What choosing by the models is worth in closed loop, beside tuned rules of the industry and all-knowing oracles.

In every world the desks' log is written and learned from. Rules are tuned on the requests after it; then all policies
meet the same later requests, each in a world of its own, with models that stay as they were trained and a memory that
goes on. Costs are all-in, in bps of arrival, expected over redrawn chances. Intervals are of a bootstrap over worlds.
Tables of their own: exploring, waves, hiding the side, and the split between quotes and residual.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.dealer_models import DealerModels, Forecast
from ml.memory import PanelMemory
from ml.outcomes import Outcome, RequestFacts
from ml.train_dealers import train_dealers
from rfq.domain.values import DealerId, Frozen
from rfq.studies import exploration_evaluation, hiding_evaluation, split_evaluation, wave_evaluation
from rfq.studies import selection_policies as ways
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Policy
from rfq.studies.figures import Figures
from rfq.studies.selection_loop import Lane, side_by_side
from rfq.studies.spread_over import INTERVAL, interval, resamples, spread
from rfq.studies.world_requests import WorldTerms
from rfq.studies.world_truth import Truth

Array = NDArray[np.float64]

FIRST_SEED = 501
MOST_EXCESS_BPS = 0.05


class Plan(Frozen, frozen=True):
    """How much is played."""

    worlds: int = 6
    log: int = 10_000
    early: int = 2_000
    """Auctions of the log that the early models are trained on."""
    tuning: int = 150
    requests: int = 250
    redraws: int = 3
    full: bool = False
    """The online tables too at their full length."""
    workers: int = 0
    """0: as many as there are cores."""


def plan(worlds: int, *, full: bool) -> Plan:
    return Plan(worlds=worlds, tuning=500, requests=2_000, redraws=8, full=True) if full else Plan(worlds=worlds)


class Closed(Frozen, frozen=True):
    """One world: mean cost by policy, and dealers asked."""

    seed: int
    rule: str
    cost_bps: dict[str, float]
    asked: dict[str, float]


def run(plan: Plan) -> Figures:
    """The whole table. Raises BadInput for a plan that no world can play."""
    figures = Figures(
        f"selection in closed loop: {plan.worlds} worlds, {plan.requests} requests after a log of {plan.log}"
    )
    found = spread(partial(closed_loop, plan), range(FIRST_SEED, FIRST_SEED + plan.worlds), plan.workers)
    plain = spread(partial(pure_log, plan), range(FIRST_SEED, FIRST_SEED + plan.worlds), plan.workers)
    describe(figures, found, plain)
    exploring = exploration_evaluation.FULL if plan.full else exploration_evaluation.Plan()
    exploration_evaluation.run(figures, exploring)
    waving = wave_evaluation.Plan(worlds=plan.worlds)
    wave_evaluation.run(figures, msgspec.structs.replace(waving, requests=1_000) if plan.full else waving)
    hiding = hiding_evaluation.Plan(worlds=plan.worlds)
    hiding_evaluation.run(figures, msgspec.structs.replace(hiding, requests=1_000) if plan.full else hiding)
    splitting = split_evaluation.Plan(worlds=plan.worlds)
    split_evaluation.run(figures, msgspec.structs.replace(splitting, requests=600) if plan.full else splitting)
    return figures


# --- one world -------------------------------------------------------------------------------------------------------


def closed_loop(plan: Plan, seed: int) -> Closed:
    """Rules tuned, then everybody side by side, after a partly randomised log."""
    world = DealerWorld(seed, WorldTerms(requests=plan.log))
    log = list(world.history())
    early = train_dealers(log[: plan.early], seed, f"study world {seed}")
    late = train_dealers(log, seed, f"study world {seed}")
    name, rule, log = tuned_rule(plan, world, log, late)
    turned = shuffled(late, world.dealers, seed)
    policies: dict[str, Callable[[DealerWorld], Policy]] = {
        "rule": rule,
        "models_early": lambda own: ways.ByForecast(own, ways.by_models(early)),
        "models": lambda own: ways.ByForecast(own, ways.by_models(late)),
        "models_shuffled": lambda own: ways.ByForecast(own, turned),
        "models_true_leakage": lambda own: WithTruth(own, late, ("leakage_bps",)),
        "oracle": lambda own: ways.Oracle(own, knowing=True),
        "oracle_without_inventory": lambda own: ways.Oracle(own, knowing=False),
        "desk_habit": lambda own: ways.DeskAsBefore(own, log),
    }
    costs, asked = side_by_side(lanes(world, policies, log), plan.requests, plan.redraws)
    return Closed(seed, name, {name: float(cost.mean()) for name, cost in costs.items()}, asked)


def pure_log(plan: Plan, seed: int) -> Closed:
    """The same on a log without any randomisation: what was never tried cannot be known."""
    world = DealerWorld(seed, WorldTerms(requests=plan.log, explored=0.0, recounted=0.0))
    log = list(world.history())
    models = train_dealers(log, seed, f"study world {seed}, pure habit")
    name, rule, log = tuned_rule(plan, world, log, models)
    policies: dict[str, Callable[[DealerWorld], Policy]] = {
        "rule": rule,
        "models": lambda own: ways.ByForecast(own, ways.by_models(models)),
    }
    costs, asked = side_by_side(lanes(world, policies, log), plan.requests, plan.redraws)
    return Closed(seed, name, {name: float(cost.mean()) for name, cost in costs.items()}, asked)


def lanes(
    world: DealerWorld, policies: Mapping[str, Callable[[DealerWorld], Policy]], log: Sequence[Outcome]
) -> dict[str, Lane]:
    """Each policy in its own fork of the world."""
    made: dict[str, Lane] = {}
    for name, policy in policies.items():
        own = world.fork()
        made[name] = Lane(own, policy(own), log)
    return made


def tuned_rule(
    plan: Plan, world: DealerWorld, log: list[Outcome], models: DealerModels
) -> tuple[str, Callable[[DealerWorld], Policy], list[Outcome]]:
    """The cheapest rule of the requests after the log, how to make it, and the log that now ends where they do: the
    world goes on under the rule that was found best."""
    rules = industry(models)
    tried = lanes(world, {name: partial(rule, log) for name, rule in rules.items()}, log)
    costs, _ = side_by_side(tried, plan.tuning, 0)
    best = min(costs, key=lambda name: float(costs[name].mean()))
    led, log = tried[best].world, [*log, *tried[best].heard]
    world.inventory, world.now, world.number = led.inventory.copy(), led.now, led.number
    return best, partial(rules[best], log), log


def industry(models: DealerModels) -> dict[str, Callable[[Sequence[Outcome], DealerWorld], Policy]]:
    """What desks do, at every setting that is tried."""
    rules: dict[str, Callable[[Sequence[Outcome], DealerWorld], Policy]] = {
        "ask_all": lambda log, own: ways.ask_all(),
    }
    for count in (3, 4, 5, 6, 8):
        rules[f"sector_hit_rate_{count}"] = lambda log, own, n=count: ways.ByHitRate(log, True, n)
        rules[f"predicted_quote_{count}"] = lambda log, own, n=count: ways.by_predicted_quote(models, n)
    for count in (4, 6, 8):
        rules[f"hit_rate_{count}"] = lambda log, own, n=count: ways.ByHitRate(log, False, n)
        rules[f"past_quotes_{count}"] = lambda log, own, n=count: ways.by_last_quotes(n)
    for more in (-1, 0, 1, 2):
        rules[f"desk_habit_{more:+d}"] = lambda log, own, n=more: ways.DeskAsBefore(own, log, n)
    return rules


def shuffled(models: DealerModels, dealers: Sequence[DealerId], seed: int) -> ways.Forecaster:
    """The models, told of each dealer what is true of another."""
    turn = np.random.default_rng([seed, 0x5F]).permutation(len(dealers))
    other = {dealer: dealers[turn[place]] for place, dealer in enumerate(dealers)}

    def forecast(facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory) -> Forecast:
        return models.forecast(facts, [other[d] for d in candidates], memory, ways.COUNTS)

    return forecast


class WithTruth(ways.Oracle):
    """The models, with parts of their forecast replaced by what is true (inventories left unknown)."""

    def __init__(self, world: DealerWorld, models: DealerModels, parts: Sequence[str]) -> None:
        truth = Truth(world, points=ways.ORACLE_POINTS)

        def forecast(facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory) -> Forecast:
            ours = models.forecast(facts, candidates, memory, ways.ORACLE_COUNTS)
            true = truth.forecast(self.request, ways.ORACLE_COUNTS, knowing=False)
            return msgspec.structs.replace(ours, **{part: getattr(true, part) for part in parts})

        ways.ByForecast.__init__(self, world, forecast)


# --- the table -------------------------------------------------------------------------------------------------------


def describe(figures: Figures, found: Sequence[Closed], plain: Sequence[Closed]) -> None:
    """Costs, shares of the gap with intervals, and the goals."""
    figures.add("tuned_rules", ", ".join(one.rule for one in found))
    for name in found[0].cost_bps:
        figures.add(f"{name}_cost_bps", float(np.mean([one.cost_bps[name] for one in found])))
        figures.add(f"{name}_asked", float(np.mean([one.asked[name] for one in found])))
    shares: dict[str, tuple[float, float, float]] = {}
    for name in ("models_early", "models", "models_shuffled", "models_true_leakage", "oracle_without_inventory"):
        shares[name] = mean, low, high = share_of_gap(found, name, "oracle")
        figures.add(f"{name}_share_of_gap", mean)
        figures.add(f"{name}_share_of_gap_low", low)
        figures.add(f"{name}_share_of_gap_high", high)
    for name in ("models_early", "models"):
        mean, low, high = share_of_gap(found, name, "oracle_without_inventory")
        figures.add(f"{name}_share_of_gap_without_inventory", mean)
        figures.add(f"{name}_share_of_gap_without_inventory_low", low)
        figures.add(f"{name}_share_of_gap_without_inventory_high", high)
    excess = np.array([one.cost_bps["models"] - one.cost_bps["rule"] for one in plain])
    mean, low, high = interval(excess)
    figures.add("pure_log_tuned_rules", ", ".join(one.rule for one in plain))
    figures.add("pure_log_excess_bps", mean)
    figures.add("pure_log_excess_low_bps", low)
    figures.add("pure_log_excess_high_bps", high)
    figures.goal("models_early_share_of_gap", shares["models_early"][0], ">=", 0.30)
    figures.goal("models_share_of_gap", shares["models"][0], ">=", 0.45)
    figures.goal("models_early_share_of_gap_low", shares["models_early"][1], ">", 0.0)
    figures.goal("models_share_of_gap_low", shares["models"][1], ">", 0.0)
    figures.goal("pure_log_excess_high_bps", high, "<", MOST_EXCESS_BPS)
    figures.goal("models_shuffled_share_of_gap", shares["models_shuffled"][0], "<=", 0.0)
    figures.goal(
        "true_leakage_over_models_share_of_gap", shares["models_true_leakage"][0] - shares["models"][0], ">", 0.0
    )


def share_of_gap(found: Sequence[Closed], name: str, oracle: str) -> tuple[float, float, float]:
    """Of the gap between tuned rule and oracle, how much a policy closes: all worlds together, and its interval."""
    saved = np.array([one.cost_bps["rule"] - one.cost_bps[name] for one in found])
    gap = np.array([one.cost_bps["rule"] - one.cost_bps[oracle] for one in found])
    those = resamples(len(found))
    low, high = np.quantile(saved[those].mean(1) / gap[those].mean(1), INTERVAL)
    return float(saved.mean() / gap.mean()), float(low), float(high)

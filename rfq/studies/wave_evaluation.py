"""What asking in waves is worth: a few dealers first, more only where that pays, beside asking the best set at once.

The case that is declared: a quote of the first wave holds until the second is in with some probability, and a share of
those asked first trades ahead meanwhile, which makes the second wave's quotes dearer. The desk knows both figures; what
the first may have moved it knows from its leakage model. Both ways meet the same chances in the same state.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ml.dealer_models import DealerModels, Forecast
from ml.expected_cost import BlockTerms
from ml.memory import PanelMemory
from ml.selection import Bounds, best_count, greedy
from ml.train_dealers import train_dealers
from ml.waves import InHand, Waiting, worth_asking
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import Frozen
from rfq.studies import selection_policies as ways
from rfq.studies.dealer_world import DealerWorld, FirstWave
from rfq.studies.desk_habit import Chosen, DeskHabit
from rfq.studies.figures import Figures
from rfq.studies.spread_over import interval, spread
from rfq.studies.world_auction import Auction
from rfq.studies.world_requests import Request, WorldTerms

Array = NDArray[np.float64]

FIRST_SEED = 901
FIRST = 3
"""Dealers of the first wave."""
MINUTE = MARK_OUT_HORIZONS_S.index(60.0)


class Case(Frozen, frozen=True):
    """What waiting does."""

    name: str
    holds: float
    talks: float
    """Share of what those asked first will do that they have done before the second wave quotes."""


CASES = (
    Case("quotes_hold_85_percent", 0.85, 0.5),
    Case("quotes_hold", 1.0, 0.0),
    Case("worst", 0.5, 1.0),
)


class Plan(Frozen, frozen=True):
    """How much is played."""

    worlds: int = 6
    log: int = 3_000
    requests: int = 150
    redraws: int = 3
    workers: int = 0


def run(figures: Figures, plan: Plan) -> None:
    """Adds the table: the saving by case with its interval, and how often the second wave is asked."""
    found = spread(partial(waves, plan), range(FIRST_SEED, FIRST_SEED + plan.worlds), plan.workers)
    for case in CASES:
        mean, low, high = interval(np.array([one[case.name][0] for one in found]))
        figures.add(f"waves_{case.name}_saving_bps", mean)
        figures.add(f"waves_{case.name}_saving_low_bps", low)
        figures.add(f"waves_{case.name}_saving_high_bps", high)
        figures.add(f"waves_{case.name}_widened_share", float(np.mean([one[case.name][1] for one in found])))
        if case.name == "quotes_hold_85_percent":
            figures.goal(f"waves_{case.name}_saving_low_bps", low, ">", 0.0)
        if case.name == "worst":
            figures.goal(f"waves_{case.name}_saving_bps", mean, ">=", 0.0)


def waves(plan: Plan, seed: int) -> dict[str, tuple[float, float]]:
    """By case: mean saving over asking at once, in bps, and the share of auctions that were widened."""
    terms = WorldTerms(requests=plan.log)
    world, memory = DealerWorld(seed, terms), PanelMemory()
    habit = DeskHabit(terms, world.requests.unusual)
    log = [auction.outcome for auction in world.run(habit, plan.log, memory)]
    models = train_dealers(log, seed, f"study world {seed}")
    savings: dict[str, list[float]] = {case.name: [] for case in CASES}
    widened: dict[str, list[bool]] = {case.name: [] for case in CASES}
    for _ in range(plan.requests):
        request = world.next_request()
        rng = np.random.default_rng([seed, 0xB0, request.number])
        for again in range(1, plan.redraws + 1):
            redrawn = world.requests.redrawn(request, again)
            tried = _tried(world, models, memory, redrawn, again)
            for name, (saving, more) in tried.items():
                savings[name].append(saving)
                widened[name].append(more)
        auction = world.play(request, habit.choose(request.facts, world.dealers, memory, rng))
        world.settle(auction)
        habit.learn(auction.outcome)
        memory.push(auction.outcome)
    return {name: (float(np.mean(savings[name])), float(np.mean(widened[name]))) for name in savings}


def _tried(
    world: DealerWorld, models: DealerModels, memory: PanelMemory, request: Request, again: int
) -> dict[str, tuple[float, bool]]:
    """By case: what waves save in this draw, and whether more were asked."""
    facts, dealers = request.facts, world.dealers
    forecast = models.forecast(facts, dealers, memory, ways.COUNTS)
    rng = np.random.default_rng([world.seed, 0xD0, request.number, again])
    cost = ways.priced(world, facts, forecast, rng)
    path = greedy(cost, range(len(dealers)), ways.MOST)
    count = best_count(path, Bounds(FIRST, ways.MOST))
    at_once = world.play(request, Chosen(tuple(dealers[i] for i in path.order[:count]), ())).cost_bps
    first = path.order[:FIRST]
    opening = world.play(request, Chosen(tuple(dealers[i] for i in first), ()))
    lapses = rng.random(len(dealers))
    found: dict[str, tuple[float, bool]] = {}
    for case in CASES:
        further = _further(world, forecast, request, first, opening, case)
        cost_bps = opening.cost_bps
        if further:
            before = _before(world, request, opening, case, lapses)
            asked = tuple(dealers[i] for i in (*first, *further))
            cost_bps = world.play(request, Chosen(asked, ()), before).cost_bps
        found[case.name] = at_once - cost_bps, bool(further)
    return found


def _further(
    world: DealerWorld, forecast: Forecast, request: Request, first: Sequence[int], opening: Auction, case: Case
) -> tuple[int, ...]:
    """Whom the desk asks next, from what it sees."""
    terms, asked = world.terms, dict[int, InHand | None]()
    for place, said in zip(first, opening.outcome.asked, strict=True):
        quoted = said.cost_bps is not None and said.quoted_size is not None
        asked[place] = InHand(said.cost_bps, said.quoted_size) if quoted else None  # type: ignore[arg-type]
    facts = request.facts
    block = BlockTerms(size=facts.size, max_winners=terms.max_winners, standing_weight=terms.standing)
    moved_bps = case.talks * float(forecast.leakage_bps[FIRST - 1, list(first)].sum())
    waiting = Waiting(case.holds, moved_bps)
    return worth_asking(forecast, asked, waiting, block, world.rest_curve_bps(facts), ways.MOST, request.number).further


def _before(world: DealerWorld, request: Request, opening: Auction, case: Case, lapses: Array) -> FirstWave:
    """The first wave as it stands when the second quotes."""
    cost_bps, held = np.full(len(world.dealers), np.inf), np.zeros(len(world.dealers), dtype=bool)
    places = [world.place[said.dealer] for said in opening.outcome.asked]
    for place, said in zip(places, opening.outcome.asked, strict=True):
        if said.cost_bps is not None:
            cost_bps[place], held[place] = said.cost_bps, lapses[place] < case.holds
    asked = [said.dealer for said in opening.outcome.asked]
    return FirstWave(places, cost_bps, held, case.talks * world.talked_bps(request, asked, MINUTE))

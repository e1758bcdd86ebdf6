"""How long the decision whom to ask takes: features from history, all models, the set, its reasons; on one core.

Beside it, in the same run and on the same requests, the naive way: features and one call of XGBoost for each dealer and
model, reasons as well, then the same choice of the set. Both alternate. What a decision took is counted on the clock
and in time that the processor spent on it: on a machine that others use as well the two differ.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from statistics import median
from time import perf_counter, thread_time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.choosing import Chooser
from ml.dealer_models import Asking, DealerModels, Forecast
from ml.memory import PanelMemory
from ml.outcomes import SETTLE_S, RequestFacts
from ml.residual_cost import SquareRootResidual
from rfq.domain.rfq import Leg, RequestSide, ResidualTerms, RfqTerms
from rfq.domain.values import NO_LOTS, Frozen, Price, Quantity, Symbol
from rfq.ports import MarketView, ResidualRequest, SelectionRequest
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.figures import Figures, progress
from rfq.studies.world_requests import Request, WorldTerms

PANELS = (20, 50, 200)
GOALS_MS = {20: 3.0, 200: 15.0}
LEAST_RATIO = 20.0
AGES = (1_000, 20_000)
"""Auctions in the history whose look-ups are compared."""
MID = Price(20_000)
SEED = 20_260_311


class Plan(Frozen, frozen=True):
    """How much is measured."""

    decisions: int = 400
    naive: int = 40
    history: int = 4_000
    """Auctions that the panels have behind them."""
    ages: tuple[int, int] = AGES
    lookups: int = 400


QUICK = Plan(decisions=60, naive=6, history=400, ages=(1_000, 4_000), lookups=60)


class Took(NamedTuple):
    """One after another, in milliseconds."""

    clock_ms: list[float]
    processor_ms: list[float]


class OneByOne:
    """Models that are called for each dealer by itself: for what to expect of it, and for the reasons."""

    def __init__(self, models: DealerModels) -> None:
        self._models = models.by_xgboost()
        self.version = models.version

    def forecasts(self, askings: Sequence[Asking], memory: PanelMemory) -> list[Forecast]:
        return [self._together(asking, memory) for asking in askings]

    def _together(self, asking: Asking, memory: PanelMemory) -> Forecast:
        alone = [self._models.forecast(asking.facts, [d], memory, asking.asked) for d in asking.dealers]

        def panel(name: str, axis: int) -> NDArray[Any]:
            return np.concatenate([getattr(one, name) for one in alone], axis=axis)

        return Forecast(
            dealers=tuple(asking.dealers),
            asked=tuple(asking.asked),
            **{name: panel(name, 1) for name in ("response", "cost_bps", "leakage_bps", "x")},
            **{name: panel(name, 0) for name in ("fade", "quoted_size", "seen", "response_s")},
        )

    def all_reasons(
        self, facts: Sequence[RequestFacts], x: Sequence[NDArray[np.float32]]
    ) -> list[list[dict[str, float]]]:
        one = self._models.reasons
        return [[one(f, row[None])[0] for row in rows] for f, rows in zip(facts, x, strict=True)]


def run(plan: Plan) -> Figures:
    """Measures according to `plan`."""
    figures = Figures("scoring bench: whom to ask, one core, shipped models, up to 8 of the panel asked")
    figures.add("load_average", os.getloadavg()[0])
    models = DealerModels.load()
    p99, ratios = dict[int, float](), dict[int, float]()
    for dealers in PANELS:
        progress(f"a panel of {dealers}")
        p99[dealers], ratios[dealers] = _panel(figures, plan, models, dealers)
    progress("look-ups in short and long histories")
    young, old = _lookups_ms(plan)
    figures.add(f"lookup_after_{plan.ages[0]}_auctions_ms", young)
    figures.add(f"lookup_after_{plan.ages[1]}_auctions_ms", old)
    for dealers, bound in GOALS_MS.items():
        figures.goal(f"decision_{dealers}_dealers_p99_ms", p99[dealers], "<", bound)
    for dealers in PANELS:
        figures.goal(f"naive_over_decision_{dealers}_dealers_ratio", ratios[dealers], ">=", LEAST_RATIO)
    figures.goal("lookup_old_over_young_ratio", old / young, "<=", 1.5)
    return figures


def _panel(figures: Figures, plan: Plan, models: DealerModels, dealers: int) -> tuple[float, float]:
    """(p99 of a decision in ms, how many times longer the naive one takes)."""
    world = DealerWorld(SEED, WorldTerms(dealers=dealers, requests=plan.history))
    memory = PanelMemory.of(world.history())
    requests = [_selection_request(world, world.next_request()) for _ in range(plan.decisions)]
    chooser, naive = Chooser(models), Chooser(OneByOne(models))  # type: ignore[arg-type]
    chooser.select(requests[0], memory)
    quick, slow = Took([], []), Took([], [])
    every = plan.decisions // plan.naive
    for number, request in enumerate(requests):
        _timed(quick, lambda request=request: chooser.select(request, memory))
        if number % every == 0:
            _timed(slow, lambda request=request: naive.select(request, memory))
    for name, took in (("decision", quick), ("naive", slow)):
        for level in (50, 99):
            figures.add(f"{name}_{dealers}_dealers_p{level}_ms", float(np.percentile(took.clock_ms, level)))
        figures.add(f"{name}_{dealers}_dealers_processor_p50_ms", median(took.processor_ms))
        figures.add(f"{name}_{dealers}_dealers_processor_p99_ms", float(np.percentile(took.processor_ms, 99)))
    return float(np.percentile(quick.clock_ms, 99)), median(slow.clock_ms) / median(quick.clock_ms)


def _timed(took: Took, work: Callable[[], object]) -> None:
    begun, spent = perf_counter(), thread_time()
    work()
    took.clock_ms.append(1e3 * (perf_counter() - begun))
    took.processor_ms.append(1e3 * (thread_time() - spent))


def _lookups_ms(plan: Plan) -> tuple[float, float]:
    """Median times to read the state of a panel of 12 from memories of few and of many auctions, in turn."""
    readings = list[tuple[Took, Callable[[], object]]]()
    for auctions in plan.ages:
        world = DealerWorld(SEED, WorldTerms(dealers=12, requests=auctions, requests_per_day=2_000.0))
        memory, facts = PanelMemory.of(world.history()), world.next_request().facts
        readings.append((Took([], []), partial(memory.state, world.dealers, facts, SETTLE_S)))
    for _ in range(plan.lookups):
        for took, read in readings:
            _timed(took, read)
    young, old = (median(took.clock_ms) for took, _ in readings)
    return young, old


def _selection_request(world: DealerWorld, request: Request) -> SelectionRequest:
    """As the engine would put it to the predictor."""
    facts, instrument = request.facts, request.instrument
    side = RequestSide.TWO_WAY if facts.two_way else RequestSide(facts.side.value)  # type: ignore[union-attr]
    leg = Leg(instrument.symbol, side, Quantity(request.quantity), intent=facts.side if facts.two_way else None)
    terms = RfqTerms(legs=(leg,), residual=ResidualTerms(horizon_s=10_800.0), anonymous=facts.anonymous)
    market = _market(instrument.symbol, facts.spread_bps, facts.at)
    worked = ResidualRequest(instrument, facts.side, leg.quantity, market, terms)
    curve = SquareRootResidual().curve(worked)
    return SelectionRequest(terms, instrument, market, facts.at, world.dealers, curve, request.number)


def _market(symbol: Symbol, spread_bps: float, at: datetime) -> MarketView:
    half = max(1, round(MID * spread_bps / 2e4))
    return MarketView(symbol, Price(MID - half), Price(MID + half), Quantity(1), Quantity(1), None, NO_LOTS, at)

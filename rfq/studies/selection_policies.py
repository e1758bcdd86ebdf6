"""Ways of choosing whom to ask that studies compare: the models, all-knowing oracles, and what the industry does.

All of them are followed by the same split between quotes and residual, which the world does. None explores: each asks
what it thinks best, and keeps to it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ml.dealer_models import DealerModels, Forecast
from ml.expected_cost import BlockTerms, ExpectedCost
from ml.memory import PanelMemory
from ml.outcomes import SETTLE_S, Outcome, RequestFacts
from ml.selection import Bounds, best_count, greedy
from rfq.domain.selection import QUANTILES
from rfq.domain.values import DealerId
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Chosen, DeskHabit
from rfq.studies.world_requests import Request
from rfq.studies.world_truth import Truth

Array = NDArray[np.float64]
Forecaster = Callable[[RequestFacts, Sequence[DealerId], PanelMemory], Forecast]

COUNTS = (1, 2, 3, 4, 5, 6, 8)
"""Numbers asked that are forecast."""
MOST, AT_LEAST = 8, 3
MEDIAN = QUANTILES.index(0.5)


class ByForecast:
    """The set of least expected all-in cost under a forecast, as the service chooses it without exploring."""

    def __init__(self, world: DealerWorld, forecast: Forecaster, at_least: int = AT_LEAST, most: int = MOST) -> None:
        self._world, self._forecast = world, forecast
        self._at_least, self._most = at_least, most

    def choose(
        self, facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory | None, rng: Generator
    ) -> Chosen:
        forecast = self._forecast(facts, candidates, memory or PanelMemory())
        cost = priced(self._world, facts, forecast, rng)
        path = greedy(cost, range(len(candidates)), self._most)
        count = best_count(path, Bounds(self._at_least, self._most))
        return Chosen(tuple(candidates[i] for i in path.order[:count]), ())

    def learn(self, outcome: Outcome) -> None:
        """Everything it learns is in the memory."""


def priced(world: DealerWorld, facts: RequestFacts, forecast: Forecast, rng: Generator) -> ExpectedCost:
    """Sets of dealers, as a forecast prices them in this world."""
    terms = world.terms
    block = BlockTerms(size=facts.size, max_winners=terms.max_winners, standing_weight=terms.standing)
    return ExpectedCost(forecast, block, world.rest_curve_bps(facts), rng)


def by_models(models: DealerModels) -> Forecaster:
    return lambda facts, candidates, memory: models.forecast(facts, candidates, memory, COUNTS)


class Oracle(ByForecast):
    """Decides as the models do, from the truth: `knowing` inventories and beliefs, or all but those."""

    def __init__(self, world: DealerWorld, *, knowing: bool, at_least: int = 1) -> None:
        truth = Truth(world, points=ORACLE_POINTS)
        super().__init__(world, lambda *_: truth.forecast(self.request, ORACLE_COUNTS, knowing=knowing), at_least)

    def meet(self, request: Request) -> None:
        """The request that is to be chosen for next, hidden state and all."""
        self.request = request


ORACLE_POINTS, ORACLE_COUNTS = 256, (1, 2, 3, 5, 8)


class Rule:
    """The best `count` dealers by a score; a rule that desks follow today."""

    def __init__(self, score: Callable[[RequestFacts, Sequence[DealerId], PanelMemory], Array], count: int) -> None:
        self._score, self._count = score, count

    def choose(
        self, facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory | None, rng: Generator
    ) -> Chosen:
        scores = self._score(facts, candidates, memory or PanelMemory())
        best = np.argsort(-scores, kind="stable")[: self._count]
        return Chosen(tuple(candidates[i] for i in best.tolist()), ())

    def learn(self, outcome: Outcome) -> None:
        pass


class HitRates:
    """Hit rates of all desks together, by dealer and, shrunk towards that, by dealer and sector."""

    def __init__(self, sectors: bool, prior: float = 8.0) -> None:
        self._sectors, self._prior = sectors, prior
        self._asked: dict[tuple[str, str], float] = {}
        self._won: dict[tuple[str, str], float] = {}

    def learn(self, outcome: Outcome) -> None:
        for asked in outcome.asked:
            for key in ((asked.dealer, ""), (asked.dealer, outcome.facts.sector)):
                self._asked[key] = self._asked.get(key, 0.0) + 1.0
                self._won[key] = self._won.get(key, 0.0) + (not asked.lost)

    def score(self, facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory) -> Array:
        return np.array([self._rate(dealer, facts.sector) for dealer in candidates])

    def _rate(self, dealer: DealerId, sector: str) -> float:
        overall = self._shrunk((dealer, ""), 0.2)
        return self._shrunk((dealer, sector), overall) if self._sectors else overall

    def _shrunk(self, key: tuple[str, str], towards: float) -> float:
        return (self._won.get(key, 0.0) + self._prior * towards) / (self._asked.get(key, 0.0) + self._prior)


class ByHitRate(Rule):
    """Top so many by hit rate, learned as it goes."""

    def __init__(self, history: Sequence[Outcome], sectors: bool, count: int) -> None:
        self._rates = HitRates(sectors)
        for outcome in history:
            self._rates.learn(outcome)
        super().__init__(self._rates.score, count)

    def learn(self, outcome: Outcome) -> None:
        self._rates.learn(outcome)


def by_predicted_quote(models: DealerModels, count: int) -> Rule:
    """Top so many by the median quote that the models predict."""

    def score(facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory) -> Array:
        return -models.forecast(facts, candidates, memory, (count,)).cost_bps[0, :, MEDIAN]

    return Rule(score, count)


def by_last_quotes(count: int) -> Rule:
    """Top so many by mean of past quotes in the sector, over the reference cost: no model is needed."""

    def score(facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory) -> Array:
        return -memory.state(candidates, facts, SETTLE_S).sector_cost

    return Rule(score, count)


def ask_all() -> Rule:
    return Rule(lambda facts, candidates, memory: np.zeros(len(candidates)), 1_000)


class DeskAsBefore(DeskHabit):
    """The desks' habit without exploring, from what the log taught it, so many more or fewer asked than usual."""

    def __init__(self, world: DealerWorld, history: Sequence[Outcome], more: int = 0) -> None:
        super().__init__(world.terms, world.requests.unusual)
        self._more = more
        for outcome in history:
            self.learn(outcome)

    def choose(
        self, facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory | None, rng: Generator
    ) -> Chosen:
        count = min(len(candidates), max(1, self.usual_count(facts) + self._more))
        return Chosen(tuple(candidates[place] for place in self.ranked(facts, candidates)[:count]), ())

"""Exploring by Thompson sampling: ask what would be best if something else were true that might as well be believed.

A handful of beliefs is drawn (`doubts_of`, `believed`), each has its own best set, and one of the sets is drawn evenly.
A dealer's propensity is the share of the sets that it is in, a set's the share that equals it: exact, given the sets,
which the request's seed gives again. A set that the models themselves expect to cost more than the budget over the best
is replaced by the best before the draw: exploring is not expected to cost more than is allowed (Thompson 1933; Russo
et al. 2018).
"""

import msgspec
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ml.dealer_models import DealerModels, Forecast
from ml.expected_cost import BlockTerms, ExpectedCost
from ml.features import FEATURES
from ml.outcomes import RequestFacts
from ml.quote_law import reference_cost_bps
from ml.selection import Allowance, Bounds, Path, best_count, greedy
from rfq.domain.errors import BadInput

Array = NDArray[np.float64]

NINETY = 1.645
"""Standard deviations that a 90% interval reaches either way."""
_ASKED, _SPREAD = FEATURES.index("asked"), FEATURES.index("law_scale")


class Thompson(msgspec.Struct, frozen=True, tag="thompson"):
    """How much is explored. Raises BadInput for fewer than two beliefs or a budget below 0."""

    beliefs: int = 5
    budget_bps: float = 0.15
    """Most that a set may be expected to cost over the best. Half a basis point cost more than it taught; of 0.15, and
    a half that falls with the log or with its root, 0.15 was cheapest in ten worlds that nothing else is judged in."""

    def __post_init__(self) -> None:
        if self.beliefs < 2:
            raise BadInput("beliefs", self.beliefs, "must be at least 2: one explores nothing that can be told")
        if not self.budget_bps >= 0:
            raise BadInput("budget_bps", self.budget_bps, "must be at least 0")

    def __str__(self) -> str:
        return f"thompson: the best set under one of {self.beliefs} beliefs, within {self.budget_bps:g} bps of the best"


class Doubts(msgspec.Struct, frozen=True):
    """Standard deviations of what is believed of each dealer, (D,). Raises BadInput for one that is no number, or below
    0: what is not known to be how doubtful cannot be sampled."""

    leakage_bps: Array
    cost_bps: Array
    """Of its mean quote."""
    response: Array

    def __post_init__(self) -> None:
        for name in ("leakage_bps", "cost_bps", "response"):
            value = getattr(self, name)
            if not (np.isfinite(value).all() and (value >= 0).all()):
                raise BadInput(f"doubts.{name}", value.tolist(), "must be finite and at least 0")


class Drawn(msgspec.Struct, frozen=True):
    """A choice by Thompson sampling."""

    chosen: tuple[int, ...]
    propensities: Array
    of_set: float
    best: tuple[int, ...]
    sets: tuple[tuple[int, ...], ...]
    """One for each belief, after the budget."""
    path: Path
    """The models' own, of which `best` is the beginning."""
    cost: ExpectedCost
    """The models' own price of a set."""


def doubts_of(models: DealerModels, facts: RequestFacts, forecast: Forecast) -> Doubts:
    """Leakage from its posterior; quotes and answers from how often the dealer was met, over priors worth 5 and 8
    requests. A dealer never asked is the most doubtful."""
    bounds = np.array([models.leakage.interval_bps(facts, d) for d in forecast.dealers]).reshape(-1, 2)
    met = np.expm1(forecast.x[0, :, _ASKED].astype(np.float64))
    answers = np.clip(forecast.response[0], 0.02, 0.98)
    spread = forecast.x[0, :, _SPREAD] * reference_cost_bps(facts)
    return Doubts(
        leakage_bps=np.diff(bounds, axis=1)[:, 0] / (2 * NINETY),
        cost_bps=spread / np.sqrt(met * answers + 5.0),
        response=np.sqrt(answers * (1.0 - answers) / (met + 8.0)),
    )


def believed(forecast: Forecast, doubts: Doubts, rng: Generator) -> Forecast:
    """The forecast as it would be under one belief."""
    leak, cost, answer = rng.standard_normal((3, len(forecast.dealers)))
    return msgspec.structs.replace(
        forecast,
        leakage_bps=np.maximum(0.0, forecast.leakage_bps + leak * doubts.leakage_bps),
        cost_bps=forecast.cost_bps + (cost * doubts.cost_bps)[None, :, None],
        response=np.clip(forecast.response + answer * doubts.response, 0.01, 0.99),
    )


def draw(
    forecast: Forecast,
    doubts: Doubts,
    block: BlockTerms,
    rest: Array,
    bounds: Bounds,
    how: Thompson,
    rng: Generator,
    allowance: Allowance | None = None,
) -> Drawn:
    """Whom to ask of the forecast's dealers, and with what probability it would have been anybody. An allowance bounds
    what the models themselves expect to leak, under every belief."""
    everyone = range(len(forecast.dealers))
    # The same draws of answers and quotes for every belief: sets differ by what is believed alone.
    draws = int(rng.integers(2**63))

    def best(of: Forecast) -> tuple[ExpectedCost, Path, tuple[int, ...]]:
        cost = ExpectedCost(of, block, rest, np.random.default_rng(draws))
        path = greedy(cost, everyone, bounds.most, bounds.include, allowance)
        return cost, path, path.order[: best_count(path, bounds)]

    cost, path, first = best(forecast)
    allowed = cost.of(first) + how.budget_bps
    sets: list[tuple[int, ...]] = []
    for _ in range(how.beliefs):
        _, _, found = best(believed(forecast, doubts, rng))
        sets.append(found if cost.of(found) <= allowed else first)
    chosen = sets[int(rng.integers(how.beliefs))]
    inside = np.array([[d in one for d in everyone] for one in sets], dtype=np.float64)
    same = sum(set(one) == set(chosen) for one in sets)
    return Drawn(chosen, inside.mean(0), same / how.beliefs, first, tuple(sets), path, cost)


def curve_interval(
    forecast: Forecast,
    doubts: Doubts,
    block: BlockTerms,
    rest: Array,
    path: Path,
    rng: Generator,
    beliefs: int = 12,
) -> tuple[Array, Array]:
    """90% bounds of what each further dealer of the path saves, in bps: its spread over what might as well be believed
    is taken as normal."""
    draws, savings = int(rng.integers(2**63)), []
    for _ in range(beliefs):
        cost = ExpectedCost(believed(forecast, doubts, rng), block, rest, np.random.default_rng(draws))
        curve = [cost.of(path.order[:k]) for k in range(len(path.order) + 1)]
        savings.append(-np.diff(curve))
    middle, reach = -np.diff(path.curve_bps), NINETY * np.std(savings, axis=0)
    return middle - reach, middle + reach

"""What hiding the side is expected to save: both ways of asking, each with its own best set, priced by the models."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.dealer_models import Asking, DealerModels, Forecast
from ml.expected_cost import BlockTerms, ExpectedCost
from ml.memory import PanelMemory
from ml.outcomes import RequestFacts
from ml.selection import Bounds, best_count, greedy
from rfq.domain.values import DealerId


def saved_by_hiding(
    models: DealerModels,
    facts: RequestFacts,
    dealers: Sequence[DealerId],
    memory: PanelMemory,
    asked: Sequence[int],
    block: BlockTerms,
    rest: NDArray[np.float64],
    bounds: Bounds,
    seed: int,
) -> float | None:
    """Expected all-in cost with the side shown less that with it hidden, in bps of arrival: negative where that costs.

    Both are priced on the same draws. None where the desk's side is not known, or where the models learned from
    requests of one kind only: then they say nothing of the other.
    """
    if facts.side is None or not models.knows_hidden_sides:
        return None
    kinds = [Asking(facts.but(two_way=hidden), dealers, asked) for hidden in (False, True)]
    shown, hidden = (_least_bps(one, block, rest, bounds, seed) for one in models.forecasts(kinds, memory))
    return shown - hidden


def _least_bps(forecast: Forecast, block: BlockTerms, rest: NDArray[np.float64], bounds: Bounds, seed: int) -> float:
    cost = ExpectedCost(forecast, block, rest, np.random.default_rng(seed))
    path = greedy(cost, range(len(forecast.dealers)), bounds.most, bounds.include)
    return path.curve_bps[best_count(path, bounds)]

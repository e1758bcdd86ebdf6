"""Whether to ask further dealers once the first have quoted, at the price of what may be lost by waiting.

The quotes in hand become dealers of known price that answer with the probability that a quote still holds when the next
wave is in; further dealers are expected to quote dearer by what the first may have moved the market until then. Asking
more pays where the best wider set costs less than taking what is there now, by more than a margin.
"""

from collections.abc import Mapping

import msgspec
import numpy as np

from ml.dealer_models import Forecast
from ml.expected_cost import Array, BlockTerms, ExpectedCost
from ml.selection import greedy
from rfq.domain.errors import BadInput


class InHand(msgspec.Struct, frozen=True):
    """A quote of the first wave."""

    cost_bps: float
    size: float
    """Share of ADV."""


class Waiting(msgspec.Struct, frozen=True):
    """What waiting for a further wave risks. Raises BadInput for what cannot be."""

    holds: float
    """Probability that a quote in hand is good when the next wave is in."""
    moved_bps: float = 0.0
    """Adverse move to be expected until then from those asked first."""
    margin_bps: float = 0.1
    """Least saving: a smaller one is within what the models do not know."""

    def __post_init__(self) -> None:
        if not 0 <= self.holds <= 1:
            raise BadInput("holds", self.holds, "must be a probability")
        if not self.moved_bps >= 0:
            raise BadInput("moved_bps", self.moved_bps, "must be at least 0")


def known(forecast: Forecast, asked: Mapping[int, InHand | None], holds: float, moved_bps: float) -> Forecast:
    """The forecast once these dealers have answered, with a quote or (None) without one."""
    response, cost = forecast.response.copy(), forecast.cost_bps + moved_bps
    fade, size = forecast.fade, np.array(forecast.quoted_size)
    for place, quote in asked.items():
        response[:, place] = 0.0
        if quote is not None:
            # A quote at hand still may fade when it is lifted: that is in the forecast already.
            response[:, place] = holds
            cost[:, place] = quote.cost_bps
            size[place] = quote.size
    return msgspec.structs.replace(forecast, response=response, cost_bps=cost, fade=fade, quoted_size=size)


def worth_asking(
    forecast: Forecast,
    asked: Mapping[int, InHand | None],
    waiting: Waiting,
    block: BlockTerms,
    rest: Array,
    most: int,
    seed: int,
) -> tuple[int, ...]:
    """Dealers to ask in the next wave, best first; none where what is in hand had better be taken. Up to `most` are
    asked in all. The same seed draws the same answers for both."""
    first = tuple(asked)
    if len(first) >= most:
        return ()
    now = ExpectedCost(known(forecast, asked, 1.0, 0.0), block, rest, np.random.default_rng(seed)).of(first)
    later = ExpectedCost(
        known(forecast, asked, waiting.holds, waiting.moved_bps), block, rest, np.random.default_rng(seed)
    )
    path = greedy(later, range(len(forecast.dealers)), most, first)
    count = min(range(len(first) + 1, len(path.order) + 1), key=lambda k: (path.curve_bps[k], k), default=len(first))
    if count == len(first) or path.curve_bps[count] > now - waiting.margin_bps:
        return ()
    return path.order[len(first) : count]

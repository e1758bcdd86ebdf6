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
    lapses: bool = False
    """It will have expired when the next wave is in."""


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


class Wider(msgspec.Struct, frozen=True):
    """What asking more comes to."""

    further: tuple[int, ...]
    """Dealers to ask in the next wave, best first; none where what is in hand had better be taken."""
    saving_bps: float
    """Expected of the best wider set over what is in hand; 0 where nobody is left to ask."""


def known(forecast: Forecast, asked: Mapping[int, InHand | None], waiting: Waiting | None = None) -> Forecast:
    """The forecast once these dealers have answered, with a quote or (None) without one: as it is now, or after
    `waiting` for others."""
    moved_bps = waiting.moved_bps if waiting else 0.0
    response, cost = forecast.response.copy(), forecast.cost_bps + moved_bps
    fade, size = forecast.fade, np.array(forecast.quoted_size)
    for place, quote in asked.items():
        response[:, place] = 0.0
        if quote is not None:
            # A quote at hand still may fade when it is lifted: that is in the forecast already.
            response[:, place] = 1.0 if waiting is None else 0.0 if quote.lapses else waiting.holds
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
) -> Wider:
    """Whom to ask in the next wave, if anybody. Up to `most` are asked in all. The same seed draws the same answers for
    both."""
    first = tuple(asked)
    if len(first) >= most:
        return Wider((), 0.0)
    now = ExpectedCost(known(forecast, asked), block, rest, np.random.default_rng(seed)).of(first)
    later = ExpectedCost(known(forecast, asked, waiting), block, rest, np.random.default_rng(seed))
    path = greedy(later, range(len(forecast.dealers)), most, first)
    count = min(range(len(first) + 1, len(path.order) + 1), key=lambda k: (path.curve_bps[k], k), default=len(first))
    if count == len(first):
        return Wider((), 0.0)
    saving_bps = now - path.curve_bps[count]
    return Wider(path.order[len(first) : count] if saving_bps >= waiting.margin_bps else (), saving_bps)

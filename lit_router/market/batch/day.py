"""A whole day of a set, played to see how far its price goes and how much it trades: the units of impact."""

import msgspec
import numpy as np

from lit_router.market.batch.impact import DAY_S
from lit_router.market.batch.market import STEP_S, BatchedMarket, Character
from lit_router.market.batch.recording import FIRST_BID, WARM_UP_S
from lit_router.market.parameters import BookParameters
from rfq.domain.errors import BadInput

DAYS, SEED = 1024, 20_130_000


def measured(parameters: BookParameters, seed: int = SEED, days: int = DAYS, threads: int = 2) -> BookParameters:
    """The set with `day_sigma_grids`, the standard deviation of the day's change of mid, and `day_lots`, the lit lots
    of a day: from `days` simulated days of 6.5 hours with all conditions and nobody taking part, seeds from `seed` on.

    The standard error of the first is some 3% at 1,024 days: shocks make its tails heavy. Raises BadInput for fewer
    days than two.
    """
    if days < 2:
        raise BadInput("days", days, "must be at least 2")
    character = Character(FIRST_BID, mean_lots=parameters.mean_lots, opened_s=-WARM_UP_S)
    market = BatchedMarket(
        parameters,
        range(seed, seed + days),
        characters=character,
        pool_characters=(),
        threads=threads,
    )
    market.advance(round(WARM_UP_S / STEP_S))
    opening, before = _mids(market), market.state.volume.numpy().copy()
    market.advance(round(DAY_S / STEP_S))
    sigma = float(np.std(_mids(market) - opening, ddof=1))
    lots = float(np.mean(market.state.volume.numpy() - before))
    return msgspec.structs.replace(
        parameters, day_sigma_grids=float(f"{sigma:.4g}"), day_lots=float(f"{lots:.4g}")
    )


def _mids(market: BatchedMarket) -> np.ndarray:
    """In cells; an empty side ends just out of view."""
    state = market.state
    return state.first_bid.numpy() / state.grid.numpy() + state.tilt.numpy() / 2

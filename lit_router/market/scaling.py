"""Fits the plain book to an instrument: its spread, its daily volatility and its average daily volume.

The published rates describe one stock on one tick. Three numbers carry them to another: the distance between
anonymous levels (spread), the pace of all events (volatility) and the lots in an average event (volume).
"""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from lit_router.market.own_orders import CancelAssumption
from lit_router.market.queue_reactive import QueueReactiveBook
from lit_router.market.resilience import RESILIENCE_S
from rfq.domain.errors import BadInput
from rfq.domain.values import Instrument, Price

DAY_S = 23_400.0
"""The 6.5 hour session to which the two measured tables below refer."""
THETAS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
SIGMA_GRIDS = (8.8, 11.3, 14.7, 17.0, 20.2, 22.0, 23.7, 24.5)
"""Measured on this book at pace 1 and the size dispersion below: standard deviation of a day's change of mid, in grid
steps, by theta."""
MARKET_EVENTS = 4_900.0
"""Measured likewise: average-event sizes traded per day at pace 1."""
SPREAD_GRIDS = 1.07
"""Measured likewise at theta 0.7: mean spread in grid steps."""
SLOWEST, FASTEST = 0.1, 12.0
SIZE_DISPERSION = 0.6
USUAL_THETA = 0.7


class Scale(NamedTuple):
    """How the model is laid on an instrument, and what it is then expected to do (statistics, floats)."""

    grid: int
    pace: float
    theta: float
    mean_lots: int
    expected_volatility_bps: float
    expected_daily_lots: float


def sigma_grids(theta: float) -> float:
    """Daily volatility in grid steps at pace 1, interpolated between the measured thetas."""
    return float(np.interp(theta, THETAS, SIGMA_GRIDS))


def session_s(instrument: Instrument) -> float:
    """Length of the instrument's trading day, seconds."""
    return (instrument.hours.closes - instrument.hours.opens) * 60.0


def scale(instrument: Instrument, mid: Price) -> Scale:
    """Grid from the spread; pace from the volatility, as far as the volume allows; theta takes up the rest."""
    tick = instrument.tick_at(mid)
    grid = tick * max(1, round(instrument.spread_bps / 1e4 * mid / tick / SPREAD_GRIDS))
    days = session_s(instrument) / DAY_S
    wanted = instrument.volatility_bps / 1e4 * mid / grid / days**0.5
    fastest = max(SLOWEST, min(FASTEST, instrument.adv / (MARKET_EVENTS * days)))
    pace = min(fastest, max(SLOWEST, (wanted / sigma_grids(USUAL_THETA)) ** 2))
    theta = _theta_for(wanted / pace**0.5)
    mean_lots = max(1, round(instrument.adv / (MARKET_EVENTS * pace * days)))
    volatility = sigma_grids(theta) * (pace * days) ** 0.5 * grid / mid * 1e4
    return Scale(grid, pace, theta, mean_lots, volatility, mean_lots * MARKET_EVENTS * pace * days)


def _theta_for(sigma: float) -> float:
    if abs(sigma - sigma_grids(USUAL_THETA)) < 1e-9:
        return USUAL_THETA
    place = bisect_left(SIGMA_GRIDS, sigma)
    if place == 0:
        return THETAS[0]
    if place == len(THETAS):
        return THETAS[-1]
    return float(np.interp(sigma, SIGMA_GRIDS, THETAS))


def book_for(
    instrument: Instrument,
    mid: Price,
    seed: np.random.SeedSequence,
    *,
    assumption: CancelAssumption = CancelAssumption.RANDOM,
    size_dispersion: float = SIZE_DISPERSION,
    resilience_s: float | None = RESILIENCE_S,
) -> QueueReactiveBook:
    """A book scaled to the instrument whose first reference price is `mid`, to within half a tick.

    Raises BadInput when the price is too low for five levels of bids.
    """
    fit = scale(instrument, mid)
    tick = instrument.tick_at(mid)
    best_bid = (mid - fit.grid // 2) // tick * tick
    if best_bid - 5 * fit.grid <= 0:
        raise BadInput(f"{instrument.symbol}.mid", mid, f"must leave room for five levels of {fit.grid} below it")
    return QueueReactiveBook(
        seed,
        best_bid=best_bid,
        grid=fit.grid,
        mean_lots=fit.mean_lots,
        pace=fit.pace,
        theta=fit.theta,
        size_dispersion=size_dispersion,
        assumption=assumption,
        resilience_s=resilience_s,
    )

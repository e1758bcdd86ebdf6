"""Lays a parameter set on an instrument: its spread, its daily volatility and its average daily volume.

A set describes one stock on one tick. Three numbers carry it to another: the distance between modelled levels (spread),
the pace of all events (volatility) and the lots in an average event (volume). What the set's own day is like, under all
conditions, was measured when it was made (`day_sigma_grids`, `day_lots`).
"""

from typing import NamedTuple

import numpy as np

from lit_router.market.batch.market import Character
from lit_router.market.parameters import BookParameters
from rfq.domain.errors import BadInput
from rfq.domain.values import Instrument, Price

DAY_S = 23_400.0
"""The 6.5 hour session that a set's day has."""
THETAS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
SIGMAS = (0.40, 0.51, 0.67, 0.77, 0.92, 1.0, 1.08, 1.11)
"""Measured on the large-tick book: daily volatility by theta, relative to theta 0.7."""
SPREAD_GRIDS = 1.07
"""Measured likewise: mean spread in grid steps."""
SLOWEST, FASTEST = 1 / 8, 8.0


class Scale(NamedTuple):
    """How the set is laid on an instrument, and what it is then expected to do (statistics, floats)."""

    grid: int
    pace: float
    theta: float
    mean_lots: int
    expected_volatility_bps: float
    expected_daily_lots: float


def session_s(instrument: Instrument) -> float:
    """Length of the instrument's trading day, seconds."""
    return (instrument.hours.closes - instrument.hours.opens) * 60.0


def scale(instrument: Instrument, mid: Price, parameters: BookParameters) -> Scale:
    """Grid from the spread; pace from the volatility, as far as the volume allows; theta takes up the rest."""
    tick = instrument.tick_at(mid)
    grid = tick * max(1, round(instrument.spread_bps / 1e4 * mid / tick / SPREAD_GRIDS))
    days = session_s(instrument) / DAY_S
    events = parameters.day_lots / parameters.mean_lots * days
    wanted = instrument.volatility_bps / 1e4 * mid / grid / days**0.5 / parameters.day_sigma_grids
    fastest = max(SLOWEST, min(FASTEST, instrument.adv / events))
    pace = min(fastest, max(SLOWEST, wanted**2))
    theta = float(np.interp(wanted / pace**0.5, SIGMAS, THETAS))
    mean_lots = max(1, round(instrument.adv / (events * pace)))
    sigma = float(np.interp(theta, THETAS, SIGMAS)) * parameters.day_sigma_grids * (pace * days) ** 0.5
    return Scale(grid, pace, theta, mean_lots, sigma * grid / mid * 1e4, mean_lots * events * pace)


def character_of(instrument: Instrument, mid: Price, parameters: BookParameters) -> Character:
    """The market of an instrument whose first mid is `mid`, to within half a tick.

    Raises BadInput when the price is too low for the set's levels of bids.
    """
    fit = scale(instrument, mid, parameters)
    tick = instrument.tick_at(mid)
    best_bid = (mid - fit.grid // 2) // tick * tick
    if best_bid - (parameters.levels + 2) * fit.grid <= 0:
        rule = f"must leave room for {parameters.levels} levels of {fit.grid} below it"
        raise BadInput(f"{instrument.symbol}.mid", mid, rule)
    return Character(
        first_bid=best_bid,
        grid=fit.grid,
        mean_lots=fit.mean_lots,
        pace=fit.pace,
        theta=fit.theta,
        sigma_cells=fit.expected_volatility_bps / 1e4 * mid / fit.grid / (session_s(instrument) / DAY_S) ** 0.5,
        day_lots=fit.expected_daily_lots / (session_s(instrument) / DAY_S),
    )

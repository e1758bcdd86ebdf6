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
PACES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
SIGMA_BY_PACE = (0.72, 0.83, 0.93, 1.0, 1.28, 1.86, 2.71)
EVENTS_BY_PACE = (0.109, 0.225, 0.470, 1.0, 2.17, 4.88, 10.45)
SPREAD_BY_PACE = (1.80, 1.68, 1.57, 1.46, 1.37, 1.27, 1.20)
"""Measured on the large-tick set under all conditions, 400 days each: daily volatility and traded volume relative to
pace 1, mean spread in grid steps. What lasts for minutes by the clock, trends and news, moves a slow market as much."""
THETAS = (0.05, 0.2, 0.5, 0.7, 1.0)
SIGMA_BY_THETA = (0.47, 0.78, 0.94, 1.0, 1.47)
EVENTS_BY_THETA = (0.85, 0.93, 0.98, 1.0, 1.01)
"""Measured likewise at pace 1: daily volatility and traded volume relative to theta 0.7."""


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
    tick, days = instrument.tick_at(mid), session_s(instrument) / DAY_S
    events = parameters.day_lots / parameters.mean_lots * days
    most = float(np.interp(instrument.adv / events, EVENTS_BY_PACE, PACES))
    grid, pace, wanted = tick, 1.0, 1.0
    for _ in range(3):  # The spread depends on the pace, and the pace on the grid.
        spread = float(np.interp(pace, PACES, SPREAD_BY_PACE))
        grid = tick * max(1, round(instrument.spread_bps / 1e4 * mid / tick / spread))
        wanted = instrument.volatility_bps / 1e4 * mid / grid / days**0.5 / parameters.day_sigma_grids
        pace = min(most, float(np.interp(wanted, SIGMA_BY_PACE, PACES)))
    sigma = float(np.interp(pace, PACES, SIGMA_BY_PACE))
    theta = float(np.interp(wanted / sigma, SIGMA_BY_THETA, THETAS))
    traded = events * float(np.interp(pace, PACES, EVENTS_BY_PACE) * np.interp(theta, THETAS, EVENTS_BY_THETA))
    mean_lots = max(1, round(instrument.adv / traded))
    expected = float(np.interp(theta, THETAS, SIGMA_BY_THETA)) * sigma * parameters.day_sigma_grids * days**0.5
    return Scale(grid, pace, theta, mean_lots, expected * grid / mid * 1e4, mean_lots * traded)


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

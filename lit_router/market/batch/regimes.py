"""Regimes of volatility and liquidity: calm, volatile, trending and shock, each for half an hour or so.

Declared assumptions: real days change their character without notice, and a policy must not learn just one. A trend
tilts market orders one way; a shock begins with news.
"""

from typing import NamedTuple


class Regime(NamedTuple):
    """`pace` multiplies every rate (its mean is 1), `strain` withdraws liquidity on both sides, `drift` tilts market
    orders (powers of two, direction drawn), `news` is the strain that it begins with; `share` of the time it holds."""

    name: str
    share: float
    pace: float
    strain: float
    drift: float
    news: float


REGIMES = (
    Regime("calm", 0.55, 0.8, 0.0, 0.0, 0.0),
    Regime("volatile", 0.22, 1.6, 0.3, 0.0, 0.0),
    Regime("trending", 0.18, 1.0, 0.0, 0.2, 0.0),
    Regime("shock", 0.05, 0.8, 0.0, 0.0, 2.0),
)
CALM, VOLATILE, TRENDING, SHOCK = range(4)
LASTS_S = 1800.0
"""Mean time between draws of a regime."""

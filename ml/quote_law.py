"""What a dealer charges for what, fitted to its own last quotes: the part of a quote that straight lines say.

Relative to the reference cost, a quote is taken to be linear in half the spread, volatility times sqrt(own lots), both
again for a named desk and over the number asked (shading, as in a first-price auction), and a provision for losers that
trade ahead, which nobody can where the side is hidden. Each dealer has its own coefficients by ridge about declared
ones, and its own level in each sector. What recent quotes in the sector leave is the trace of its inventory.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.outcomes import RequestFacts

Array = NDArray[np.float64]

TERMS = ("spread", "risk", "provision", "named", "shading")
CENTRE = np.array([0.85, 0.45, 0.1, -0.1, 0.3])
"""About what dealers charge, declared: what a dealer without history is taken to charge."""
SPREAD = np.array([0.2, 0.15, 0.05, 0.1, 0.15])
"""How far dealers differ from it."""
RISK = 0.5
"""Daily volatilities charged for a day's volume, roughly: turns risk and spread into one scale."""
NOISE = 0.25
"""A quote's noise over its spread and risk."""
USUAL_OFF = 0.4
"""Mean distance of a quote from its law, likewise, inventory and belief included."""
SECTOR_SPREAD = 0.15
AXE_VARIANCE = 0.03**2
"""Of what inventory moves a quote by, in daily volatilities."""


class Laws(NamedTuple):
    """Coefficients of TERMS (D, T), and the level of the sector asked about (D,)."""

    slope: Array
    level: Array

    def at(self, facts: RequestFacts, lots: Array, asked: Sequence[int]) -> tuple[Array, Array]:
        """Expected cost, (A, D), and spread and risk together, (D,), over the reference cost; `lots` being the usual
        share of ADV quoted."""
        columns = terms(facts, lots, np.array(asked, dtype=np.float64)[:, None])
        both = scale(columns)
        cost = both * self.level
        for column, slope in zip(columns, self.slope.T, strict=True):
            cost = cost + column * slope
        return cost, both


def reference_cost_bps(facts: RequestFacts) -> float:
    """The scale that quotes are measured in: half the spread plus a quarter of volatility times sqrt(size)."""
    return facts.spread_bps / 2 + 0.25 * facts.volatility_bps * math.sqrt(facts.size)


def terms(facts: RequestFacts, lots: Array | float, asked: Array | float) -> tuple[Array, ...]:
    """The columns TERMS of a quote for so many lots (share of ADV) beside so many asked, over the reference cost; each
    has the shape of what it depends on."""
    reference = reference_cost_bps(facts)
    risk = facts.volatility_bps * np.sqrt(np.minimum(lots, facts.size)) / reference
    spread = np.full_like(risk, facts.spread_bps / 2 / reference)
    both = spread + RISK * risk
    provision = facts.volatility_bps * math.sqrt(facts.size) / reference * (np.log(asked) + 0.4)
    provision = provision * (not facts.two_way)
    return spread, risk, provision, both * (not facts.anonymous), both / asked


def scale(columns: Sequence[Array]) -> Array:
    """Spread and risk together, of the columns TERMS."""
    return columns[0] + RISK * columns[1]

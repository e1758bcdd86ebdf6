"""Signed flow that persists: market orders lean to one side for seconds, minutes and longer.

Order signs are correlated over hours (Lillo and Farmer 2004; Bouchaud, Farmer, Lillo 2009, section 5), most of all over
the few seconds in which one order is cut and others follow it. Here a latent tilt, a sum of three independent
mean-reverting states, multiplies buy orders by 2^tilt and sell orders by 2^-tilt. Tactical traders read the displayed
imbalance: their market orders come at (1 + TACTICAL x imbalance). The calibrated rate is the mean over both.

Prices stay nearly unpredictable all the same: the slow parts are shallow, and liquidity adapts. Makers expect the flow
and replenish the side that is hit (ADAPTS). And after a move, those who wait for a price step in: the reference price
follows less readily the way it has just gone, and more readily back (CONTRARIAN), which takes out the drift that
persistent flow would give. Depths and levels are declared assumptions; the realism report shows what they lead to.
"""

import math

import numpy as np

MEMORIES = (2.0, 60.0, 1000.0)
DEPTHS = (1.0, 0.4, 0.15)
"""Standard deviation of each part of the tilt, in powers of two."""
ADAPTS = 0.08
"""Strain taken off the side that is hit (and put on the other) for each power of two of tilt."""
CONTRARIAN = 0.012
"""Share of its readiness that the reference price loses in the direction of the trend, for each mean spread of it."""
TREND_S = 120.0
"""The trend is the mid's moves, cells, fading with this life."""
TACTICAL = 2.0
IMBALANCES = 64
MOST_TILT = 2.5
"""Largest tilt, powers of two."""


def decays(step_s: float) -> np.ndarray:
    """What is left of each memory after a step."""
    return np.exp(-step_s / np.array(MEMORIES))


def kicks(step_s: float) -> np.ndarray:
    """Factors that give a uniform on -1..1 (variance 1/3) the size that keeps the depths."""
    return np.array(DEPTHS) * np.sqrt(1 - decays(step_s) ** 2) * math.sqrt(3.0)


def tactical_logs(octave: int) -> np.ndarray:
    """By imbalance class 0..IMBALANCES (all against .. all in favour): logarithm of the rate's factor, less what it and
    the tilt add to the mean rate when all imbalances are alike."""
    favour = np.maximum(0.0, np.arange(IMBALANCES + 1) / (IMBALANCES / 2) - 1.0)
    usual = math.log2(1 + TACTICAL / 4) + math.log(2) / 2 * sum(depth**2 for depth in DEPTHS)
    return np.rint(octave * (np.log2(1 + TACTICAL * favour) - usual)).astype(np.int32)

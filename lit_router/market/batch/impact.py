"""How participants move the price: a propagator on the whole book (Bouchaud et al. 2004; Gatheral 2010).

What participants execute, actively or passively, presses on the price as the square root of their share of volume, and
every push decays as a power of time:

    impact(t) = Y sigma  sum over s < t of  sign(v) sqrt(|v(s)| / V) (t - s)^-BETA ds        (times in days)

A metaorder of Q over T then peaks at Y / (1 - BETA) (Q/V)^1/2 T^(1/2 - BETA), the square-root law, almost without
the duration; after one further duration 2^(1 - BETA) - 1 of it is left, 52% at BETA 0.4 (measured: half to two thirds,
Bucci et al. 2018; exponent 0.489 in Tokyo, Sato and Kanazawa 2025). The power is a sum of exponentials. The book is
moved by whole cells; each market has a fixed threshold between two of them, so that the mean over markets is exact.

The plain queue-reactive book fails here: its impact is permanent and linear. The anonymous flow therefore never reacts
to participants itself; all reaction is in this law, in `replenishment` and in the dealers' flows. That also keeps
common random numbers common: two runs with the same seed see the same anonymous flow, whatever was done in them.
"""

import numpy as np
from scipy.optimize import nnls

from lit_router.market.parameters import Floats

BETA = 0.4
LEVEL = 0.55
"""Y."""
SMOOTHED_S = 30.0
"""Executions are spread over this much time before the square root is taken: it must not matter how they are cut."""
KERNEL_S = (2.0, 8.0, 32.0, 128.0, 512.0, 2048.0, 8192.0, 32768.0)
DAY_S = 23_400.0


def weights() -> Floats:
    """Of the exponentials with lives KERNEL_S, so that their sum is (t / DAY_S)^-BETA from 2 s to five hours."""
    times = np.geomspace(2.0, 5 * 3600.0, 200)
    target = (times / DAY_S) ** -BETA
    terms = np.exp(-times[:, None] / np.array(KERNEL_S)) / target[:, None]
    return nnls(terms, np.ones(len(times)))[0]


def unit_of(sigma_cells: float, day_lots: float, step_s: float) -> float:
    """Cells pushed in one step by participants trading one lot a second, before weights."""
    return LEVEL * sigma_cells * (DAY_S / day_lots) ** 0.5 * step_s / DAY_S

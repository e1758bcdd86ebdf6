"""How leakage differs between dealers: never below nothing, most leak little, a few do most of it.

theta_d is lognormal about the peers' middle. What mark-outs say of all dealers together is Gaussian; the posterior is
drawn by Gibbs sampling on a grid (Ritter, Tanner 1992), one dealer after the other, many chains at once, with the
middle and the spread of the lognormal drawn too: intervals hold their uncertainty.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHAINS, SWEEPS, WARMING = 48, 110, 40
POINTS = 96
SPREAD_SHAPE, SPREAD_SCALE = 2.0, 2.0
"""Inverse gamma prior of the variance of log theta: about 1 to 2, loosely."""
LEAST_SHARE = 1e-3
"""The grid begins here, as a share of its end."""


class Posterior(NamedTuple):
    """Draws of every dealer's theta, and of a dealer's that was never seen."""

    draws: Array
    """(draws, D)."""
    peers: Array
    """(draws,)."""


def posterior(precision: Array, pull: Array, rng: Generator) -> Posterior:
    """Of theta, whose likelihood is exp(-theta' precision theta / 2 + pull' theta)."""
    count = len(pull)
    deviation = 1.0 / np.sqrt(np.diag(precision))
    found = np.linalg.solve(precision + 1e-9 * np.diag(np.diag(precision)), pull)
    most = float(np.max(found + 4.0 * deviation)) + float(np.median(deviation))
    logs = np.linspace(math.log(LEAST_SHARE * most), math.log(most), POINTS)
    grid = np.exp(logs)
    theta = np.broadcast_to(np.maximum(found, 0.05 * most), (CHAINS, count)).copy()
    theta *= np.exp(0.3 * rng.standard_normal(theta.shape))
    theta = np.clip(theta, grid[0], grid[-1])
    middle, variance = np.log(theta).mean(1), np.full(CHAINS, 1.0)
    kept: list[Array] = []
    peers: list[Array] = []
    for sweep in range(SWEEPS):
        for d in range(count):
            own = precision[d, d]
            at = (pull[d] - theta @ precision[:, d] + own * theta[:, d]) / own
            # On a grid of logs the density of log theta is what counts, so there is no Jacobian.
            chance = -0.5 * own * (grid - at[:, None]) ** 2 - 0.5 * (logs - middle[:, None]) ** 2 / variance[:, None]
            reached = np.cumsum(np.exp(chance - chance.max(1, keepdims=True)), axis=1)
            place = (reached < (rng.random(CHAINS) * reached[:, -1])[:, None]).sum(1)
            step = (rng.random(CHAINS) - 0.5) * (logs[1] - logs[0])
            theta[:, d] = np.exp(logs[place] + step)
        z = np.log(theta)
        middle = z.mean(1) + np.sqrt(variance / count) * rng.standard_normal(CHAINS)
        away = ((z - middle[:, None]) ** 2).sum(1)
        variance = (SPREAD_SCALE + 0.5 * away) / rng.gamma(SPREAD_SHAPE + 0.5 * count, size=CHAINS)
        if sweep >= WARMING:
            kept.append(theta.copy())
            peers.append(np.minimum(most, np.exp(middle + np.sqrt(variance) * rng.standard_normal(CHAINS))))
    return Posterior(np.concatenate(kept), np.concatenate(peers))

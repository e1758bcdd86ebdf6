"""Dark pools: hidden interest comes and goes, and only a fill at the midpoint ever shows it.

Arrivals are Poisson, most of them gone at once (a probe mostly finds nothing), sizes heavy-tailed; a fill is the
smaller of what was sent and what is there, and says no more (Ganchev, Kearns, Nevmyvaka, Vaughan 2010). Toxicity:
arrivals lean to the side that the book and the latent flow favour, so that fills come before the price moves against
whoever gave them. Nothing public calibrates these numbers: declared, to be swept. For context, 20 to 41% of US volume
prints off exchange.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from lit_router.market.parameters import QUANTILES

BOOK_LEAN = 16
"""What the lit book's imbalance, from -32 to 32, counts beside the latent tilt, in 1/256 powers of two."""
MOST_POOLS = 4
"""Tables have room for so many, however many there are: each shape would be compiled anew."""


@dataclass(frozen=True)
class PoolCharacter:
    """One pool's declared assumptions. Volumes and sizes are shares of the day's lit volume."""

    name: str
    contra_of_day: float
    """Hidden interest, both sides, that passes through in a day."""
    mean_of_day: float
    """Its mean size."""
    size_dispersion: float
    """Sigma of the log-normal size."""
    fleeting: float
    """Share that leaves at once if nothing is resting for it: the zero inflation."""
    life_s: float
    """Mean resting time of the others."""
    least_of_day: float
    """The pool's smallest execution."""
    toxicity: float
    """Powers of two by which arrivals lean, for each power of two of the latent tilt and what the book counts."""


BLOCK = PoolCharacter("dark_block", 0.06, 0.002, 1.2, 0.5, 240.0, 0.0002, 0.3)
"""Institutions: rare, large, patient, a sizeable minimum, little adverse selection."""
BROKER = PoolCharacter("dark_broker", 0.08, 0.0004, 1.0, 0.6, 60.0, 0.00002, 0.8)
"""A broker's pool: middling in everything."""
STREAM = PoolCharacter("dark_stream", 0.10, 0.00015, 0.9, 0.75, 15.0, 0.0, 1.5)
"""Electronic liquidity: frequent, small, fleeting, toxic."""
POOLS = (BLOCK, BROKER, STREAM)


def size_multiples(character: PoolCharacter) -> np.ndarray:
    """Sizes relative to their mean: medians of QUANTILES equiprobable classes, scaled to mean 1."""
    classes = np.exp(character.size_dispersion * norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES))
    return classes / classes.mean()

"""Panels drawn for study: dealers of many characters, every trait from a declared law and a seed.

Signs and shapes follow the sources named in `behaviour_traits`. How many are informed, fade or leak, and how much, is
declared: nobody publishes it.
"""

import numpy as np

from dealers.behaviour_traits import DealerTraits
from dealers.panel import SECTORS
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId

CHRONIC_SHARE, CHRONIC_RATE, CHRONIC_LOOK_S = 0.1, (0.24, 0.33), 1.5
"""Faders by habit, their rate while the mid stands still (moves bring it to 24-39% of quotes won), and their window."""
LAST_LOOK_SHARE, USUAL_FADES, USUAL_LOOK_S = 0.3, (0.005, 0.06), 0.5
INFORMED_SHARE, INFORMED = 0.4, (0.1, 0.4)
LEAK_LEVEL = 0.075
"""Mean over the panel of leak_rate * sqrt(leak_share): who leaks differs between panels, how much in all hardly."""
LEAK_TAIL = 1.2
"""Standard deviation of the log of a dealer's leak rate: a few do most of it."""
MOST_LEAK_RATE = 0.9
KEEN_LEAKERS = 0.04
"""Log of how much keener per standard deviation of leaking: what is earned ahead is partly given away in the price."""


def drawn_panel(
    seed: int, n: int = 30, sectors: tuple[str, ...] = SECTORS, desks: tuple[str, ...] = ()
) -> tuple[DealerTraits, ...]:
    """`n` dealers S01, S02, ... with a relationship to each of `desks`. Raises BadInput for n < 1."""
    if n < 1:
        raise BadInput("n", n, "must be at least 1")
    rng = np.random.default_rng([seed, 0xD1])
    leaking = rng.standard_normal(n)
    shares = rng.uniform(0.06, 0.2, n)
    rates = _leak_rates(leaking, shares)
    chronic = max(1, round(CHRONIC_SHARE * n))
    place = rng.permutation(n)

    def about(middle: float, spread: float) -> float:
        return middle * float(np.exp(spread * rng.standard_normal()))

    panel: list[DealerTraits] = []
    for i in range(n):
        own = rng.permutation(len(sectors))[: int(rng.integers(1, 3))]
        left_out = rng.permutation(len(sectors))[: int(rng.integers(1, 4))] if rng.random() < 0.25 else []
        coverage = tuple(s for k, s in enumerate(sectors) if k not in left_out or k in own)
        if place[i] < chronic:
            look_s, fades = CHRONIC_LOOK_S, float(rng.uniform(*CHRONIC_RATE))
        elif rng.random() < LAST_LOOK_SHARE:
            look_s, fades = USUAL_LOOK_S, float(rng.uniform(*USUAL_FADES))
        else:
            look_s, fades = None, 0.0
        panel.append(
            DealerTraits(
                dealer=DealerId(f"S{i + 1:02d}"),
                specialisms=tuple(sectors[k] for k in own),
                coverage=coverage if len(coverage) < len(sectors) else (),
                spread_share=about(1.0, 0.15),
                risk_charge=about(0.55, 0.1) * float(np.exp(-KEEN_LEAKERS * leaking[i])),
                margin=about(0.3, 0.2),
                provision=about(0.09, 0.3),
                specialist_discount=float(rng.uniform(0.2, 0.35)),
                relationship_discount=float(rng.uniform(0.15, 0.3)),
                anonymity_premium=float(rng.uniform(0.02, 0.2)),
                skew=about(0.024, 0.3),
                informed=float(rng.uniform(*INFORMED)) if rng.random() < INFORMED_SHARE else 0.0,
                noise=about(0.2, 0.2),
                noise_shape=float(rng.uniform(0.9, 1.5)),
                noise_skew=float(rng.uniform(1.2, 1.8)),
                answer_logit=float(1.2 + 0.4 * rng.standard_normal()),
                answer_per_rival=-about(0.5, 0.2),
                relationship=float(rng.uniform(0.2, 0.6)),
                relationships=tuple((desk, float(rng.beta(1.2, 1.8))) for desk in desks),
                appetite=about(0.04, 0.35),
                pace=float(rng.uniform(0.1, 0.5)),
                last_look_s=look_s,
                fade_rate=fades,
                inventory_half_life_s=about(23_400.0, 0.4),
                leak_rate=float(rates[i]),
                leak_share=float(shares[i]),
                leak_per_urgency=about(1.0, 0.3),
                leak_horizon_s=about(180.0, 0.3),
                hedge_share=float(rng.uniform(0.5, 0.95)),
                hedge_horizon_s=about(1800.0, 0.4),
            )
        )
    return tuple(panel)


def _leak_rates(leaking: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Lognormal, scaled so that LEAK_LEVEL holds though none exceeds MOST_LEAK_RATE."""
    raw = np.exp(LEAK_TAIL * leaking)
    rates = raw
    for _ in range(20):
        rates = np.minimum(MOST_LEAK_RATE, rates * LEAK_LEVEL / float(np.mean(rates * np.sqrt(shares))))
    return rates

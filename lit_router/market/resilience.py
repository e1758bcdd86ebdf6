"""How the price recovers from what participants did to it: an addition to the published model, where it never does.

Alone, the queue-reactive book keeps all impact, in proportion to size. Here the reference price, when participants
have displaced it by D grid steps, comes back one step at rate D^2 / resilience_s. Under steady buying D settles where
that rate equals the rate of pushes, so that impact grows as the square root of the trading rate, and after the buying
ends it decays as a power law: the square-root law over minutes to hours (Sato and Kanazawa 2025 measure an exponent
of 0.489 in Tokyo). A declared assumption, fitted to its level and exponent; impact that anonymous flow completes is
not recognised, and stays.
"""

from math import expm1

CHECK_S = 2.0
"""Market seconds between chances to come back."""
RESILIENCE_S = 3_000.0


def come_back_probability(displacement: int, resilience_s: float) -> float:
    """Probability of one step back at one check, for a displacement in grid steps."""
    return -expm1(-displacement * displacement / resilience_s * CHECK_S)

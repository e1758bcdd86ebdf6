"""How likely a simulated dealer answers, fades and leaks, how much it quotes and when: laws without state.

Every function takes one dealer or a panel as arrays, see `circumstances`; random numbers are passed in as drawn, `z`
standard normal. Signs follow the sources named in `behaviour_traits`.
"""

import numpy as np
from scipy.special import expit, ndtr

from dealers.circumstances import USUAL_BREADTH, Array, Circumstances, Number, Traits

ANSWER_SIZE = 0.01
"""Request size, as a share of ADV, from which it makes an answer likelier."""
APPETITE_SPREAD = 0.35
SPECIALIST_APPETITE = 1.5
WHOLE = 0.8
"""A dealer willing to take so much of a request quotes all of it."""
MOST_FADES = 0.98
LEAK_SIZE = 0.01
"""Request size, as a share of ADV, at which the propensity to trade ahead reaches half its full rate."""
LEAK_SPREAD = 0.4
"""Standard deviation of the log of the lots traded ahead."""


def answer_probability(traits: Traits, seen: Circumstances) -> Number:
    """Of quoting. Falls with the number asked; rises with size, with how many make the market, in the dealer's own
    sectors, for a desk that it likes, and when the request would cut its inventory."""
    logit = traits.answer_logit + traits.answer_per_rival * np.log1p(seen.rivals)
    logit = logit + traits.answer_per_size * np.log1p(seen.block / ANSWER_SIZE)
    logit = logit + traits.answer_per_breadth * (seen.breadth - USUAL_BREADTH)
    logit = logit + traits.answer_specialist * seen.specialist
    if seen.shown:
        logit = logit + traits.answer_axe * np.clip(seen.shown * np.asarray(seen.inventory), -2.0, 2.0)
    if seen.named:
        logit = logit + 0.6 * seen.relationship
    return seen.covers * expit(logit)


def answer_delay_s(traits: Traits, time_left_s: float, z: Number) -> Number:
    """Seconds until it answers: lognormal, in proportion to the time left."""
    return traits.latency_s + time_left_s * traits.pace * np.exp(traits.pace_spread * z)


def usual_lots(traits: Traits, adv: int) -> Array:
    return np.maximum(1.0, np.floor(traits.appetite * adv))


def quoted_lots(traits: Traits, seen: Circumstances, adv: int, quantity: int, z: Number) -> Array:
    """Lots that it would quote: about its usual share of ADV, more in its sectors or to cut inventory; the whole
    request if that is nearly it, else two significant digits, as people quote."""
    lots = usual_lots(traits, adv) * np.exp(APPETITE_SPREAD * np.asarray(z))
    lots = lots * (1.0 + (SPECIALIST_APPETITE - 1.0) * np.asarray(seen.specialist))
    if seen.shown:
        lots = lots * (1.0 + 0.3 * np.clip(seen.shown * np.asarray(seen.inventory), -1.5, 1.5))
    step = 10.0 ** np.maximum(0.0, np.floor(np.log10(np.maximum(lots, 1.0))) - 1.0)
    return np.where(lots >= WHOLE * quantity, quantity, np.maximum(1.0, np.floor(lots / step) * step))


def fade_probability(traits: Traits, against_bps: Number, volatility_bps: float) -> Number:
    """Of refusing a lift in last look, the mid having moved `against_bps` the dealer since it quoted."""
    moved = traits.fade_per_move * np.maximum(0.0, against_bps) / volatility_bps
    return np.minimum(MOST_FADES, traits.fade_rate + moved)


def leak_probability(traits: Traits, seen: Circumstances) -> Number:
    """Of trading ahead when asked and not hit; 0 when the side is hidden. Rises with size and hurry, and a dealer is
    more loyal to a desk that it likes."""
    if not seen.shown:
        return 0.0 * np.asarray(traits.leak_rate)
    rate = traits.leak_rate * (seen.block / (seen.block + LEAK_SIZE))
    rate = rate * np.exp(traits.leak_per_urgency * (seen.urgency - 0.5))
    if seen.named:
        rate = rate * (1.0 - traits.leak_loyalty * seen.relationship)
    return np.minimum(1.0, rate)


def leaked_lots(traits: Traits, adv: int, quantity: int, z: Number) -> Array:
    """Lots traded ahead: lognormal about a share of the request, and no more than its appetite."""
    wanted = traits.leak_share * np.exp(LEAK_SPREAD * np.asarray(z)) * quantity
    return np.maximum(1.0, np.floor(np.minimum(wanted, usual_lots(traits, adv))))


def mean_leaked_power(traits: Traits, block: float, power: float) -> Array:
    """E[(lots / ADV)^power] of the lots traded ahead, but for whole lots: a lognormal held to the appetite."""
    middle, most = np.asarray(traits.leak_share) * block, np.asarray(traits.appetite)
    edge = np.log(most / middle) / LEAK_SPREAD
    below = middle**power * np.exp(0.5 * (power * LEAK_SPREAD) ** 2) * ndtr(edge - power * LEAK_SPREAD)
    return below + most**power * ndtr(-edge)


def after_trade(
    traits: Traits, inventory: Number, desk_sign: int, lots: Number, usual: Number
) -> tuple[Array, Array]:
    """A winner's hedge, in lots, and its inventory once that is done. It takes the other side of the desk and hedges
    the desk's way what inventory does not absorb: what it held already counts first."""
    absorbed = np.maximum(0.0, desk_sign * np.asarray(inventory)) * usual
    hedge = np.floor(traits.hedge_share * np.maximum(0.0, lots - absorbed))
    return hedge, inventory - desk_sign * (lots - hedge) / usual

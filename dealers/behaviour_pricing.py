"""How a simulated dealer prices a request: charges in bps of mid, terms of a sum, plus skewed noise.

Every function takes one dealer or a panel as arrays, see `circumstances`.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy.special import gamma, gammaincinv

from dealers.behaviour_traits import RequestView
from dealers.circumstances import Array, Circumstances, Number, Traits
from rfq.domain.values import Price, Side


class Charges(NamedTuple):
    """The terms of one side's expected cost to the desk, bps of mid; positive is worse for the desk."""

    spread: Number
    risk: Number
    margin: Number
    provision: Number
    residual: Number
    inventory: Number
    belief: Number

    @property
    def total(self) -> Number:
        return sum(self)


def charges(traits: Traits, seen: Circumstances, desk_sign: int, share: Number) -> Charges:
    """Expected charges for `share` of ADV quoted to a desk that buys (1) or sells (-1).

    Competition is shaded as in a first-price auction (margin / number asked); against it stands a provision
    for losers trading ahead, which grows with the block and the number asked: for small requests one more
    rival makes a quote keener, for blocks dearer. Where the side is hidden there is no such provision, and both sides
    are wider.
    """
    sigma, asked = seen.volatility_bps, 1 + seen.rivals
    keenness = 1.0 - traits.specialist_discount * seen.specialist
    if seen.named:
        keenness = keenness * (1.0 - traits.relationship_discount * seen.relationship)
    else:
        keenness = keenness * (1.0 + traits.anonymity_premium)
    provision = traits.provision
    if not seen.shown:
        keenness = keenness * (1.0 + traits.two_way_premium)
        provision = provision * traits.provision_hidden
    spread = keenness * traits.spread_share * seen.half_spread_bps
    risk = keenness * traits.risk_charge * sigma * share**0.5
    return Charges(
        spread=spread,
        risk=risk,
        margin=traits.margin * (spread + risk) / asked,
        provision=provision * (sigma * math.sqrt(seen.block) * math.log(asked)),
        residual=traits.residual_charge * (sigma * math.sqrt(seen.rest)),
        inventory=-desk_sign * sigma * traits.skew * seen.inventory,
        belief=desk_sign * traits.informed * seen.belief_bps,
    )


def skewed(size: Number, level: Number, skew: Number) -> Number:
    """A two-piece exponential-power variate with mode 0: scale `skew` above, 1 below.

    `size` is Gamma(1/shape)^(1/shape) and `level` uniform: the piece is chosen in proportion to its scale, so that the
    density is continuous at the mode. Mean is positive for skew > 1: the tail of dear quotes is the longer one.
    """
    return np.where(np.asarray(level) * (1.0 + skew) < skew, skew * size, -size)


def skewed_noise(rng: Generator, shape: Number, skew: Number, size: tuple[int, ...] | None = None) -> Array:
    """Draws of the law of `skewed`, of the given size (None: one for each shape)."""
    return np.asarray(skewed(rng.standard_gamma(1.0 / shape, size) ** (1.0 / shape), rng.random(size), skew))


def skewed_quantile(level: Array, shape: Number, skew: Number) -> Array:
    """Inverse distribution of the same law."""
    below = 1.0 / (1.0 + skew)
    above = np.clip((level - below) / (1.0 - below), 0.0, 1.0 - 1e-12)
    under = np.clip(1.0 - level / below, 0.0, 1.0 - 1e-12)
    dear = skew * gammaincinv(1.0 / shape, above) ** (1.0 / shape)
    keen = gammaincinv(1.0 / shape, under) ** (1.0 / shape)
    return np.where(level >= below, dear, -keen)


def noise_mean(shape: Number, skew: Number) -> Number:
    """Mean of `skewed_noise`: (skew - 1) * E[Gamma(1/shape)^(1/shape)]."""
    return (skew - 1.0) * gamma(2.0 / shape) / gamma(1.0 / shape)


def noise_scale_bps(traits: Traits, terms: Charges) -> Number:
    """Of a quote's noise: in proportion to spread and risk."""
    return traits.noise * (terms.spread + terms.risk)


def quote_cost_bps(traits: Traits, terms: Charges, noise: Number) -> Number:
    """A quoted cost: the terms plus `noise`, a draw of `skewed_noise`, made to be of mean zero."""
    centred = noise - noise_mean(traits.noise_shape, traits.noise_skew)
    return terms.total + noise_scale_bps(traits, terms) * centred


def price_at(view: RequestView, desk_side: Side, cost_bps: float) -> Price:
    """The price at `cost_bps` from mid, on the tick, rounded in the dealer's favour; never below one tick."""
    raw = view.mid * (1.0 + desk_side.sign * cost_bps / 1e4)
    dealer_side = desk_side.opposite
    whole = math.ceil(raw) if dealer_side is Side.SELL else math.floor(raw)
    tick = view.instrument.tick_at(Price(0))
    return Price(max(tick, view.instrument.round_to_tick(Price(max(whole, 1)), towards=dealer_side)))

"""How a simulated dealer prices a request: charges in bps of mid, terms of a sum, plus skewed noise."""

import math

import msgspec
from numpy.random import Generator

from dealers.behaviour_traits import DealerTraits, RequestView
from rfq.domain.values import Price, Side

ASSUMED_RIVALS = 4
"""What a dealer supposes when the number asked is not disclosed (real panels have at most about six)."""

SUSPICION = 0.5
"""Share of the block that a dealer supposes is still to come when the residual is not disclosed."""


class Charges(msgspec.Struct, frozen=True):
    """The terms of one side's expected cost to the desk, bps of mid; positive is worse for the desk."""

    spread: float
    risk: float
    margin: float
    provision: float
    residual: float
    inventory: float
    belief: float

    @property
    def total(self) -> float:
        return (
            self.spread
            + self.risk
            + self.margin
            + self.provision
            + self.residual
            + self.inventory
            + self.belief
        )


def rivals(view: RequestView) -> int:
    return ASSUMED_RIVALS if view.competitors is None else view.competitors


def charges(
    traits: DealerTraits, view: RequestView, desk_side: Side, lots: float, inventory: float
) -> Charges:
    """Expected charges for `lots` quoted to a desk on `desk_side` by a dealer holding `inventory`.

    Competition is shaded as in a first-price auction (margin / number asked); against it stands a provision
    for losers trading ahead, which grows with the block and the number asked: for small requests one more
    rival makes a quote keener, for blocks dearer.
    """
    sigma, adv = view.volatility_bps, view.instrument.adv
    asked = 1 + rivals(view)
    keenness = 1.0 - (traits.specialist_discount if view.instrument.sector in traits.specialisms else 0.0)
    if view.desk is None:
        keenness *= 1.0 + traits.anonymity_premium
    else:
        keenness *= 1.0 - 0.1 * traits.relationship
    spread = keenness * traits.spread_share * view.instrument.spread_bps / 2
    risk = keenness * traits.risk_charge * sigma * math.sqrt(lots / adv)
    rest = view.residual if view.residual is not None else SUSPICION * view.quantity
    return Charges(
        spread=spread,
        risk=risk,
        margin=traits.margin * (spread + risk) / asked,
        provision=traits.provision * sigma * math.sqrt(view.block) * math.log(asked),
        residual=traits.residual_charge * sigma * math.sqrt(rest / adv),
        inventory=-desk_side.sign * traits.skew * sigma * inventory,
        belief=desk_side.sign * traits.informed * view.belief_bps,
    )


def skewed_noise(rng: Generator, shape: float, skew: float) -> float:
    """One draw of a two-piece exponential-power law with mode 0: scale `skew` above, 1 below.

    |x| = scale * Gamma(1/shape)^(1/shape), the piece chosen in proportion to its scale, so that the density
    is continuous at the mode. Mean is positive for skew > 1: the tail of dear quotes is the longer one.
    """
    size = rng.standard_gamma(1.0 / shape) ** (1.0 / shape)
    return skew * size if rng.random() * (1.0 + skew) < skew else -size


def noise_mean(shape: float, skew: float) -> float:
    """Mean of `skewed_noise`: (skew - 1) * E[Gamma(1/shape)^(1/shape)]."""
    return (skew - 1.0) * math.gamma(2.0 / shape) / math.gamma(1.0 / shape)


def quote_cost_bps(traits: DealerTraits, terms: Charges, rng: Generator) -> float:
    """A quoted cost: the terms plus noise in proportion to spread and risk, of mean zero."""
    draw = skewed_noise(rng, traits.noise_shape, traits.noise_skew)
    centred = draw - noise_mean(traits.noise_shape, traits.noise_skew)
    return terms.total + traits.noise * (terms.spread + terms.risk) * centred


def price_at(view: RequestView, desk_side: Side, cost_bps: float) -> Price:
    """The price at `cost_bps` from mid, on the tick, rounded in the dealer's favour; never below one tick."""
    raw = view.mid * (1.0 + desk_side.sign * cost_bps / 1e4)
    dealer_side = desk_side.opposite
    whole = math.ceil(raw) if dealer_side is Side.SELL else math.floor(raw)
    tick = view.instrument.tick_at(Price(0))
    return Price(max(tick, view.instrument.round_to_tick(Price(max(whole, 1)), towards=dealer_side)))

"""A simulated dealer: prices, delays, declines, fades, leaks and hedges. No I/O; randomness is passed in."""

import math
from collections.abc import Mapping

from numpy.random import Generator

from dealers import behaviour_laws as laws
from dealers.behaviour_pricing import charges, price_at, quote_cost_bps, skewed_noise
from dealers.behaviour_traits import (
    Campaign,
    DealerTraits,
    DeclineReason,
    Declining,
    LiftAnswer,
    Plan,
    Quoting,
    RequestView,
    Silence,
)
from dealers.circumstances import USUAL_BREADTH, Circumstances, circumstances
from rfq.domain.values import NO_LOTS, DealerId, Instrument, Price, Quantity, Side


class SimulatedDealer:
    """One dealer with its hidden state: inventory per sector, in standard units (1 = its usual appetite)."""

    def __init__(
        self,
        traits: DealerTraits,
        rng: Generator,
        sectors: tuple[str, ...] = (),
        breadth: Mapping[str, float] | None = None,
    ) -> None:
        """Draws the opening inventory of `sectors`; a sector met later opens flat. `breadth` says what share of all
        dealers makes each sector's markets."""
        self.traits = traits
        self._inventory = {sector: float(rng.standard_normal()) for sector in sectors}
        self._breadth = breadth or {}

    @property
    def id(self) -> DealerId:
        return self.traits.dealer

    def inventory(self, sector: str) -> float:
        return self._inventory.get(sector, 0.0)

    def pass_time(self, elapsed_s: float, rng: Generator) -> None:
        """Lets `elapsed_s` of market time go by: inventories revert and wander (Ornstein-Uhlenbeck)."""
        if elapsed_s <= 0 or not self._inventory:
            return
        keep = 0.5 ** (elapsed_s / self.traits.inventory_half_life_s)
        wander = math.sqrt(1.0 - keep * keep)
        shocks = rng.standard_normal(len(self._inventory))
        for sector, shock in zip(self._inventory, shocks, strict=True):
            self._inventory[sector] = keep * self._inventory[sector] + wander * float(shock)

    def answer_probability(self, view: RequestView) -> float:
        """Probability of quoting: see `behaviour_laws`."""
        return float(laws.answer_probability(self.traits, self._seen(view)))

    def on_request(self, view: RequestView, rng: Generator) -> Plan:
        """Quote, decline or stay silent; and when."""
        t, seen = self.traits, self._seen(view)
        delay_s = float(laws.answer_delay_s(t, view.time_left_s, float(rng.standard_normal())))
        if view.time_left_s <= t.latency_s:
            return Declining(delay_s=t.latency_s, reason=DeclineReason.TOO_LATE)
        if not seen.covers:
            return Declining(delay_s=t.latency_s, reason=DeclineReason.UNKNOWN_SYMBOL)
        answers = rng.random() < float(laws.answer_probability(t, seen))
        z = float(rng.standard_normal())
        lots = Quantity(int(laws.quoted_lots(t, seen, view.instrument.adv, view.quantity, z)))
        if not answers or lots < max(1, view.minimum):
            if rng.random() < t.silent_share:
                return Silence()
            short = lots < max(view.minimum, view.quantity // 4) or self._misaligned(view)
            return Declining(
                delay_s=0.6 * delay_s, reason=DeclineReason.NO_INVENTORY if short else DeclineReason.PASS
            )
        minimum = Quantity(max(view.minimum, math.ceil(t.minimum_share * lots)))
        share = lots / view.instrument.adv

        def side_price(desk_side: Side) -> Price | None:
            if view.side is not None and view.side is not desk_side:
                return None
            terms = charges(t, seen, desk_side.sign, share)
            noise = float(skewed_noise(rng, t.noise_shape, t.noise_skew))
            return price_at(view, desk_side, float(quote_cost_bps(t, terms, noise)))

        offer, bid = side_price(Side.BUY), side_price(Side.SELL)
        if offer is not None and bid is not None and bid >= offer:
            # Two independent draws may cross; no dealer shows a locked or crossed two-way price.
            offer = price_at(view.but(mid=Price(bid + view.instrument.tick_at(bid))), Side.BUY, 0.0)
        return Quoting(
            delay_s=delay_s,
            bid=bid,
            bid_quantity=lots if bid is not None else NO_LOTS,
            bid_minimum=minimum if bid is not None else NO_LOTS,
            offer=offer,
            offer_quantity=lots if offer is not None else NO_LOTS,
            offer_minimum=minimum if offer is not None else NO_LOTS,
            # Good past the deadline, so that an award can still reach it.
            good_for_s=max(0.0, view.time_left_s - delay_s) + t.good_for_s,
            last_look_s=t.last_look_s,
        )

    def answer_lift(
        self,
        quoted: Quoting,
        desk_side: Side,
        mid_quoted: Price,
        mid_now: Price,
        volatility_bps: float,
        rng: Generator,
    ) -> LiftAnswer:
        """Confirms, or fades within the last-look window. A firm quote is always confirmed.

        The mid moving against the dealer since it quoted (up, for a desk that buys) makes a fade likelier.
        """
        t = self.traits
        if quoted.last_look_s is None:
            return LiftAnswer(confirmed=True, delay_s=t.latency_s)
        probability = self.fade_probability(desk_side, mid_quoted, mid_now, volatility_bps)
        looked_s = quoted.last_look_s * (0.2 + 0.6 * float(rng.random()))
        return LiftAnswer(confirmed=bool(rng.random() >= probability), delay_s=looked_s)

    def fade_probability(
        self, desk_side: Side, mid_quoted: Price, mid_now: Price, volatility_bps: float
    ) -> float:
        """Probability of refusing a last-look lift."""
        against_bps = desk_side.sign * (mid_now - mid_quoted) / mid_quoted * 1e4
        return float(laws.fade_probability(self.traits, against_bps, volatility_bps))

    def leak_probability(self, view: RequestView) -> float:
        """Probability of trading ahead when asked and not hit: see `behaviour_laws`."""
        return float(laws.leak_probability(self.traits, self._seen(view)))

    def after_losing(self, view: RequestView, rng: Generator) -> Campaign | None:
        """Asked and not hit (declining included): perhaps trades ahead, in the desk's direction."""
        if view.side is None or rng.random() >= self.leak_probability(view):
            return None
        z = float(rng.standard_normal())
        lots = Quantity(int(laws.leaked_lots(self.traits, view.instrument.adv, view.quantity, z)))
        return _campaign(view.side, lots, self.traits.leak_horizon_s, rng)

    def after_winning(
        self, instrument: Instrument, desk_side: Side, lots: Quantity, rng: Generator
    ) -> Campaign | None:
        """Takes the other side of `lots`, and hedges what inventory does not absorb: see `behaviour_laws`."""
        sector, usual = instrument.sector, float(laws.usual_lots(self.traits, instrument.adv))
        hedge, held = laws.after_trade(self.traits, self.inventory(sector), desk_side.sign, lots, usual)
        self._inventory[sector] = float(held)
        return _campaign(desk_side, Quantity(int(hedge)), self.traits.hedge_horizon_s, rng) if hedge > 0 else None

    def _seen(self, view: RequestView) -> Circumstances:
        sector = view.instrument.sector
        return circumstances(
            self.traits, view, self.inventory(sector), self._breadth.get(sector, USUAL_BREADTH)
        )

    def _misaligned(self, view: RequestView) -> bool:
        return view.side is not None and view.side.sign * self.inventory(view.instrument.sector) < -0.5


def _campaign(side: Side, lots: Quantity, horizon_s: float, rng: Generator) -> Campaign:
    """`lots` in up to six slices at jittered times over `horizon_s`; the slices add up exactly."""
    count = min(6, max(1, lots))
    each, rest = divmod(lots, count)
    gaps = (rng.random(count) + [float(i) for i in range(count)]) / count * horizon_s
    slices = tuple((float(after), Quantity(each + (1 if i < rest else 0))) for i, after in enumerate(gaps))
    return Campaign(side=side, lots=lots, horizon_s=horizon_s, slices=slices)

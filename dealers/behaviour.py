"""A simulated dealer: prices, delays, declines, fades, leaks and hedges. No I/O; randomness is passed in."""

import math

from numpy.random import Generator

from dealers.behaviour_pricing import charges, price_at, quote_cost_bps, rivals
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
from rfq.domain.values import NO_LOTS, DealerId, Instrument, Price, Quantity, Side

LEAK_SIZE = 0.01
"""Request size, as a share of ADV, at which the propensity to trade ahead reaches half its full rate."""


class SimulatedDealer:
    """One dealer with its hidden state: inventory per sector, in standard units (1 = its usual appetite)."""

    def __init__(self, traits: DealerTraits, rng: Generator, sectors: tuple[str, ...] = ()) -> None:
        """Draws the opening inventory of `sectors`; a sector met later opens flat."""
        self.traits = traits
        self._inventory = {sector: float(rng.standard_normal()) for sector in sectors}

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
        """Probability of quoting. Falls with the number asked, rises with size."""
        t, sector = self.traits, view.instrument.sector
        if t.coverage and sector not in t.coverage:
            return 0.0
        logit = t.answer_logit
        logit += t.answer_per_rival * math.log(1 + rivals(view))
        logit += t.answer_per_size * math.log1p(view.block / 0.01)
        if sector in t.specialisms:
            logit += t.answer_specialist
        if view.side is not None:
            logit += t.answer_axe * max(-2.0, min(2.0, view.side.sign * self.inventory(sector)))
        if view.desk is not None:
            logit += 0.6 * t.relationship
        return 1.0 / (1.0 + math.exp(-logit))

    def on_request(self, view: RequestView, rng: Generator) -> Plan:
        """Quote, decline or stay silent; and when."""
        t, sector = self.traits, view.instrument.sector
        pace = view.time_left_s * t.pace * math.exp(t.pace_spread * float(rng.standard_normal()))
        delay_s = t.latency_s + max(0.0, pace)
        if view.time_left_s <= t.latency_s:
            return Declining(delay_s=t.latency_s, reason=DeclineReason.TOO_LATE)
        if t.coverage and sector not in t.coverage:
            return Declining(delay_s=t.latency_s, reason=DeclineReason.UNKNOWN_SYMBOL)
        answers = rng.random() < self.answer_probability(view)
        lots = self._appetite(view, rng)
        if not answers or lots < max(1, view.minimum):
            if rng.random() < t.silent_share:
                return Silence()
            short = lots < max(view.minimum, view.quantity // 4) or self._misaligned(view)
            return Declining(
                delay_s=0.6 * delay_s, reason=DeclineReason.NO_INVENTORY if short else DeclineReason.PASS
            )
        minimum = Quantity(max(view.minimum, math.ceil(t.minimum_share * lots)))
        held = self.inventory(sector)

        def side_price(desk_side: Side) -> Price | None:
            if view.side is not None and view.side is not desk_side:
                return None
            return price_at(view, desk_side, quote_cost_bps(t, charges(t, view, desk_side, lots, held), rng))

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
        moved = self.traits.fade_per_move * max(0.0, against_bps) / volatility_bps
        return min(0.98, self.traits.fade_rate + moved)

    def leak_probability(self, view: RequestView) -> float:
        """Probability of trading ahead when asked and not hit; 0 when the side is hidden."""
        if view.side is None:
            return 0.0
        return self.traits.leak_rate * view.block / (view.block + LEAK_SIZE)

    def after_losing(self, view: RequestView, rng: Generator) -> Campaign | None:
        """Asked and not hit (declining included): perhaps trades ahead, in the desk's direction."""
        if view.side is None or rng.random() >= self.leak_probability(view):
            return None
        share = self.traits.leak_share * math.exp(0.4 * float(rng.standard_normal()))
        lots = Quantity(max(1, min(int(share * view.quantity), self._usual(view.instrument))))
        return _campaign(view.side, lots, self.traits.leak_horizon_s, rng)

    def after_winning(
        self, instrument: Instrument, desk_side: Side, lots: Quantity, rng: Generator
    ) -> Campaign | None:
        """Takes the other side of `lots`, and hedges in the desk's direction what inventory does not absorb.

        A desk that buys leaves the dealer shorter, so the hedge buys. What it held already counts first.
        """
        sector, usual = instrument.sector, self._usual(instrument)
        held = self.inventory(sector)
        self._inventory[sector] = held - desk_side.sign * lots / usual
        absorbed = max(0.0, desk_side.sign * held) * usual
        hedge = Quantity(int(self.traits.hedge_share * max(0.0, lots - absorbed)))
        if hedge <= 0:
            return None
        self._inventory[sector] += desk_side.sign * hedge / usual
        return _campaign(desk_side, hedge, self.traits.hedge_horizon_s, rng)

    def _usual(self, instrument: Instrument) -> int:
        return max(1, int(self.traits.appetite * instrument.adv))

    def _misaligned(self, view: RequestView) -> bool:
        return view.side is not None and view.side.sign * self.inventory(view.instrument.sector) < -0.5

    def _appetite(self, view: RequestView, rng: Generator) -> Quantity:
        """Lots that it would quote: about its usual share of ADV, more in its sectors or to cut inventory."""
        usual = self._usual(view.instrument) * math.exp(0.35 * float(rng.standard_normal()))
        if view.instrument.sector in self.traits.specialisms:
            usual *= 1.5
        if view.side is not None:
            axe = view.side.sign * self.inventory(view.instrument.sector)
            usual *= 1.0 + 0.3 * max(-1.5, min(1.5, axe))
        if usual >= 0.8 * view.quantity:
            return view.quantity
        # Two significant digits, as people quote.
        step = 10 ** max(0, math.floor(math.log10(max(usual, 1.0))) - 1)
        return Quantity(max(1, int(usual // step * step)))


def _campaign(side: Side, lots: Quantity, horizon_s: float, rng: Generator) -> Campaign:
    """`lots` in up to six slices at jittered times over `horizon_s`; the slices add up exactly."""
    count = min(6, max(1, lots))
    each, rest = divmod(lots, count)
    gaps = (rng.random(count) + [float(i) for i in range(count)]) / count * horizon_s
    slices = tuple((float(after), Quantity(each + (1 if i < rest else 0))) for i, after in enumerate(gaps))
    return Campaign(side=side, lots=lots, horizon_s=horizon_s, slices=slices)

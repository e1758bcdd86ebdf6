"""Signs and laws of the simulated dealer, each measured over many draws from stated seeds."""

import math
from decimal import Decimal

import numpy as np
import pytest

from dealers.behaviour import SimulatedDealer
from dealers.behaviour_pricing import charges, noise_mean, skewed_noise, skewed_quantile
from dealers.behaviour_traits import DealerTraits, DeclineReason, Declining, Quoting, RequestView, Silence
from dealers.circumstances import circumstances
from dealers.panel import SECTORS, default_panel, open_panel
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId, Instrument, Price, Quantity, Side, Symbol, TickBand

ACME = Instrument(
    symbol=Symbol("ACME"),
    currency="USD",
    price_unit=Decimal("0.005"),
    tick_bands=(TickBand(Price(0), 2),),
    adv=Quantity(2_000_000),
    volatility_bps=150.0,
    spread_bps=5.0,
    sector="technology",
)
PLAIN = DealerTraits(dealer=DealerId("D01"))


def view(**changes) -> RequestView:
    facts = dict(
        instrument=ACME,
        side=Side.BUY,
        quantity=Quantity(100_000),
        mid=Price(20_000),
        volatility_bps=150.0,
        time_left_s=10.0,
        competitors=3,
    )
    return RequestView(**(facts | changes))


def flat_dealer(traits: DealerTraits = PLAIN) -> SimulatedDealer:
    return SimulatedDealer(traits, np.random.default_rng(0))


def cost(
    v: RequestView, side: Side = Side.BUY, lots: float = 50_000, inventory: float = 0.0, traits=PLAIN
) -> float:
    return charges(traits, circumstances(traits, v, inventory), side.sign, lots / v.instrument.adv).total


def plans(dealer: SimulatedDealer, v: RequestView, n: int = 2000, seed: int = 1):
    rng = np.random.default_rng(seed)
    return [dealer.on_request(v, rng) for _ in range(n)]


def test_spread_grows_with_size_and_volatility():
    assert cost(view(), lots=10_000) < cost(view(), lots=100_000) < cost(view(), lots=500_000)
    assert cost(view(volatility_bps=100.0)) < cost(view(volatility_bps=300.0))
    mean = {}
    for lots in (20_000, 500_000):
        big = flat_dealer(PLAIN.but(appetite=1.0))
        quoted = [p.offer for p in plans(big, view(quantity=Quantity(lots))) if isinstance(p, Quoting)]
        mean[lots] = np.mean(quoted)
    assert mean[20_000] < mean[500_000]


def test_one_more_rival_makes_small_requests_keener_and_blocks_dearer():
    small = [cost(view(quantity=Quantity(1_000), competitors=n), lots=1_000) for n in range(1, 8)]
    assert small == sorted(small, reverse=True)
    shy = PLAIN.but(provision=0.06)
    block = [
        cost(view(quantity=Quantity(500_000), competitors=n), lots=50_000, traits=shy) for n in range(1, 8)
    ]
    assert block == sorted(block)


def test_answers_fall_with_the_number_asked_and_rise_with_size_and_specialism():
    dealer = flat_dealer()
    falling = [dealer.answer_probability(view(competitors=n)) for n in range(0, 10)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] - falling[-1] > 0.1
    sizes = [dealer.answer_probability(view(quantity=Quantity(q))) for q in (1_000, 20_000, 400_000)]
    assert sizes == sorted(sizes)
    broad, narrow = (SimulatedDealer(PLAIN, np.random.default_rng(0), (), {"technology": b}) for b in (0.4, 0.05))
    assert broad.answer_probability(view()) > dealer.answer_probability(view()) > narrow.answer_probability(view())
    own = flat_dealer(PLAIN.but(specialisms=("technology",)))
    assert own.answer_probability(view()) > dealer.answer_probability(view())
    share = np.mean([isinstance(p, Quoting) for p in plans(dealer, view())])
    assert share == pytest.approx(dealer.answer_probability(view()), abs=0.03)


def test_a_long_dealer_offers_cheaper_and_bids_lower():
    assert cost(view(), Side.BUY, inventory=1.5) < cost(view(), Side.BUY, inventory=-1.5)
    assert cost(view(), Side.SELL, inventory=1.5) > cost(view(), Side.SELL, inventory=-1.5)


def test_a_disclosed_residual_is_priced_by_its_size():
    none, some = view(residual=Quantity(0)), view(residual=Quantity(100_000))
    assert cost(none) < cost(view()) < cost(some)


def test_anonymity_costs_and_a_relationship_pays():
    assert cost(view(desk="desk-a")) < cost(view(desk=None))


def test_a_hidden_side_is_dearer_in_spread_and_risk_and_needs_no_provision():
    flat = PLAIN.but(two_way_premium=0.2, provision=0.0)
    assert cost(view(side=None), traits=flat) > cost(view(), traits=flat)
    assert cost(view(side=None), traits=flat.but(two_way_premium=0.0)) == pytest.approx(cost(view(), traits=flat))
    # Nobody can trade ahead of who is asked on both sides; a dealer may be told to fear it all the same.
    wary = PLAIN.but(two_way_premium=0.0, provision=0.1)
    assert cost(view(side=None), traits=wary) < cost(view(), traits=wary)
    assert cost(view(side=None), traits=wary.but(provision_hidden=1.0)) == pytest.approx(cost(view(), traits=wary))
    with pytest.raises(BadInput, match="provision_hidden"):
        PLAIN.but(provision_hidden=1.5)


def test_noise_is_centred_skewed_and_heavier_tailed_than_gaussian():
    rng = np.random.default_rng(7)
    draws = skewed_noise(rng, 1.1, 1.4, (40_000,))
    assert draws.mean() == pytest.approx(noise_mean(1.1, 1.4), abs=0.03)
    centred = draws - draws.mean()
    assert (centred**3).mean() / centred.std() ** 3 > 0.3
    assert (centred**4).mean() / centred.std() ** 4 > 4.0
    levels = np.array([0.02, 0.1, 0.3, 0.5, 0.9, 0.98])
    np.testing.assert_allclose(skewed_quantile(levels, 1.1, 1.4), np.quantile(draws, levels), atol=0.12)


def test_noise_does_not_move_the_average_price():
    wide = flat_dealer(PLAIN.but(noise=0.5, appetite=1.0))
    offers = [p.offer for p in plans(wide, view(), n=6000) if isinstance(p, Quoting)]
    paid_bps = (np.mean(offers) - 20_000) / 20_000 * 1e4
    half_tick_bps = 0.5  # prices are rounded up to the tick, in the dealer's favour
    assert paid_bps == pytest.approx(cost(view(), lots=100_000) + half_tick_bps, abs=0.4)


def test_prices_are_on_the_tick_and_only_the_asked_side_is_quoted():
    dealer = flat_dealer(PLAIN.but(answer_logit=9.0))
    for plan in plans(dealer, view(mid=Price(20_001)), n=200):
        assert isinstance(plan, Quoting)
        assert plan.offer is not None and ACME.on_tick(plan.offer)
        assert plan.bid is None and plan.bid_quantity == 0
        assert 0 < plan.offer_quantity <= 100_000


def test_two_way_quotes_never_cross():
    dealer = flat_dealer(PLAIN.but(answer_logit=9.0, noise=2.0, spread_share=0.1, risk_charge=0.02))
    for plan in plans(dealer, view(side=None), n=500):
        assert isinstance(plan, Quoting)
        assert plan.bid is not None and plan.offer is not None
        assert plan.bid < plan.offer and ACME.on_tick(plan.bid) and ACME.on_tick(plan.offer)


def test_minimum_asked_is_respected_or_declined():
    dealer = flat_dealer(PLAIN.but(appetite=0.01, answer_logit=9.0, silent_share=0.0))
    for plan in plans(dealer, view(minimum=Quantity(100_000)), n=100):
        assert isinstance(plan, Declining) and plan.reason is DeclineReason.NO_INVENTORY


def test_uncovered_sectors_and_spent_time_are_declined_with_the_fix_reason():
    energy = flat_dealer(PLAIN.but(coverage=("energy",)))
    assert {p.reason for p in plans(energy, view(), n=20)} == {DeclineReason.UNKNOWN_SYMBOL}
    assert {p.reason for p in plans(flat_dealer(), view(time_left_s=0.01), n=20)} == {DeclineReason.TOO_LATE}


def test_some_requests_are_met_with_silence():
    quiet = flat_dealer(PLAIN.but(answer_logit=-3.0, silent_share=0.4))
    assert 0.3 < np.mean([isinstance(p, Silence) for p in plans(quiet, view())]) < 0.5


def quote_of(dealer: SimulatedDealer) -> Quoting:
    return next(p for p in plans(dealer, view(), n=50) if isinstance(p, Quoting))


def fade_share(dealer: SimulatedDealer, mid_now: int, side: Side = Side.BUY) -> float:
    rng, quote = np.random.default_rng(3), quote_of(dealer)
    answers = [
        dealer.answer_lift(quote, side, Price(20_000), Price(mid_now), 150.0, rng) for _ in range(3000)
    ]
    assert all(0 <= a.delay_s <= (quote.last_look_s or PLAIN.latency_s) for a in answers)
    return 1 - np.mean([a.confirmed for a in answers])


def test_firm_quotes_are_always_confirmed():
    assert fade_share(flat_dealer(PLAIN.but(fade_rate=0.9)), 20_200) == 0.0


def test_last_look_fades_more_when_the_mid_moved_against_the_dealer():
    fader = flat_dealer(PLAIN.but(last_look_s=1.0, fade_rate=0.3))
    still, against, with_it = fade_share(fader, 20_000), fade_share(fader, 20_020), fade_share(fader, 19_980)
    assert still == pytest.approx(0.3, abs=0.03)
    assert against > still + 0.1
    assert with_it == pytest.approx(still, abs=0.03)
    assert fade_share(fader, 19_980, Side.SELL) > still + 0.1


def test_losers_trade_ahead_on_the_desks_side_and_never_when_it_is_hidden():
    leaky, rng = flat_dealer(PLAIN.but(leak_rate=0.9)), np.random.default_rng(5)
    block = view(quantity=Quantity(400_000))
    acted = [leaky.after_losing(block, rng) for _ in range(1000)]
    campaigns = [c for c in acted if c is not None]
    assert len(campaigns) / 1000 == pytest.approx(leaky.leak_probability(block), abs=0.04)
    for campaign in campaigns:
        assert campaign.side is Side.BUY
        assert sum(lots for _, lots in campaign.slices) == campaign.lots > 0
        assert all(0 <= after <= campaign.horizon_s for after, _ in campaign.slices)
    assert leaky.leak_probability(view(quantity=Quantity(2_000))) < leaky.leak_probability(block)
    hurried, known = view(time_left_s=5.0), view(desk="desk-a")
    assert leaky.leak_probability(hurried) > leaky.leak_probability(view()) > leaky.leak_probability(known)
    assert all(leaky.after_losing(view(side=None), rng) is None for _ in range(200))


def test_a_winner_hedges_with_the_desk_and_less_when_it_already_held_the_stock():
    rng = np.random.default_rng(5)
    flat = flat_dealer()
    hedge = flat.after_winning(ACME, Side.BUY, Quantity(100_000), rng)
    assert hedge is not None and hedge.side is Side.BUY and hedge.lots == 70_000
    assert flat.inventory("technology") < 0
    long = flat_dealer()
    long.after_winning(ACME, Side.SELL, Quantity(100_000), rng)
    assert long.inventory("technology") > 0
    second = long.after_winning(ACME, Side.BUY, Quantity(100_000), rng)
    assert second is not None and second.lots < 70_000


def test_inventory_is_autocorrelated_and_reverts():
    rng = np.random.default_rng(11)
    dealers = [SimulatedDealer(PLAIN, rng, SECTORS) for _ in range(150)]
    before = np.array([[d.inventory(s) for s in SECTORS] for d in dealers]).ravel()
    for dealer in dealers:
        dealer.pass_time(PLAIN.inventory_half_life_s, rng)
    after = np.array([[d.inventory(s) for s in SECTORS] for d in dealers]).ravel()
    assert np.corrcoef(before, after)[0, 1] == pytest.approx(0.5, abs=0.07)
    assert after.std() == pytest.approx(1.0, abs=0.08)


def test_the_same_seed_gives_the_same_dealers_and_plans():
    def story():
        rng = np.random.default_rng(42)
        panel = open_panel(default_panel(9), rng)
        return [(d.id, d.on_request(view(), rng), d.after_losing(view(), rng)) for d in panel.values()]

    assert story() == story()
    assert default_panel(1) != default_panel(2)


def test_the_declared_panel_has_leakers_faders_and_specialists():
    panel = default_panel(3)
    assert [t.dealer for t in panel] == [f"D{i:02d}" for i in range(1, 13)]
    assert sum(t.leak_rate >= 0.5 for t in panel) >= 2
    assert sum(t.last_look_s is not None and 0.24 <= t.fade_rate <= 0.39 for t in panel) >= 1
    assert sum(bool(t.specialisms) for t in panel) >= 4
    assert len(default_panel(3, 20)) == 20
    with pytest.raises(BadInput):
        default_panel(3, 0)


def test_impossible_traits_and_views_are_refused():
    with pytest.raises(BadInput, match="fade_rate"):
        PLAIN.but(fade_rate=1.5)
    with pytest.raises(BadInput, match="quantity"):
        view(quantity=Quantity(0))
    assert math.isfinite(cost(view()))

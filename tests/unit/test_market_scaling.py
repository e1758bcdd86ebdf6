"""A parameter set laid on an instrument: its simulated volatility, spread and volume, and what the instrument says."""

from decimal import Decimal

import numpy as np
import pytest

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.orders import best_prices
from lit_router.market.exchange import LARGE_TICK
from lit_router.market.parameters import load
from lit_router.market.scaling import character_of, scale
from rfq.domain.errors import BadInput
from rfq.domain.values import Instrument, Price, Quantity, Symbol, TickBand

SET = load(LARGE_TICK)


def instrument(adv: int, volatility_bps: float, spread_bps: float) -> Instrument:
    return Instrument(
        symbol=Symbol("TEST"),
        currency="USD",
        price_unit=Decimal("0.005"),
        tick_bands=(TickBand(Price(0), 2),),
        adv=Quantity(adv),
        volatility_bps=volatility_bps,
        spread_bps=spread_bps,
    )


@pytest.mark.parametrize(
    ("adv", "volatility_bps", "spread_bps", "mid"),
    [(2_000_000, 150.0, 5.0, 20_000), (300_000, 250.0, 15.0, 8_000), (1_000_000, 60.0, 8.0, 20_000)],
)
def test_a_simulated_day_has_the_instruments_volatility_spread_and_volume(
    adv: int, volatility_bps: float, spread_bps: float, mid: int
) -> None:
    character = character_of(instrument(adv, volatility_bps, spread_bps), Price(mid), SET)
    market = BatchedMarket(SET, range(200), characters=character)
    spreads, ends = [], np.full(200, float(mid))
    for _ in range(26):
        market.advance(3600)
        bid, ask = (prices.numpy() for prices in best_prices(market.state))
        both = (bid >= 0) & (ask >= 0)
        ends = np.where(both, (bid + ask) / 2, ends)
        spreads.append(((ask - bid) / ends)[both].mean() * 1e4)
    # The standard deviation of 200 days is known to 5% (1 s.e.), and days are not normal.
    assert np.std(ends / mid) * 1e4 == pytest.approx(volatility_bps, rel=0.3)
    assert np.mean(spreads) == pytest.approx(spread_bps, rel=0.25)
    assert market.state.volume.double().mean().item() == pytest.approx(adv, rel=0.15)


def test_where_volume_forbids_the_pace_theta_takes_up_some_of_the_volatility_and_the_scale_says_what_to_expect() -> (
    None
):
    events = SET.day_lots / SET.mean_lots
    fit = scale(instrument(round(events / 2), 900.0, 5.0), Price(20_000), SET)
    assert fit.pace == pytest.approx(0.53, rel=0.03), "the pace at which half the volume is traded"
    assert fit.theta == 1.0
    assert fit.expected_volatility_bps < 900.0
    assert fit.mean_lots == 1


def test_a_price_with_no_room_for_bids_is_refused() -> None:
    with pytest.raises(BadInput, match="must leave room for 5 levels"):
        character_of(instrument(1_000_000, 150.0, 3000.0), Price(40), SET)

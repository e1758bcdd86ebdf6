"""The book laid on an instrument: its simulated volatility, spread and volume against what the instrument says."""

from decimal import Decimal

import numpy as np
import pytest

from lit_router.market.scaling import book_for, scale
from rfq.domain.errors import BadInput
from rfq.domain.values import Instrument, Price, Quantity, Symbol, TickBand


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
    what = instrument(adv, volatility_bps, spread_bps)
    squares, spreads, volumes = [], [], []
    for seed in range(4):
        book = book_for(what, Price(mid), np.random.SeedSequence(seed))
        mids = [book.mid or mid]
        for step in range(1, 157):
            book.advance(step * 150.0)
            mids.append(book.mid or mids[-1])
            bid, ask = book.best(True), book.best(False)
            if bid is not None and ask is not None:
                spreads.append((ask - bid) / mids[-1] * 1e4)
        squares.append(np.sum(np.diff(np.log(mids)) ** 2))
        volumes.append(book.tape.volume)
    assert np.mean(squares) ** 0.5 * 1e4 == pytest.approx(volatility_bps, rel=0.25)
    assert np.mean(spreads) == pytest.approx(spread_bps, rel=0.25)
    assert np.mean(volumes) == pytest.approx(adv, rel=0.1)


def test_where_volume_forbids_the_pace_theta_takes_up_some_of_the_volatility_and_the_scale_says_what_to_expect() -> (
    None
):
    fit = scale(instrument(3_000, 300.0, 5.0), Price(20_000))
    assert fit.pace == pytest.approx(3_000 / 4_900)
    assert fit.theta == 1.0
    assert fit.expected_volatility_bps < 300.0
    assert fit.mean_lots == 1


def test_a_price_with_no_room_for_bids_is_refused() -> None:
    with pytest.raises(BadInput, match="must leave room for five levels"):
        book_for(instrument(1_000_000, 150.0, 3000.0), Price(40), np.random.SeedSequence(1))

"""Exact money: parse and format, ticks and bands, mids on half a tick, lots, averages."""

from decimal import Decimal

import pytest
from examples import ACME
from hypothesis import given
from hypothesis import strategies as st

from rfq.domain.errors import BadInput
from rfq.domain.values import (
    AveragePrice,
    Instrument,
    Notional,
    Price,
    Quantity,
    Side,
    Symbol,
    TickBand,
    notional,
)

BANDED = Instrument(
    symbol=Symbol("BAND"),
    currency="EUR",
    price_unit=Decimal("0.0005"),
    tick_bands=(TickBand(Price(0), 2), TickBand(Price(2_000), 10), TickBand(Price(20_000), 100)),
    lot=Decimal("0.5"),
    multiplier=Decimal(10),
)
"""Ticks 0.001 below 1, 0.005 below 10, 0.05 from there; half a unit a lot, ten euros a point."""

instruments = st.sampled_from([ACME, BANDED])


@given(instruments, st.integers(0, 10**12))
def test_a_price_survives_the_wire(instrument: Instrument, count: int) -> None:
    price = Price(count)
    text = instrument.format_price(price)
    assert instrument.parse_price(text) == price
    assert Decimal(text) == count * instrument.price_unit
    assert "e" not in text.lower()


@given(instruments, st.integers(1, 10**12))
def test_a_quantity_survives_the_wire(instrument: Instrument, lots: int) -> None:
    assert instrument.parse_quantity(instrument.format_quantity(Quantity(lots))) == lots


@given(instruments, st.decimals(0, 10**9, allow_nan=False, places=6))
def test_parsing_is_exact_or_refused(instrument: Instrument, value: Decimal) -> None:
    try:
        price = instrument.parse_price(format(value, "f"))
    except BadInput as error:
        assert value % instrument.price_unit
        assert error.field == "price" and error.value == format(value, "f")
        assert str(instrument.price_unit) in error.rule
    else:
        assert price * instrument.price_unit == value


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1_000", "1e3", "NaN", "Infinity", "-inf", "+1", "1.", ".5", "0x1", "1,5", "١", "1.0.0"]
)
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        ACME.parse_price(text, "legs[0].limit_price")
    assert (caught.value.field, caught.value.value) == ("legs[0].limit_price", text)


@pytest.mark.parametrize("text", ["1" * 19, "9" * 36, "1" + "0" * 18])
def test_an_absurdly_large_number_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="below 1e18"):
        ACME.parse_price(text)


@pytest.mark.parametrize(
    ("text", "rule"), [("150", "multiple of the lot 100"), ("0", "positive"), ("-100", "positive")]
)
def test_odd_lots_and_nothing_are_refused(text: str, rule: str) -> None:
    with pytest.raises(BadInput, match=rule):
        ACME.parse_quantity(text)


@pytest.mark.parametrize(
    ("price", "tick"),
    [(1, 2), (1_999, 2), (2_000, 10), (2_001, 10), (19_999, 10), (20_000, 100), (10**9, 100)],
)
def test_each_band_has_its_tick_from_its_first_price_on(price: int, tick: int) -> None:
    assert BANDED.tick_at(Price(price)) == tick


@given(st.integers(1, 50_000), st.sampled_from(Side))
def test_rounding_lands_on_the_tick_and_never_worsens(count: int, side: Side) -> None:
    price = Price(count)
    rounded = BANDED.round_to_tick(price, towards=side)
    assert rounded == 0 or BANDED.on_tick(rounded)
    assert side.sign * (rounded - price) <= 0
    assert abs(rounded - price) < BANDED.tick_at(price)
    assert BANDED.on_tick(price) == (rounded == price)


@pytest.mark.parametrize(("text", "good"), [("99.99", True), ("99.995", False), ("0", False), ("-1", False)])
def test_an_order_price_is_on_the_tick(text: str, good: bool) -> None:
    if good:
        assert ACME.format_price(ACME.parse_order_price(text)) == text
    else:
        with pytest.raises(BadInput, match=r"tick 0\.01"):
            ACME.parse_order_price(text)


@given(instruments, st.integers(1, 40_000), st.integers(1, 40_000))
def test_the_mid_of_two_order_prices_is_exact(instrument: Instrument, a: int, b: int) -> None:
    bid, ask = sorted(instrument.round_to_tick(Price(p), towards=Side.SELL) for p in (a, b))
    mid = (bid + ask) // 2
    assert 2 * mid == bid + ask
    assert instrument.parse_price(instrument.format_price(Price(mid))) == mid


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"price_unit": Decimal(0)}, "positive"),
        ({"lot": Decimal(-1)}, "positive"),
        ({"multiplier": Decimal(0)}, "positive"),
        ({"tick_bands": ()}, "begin at price 0"),
        ({"tick_bands": (TickBand(Price(5), 2),)}, "begin at price 0"),
        ({"tick_bands": (TickBand(Price(0), 2), TickBand(Price(0), 4))}, "rise strictly"),
        ({"tick_bands": (TickBand(Price(0), 2), TickBand(Price(20), 4), TickBand(Price(10), 2))}, "rise strictly"),
        ({"tick_bands": (TickBand(Price(0), 1),)}, "even"),
        ({"tick_bands": (TickBand(Price(0), 0),)}, "even"),
        ({"tick_bands": (TickBand(Price(0), 2), TickBand(Price(10), 4))}, "tick of both sides"),
        ({"tick_bands": (TickBand(Price(0), 4), TickBand(Price(10), 2))}, "tick of both sides"),
    ],
)
def test_an_instrument_that_could_not_be_exact_is_refused(changes: dict[str, object], rule: str) -> None:
    with pytest.raises(BadInput, match=rule):
        ACME.but(**changes)


def test_money_is_exact() -> None:
    assert ACME.money(notional(Price(20_001), Quantity(5_000))) == Decimal("50002500.000")
    assert BANDED.money(notional(Price(3), Quantity(7))) == Decimal("0.05250")


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), max_size=20))
def test_an_average_keeps_every_lot_and_every_cent(fills: list[tuple[int, int]]) -> None:
    average = AveragePrice()
    for price, lots in fills:
        average = average.plus(Price(price), Quantity(lots))
    assert average.notional == sum(p * q for p, q in fills)
    assert average.quantity == sum(q for _, q in fills)
    assert average.notional == Notional(sum(notional(Price(p), Quantity(q)) for p, q in fills))


@pytest.mark.parametrize(("side", "cost"), [(Side.BUY, 10.0), (Side.SELL, -10.0)])
def test_cost_is_positive_when_worse_for_the_desk(side: Side, cost: float) -> None:
    average = AveragePrice().plus(Price(20_010), Quantity(1)).plus(Price(20_030), Quantity(1))
    assert average.cost_bps(side, Price(20_000)) == pytest.approx(cost)
    assert AveragePrice().cost_bps(side, Price(20_000)) is None


def test_sides() -> None:
    assert [s.opposite for s in (Side.BUY, Side.SELL)] == [Side.SELL, Side.BUY]
    assert Side.BUY.sign == 1 and Side.SELL.sign == -1

"""The directory of instruments, our own and from a file."""

from decimal import Decimal
from pathlib import Path

import pytest

from rfq.domain.errors import BadInput
from rfq.domain.values import Price, Quantity, Symbol
from rfq.instruments import directory

GOOD = '[[instruments]]\nsymbol = "ABC"\nopening_mid = "50.005"\nadv = "100000"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "instruments.toml"
    path.write_text(text)
    return path


def test_our_own_hold_the_block_of_the_demonstration() -> None:
    known = directory()
    qdi, mid = known[Symbol("QDI")]
    assert (qdi.format_price(mid), qdi.format_quantity(qdi.adv), qdi.spread_bps) == ("100", "2000000", 5.0)
    assert (qdi.price_unit, qdi.tick_at(mid)) == (Decimal("0.005"), 2)
    assert len({listing.instrument.sector for listing in known.values()}) == len(known) == 6


def test_bands_and_lots_are_exact() -> None:
    grmc = directory()[Symbol("GRMC")].instrument
    assert grmc.parse_order_price("99.99") == Price(19_998)
    with pytest.raises(BadInput):
        grmc.parse_order_price("100.01")
    with pytest.raises(BadInput):
        grmc.parse_quantity("15")
    assert grmc.parse_quantity("20") == Quantity(2)


def test_a_file_replaces_them(tmp_path: Path) -> None:
    (listing,) = directory(written(tmp_path, GOOD)).values()
    assert (listing.instrument.symbol, listing.opening_mid, listing.instrument.adv) == ("ABC", 10_001, 100_000)


@pytest.mark.parametrize(
    ("line", "field", "rule"),
    [
        ('lot = "0"', "instruments[0].lot", "positive"),
        ('adv = "10.5"', "instruments[0].adv", "multiple of 1"),
        ('opening_mid = "50.001"', "instruments[0].opening_mid", "multiple of 0.005"),
        ('opening_mid = "0"', "instruments[0].opening_mid", "positive"),
        ('price_unit = "0.01"', "ABC.tick", "even count"),
        ('price_unit = "cheap"', "instruments[0].price_unit", "decimal string"),
        ('symbol = ""', "instruments[0].symbol", "printable"),
        ("spread_bps = -1.0", "instruments[0].spread_bps", "above 0"),
        ("volatility_bps = nan", "instruments[0].volatility_bps", "above 0"),
        ('ticks = [{tick = "0.01", from_price = "5"}]', "ABC.tick_bands", "begin at price 0"),
        ('ticks = [{tick = "0.01", from_price = "x"}]', "instruments[0].ticks[0].from_price", "decimal string"),
        ("ticks = []", "instruments[0].ticks", "at least one band"),
        ('colour = "red"', "instruments", "unknown field"),
        ("adv = 5", "instruments", "Expected `str`"),
    ],
)
def test_a_bad_file_is_told_by_field_and_rule(tmp_path: Path, line: str, field: str, rule: str) -> None:
    name = line.split(" = ")[0]
    kept = "\n".join(one for one in GOOD.splitlines() if not one.startswith(f"{name} ="))
    with pytest.raises(BadInput) as bad:
        directory(written(tmp_path, f"{kept}\n{line}\n"))
    assert bad.value.field == field
    assert rule in bad.value.rule


def test_not_twice_and_not_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="listed twice"):
        directory(written(tmp_path, GOOD * 2))
    with pytest.raises(BadInput, match="at least one"):
        directory(written(tmp_path, "instruments = []"))

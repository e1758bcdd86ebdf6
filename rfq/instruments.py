"""The directory of instruments: six of our own for the simulated market, or those of a TOML file."""

import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

import msgspec

from rfq.domain.errors import BadInput
from rfq.domain.values import Frozen, Instrument, Price, Quantity, Symbol, TickBand, TradingHours


class Listing(NamedTuple):
    """An instrument, and the mid at which its simulated day begins."""

    instrument: Instrument
    opening_mid: Price


class BandEntry(Frozen, frozen=True):
    """As written in the file: from this price upward, this tick. Decimal strings, in money."""

    tick: str
    from_price: str = "0"


class Entry(Frozen, frozen=True, kw_only=True):
    """One [[instruments]] table of the file. Prices and money as decimal strings; `adv` in shares.

    `price_unit` left out is half the smallest tick, so that every mid is exact.
    """

    symbol: str
    opening_mid: str
    adv: str
    currency: str = "USD"
    ticks: tuple[BandEntry, ...] = (BandEntry("0.01"),)
    price_unit: str | None = None
    lot: str = "1"
    multiplier: str = "1"
    hours: TradingHours = TradingHours()
    volatility_bps: float = 150.0
    spread_bps: float = 5.0
    asset_class: str = "equity"
    sector: str = "unclassified"


class File(Frozen, frozen=True):
    instruments: tuple[Entry, ...]


DEFAULT = (
    # The block of the demonstration: $100, 2 million shares a day, 5 cents wide.
    Entry(symbol="QDI", opening_mid="100", adv="2000000", spread_bps=5.0, volatility_bps=150.0, sector="industrials"),
    Entry(symbol="NVEC", opening_mid="184.4", adv="5500000", spread_bps=2.5, volatility_bps=230.0, sector="technology"),
    Entry(symbol="HALM", opening_mid="62.35", adv="1200000", spread_bps=6.5, volatility_bps=130.0, sector="health"),
    Entry(symbol="BRKF", opening_mid="41.18", adv="3600000", spread_bps=4.0, volatility_bps=160.0, sector="financials"),
    Entry(symbol="OLEN", opening_mid="27.7", adv="900000", spread_bps=9.0, volatility_bps=210.0, sector="energy"),
    # Two tick bands and round lots, as some venues have them.
    Entry(
        symbol="GRMC",
        opening_mid="212.5",
        adv="650000",
        spread_bps=8.0,
        volatility_bps=120.0,
        sector="consumer",
        lot="10",
        ticks=(BandEntry("0.01"), BandEntry("0.05", "100")),
    ),
)


def directory(path: Path | None = None) -> dict[Symbol, Listing]:
    """By symbol, in the order written. Raises BadInput, naming field, value and rule, for a file that is not right."""
    entries = DEFAULT if path is None else _read(path)
    listings: dict[Symbol, Listing] = {}
    for i, entry in enumerate(entries):
        listing = listed(entry, f"instruments[{i}]")
        if listing.instrument.symbol in listings:
            raise BadInput(f"instruments[{i}].symbol", entry.symbol, "is listed twice")
        listings[listing.instrument.symbol] = listing
    if not listings:
        raise BadInput("instruments", 0, "must hold at least one instrument")
    return listings


def listed(entry: Entry, where: str = "instrument") -> Listing:
    """The exact instrument that an entry describes. Raises BadInput."""
    if not entry.symbol or len(entry.symbol) > 32 or not entry.symbol.isascii() or not entry.symbol.isprintable():
        raise BadInput(f"{where}.symbol", entry.symbol, "must be 1 to 32 printable ASCII characters")
    ticks = [_positive(band.tick, f"{where}.ticks[{i}].tick") for i, band in enumerate(entry.ticks)]
    if not ticks:
        raise BadInput(f"{where}.ticks", [], "must hold at least one band")
    unit = min(ticks) / 2 if entry.price_unit is None else _positive(entry.price_unit, f"{where}.price_unit")
    lot = _positive(entry.lot, f"{where}.lot")
    instrument = Instrument(
        symbol=Symbol(entry.symbol),
        currency=entry.currency,
        price_unit=unit,
        tick_bands=tuple(
            TickBand(
                Price(_count(band.from_price, unit, f"{where}.ticks[{i}].from_price", least=0)),
                _count(band.tick, unit, f"{where}.ticks[{i}].tick"),
            )
            for i, band in enumerate(entry.ticks)
        ),
        lot=lot,
        multiplier=_positive(entry.multiplier, f"{where}.multiplier"),
        hours=entry.hours,
        adv=Quantity(_count(entry.adv, lot, f"{where}.adv")),
        volatility_bps=_above_zero(entry.volatility_bps, f"{where}.volatility_bps"),
        spread_bps=_above_zero(entry.spread_bps, f"{where}.spread_bps"),
        asset_class=entry.asset_class,
        sector=entry.sector,
    )
    opening = instrument.parse_price(entry.opening_mid, f"{where}.opening_mid")
    if opening <= 0:
        raise BadInput(f"{where}.opening_mid", entry.opening_mid, "must be positive")
    return Listing(instrument, opening)


def _read(path: Path) -> tuple[Entry, ...]:
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), File).instruments
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadInput("instruments", str(path), f"must be a TOML file of [[instruments]]: {error}") from None


def _decimal(text: str, field: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise BadInput(field, text, "must be a decimal string") from None
    if not value.is_finite() or value < 0 or value.adjusted() > 18:
        raise BadInput(field, text, "must be finite, not negative and below 1e18")
    return value


def _positive(text: str, field: str) -> Decimal:
    value = _decimal(text, field)
    if not value:
        raise BadInput(field, text, "must be positive")
    return value


def _count(text: str, unit: Decimal, field: str, least: int = 1) -> int:
    """How many `unit`s a decimal string holds, exactly."""
    value = _positive(text, field) if least else _decimal(text, field)
    count, rest = divmod(value, unit)
    if rest:
        raise BadInput(field, text, f"must be a multiple of {unit}")
    return int(count)


def _above_zero(value: float, field: str) -> float:
    if not 0 < value < 100_000:
        raise BadInput(field, value, "must be above 0 and below 100000")
    return value

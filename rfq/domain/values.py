"""Exact values: side, price, quantity, notional, instrument, and the typed ids everything is named by."""

import re
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import NewType, Self

import msgspec

from rfq.domain.errors import BadInput

DeskId = NewType("DeskId", str)
DealerId = NewType("DealerId", str)
RfqId = NewType("RfqId", str)
AuctionId = NewType("AuctionId", str)
RequestId = NewType("RequestId", str)
QuoteId = NewType("QuoteId", str)
LiftId = NewType("LiftId", str)
ParentId = NewType("ParentId", str)
ChildId = NewType("ChildId", str)
FillId = NewType("FillId", str)
Symbol = NewType("Symbol", str)

Price = NewType("Price", int)
"""A count of the instrument's `price_unit`. The unit divides half a tick, so that a mid is exact."""

Quantity = NewType("Quantity", int)
"""A count of the instrument's lots."""

Notional = NewType("Notional", int)
"""Price times Quantity: exact, in price units times lots."""

NO_LOTS = Quantity(0)

_DECIMAL = re.compile(r"-?[0-9]{1,36}(\.[0-9]{1,36})?")
_TOO_LARGE = Decimal("1e18")


class Side(StrEnum):
    """What the desk does. A desk that buys lifts offers; one that sells hits bids."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buyer, for whom a higher price costs more; -1 for a seller."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of immutable values."""

    def but(self, **changes: object) -> Self:
        """A copy with some fields replaced."""
        return msgspec.structs.replace(self, **changes)


class TickBand(Frozen, frozen=True):
    """From this price upward the tick is `tick` price units, until the next band begins."""

    from_price: Price
    tick: int


class TradingHours(Frozen, frozen=True):
    """Regular session in the instrument's time zone, minutes after local midnight: `opens` <= t < `closes`."""

    opens: int = 570
    closes: int = 960
    time_zone: str = "America/New_York"


class Instrument(Frozen, frozen=True):
    """What is traded, and the rules that make its numbers exact.

    `price_unit` is the money value of one price count; `lot` the shares (or contracts, or nominal) in one lot;
    `multiplier` the money value of one point of price per share. `adv` is the average daily volume in lots and
    `volatility_bps` the standard deviation of a day's return: both statistics, used by models only.
    """

    symbol: Symbol
    currency: str
    price_unit: Decimal
    tick_bands: tuple[TickBand, ...]
    lot: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    hours: TradingHours = TradingHours()
    adv: Quantity = Quantity(1)
    volatility_bps: float = 150.0
    spread_bps: float = 5.0
    asset_class: str = "equity"
    sector: str = "unclassified"

    def __post_init__(self) -> None:
        if self.price_unit <= 0 or self.lot <= 0 or self.multiplier <= 0:
            raise BadInput(f"{self.symbol}.price_unit/lot/multiplier", self.price_unit, "must all be positive")
        if not self.tick_bands or self.tick_bands[0].from_price > 0:
            raise BadInput(f"{self.symbol}.tick_bands", self.tick_bands, "must begin at price 0")
        starts = [band.from_price for band in self.tick_bands]
        if sorted(set(starts)) != starts:
            raise BadInput(f"{self.symbol}.tick_bands", starts, "must rise strictly")
        for band in self.tick_bands:
            if band.tick <= 0 or band.tick % 2:
                raise BadInput(f"{self.symbol}.tick", band.tick, "must be a positive even count of price units")
        for below, band in pairwise(self.tick_bands):
            if band.from_price % below.tick or band.from_price % band.tick:
                raise BadInput(f"{self.symbol}.tick_bands", band.from_price, "must begin on the tick of both sides")

    def tick_at(self, price: Price) -> int:
        """The tick, in price units, that rules an order at `price`."""
        tick = self.tick_bands[0].tick
        for band in self.tick_bands:
            if band.from_price > price:
                break
            tick = band.tick
        return tick

    def on_tick(self, price: Price) -> bool:
        return price > 0 and price % self.tick_at(price) == 0

    def round_to_tick(self, price: Price, *, towards: Side) -> Price:
        """The nearest valid price that is no worse for `towards`: down for a buyer, up for a seller."""
        tick = self.tick_at(price)
        down = price // tick * tick
        return Price(down if towards is Side.BUY or down == price else down + tick)

    def parse_price(self, text: str, field: str = "price") -> Price:
        """Reads a decimal string exactly; refuses what is not a multiple of the price unit. Raises BadInput."""
        return Price(_whole(text, self.price_unit, field, f"must be a multiple of {self.price_unit}"))

    def parse_order_price(self, text: str, field: str = "price") -> Price:
        """As parse_price, and on the tick. Raises BadInput."""
        price = self.parse_price(text, field)
        if not self.on_tick(price):
            tick = self.format_price(Price(self.tick_at(price)))
            raise BadInput(field, text, f"must be a positive multiple of the tick {tick}")
        return price

    def parse_quantity(self, text: str, field: str = "quantity") -> Quantity:
        """Reads a decimal string of shares exactly into lots; refuses odd lots and what is not positive."""
        lots = _whole(text, self.lot, field, f"must be a multiple of the lot {self.lot}")
        if lots <= 0:
            raise BadInput(field, text, "must be positive")
        return Quantity(lots)

    def format_price(self, price: Price) -> str:
        return format((price * self.price_unit).normalize(), "f")

    def format_quantity(self, quantity: Quantity) -> str:
        return format((quantity * self.lot).normalize(), "f")

    def money(self, notional: Notional) -> Decimal:
        """An exact amount of the instrument's currency."""
        return notional * self.price_unit * self.lot * self.multiplier

    def as_float(self, price: Price) -> float:
        """For models and statistics only."""
        return float(price * self.price_unit)


def _whole(text: str, unit: Decimal, field: str, rule: str) -> int:
    if not _DECIMAL.fullmatch(text):  # Decimal() itself would also take '1_000', ' 1 ', '1e3' and 'NaN'.
        raise BadInput(field, text, "must be a decimal string")
    value = Decimal(text)
    if abs(value) >= _TOO_LARGE:
        raise BadInput(field, text, "must be a number below 1e18")
    count, rest = divmod(value, unit)
    if rest:
        raise BadInput(field, text, rule)
    return int(count)


def notional(price: Price, quantity: Quantity) -> Notional:
    return Notional(price * quantity)


class AveragePrice(Frozen, frozen=True):
    """An average kept exact, as the notional and the quantity it is the ratio of."""

    notional: Notional = Notional(0)
    quantity: Quantity = NO_LOTS

    def plus(self, price: Price, quantity: Quantity) -> "AveragePrice":
        return AveragePrice(Notional(self.notional + price * quantity), Quantity(self.quantity + quantity))

    def cost_bps(self, side: Side, arrival: Price) -> float | None:
        """Signed cost against `arrival` in basis points, positive when worse for `side`; None with no lots."""
        if not self.quantity or not arrival:
            return None
        return side.sign * (self.notional / self.quantity - arrival) / arrival * 1e4


def total(quantities: Iterable[Quantity]) -> Quantity:
    return Quantity(sum(quantities))

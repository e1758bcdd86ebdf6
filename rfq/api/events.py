"""Events and other domain structs as plain JSON: prices and quantities become decimal strings by their types."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec

from rfq.api.answers import EventAnswer
from rfq.domain import events as ev
from rfq.domain.quote import Quote
from rfq.domain.values import AuctionId, Instrument, Notional, Price, Quantity

Writer: TypeAlias = Callable[[Any, Instrument], object]
MONEY_OR_LOTS: Mapping[object, Writer] = {
    Price: lambda value, i: i.format_price(value),
    Quantity: lambda value, i: i.format_quantity(value),
    Notional: lambda value, i: format(i.money(value), "f"),
}


def event(stamped: ev.Stamped, instrument: Instrument, sealed: Collection[AuctionId]) -> EventAnswer:
    """One event for people. Quotes of auctions that are `sealed` come without their bid and offer, decisions on further
    waves without what would tell of them."""
    happened = stamped.event
    data = plain(happened, instrument)
    if (quote := quote_in(happened)) is not None and quote.auction_id in sealed:
        data["quote"] = {**data["quote"], "bid": None, "offer": None, "sealed": True}
    if isinstance(happened, ev.WaveDecided) and happened.auction_id in sealed:
        data["decision"] = {**data["decision"], "saving_bps": None, "moved_bps": None}
    return EventAnswer(
        sequence=stamped.sequence,
        event=type(happened).__name__,
        session_at=stamped.session_at,
        market_at=stamped.market_at,
        data=data,
    )


def quote_in(happened: ev.AnyEvent) -> Quote | None:
    return happened.quote if isinstance(happened, ev.QuoteReceived | ev.QuoteCameLate) else None


def is_last(happened: ev.AnyEvent) -> bool:
    """The RFQ is over with this one; what follows, if anything, is telling dealers and late facts."""
    return isinstance(happened, ev.RfqDone | ev.RfqCancelled | ev.RfqExpired | ev.RfqRejected)


def plain(noun: msgspec.Struct, instrument: Instrument) -> dict[str, Any]:
    """A domain struct as JSON-ready values, field by field as its type says. Exact: nothing passes through a float."""
    return {name: write(getattr(noun, name), instrument) for name, write in _fields(type(noun))}


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, Writer], ...]:
    hints = get_type_hints(kind)
    return tuple((name, _writer(hints[name])) for name in kind.__struct_fields__)


def _writer(kind: Any) -> Writer:
    """How a value of this type is written. Raises TypeError for a type that it has not been taught."""
    if kind in MONEY_OR_LOTS:
        return MONEY_OR_LOTS[kind]
    kind = getattr(kind, "__supertype__", kind)  # The ids are NewTypes of str.
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (inner,) = (x for x in args if x is not NoneType)
        write = _writer(inner)
        return lambda value, i: None if value is None else write(value, i)
    if origin is tuple:
        write = _writer(args[0])
        return lambda value, i: [write(one, i) for one in value]
    if origin is dict:
        write = _writer(args[1])
        return lambda value, i: {key: write(one, i) for key, one in value.items()}
    if isinstance(kind, type):
        if issubclass(kind, msgspec.Struct):
            return plain
        if issubclass(kind, Enum):
            return lambda value, _: value.value
        if issubclass(kind, Decimal):
            return lambda value, _: format(value, "f")
        if issubclass(kind, str | bool | int | float | datetime):
            return lambda value, _: value
    raise TypeError(f"no way to write {kind!r}")

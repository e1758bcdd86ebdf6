"""Events for people: every kind can be written, exactly, and sealed quotes stay sealed."""

from decimal import Decimal
from typing import get_args

import msgspec
import pytest
from examples import ACME, at, quote
from stored_blocks import life_of

from rfq.api import events
from rfq.domain import events as ev
from rfq.domain.values import Frozen, Notional, Price, Quantity

LIFE = [event for group in life_of("rfq-9") for event in group]


@pytest.mark.parametrize("kind", get_args(ev.AnyEvent), ids=lambda kind: kind.__name__)
def test_every_kind_of_event_has_a_writer_for_each_of_its_fields(kind: type[ev.Event]) -> None:
    assert [name for name, _ in events._fields(kind)] == list(kind.__struct_fields__)


def test_a_whole_life_is_written_as_json_and_numbers_of_shares_and_money_only_as_strings() -> None:
    for n, happened in enumerate(LIFE, 1):
        told = events.event(ev.Stamped(n, happened, at(n), at(n)), ACME, ())
        again = msgspec.json.decode(msgspec.json.encode(told))
        assert (again["sequence"], again["event"]) == (n, type(happened).__name__)
    received = events.plain(LIFE[0], ACME)
    assert received["terms"]["legs"][0]["quantity"] == "10000"
    assert received["arrival"] == {"bid": "99.95", "ask": "100.05", "mid": "100", "source_at": at(0)}
    lifted = next(events.plain(e, ACME) for e in LIFE if isinstance(e, ev.QuoteLifted))
    assert (lifted["lift"]["price"], lifted["lift"]["quantity"]) == ("100.02", "4000")


def test_an_open_auction_hides_bid_and_offer_and_nothing_else() -> None:
    happened = ev.QuoteReceived(quote("d1", 20_004))
    stamped = ev.Stamped(1, happened, at(1), at(1))
    shown = events.event(stamped, ACME, ()).data["quote"]
    hidden = events.event(stamped, ACME, {happened.quote.auction_id}).data["quote"]
    assert isinstance(shown, dict) and isinstance(hidden, dict)
    assert shown["offer"] == {"price": "100.02", "quantity": "10000", "min_quantity": "0"}
    assert hidden == {**shown, "offer": None, "bid": None, "sealed": True}
    assert "100.02" not in msgspec.json.encode(hidden).decode()


def test_a_type_without_a_writer_is_refused_when_it_is_first_met() -> None:
    class Odd(Frozen, frozen=True):
        thing: complex

    with pytest.raises(TypeError, match="complex"):
        events.plain(Odd(1j), ACME)


def test_money_is_exact() -> None:
    class Sum(Frozen, frozen=True):
        paid: Notional
        price: Price
        lots: Quantity
        rate: Decimal

    written = events.plain(Sum(Notional(3), Price(1), Quantity(7), Decimal("0.10")), ACME)
    assert written == {"paid": "1.500", "price": "0.005", "lots": "700", "rate": "0.10"}

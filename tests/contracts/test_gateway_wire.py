"""The dealer protocol, frame by frame, on real sockets: logging on, and what is said."""

import json
from datetime import datetime, timedelta

import pytest
from dealer_bench import lift_of, trade_of
from websockets.exceptions import InvalidStatus
from wire_bench import LOGON, QUOTE, bench, line

from dealers.wire import JSON, MSGPACK, SUBPROTOCOLS
from rfq.domain.quote import QuoteSide
from rfq.domain.rfq import RequestSide
from rfq.domain.values import Price, Quantity
from rfq.ports import DealerQuoted, LiftAnswered, LineDown

# --- logging on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "another"])
async def test_without_a_key_there_is_no_connection(key):
    async with bench() as on:
        with pytest.raises(InvalidStatus) as refused:
            async with line(on, key=key):
                pass
        assert refused.value.response.status_code == 401


async def test_the_hello_names_version_session_and_heartbeat():
    async with bench() as on, line(on) as dealer:
        hello = await dealer.hear()
        assert hello["type"] == "session" and hello["version"] == 1 and hello["session_id"].startswith("session-")
        assert (hello["sequence"], hello["heartbeat_s"], hello["resumed"]) == (0, 5.0, False)
        assert datetime.fromisoformat(hello["now"]).utcoffset() == timedelta(0)


async def test_nothing_is_said_before_logon():
    async with bench() as on, line(on, None) as dealer:
        await dealer.say(QUOTE)
        assert (await dealer.hear())["code"] == "not_logged_on"
        assert (await dealer.hear())["type"] == "logout"
        assert await dealer.closed() == 4003 and not on.inbox.taken


async def test_a_logon_that_does_not_come_is_not_waited_for():
    async with bench(logon_s=0.05) as on, line(on, None) as dealer:
        assert (await dealer.hear())["code"] == "not_logged_on"
        assert await dealer.closed() == 4003


async def test_another_version_is_told_ours():
    async with bench() as on, line(on, LOGON | {"version": 2}) as dealer:
        error = await dealer.hear()
        told = (error["code"], error["field"], error["value"], error["rule"])
        assert told == ("version", "version", "2", "must be 1")
        assert await dealer.closed() == 4004 and not on.inbox.taken


async def test_a_subprotocol_is_needed():
    async with bench() as on:
        with pytest.raises(Exception, match=r"subprotocol|rejected|400"):
            async with line(on, subprotocol="sotto.v9.xml") as dealer:
                await dealer.hear()


async def test_the_newest_connection_wins_and_the_line_stays_up():
    async with bench() as on, line(on) as first:
        await first.hear("session")
        async with line(on) as second:
            await second.hear("session")
            assert (await first.hear("logout"))["code"] == "replaced"
            assert await first.closed() == 4001
            await on.gateway.ask([on.request()])
            assert (await second.hear())["request_id"] == "request-1"
            assert not on.inbox.of(LineDown)
        await on.inbox.next(LineDown)


# --- what is said ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
async def test_messages_are_exact_decimal_strings_with_both_kinds_of_deadline(subprotocol):
    async with bench() as on, line(on, subprotocol=subprotocol) as dealer:
        await dealer.hear("session")
        asked = on.request(quantity=Quantity(5_000), side=RequestSide.TWO_WAY, residual=Quantity(1_000), competitors=3)
        await on.gateway.ask([asked])
        heard = await dealer.hear()
        deadline, left_s = heard.pop("deadline"), heard.pop("time_left_s")
        assert heard == {
            "type": "quote_request",
            "sequence": 1,
            "request_id": "request-1",
            "symbol": "ACME",
            "side": "two_way",
            "quantity": "500000",
            "currency": "USD",
            "lot": "100",
            "ticks": [{"from_price": "0", "tick": "0.01"}],
            "residual": "100000",
            "competitors": 3,
        }
        deadline = datetime.fromisoformat(deadline) if isinstance(deadline, str) else deadline
        assert deadline == asked.deadline and 9 < left_s <= 10
        await dealer.say(QUOTE | {"bid": {"price": "99.95", "quantity": "500000", "min_quantity": "10000"}})
        quoted = await on.inbox.next(DealerQuoted)
        assert quoted.bid == QuoteSide(Price(19_990), Quantity(5_000), Quantity(100))
        assert quoted.offer == QuoteSide(Price(20_010), Quantity(30))
        lift = lift_of(quoted, on.clock.now())
        await on.gateway.lift(lift)
        heard = await dealer.hear()
        del heard["answer_by"], heard["time_left_s"]
        assert heard == {
            "type": "lift",
            "sequence": 2,
            "lift_id": "lift-1",
            "request_id": "request-1",
            "quote_id": "q1",
            "revision": 1,
            "symbol": "ACME",
            "side": "buy",
            "price": "100.05",
            "quantity": "3000",
        }
        await dealer.say({"type": "confirm", "lift_id": "lift-1", "quantity": "2000"})
        assert (await on.inbox.next(LiftAnswered)).quantity == 20
        await on.gateway.book(trade_of(lift, on.clock.now()))
        heard = await dealer.hear()
        assert (heard["trade_id"], heard["currency"], heard["sequence"]) == ("fill-lift-1", "USD", 3)
        assert float(heard["amount"]) == 300_150 and heard["quote_id"] == "q1"


WRONG = [
    ({"quote_id": 7}, "quote_id", "7", "expected `str`, got `int`"),
    ({"quote_id": "a b"}, "quote_id", "a b", "visible ASCII"),
    ({"quote_id": "q" * 65}, "quote_id", "q" * 65, "1 to 64"),
    ({"colour": "red"}, "colour", "red", "is not known"),
    ({"type": "qoute"}, "type", "qoute", "invalid value"),
    ({"request_id": None}, "request_id", "", "expected `str`"),
    ({"revision": 0}, "revision", "0", ">= 1"),
    ({"revision": 1.5}, "revision", "1.5", "expected `int`"),
    ({"firm": "yes"}, "firm", "yes", "expected `bool`"),
    ({"last_look_s": 61}, "last_look_s", "61", "<= 60"),
    ({"offer": {"price": "100.05"}}, "offer.quantity", "", "is required"),
    ({"offer": {"price": 100.05, "quantity": "1000"}}, "offer.price", "100.05", "expected `str`"),
    ({"offer": {"price": "1e2", "quantity": "1000"}}, "offer.price", "1e2", "decimal string"),
    ({"offer": {"price": "-100", "quantity": "1000"}}, "offer.price", "-100", "decimal string"),
    ({"offer": {"price": "100.053", "quantity": "1000"}}, "offer.price", "100.053", "multiple of 0.005"),
    ({"offer": {"price": "100.055", "quantity": "1000"}}, "offer.price", "100.055", "tick 0.01"),
    ({"offer": {"price": "0", "quantity": "1000"}}, "offer.price", "0", "tick"),
    ({"offer": {"price": "100", "quantity": "1050"}}, "offer.quantity", "1050", "lot 100"),
    ({"offer": {"price": "100", "quantity": "0"}}, "offer.quantity", "0", "positive"),
    ({"offer": {"price": "100", "quantity": "100", "min_quantity": "200"}}, "offer.min_quantity", "200", "at most"),
    ({"offer": {"price": "100", "quantity": "100", "size": "1"}}, "offer.size", "1", "is not known"),
    ({"expires_at": "2030-01-01T00:00:00Z"}, "expires_at", "2030-01-01T00:00:00+00:00", "not both"),
    ({"valid_for_s": None}, "expires_at", "", "must be given"),
    ({"valid_for_s": None, "expires_at": "2030-01-01T00:00:00"}, "expires_at", "2030-01-01T00:00:00", "timezone"),
    ({"valid_for_s": -1}, "valid_for_s", "-1", "> 0"),
]


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
async def test_bad_input_is_told_with_field_value_and_rule_and_the_connection_survives(subprotocol):
    async with bench(error_burst=100) as on, line(on, subprotocol=subprotocol) as dealer:
        await on.gateway.ask([on.request()])
        await dealer.hear("quote_request")
        for change, field, value, rule in WRONG:
            await dealer.say(QUOTE | change)
            error = await dealer.hear()
            assert error["type"] == "error", (change, error)
            told = (error["code"], error.get("field", ""), error.get("value", ""), error["blame"])
            assert told == ("bad_input", field, value, "dealer"), (change, error)
            assert rule in error["rule"], (change, error)
            assert error["sequence"] == 1
        assert not on.inbox.of(DealerQuoted)
        await dealer.say(QUOTE)
        assert (await on.inbox.next(DealerQuoted)).offer == QuoteSide(Price(20_010), Quantity(30))


@pytest.mark.parametrize(
    ("frame", "subprotocol"),
    [
        ("{", JSON),
        ("", JSON),
        (b'{"type":"heartbeat"}', JSON),
        ("[" * 10_000, JSON),
        (json.dumps(QUOTE | {"quote_id": "q" * 20_000}), JSON),
        (b"\xc1", MSGPACK),
        (b"", MSGPACK),
        ("{}", MSGPACK),
        (b"\x91" * 10_000, MSGPACK),
    ],
)
async def test_frames_that_are_no_messages_are_malformed_and_the_connection_survives(frame, subprotocol):
    async with bench() as on, line(on, subprotocol=subprotocol) as dealer:
        await dealer.hear("session")
        await dealer.socket.send(frame)
        error = await dealer.hear()
        assert (error["type"], error["code"], error["blame"]) == ("error", "malformed", "dealer")
        await on.gateway.ask([on.request()])
        assert (await dealer.hear())["type"] == "quote_request"


@pytest.mark.parametrize(
    ("message", "field", "refers_to"),
    [
        (QUOTE | {"request_id": "request-9"}, "request_id", "quote q1"),
        ({"type": "decline", "request_id": "request-9", "reason": "pass"}, "request_id", "decline request-9"),
        ({"type": "quote_cancel", "request_id": "request-9", "quote_id": "q1"}, "request_id", "quote_cancel q1"),
        ({"type": "confirm", "lift_id": "lift-9"}, "lift_id", "confirm lift-9"),
        ({"type": "refuse", "lift_id": "lift-9"}, "lift_id", "refuse lift-9"),
        ({"type": "status", "lift_id": "lift-9", "state": "confirmed"}, "lift_id", "status lift-9"),
        ({"type": "trade_ack", "lift_id": "lift-9"}, "lift_id", "trade_ack lift-9"),
    ],
)
async def test_what_is_not_there_or_not_ones_own_is_not_found(message, field, refers_to):
    async with bench() as on, line(on) as dealer:
        await dealer.hear("session")
        await dealer.say(message)
        error = await dealer.hear()
        assert (error["code"], error["field"], error["refers_to"]) == ("not_found", field, refers_to)


async def test_our_own_fault_is_owned_and_not_described():
    async with bench() as on, line(on) as dealer:
        await on.gateway.ask([on.request()])
        await dealer.hear("quote_request")
        on.inbox.refusal = RuntimeError("secret of the house")
        await dealer.say(QUOTE)
        error = await dealer.hear()
        assert (error["code"], error["blame"]) == ("our_fault", "us") and "secret" not in json.dumps(error)
        await dealer.say(QUOTE)
        await on.inbox.next(DealerQuoted)


async def test_mistakes_without_end_end_the_connection():
    async with bench(error_burst=5, errors_per_s=0.001) as on, line(on) as dealer:
        await dealer.say(*[{"type": "nonsense"}] * 6)
        assert (await dealer.hear("logout"))["code"] == "too_many_errors"
        assert await dealer.closed() == 1008
        await on.inbox.next(LineDown)


async def test_refusals_by_rule_are_not_the_dealers_mistakes():
    async with bench(error_burst=2, errors_per_s=0.001, quotes_per_request=1) as on, line(on) as dealer:
        await on.gateway.ask([on.request()])
        await dealer.hear("quote_request")
        await dealer.say(*[QUOTE | {"quote_id": f"q{n}"} for n in range(9)])
        codes = [(await dealer.hear())["code"] for _ in range(8)]
        assert codes == ["refused"] * 8


async def test_a_flood_is_cut_off():
    async with bench(frame_burst=50, frames_per_s=0.001, error_burst=5, errors_per_s=0.001) as on, line(on) as dealer:
        await dealer.say(*[{"type": "heartbeat"}] * 60)
        assert (await dealer.hear("error"))["code"] == "too_fast"
        assert (await dealer.hear("logout"))["code"] == "too_many_errors"

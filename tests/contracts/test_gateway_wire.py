"""The dealer protocol, frame by frame, on real sockets."""

import asyncio
import contextlib
import json
from datetime import datetime, timedelta

import msgspec
import pytest
from dealer_bench import ACME, D1, INSTRUMENTS, OFFER, Inbox, Ledger, WallClock, lift_of, request, trade_of
from virtual_time import SeededIds
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dealers.gateway import WireGateway
from dealers.line import LineBounds
from dealers.listener import listen
from dealers.session import SessionBounds
from dealers.wire import JSON, MSGPACK, SUBPROTOCOLS
from rfq.domain.events import Notice, NoticeKind
from rfq.domain.quote import QuoteSide
from rfq.domain.rfq import RequestSide
from rfq.domain.values import Price, Quantity, QuoteId, RequestId
from rfq.ports import DealerQuoted, LiftAnswered, LineDown, LineUp

LOGON = {"type": "logon", "version": 1}
QUOTE = {
    "type": "quote",
    "request_id": "request-1",
    "quote_id": "q1",
    "offer": {"price": "100.05", "quantity": "3000"},
    "valid_for_s": 30,
}
KEYS = {"key-D01": D1}


class Bench:
    """A gateway on a socket, with the engine's end at hand."""

    def __init__(self, **bounds) -> None:
        self.clock, self.inbox, self.ledger = WallClock(), Inbox(), Ledger()
        line = {k: v for k, v in bounds.items() if k in LineBounds.__struct_fields__}
        session = {k: v for k, v in bounds.items() if k in SessionBounds.__struct_fields__}
        self.gateway = WireGateway(
            clock=self.clock,
            ids=SeededIds(),
            instruments=INSTRUMENTS,
            ledger=self.ledger,
            bounds=LineBounds(**line),
            session_bounds=SessionBounds(**session),
        )
        self.gateway.attach(self.inbox)
        self.url = ""

    def request(self, name: str = "request-1", **changes):
        return request(name, self.clock.now(), **changes)

    def notice(self, n: int) -> Notice:
        return Notice(RequestId(f"request-{n}"), D1, NoticeKind.EXPIRED)


@contextlib.asynccontextmanager
async def bench(**bounds):
    made = Bench(**bounds)
    async with made.gateway, listen(made.gateway, KEYS.get) as made.url:
        yield made


class Line:
    """The dealer's end, frame by frame."""

    def __init__(self, socket, encode, decode) -> None:
        self.socket, self._encode, self._decode = socket, encode, decode

    async def say(self, *messages: dict) -> None:
        for message in messages:
            await self.socket.send(self._encode(message))

    async def hear(self, kind: str | None = None) -> dict:
        """The next message, or the next of a kind."""
        async with asyncio.timeout(5):
            while True:
                message = self._decode(await self.socket.recv())
                if kind is None or message["type"] == kind:
                    return message

    async def closed(self) -> int:
        """The close code, once the server has closed."""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
            await self.socket.wait_closed()
        return self.socket.close_code


@contextlib.asynccontextmanager
async def line(on: Bench, logon: dict | None = LOGON, subprotocol: str = JSON, key: str = "key-D01"):
    headers = {"Authorization": f"Bearer {key}"}
    async with connect(on.url, additional_headers=headers, subprotocols=[subprotocol], proxy=None) as socket:
        if subprotocol == JSON:
            end = Line(socket, json.dumps, json.loads)
        else:
            end = Line(socket, msgspec.msgpack.encode, msgspec.msgpack.decode)
        if logon is not None:
            await end.say(logon)
        yield end


# --- logging on --------------------------------------------------------------------------------------------------


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


# --- what is said ------------------------------------------------------------------------------------------------


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


# --- staying connected -------------------------------------------------------------------------------------------


async def test_heartbeats_come_with_the_last_sequence_and_keep_the_line_up():
    async with bench(heartbeat_s=0.1) as on, line(on) as dealer:
        await on.gateway.tell([on.notice(1)])
        beats = []
        for _ in range(6):
            await dealer.say({"type": "heartbeat"})
            beats.append((await dealer.hear("heartbeat"))["sequence"])
        assert beats == [1] * 6 and not on.inbox.of(LineDown)


async def test_a_silent_dealer_is_let_go():
    async with bench(heartbeat_s=0.05) as on, line(on) as dealer:
        assert (await dealer.hear("logout"))["code"] == "silent"
        assert await dealer.closed() == 4002
        await on.inbox.next(LineDown)


async def test_a_dealer_that_does_not_read_is_disconnected():
    small = {"backlog": 8, "open_requests": 8, "lifts": 8, "trades": 8, "outbox": 64}
    async with bench(**small, send_s=0.2, heartbeat_s=1) as on, line(on) as dealer:
        await on.inbox.next(LineUp)
        dealer.socket.transport.pause_reading()
        asked, words = on.request(), "x" * 4_000
        await on.gateway.ask([asked])
        for _ in range(10_000):
            if on.inbox.of(LineDown):
                break
            await on.gateway.withdraw([asked], words)
            await asyncio.sleep(0)
        assert on.inbox.of(LineDown), "the line must be cut, whatever the kernel buffers"
        assert on.gateway.reachable() == frozenset()
        dealer.socket.transport.resume_reading()
        assert await dealer.closed() in (1006, 1008)


class Stuck:
    """A connection whose writes do not end until its gate is opened."""

    subprotocol = JSON

    def __init__(self, *says: dict) -> None:
        self.closed: tuple[int, str] | None = None
        self.gate = asyncio.Event()
        self.heard: list[dict] = []
        self._says = [json.dumps(message) for message in (LOGON, *says)]

    async def recv(self) -> str:
        if self._says:
            return self._says.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, frame: str | bytes, /) -> None:
        await self.gate.wait()
        self.heard.append(json.loads(frame))

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


async def test_a_write_that_never_ends_has_a_deadline():
    async with bench(send_s=0.05, heartbeat_s=0.1) as on:
        stuck = Stuck()
        async with asyncio.timeout(2):
            await on.gateway.serve(D1, stuck)
        assert stuck.closed == (1008, "too slow")
        assert on.inbox.of(LineDown)


async def test_leaving_says_goodbye():
    async with contextlib.AsyncExitStack() as stack:
        on = await stack.enter_async_context(bench())
        dealer = await asyncio.ensure_future(stack.enter_async_context(line(on)))
        await dealer.hear("session")
        leaving = asyncio.ensure_future(on.gateway.__aexit__(None, None, None))
        assert (await dealer.hear("logout"))["code"] == "closing"
        assert await dealer.closed() == 1001
        await leaving


# --- coming back -------------------------------------------------------------------------------------------------


async def test_sequences_have_no_gaps_and_a_dealer_resumes_after_the_last_it_names():
    async with bench() as on:
        async with line(on) as dealer:
            hello = await dealer.hear()
            await on.gateway.tell([on.notice(n) for n in range(1, 6)])
            assert [(await dealer.hear())["sequence"] for _ in range(5)] == [1, 2, 3, 4, 5]
        await on.inbox.next(LineDown)
        await on.gateway.tell([on.notice(6)])
        back = LOGON | {"session_id": hello["session_id"], "last_sequence": 3}
        async with line(on, back) as dealer:
            hello = await dealer.hear()
            assert hello["resumed"] and hello["sequence"] == 6
            heard = [await dealer.hear() for _ in range(3)]
            assert [(m["sequence"], m["request_id"]) for m in heard] == [
                (4, "request-4"),
                (5, "request-5"),
                (6, "request-6"),
            ]
            assert all(m["possible_duplicate"] for m in heard)


async def test_open_requests_come_again_with_their_sequence_and_the_time_that_is_left():
    async with bench() as on:
        async with line(on) as dealer:
            await dealer.hear("session")
            await on.gateway.ask([on.request("request-1"), on.request("request-2")])
            first = await dealer.hear("quote_request")
            await dealer.hear("quote_request")
            await on.gateway.withdraw([on.request("request-2")], "closed")
        await on.inbox.next(LineDown)
        async with line(on) as dealer:  # It remembers nothing: no session, no sequence.
            hello = await dealer.hear()
            assert not hello["resumed"]
            again = await dealer.hear()
            assert again.pop("possible_duplicate") and again.pop("time_left_s") < first.pop("time_left_s")
            assert again == first
            await on.gateway.tell([on.notice(1)])
            assert (await dealer.hear())["type"] == "outcome", "nothing else was sent again"


async def test_what_is_no_longer_kept_is_named_in_a_gap():
    async with bench(backlog=3) as on:
        async with line(on) as dealer:
            hello = await dealer.hear()
        await on.inbox.next(LineDown)
        await on.gateway.tell([on.notice(n) for n in range(1, 9)])
        async with line(on, LOGON | {"session_id": hello["session_id"], "last_sequence": 2}) as dealer:
            await dealer.hear("session")
            gap = await dealer.hear()
            assert (gap["type"], gap["from_sequence"], gap["to_sequence"]) == ("gap", 3, 5)
            assert [(await dealer.hear())["sequence"] for _ in range(3)] == [6, 7, 8]


async def test_a_resend_is_a_resume_without_leaving():
    async with bench() as on, line(on) as dealer:
        await dealer.hear("session")
        await on.gateway.tell([on.notice(n) for n in range(1, 5)])
        for _ in range(4):
            await dealer.hear("outcome")
        await dealer.say({"type": "resend", "after": 2})
        assert [(await dealer.hear())["sequence"] for _ in range(2)] == [3, 4]
        await dealer.say({"type": "resend", "after": 9})
        error = await dealer.hear()
        assert (error["field"], error["rule"]) == ("after", "must be at most 4")


async def test_a_sequence_from_the_future_is_told_and_not_believed():
    async with bench() as on:
        async with line(on) as dealer:
            session_id = (await dealer.hear())["session_id"]
        async with line(on, LOGON | {"session_id": session_id, "last_sequence": 7}) as dealer:
            assert not (await dealer.hear())["resumed"]
            error = await dealer.hear()
            assert (error["code"], error["field"], error["rule"]) == ("bad_input", "last_sequence", "must be at most 0")


async def test_a_trade_is_sent_again_until_it_is_acknowledged():
    async with bench(heartbeat_s=0.2, silent_beats=100, trade_again_s=0.1) as on, line(on) as dealer:
        await dealer.hear("session")
        expires_at = on.clock.now() + timedelta(seconds=9)
        quoted = DealerQuoted(RequestId("request-1"), QuoteId("q1"), 1, None, OFFER, expires_at, True, 0.0)
        trade = trade_of(lift_of(quoted, on.clock.now()), on.clock.now())
        on.ledger.confirmed(trade)
        await on.gateway.book(trade)
        first, again = await dealer.hear("trade"), await dealer.hear("trade")
        assert again.pop("possible_duplicate") and again == first
        await dealer.say({"type": "trade_ack", "lift_id": "lift-1"}, {"type": "trade_ack", "lift_id": "lift-1"})
        await on.ledger.settled()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await dealer.hear("trade")


async def test_more_resends_than_fit_are_refused():
    async with bench(outbox=10, heartbeat_s=60) as on:
        stuck = Stuck(*[{"type": "resend", "after": 0}] * 3)
        await on.gateway.tell([on.notice(n) for n in range(500)])
        serving = asyncio.ensure_future(on.gateway.serve(D1, stuck))
        await on.inbox.next(LineUp)
        await asyncio.sleep(0.05)
        stuck.gate.set()
        await asyncio.sleep(0.05)
        kinds = [m["type"] if m["type"] != "error" else m["code"] for m in stuck.heard]
        assert kinds == ["session", *["outcome"] * 500, "refused", "refused"]
        serving.cancel()
        await asyncio.wait([serving])


async def test_arrival_is_stamped_when_the_frame_is_read_and_frames_are_counted():
    async with bench() as on, line(on) as dealer:
        await on.gateway.ask([on.request()])
        await dealer.hear("quote_request")
        before = on.clock.now()
        await dealer.say(*[QUOTE | {"revision": n} for n in range(1, 51)])
        await on.inbox.next(DealerQuoted, 50)
        stamps = [at for _, m, at in on.inbox.taken if isinstance(m, DealerQuoted)]
        assert stamps == sorted(stamps) and before <= stamps[0] and stamps[-1] <= on.clock.now()
        assert on.gateway.frames_received == 51 and on.gateway.frames_sent == 2
        state = on.gateway.states()[0]
        assert (state.dealer_id, state.connected, state.open_requests, state.sequence) == (D1, True, 1, 1)


def test_the_instrument_of_these_tests_has_lots_and_half_ticks():
    assert ACME.lot == 100 and ACME.on_tick(Price(20_010)) and not ACME.on_tick(Price(20_011))

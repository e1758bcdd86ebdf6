"""The dealer protocol on real sockets: staying connected, and coming back to what was missed."""

import asyncio
import contextlib
import json
from datetime import timedelta

import pytest
from dealer_bench import ACME, D1, OFFER, lift_of, trade_of
from wire_bench import LOGON, QUOTE, bench, line

from dealers.wire import JSON
from rfq.domain.values import Price, QuoteId, RequestId
from rfq.ports import DealerQuoted, LineDown, LineUp

# --- staying connected ----------------------------------------------------------------------------------------------


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


# --- coming back ----------------------------------------------------------------------------------------------------


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

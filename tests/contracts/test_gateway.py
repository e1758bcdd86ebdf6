"""What every DealerGateway does, wherever its dealers are: run against real sockets and in process alike."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from dealer_bench import ACME, D1, D2, INSTRUMENTS, OFFER, Inbox, Ledger, WallClock, lift_of, request, trade_of
from virtual_time import SeededIds

from dealers.client import Backoff, DealerClient
from dealers.gateway import WireGateway
from dealers.in_process import InProcessGateway
from dealers.line import LineBounds
from dealers.listener import listen
from dealers.seat import Ask, Booked, QuoteTerms, Take
from dealers.wire import JSON, MSGPACK
from dealers.wire_seat import WireSeat
from rfq.domain.errors import NotFound, PeerGone, StoreUnavailable, WrongState
from rfq.domain.events import Notice, NoticeKind
from rfq.domain.quote import QuoteSide
from rfq.domain.values import DealerId, LiftId, Price, Quantity, QuoteId, RequestId
from rfq.ports import DealerDeclined, DealerQuoted, DealerWithdrew, LiftAnswered, LineDown, LineUp

BOUNDS = LineBounds(open_requests=3, backlog=64)


class TestDealer:
    """A dealer that a test drives by hand, at whatever seat it was given."""

    __test__ = False

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.corrections: list[str] = []
        self._changed = asyncio.Event()

    def _note(self, what: object) -> None:
        self.heard.append(what)
        self._changed.set()

    def asked(self, ask: Ask) -> None:
        self._note(ask)

    def taken(self, take: Take) -> None:
        self._note(take)

    def booked(self, booked: Booked) -> None:
        self._note(booked)

    def told(self, request_id: RequestId, kind: NoticeKind) -> None:
        self._note((request_id, kind))

    def withdrawn(self, request_id: RequestId) -> None:
        self._note((request_id, "withdrawn"))

    def corrected(self, why: str) -> None:
        self.corrections.append(why)
        self._changed.set()

    async def until(self, condition) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def hears(self, kind: type, count: int = 1):
        await self.until(lambda: len([h for h in self.heard if isinstance(h, kind)]) >= count)
        return [h for h in self.heard if isinstance(h, kind)][count - 1]


def terms(request_id: str, clock: WallClock, *, revision: int = 1, quote_id: str = "q1", price: int = 20_010):
    offer = QuoteSide(Price(price), OFFER.quantity, OFFER.min_quantity)
    expires_at = clock.now() + timedelta(seconds=30)
    return QuoteTerms(RequestId(request_id), ACME.symbol, quote_id, revision, None, offer, expires_at)


class GatewayContract:
    """The suite. Subclasses bring up a gateway and give dealers their seats."""

    @pytest.fixture
    def clock(self) -> WallClock:
        return WallClock()

    @pytest.fixture
    async def inbox(self) -> Inbox:
        return Inbox()

    @pytest.fixture
    async def ledger(self) -> Ledger:
        return Ledger()

    async def test_a_request_reaches_its_dealer_and_shows_nothing_else(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        await inbox.next(LineUp)
        assert gateway.reachable() == {D1}
        asked = request("request-1", clock.now(), competitors=2, requester="desk-1")
        other = request("request-2", clock.now(), dealer=D2)
        assert await gateway.ask([asked, other]) == {asked.request_id}
        ask = await dealer.hears(Ask)
        assert (ask.request_id, ask.symbol, ask.side, ask.quantity) == ("request-1", "ACME", "buy", 50)
        assert (ask.requester, ask.competitors, ask.residual) == ("desk-1", 2, None)
        assert abs(ask.deadline - asked.deadline) < timedelta(milliseconds=1)
        await asyncio.sleep(0.05)
        assert [h for h in dealer.heard if isinstance(h, Ask)] == [ask]

    async def test_asking_twice_is_heard_once(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        asked = request("request-1", clock.now())
        assert await gateway.ask([asked]) == await gateway.ask([asked]) == {asked.request_id}
        await gateway.tell([Notice(asked.request_id, D1, NoticeKind.EXPIRED)])
        await dealer.until(lambda: ("request-1", NoticeKind.EXPIRED) in dealer.heard)
        assert len([h for h in dealer.heard if isinstance(h, Ask)]) == 1

    async def test_quotes_revisions_withdrawals_and_declines_come_exactly(self, gateway, seats, inbox, clock):
        await seats.open(D1)
        await gateway.ask([request("request-1", clock.now())])
        seat = seats.seat(D1)
        before = clock.now()
        seat.quote(terms("request-1", clock))
        quoted = await inbox.next(DealerQuoted)
        assert quoted.offer == OFFER and quoted.bid is None
        assert (quoted.request_id, quoted.quote_id, quoted.revision, quoted.firm) == ("request-1", "q1", 1, True)
        assert timedelta(seconds=29) < quoted.expires_at - before < timedelta(seconds=31)
        received_at = next(at for _, m, at in inbox.taken if m is quoted)
        assert before <= received_at <= clock.now()
        seat.quote(terms("request-1", clock, revision=2, price=20_008))
        assert (await inbox.next(DealerQuoted, 2)).offer.price == 20_008
        seat.withdraw(RequestId("request-1"), "q1")
        assert await inbox.next(DealerWithdrew) == DealerWithdrew(RequestId("request-1"), QuoteId("q1"))
        seat.decline(RequestId("request-1"), "no_inventory")
        assert await inbox.next(DealerDeclined) == DealerDeclined(RequestId("request-1"), "no_inventory")

    async def test_another_dealers_request_cannot_be_answered(self, gateway, seats, inbox, clock):
        await seats.open(D1)
        intruder = await seats.open(D2)
        await gateway.ask([request("request-1", clock.now())])
        seats.seat(D2).quote(terms("request-1", clock))
        await intruder.until(lambda: intruder.corrections)
        assert "request-1" in intruder.corrections[0] and not inbox.of(DealerQuoted, D2)

    @pytest.mark.parametrize(
        "refusal", [NotFound("request", "request-1"), WrongState("request", "request-1", "closed", "be quoted")]
    )
    async def test_what_the_engine_refuses_is_told_and_the_line_survives(
        self, gateway, seats, inbox, clock, refusal
    ):
        dealer = await seats.open(D1)
        await gateway.ask([request("request-1", clock.now())])
        inbox.refusal = refusal
        seats.seat(D1).quote(terms("request-1", clock))
        await dealer.until(lambda: dealer.corrections)
        assert str(refusal) in dealer.corrections[0]
        seats.seat(D1).quote(terms("request-1", clock))
        assert await inbox.next(DealerQuoted)

    async def test_a_lift_is_confirmed_booked_and_acknowledged(self, gateway, seats, inbox, ledger, clock):
        dealer = await seats.open(D1)
        lift = await self._lifted(gateway, seats, inbox, clock)
        take = await dealer.hears(Take)
        assert (take.lift_id, take.quote_id, take.revision) == ("lift-1", "q1", 1)
        assert (take.price, take.quantity, take.side) == (20_010, 30, "buy")
        seats.seat(D1).confirm(LiftId("lift-1"), Quantity(20))
        answer = await inbox.next(LiftAnswered)
        assert (answer.lift_id, answer.answer, answer.quantity) == ("lift-1", "confirmed", 20)
        trade = trade_of(lift, clock.now())
        ledger.confirmed(trade)
        await gateway.book(trade)
        booked = await dealer.hears(Booked)
        assert (booked.price, booked.quantity, booked.side) == (20_010, 30, "buy")
        await ledger.settled()

    async def test_a_lift_is_refused_with_its_reason(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        await self._lifted(gateway, seats, inbox, clock)
        await dealer.hears(Take)
        seats.seat(D1).refuse(LiftId("lift-1"), "last look")
        assert await inbox.next(LiftAnswered) == LiftAnswered(LiftId("lift-1"), "refused", None, "last look")

    async def test_lifting_twice_is_taken_once_and_answered_the_same(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        lift = await self._lifted(gateway, seats, inbox, clock)
        await dealer.hears(Take)
        await gateway.lift(lift)
        seat = seats.seat(D1)
        seat.confirm(lift.lift_id)
        first = await inbox.next(LiftAnswered)
        await gateway.ask_status(lift)
        assert await inbox.next(LiftAnswered, 2) == first
        assert len([h for h in dealer.heard if isinstance(h, Take)]) == 1
        seat.refuse(lift.lift_id, "changed my mind")
        assert (await inbox.next(LiftAnswered, 3)).answer == "confirmed", "the first answer stands"

    async def test_the_status_of_a_lift_never_seen_is_unknown_and_it_is_refused_later(
        self, gateway, seats, inbox, clock
    ):
        dealer = await seats.open(D1)
        await gateway.ask([request("request-1", clock.now())])
        seats.seat(D1).quote(terms("request-1", clock))
        lift = lift_of(await inbox.next(DealerQuoted), clock.now())
        await gateway.ask_status(lift)
        assert (await inbox.next(LiftAnswered)).answer == "unknown"
        await gateway.lift(lift)
        assert (await inbox.next(LiftAnswered, 2)).answer == "refused"
        assert not [h for h in dealer.heard if isinstance(h, Take)]

    async def test_without_a_line_lifts_fail_and_requests_wait(self, gateway, seats, inbox, clock):
        await seats.open(D1)
        await gateway.ask([request("request-1", clock.now())])
        seats.seat(D1).quote(terms("request-1", clock))
        lift = lift_of(await inbox.next(DealerQuoted), clock.now())
        await seats.drop(D1)
        await inbox.next(LineDown)
        assert gateway.reachable() == frozenset()
        with pytest.raises(PeerGone):
            await gateway.lift(lift)
        with pytest.raises(PeerGone):
            await gateway.ask_status(lift)
        assert await gateway.ask([request("request-2", clock.now())]) == frozenset()

    async def test_a_dealer_that_comes_back_hears_what_it_missed_once(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        await gateway.ask([request("request-1", clock.now()), request("request-2", clock.now())])
        await dealer.hears(Ask, 2)
        await seats.drop(D1)
        await inbox.next(LineDown)
        await gateway.tell([Notice(RequestId("request-1"), D1, NoticeKind.COVER)])
        await gateway.withdraw([request("request-2", clock.now())], "closed")
        await gateway.ask([request("request-3", clock.now())])
        await seats.restore(D1)
        await inbox.next(LineUp, 2)
        assert (await dealer.hears(Ask, 3)).request_id == "request-3"
        assert dealer.heard[2:] == [
            ("request-1", NoticeKind.COVER),
            ("request-2", "withdrawn"),
            dealer.heard[-1],
        ]

    async def test_a_lift_that_was_on_its_way_is_sent_again_when_the_line_is_back(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        await gateway.ask([request("request-1", clock.now())])
        seats.seat(D1).quote(terms("request-1", clock))
        lift = lift_of(await inbox.next(DealerQuoted), clock.now())
        await seats.lose_in_flight(D1, gateway.lift(lift))
        await inbox.next(LineDown)
        await seats.restore(D1)
        assert (await dealer.hears(Take)).lift_id == "lift-1"
        seats.seat(D1).confirm(lift.lift_id)
        assert (await inbox.next(LiftAnswered)).answer == "confirmed"

    async def test_trades_are_redelivered_until_acknowledged_across_restarts(
        self, gateway, seats, inbox, ledger, clock
    ):
        quoted = DealerQuoted(
            RequestId("request-0"), QuoteId("q1"), 1, None, OFFER, clock.now() + timedelta(seconds=9), True, 0.0
        )
        old = trade_of(lift_of(quoted, clock.now(), name="lift-0"), clock.now())
        ledger.confirmed(old)  # Of an earlier run of the service: this gateway never sent it.
        dealer = await seats.open(D1)
        assert (await dealer.hears(Booked)).lift_id == "lift-0"
        await ledger.settled()
        await seats.drop(D1)
        await seats.restore(D1)
        await inbox.next(LineUp, 2)
        await asyncio.sleep(0.05)
        assert len([h for h in dealer.heard if isinstance(h, Booked)]) == 1

    async def test_an_acknowledgement_waits_for_a_ledger_that_is_away(self, gateway, seats, inbox, ledger, clock):
        dealer = await seats.open(D1)
        lift = await self._lifted(gateway, seats, inbox, clock)
        seats.seat(D1).confirm(lift.lift_id)
        ledger.away = StoreUnavailable("no database")
        trade = trade_of(lift, clock.now())
        ledger.confirmed(trade)
        await gateway.book(trade)
        await dealer.hears(Booked)
        await asyncio.sleep(0.05)
        assert ledger.waiting
        ledger.away = None
        await ledger.settled()

    async def test_cancel_on_disconnect_takes_live_quotes_back(self, gateway, seats, inbox, clock):
        await seats.open(D1, cancel_on_disconnect=True)
        await seats.open(D2, cancel_on_disconnect=False)
        for dealer in (D1, D2):
            names = [f"{dealer}-quoted", f"{dealer}-withdrawn", f"{dealer}-asked"]
            await gateway.ask([request(name, clock.now(), dealer=dealer) for name in names])
            for name in names[:2]:
                seats.seat(dealer).quote(terms(name, clock))
            await inbox.next(DealerQuoted, 2, dealer)
            seats.seat(dealer).withdraw(RequestId(names[1]), "q1")
            await inbox.next(DealerWithdrew, 1, dealer)
            await seats.drop(dealer)
            await inbox.next(LineDown, 1, dealer)
        last = inbox.of(DealerWithdrew)[1:]
        assert last == [DealerWithdrew(RequestId("D01-quoted"), QuoteId("q1"))]
        assert len(inbox.of(DealerWithdrew, D2)) == 1, "this dealer did not choose it"
        kinds = [type(m) for d, m, _ in inbox.taken if d == D1]
        assert kinds[-2:] == [DealerWithdrew, LineDown], "quotes go before the line is reported down"

    async def test_a_lifted_quote_is_not_taken_back_by_a_lost_line(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1, cancel_on_disconnect=True)
        await self._lifted(gateway, seats, inbox, clock)
        await dealer.hears(Take)
        await seats.drop(D1)
        await inbox.next(LineDown)
        assert not inbox.of(DealerWithdrew)

    async def test_open_requests_are_capped_and_room_comes_back(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        requests = [request(f"request-{n}", clock.now()) for n in range(4)]
        assert await gateway.ask(requests) == {r.request_id for r in requests[:3]}
        assert gateway.reachable() == frozenset()
        await gateway.withdraw(requests[:1], "closed")
        assert gateway.reachable() == {D1}
        assert await gateway.ask(requests[3:]) == {requests[3].request_id}
        await dealer.hears(Ask, 4)

    async def test_a_deadline_that_passes_makes_room(self, gateway, seats, inbox, clock):
        await seats.open(D1)
        await gateway.ask([request(f"request-{n}", clock.now(), window_s=0.1) for n in range(3)])
        assert gateway.reachable() == frozenset()
        await asyncio.sleep(0.15)
        assert gateway.reachable() == {D1}

    async def test_one_quote_too_many_on_a_request_is_refused(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        await gateway.ask([request("request-1", clock.now())])
        for n in range(17):
            seats.seat(D1).quote(terms("request-1", clock, quote_id=f"q{n}"))
        await dealer.until(lambda: dealer.corrections)
        assert len(inbox.of(DealerQuoted)) == 16 and "quotes per request is 16" in dealer.corrections[0]

    async def test_nobody_asked_is_told_nothing(self, gateway, seats, inbox, clock):
        dealer = await seats.open(D1)
        await gateway.withdraw([request("request-9", clock.now())], "closed")
        await gateway.ask([request("request-1", clock.now())])
        await dealer.hears(Ask)
        assert len(dealer.heard) == 1

    async def _lifted(self, gateway, seats, inbox, clock):
        await gateway.ask([request("request-1", clock.now())])
        seats.seat(D1).quote(terms("request-1", clock))
        lift = lift_of(await inbox.next(DealerQuoted), clock.now())
        await gateway.lift(lift)
        return lift


class TestInProcess(GatewayContract):
    class Seats:
        def __init__(self, gateway: InProcessGateway) -> None:
            self._gateway = gateway
            self._seats = {}

        async def open(self, dealer_id: DealerId, cancel_on_disconnect: bool = False) -> TestDealer:
            seat = self._gateway.take_seat(dealer_id, cancel_on_disconnect=cancel_on_disconnect)
            seat.trader = dealer = TestDealer()
            self._seats[dealer_id] = seat
            return dealer

        def seat(self, dealer_id: DealerId):
            return self._seats[dealer_id]

        async def drop(self, dealer_id: DealerId) -> None:
            self._seats[dealer_id].drop()

        async def restore(self, dealer_id: DealerId) -> None:
            self._seats[dealer_id].restore()

        async def lose_in_flight(self, dealer_id: DealerId, sending) -> None:
            await sending
            self._seats[dealer_id].drop()

    @pytest.fixture
    async def gateway(self, clock, inbox, ledger) -> AsyncIterator[InProcessGateway]:
        async with InProcessGateway(clock=clock, ledger=ledger, bounds=BOUNDS) as gateway:
            gateway.attach(inbox)
            yield gateway

    @pytest.fixture
    def seats(self, gateway):
        return self.Seats(gateway)


class WireContract(GatewayContract):
    subprotocol = ""

    class Seats:
        """Dealers as DealerClients over loopback sockets."""

        def __init__(self, gateway: WireGateway, clock: WallClock, subprotocol: str) -> None:
            self._gateway, self._clock, self._subprotocol = gateway, clock, subprotocol
            self.url = ""
            self._clients, self._runs, self._seats, self.sockets = {}, {}, {}, {}

        async def open(self, dealer_id: DealerId, cancel_on_disconnect: bool = False) -> TestDealer:
            seat = self._seats[dealer_id] = WireSeat(dealer_id, INSTRUMENTS, self._clock)
            client = DealerClient(
                self.url,
                f"key-{dealer_id}",
                seat,
                clock=self._clock,
                rng=random.Random(1),
                subprotocol=self._subprotocol,
                cancel_on_disconnect=cancel_on_disconnect,
                backoff=Backoff(first_s=0.02, most_s=0.1),
            )
            seat.say, seat.trader = client.say, TestDealer()
            self._clients[dealer_id] = client
            await self.restore(dealer_id)
            return seat.trader

        def seat(self, dealer_id: DealerId):
            return self._seats[dealer_id]

        async def restore(self, dealer_id: DealerId) -> None:
            self._runs[dealer_id] = asyncio.create_task(self._clients[dealer_id].run())
            async with asyncio.timeout(5):
                await self._clients[dealer_id].logged_on.wait()

        async def drop(self, dealer_id: DealerId) -> None:
            await self._cancel(self._runs.pop(dealer_id))

        async def lose_in_flight(self, dealer_id: DealerId, sending) -> None:
            """Cuts the socket after the gateway has sent, before the dealer can read: what came is thrown away."""
            run = self._runs.pop(dealer_id)
            run.cancel()
            await sending
            await self._cancel(run)

        async def close(self) -> None:
            for run in self._runs.values():
                await self._cancel(run)

        async def _cancel(self, run: asyncio.Task) -> None:
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run

    @pytest.fixture
    async def gateway(self, clock, inbox, ledger) -> AsyncIterator[WireGateway]:
        async with WireGateway(
            clock=clock, ids=SeededIds(), instruments=INSTRUMENTS, ledger=ledger, bounds=BOUNDS
        ) as gateway:
            gateway.attach(inbox)
            yield gateway

    @pytest.fixture
    async def seats(self, gateway, clock):
        keys = {f"key-{dealer}": dealer for dealer in (D1, D2)}
        async with listen(gateway, keys.get) as url:
            seats = self.Seats(gateway, clock, self.subprotocol)
            seats.url = url
            yield seats
            await seats.close()


class TestJsonSockets(WireContract):
    subprotocol = JSON


class TestMessagePackSockets(WireContract):
    subprotocol = MSGPACK

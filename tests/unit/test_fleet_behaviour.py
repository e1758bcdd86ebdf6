"""Simulated and scripted dealers at their seats: on virtual time, seeded, the same in process as over the wire."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
import pytest
from dealer_bench import ACME, D1, INSTRUMENTS, Inbox, lift_of, request, trade_of
from virtual_time import START, SeededIds, VirtualClock, VirtualTimeLoop

from dealers.behaviour import SimulatedDealer
from dealers.behaviour_traits import DealerTraits
from dealers.gateway import WireGateway
from dealers.in_process import InProcessGateway, seat_panel
from dealers.listener import listen
from dealers.panel import default_panel
from dealers.scripted_trader import Confirms, Declines, DropsLine, Quotes, Refuses, Withdraws, script
from dealers.seat import Ask, Take
from dealers.simulated_trader import SimulatedTrader
from dealers.simulator import Fleet
from rfq.domain.errors import BadInput, Inconsistent
from rfq.domain.events import Notice, NoticeKind
from rfq.domain.quote import QuoteSide
from rfq.domain.rfq import RequestSide
from rfq.domain.values import DealerId, LiftId, Price, Quantity, RequestId, Side, Symbol
from rfq.ports import (
    Clock,
    DealerDeclined,
    DealerMessage,
    DealerQuoted,
    DealerWithdrew,
    LiftAnswered,
    LineDown,
    LineUp,
)

T = TypeVar("T")
PANEL = default_panel(seed=7, n=12)
OFFER = QuoteSide(Price(20_010), Quantity(30))


class Market:
    """A dealer's Exchange that stands still, and keeps what was traded."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock, self.price = clock, Price(20_000)
        self.traded: list[tuple[DealerId, Symbol, Side, Quantity]] = []

    def mid(self, symbol: Symbol) -> Price | None:
        return self.price

    def now(self) -> datetime:
        return self._clock.now() if self._clock else START

    async def sleep_until(self, at: datetime) -> None:
        if self._clock:
            await self._clock.sleep_until(at)

    def trade(self, account: DealerId, symbol: Symbol, side: Side, lots: Quantity) -> None:
        self.traded.append((account, symbol, side, lots))


def virtually(story: Callable[[VirtualClock], Awaitable[T]]) -> T:
    """Plays a story on a virtual loop of its own."""

    async def run() -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        return await story(VirtualClock(loop))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(run())


def log_of(seed: int) -> list[tuple[DealerId, DealerMessage, datetime]]:
    """Everything twelve dealers say to twenty requests, with the times at which they say it."""

    async def story(clock: VirtualClock):
        inbox = Inbox()
        async with InProcessGateway(clock=clock) as gateway:
            gateway.attach(inbox)
            market = Market(clock)
            traders = seat_panel(
                gateway, PANEL, clock=clock, exchange=market, instruments=INSTRUMENTS, seed=seed
            )
            for n in range(20):
                asked = [
                    request(f"r{n}-{d}", clock.now(), dealer=d, quantity=Quantity(100 + 50 * n), competitors=11)
                    for d in traders
                ]
                await gateway.ask(asked)
                await clock.sleep_until(clock.now() + timedelta(seconds=11))
                await gateway.tell([Notice(r.request_id, r.dealer_id, NoticeKind.EXPIRED) for r in asked])
            await clock.sleep_until(clock.now() + timedelta(seconds=600))
            for trader in traders.values():
                await trader.close()
        return inbox.taken, market.traded

    return virtually(story)


def test_the_same_seed_says_the_same_at_the_same_time_and_another_seed_does_not():
    first, second, other = log_of(3), log_of(3), log_of(4)
    assert first == second
    assert first != other
    said, traded = first
    quotes = [m for _, m, _ in said if isinstance(m, DealerQuoted)]
    declines = [m for _, m, _ in said if isinstance(m, DealerDeclined)]
    assert len(quotes) > 60 and len(declines) > 20, "twelve dealers, twenty requests"
    assert {d for d, m, _ in said if isinstance(m, DealerQuoted)} > {D1}
    assert all(q.offer and q.bid is None and ACME.on_tick(q.offer.price) for q in quotes)
    assert traded and {side for _, _, side, _ in traded} == {Side.BUY}, "leakers trade ahead the way the desk goes"


def test_over_the_wire_the_fleet_says_the_same_as_in_process():
    """Same seed, same requests in the same order: the same prices, sizes and reasons, whatever carries them."""

    def facts(inbox: Inbox):
        said = {}
        for dealer_id, message, _ in inbox.taken:
            if isinstance(message, DealerQuoted):
                said[dealer_id, message.request_id] = (message.bid, message.offer, message.firm, message.last_look_s)
            elif isinstance(message, DealerDeclined):
                said[dealer_id, message.request_id] = message.reason
        return said

    def requests(now: datetime):
        sides = [RequestSide.BUY, RequestSide.SELL, RequestSide.TWO_WAY, RequestSide.BUY]
        return [
            request(f"r{n}-{t.dealer}", now, dealer=t.dealer, side=side, quantity=Quantity(400 * (n + 1)), window_s=2.0)
            for n, side in enumerate(sides)
            for t in PANEL
        ]

    async def in_process(clock: VirtualClock):
        inbox = Inbox()
        async with InProcessGateway(clock=clock) as gateway:
            gateway.attach(inbox)
            traders = seat_panel(
                gateway, PANEL, clock=clock, exchange=Market(), instruments=INSTRUMENTS, seed=5
            )
            await gateway.ask(requests(clock.now()))
            await clock.sleep_until(clock.now() + timedelta(seconds=4))
            for trader in traders.values():
                await trader.close()
        return facts(inbox)

    async def over_the_wire():
        from dealer_bench import WallClock

        clock, inbox = WallClock(), Inbox()
        keys = {t.dealer: f"key-{t.dealer}" for t in PANEL}
        async with WireGateway(clock=clock, ids=SeededIds(), instruments=INSTRUMENTS) as gateway:
            gateway.attach(inbox)
            who = {key: dealer for dealer, key in keys.items()}
            async with (
                listen(gateway, who.get) as url,
                Fleet(
                    url,
                    keys,
                    panel=PANEL,
                    exchange=lambda _: Market(),
                    instruments=INSTRUMENTS,
                    clock=clock,
                    seed=5,
                ) as fleet,
            ):
                await fleet.logged_on()
                assert gateway.reachable() == set(keys)
                await gateway.ask(requests(clock.now()))
                await asyncio.sleep(2.3)
        return facts(inbox)

    near = virtually(in_process)
    far = asyncio.run(over_the_wire())
    assert len(near) > 30
    late = {key for key in near.keys() ^ far.keys()}
    assert len(late) <= 3, "only answers planned for the very end may fall on either side of it"
    assert {k: v for k, v in near.items() if k in far} == {k: v for k, v in far.items() if k in near}


# --- one dealer --------------------------------------------------------------------------------------------------


class Line:
    """A seat that keeps what is said at it."""

    dealer_id = D1

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    def quote(self, terms) -> bool:
        self.said.append(("quote", terms))
        return True

    def withdraw(self, request_id, quote_id) -> bool:
        self.said.append(("withdraw", request_id))
        return True

    def decline(self, request_id, reason) -> bool:
        self.said.append(("decline", reason))
        return True

    def confirm(self, lift_id, quantity=None) -> bool:
        self.said.append(("confirm", lift_id))
        return True

    def refuse(self, lift_id, reason) -> bool:
        self.said.append(("refuse", reason))
        return True


EAGER = DealerTraits(dealer=D1, answer_logit=50.0, appetite=1.0, noise=0.0, pace=0.1, pace_spread=0.0)


def trader(clock: VirtualClock, traits: DealerTraits, market: Market) -> tuple[SimulatedTrader, Line]:
    line = Line()
    dealer = SimulatedDealer(traits, np.random.default_rng(1))
    made = SimulatedTrader(
        dealer, line, clock=clock, exchange=market, instruments=INSTRUMENTS, rng=np.random.default_rng(2)
    )
    return made, line


def ask(clock: VirtualClock, name: str = "r1", symbol: Symbol = ACME.symbol, lots: int = 2_000) -> Ask:
    deadline = clock.now() + timedelta(seconds=10)
    return Ask(RequestId(name), symbol, RequestSide.BUY, Quantity(lots), deadline, competitors=3)


def take(clock: VirtualClock, terms, name: str = "l1", revision: int = 1) -> Take:
    offer = terms.offer
    return Take(
        lift_id=LiftId(name),
        request_id=terms.request_id,
        quote_id=terms.quote_id,
        revision=revision,
        symbol=terms.symbol,
        side=Side.BUY,
        price=offer.price,
        quantity=offer.quantity,
        answer_by=clock.now() + timedelta(seconds=5),
    )


def test_a_quote_moves_with_the_mid_between_request_and_answer():
    def offered(moved: int) -> Price:
        async def story(clock: VirtualClock):
            market = Market(clock)
            made, line = trader(clock, EAGER, market)
            made.asked(ask(clock))
            market.price = Price(market.price + moved)
            await clock.sleep_until(clock.now() + timedelta(seconds=3))
            await made.close()
            return line.said[0][1].offer.price

        return virtually(story)

    assert offered(40) - offered(0) == 40


def test_a_firm_quote_is_confirmed_and_what_is_not_there_is_refused():
    async def story(clock: VirtualClock):
        made, line = trader(clock, EAGER, Market(clock))
        made.asked(ask(clock))
        await clock.sleep_until(clock.now() + timedelta(seconds=3))
        terms = line.said[0][1]
        made.taken(take(clock, terms, "stale", revision=2))
        made.taken(take(clock, terms, "good"))
        await clock.sleep_until(clock.now() + timedelta(seconds=3))
        await clock.sleep_until(terms.expires_at + timedelta(seconds=2))
        made.taken(take(clock, terms, "late"))
        await made.close()
        return line.said[1:]

    assert virtually(story) == [
        ("refuse", "no such quote stands"),
        ("confirm", LiftId("good")),
        ("refuse", "no such quote stands"),
    ]


def test_a_dealer_knows_that_it_lost_even_if_nobody_says_so():
    async def story(clock: VirtualClock):
        market = Market(clock)
        made, _ = trader(clock, EAGER.but(leak_rate=1.0, leak_share=0.5), market)
        for n in range(30):
            made.asked(ask(clock, f"r{n}"))
        await clock.sleep_until(clock.now() + timedelta(seconds=20))
        assert not market.traded, "its quotes may still be lifted"
        await clock.sleep_until(clock.now() + timedelta(seconds=600))
        await made.close()
        return market.traded, made.counts

    traded, counts = virtually(story)
    assert counts["ahead"] > 10 and {(a, s) for a, _, s, _ in traded} == {(D1, Side.BUY)}


def test_a_winner_hedges_the_way_the_desk_went_and_only_once():
    async def story(clock: VirtualClock):
        market, inbox = Market(clock), Inbox()
        async with InProcessGateway(clock=clock) as gateway:
            gateway.attach(inbox)
            seat = gateway.take_seat(D1)
            made = seat.trader = SimulatedTrader(
                SimulatedDealer(EAGER.but(hedge_share=1.0), np.random.default_rng(1)),
                seat,
                clock=clock,
                exchange=market,
                instruments=INSTRUMENTS,
                rng=np.random.default_rng(2),
            )
            await gateway.ask([request("r1", clock.now(), quantity=Quantity(2_000))])
            lift = lift_of(await inbox.next(DealerQuoted, within_s=30), clock.now())
            await gateway.lift(lift)
            assert (await inbox.next(LiftAnswered, within_s=30)).answer == "confirmed"
            for _ in range(2):
                await gateway.book(trade_of(lift, clock.now()))
            await clock.sleep_until(clock.now() + timedelta(seconds=3600))
            await made.close()
            return market.traded, lift.quantity

    traded, lots = virtually(story)
    assert {side for _, _, side, _ in traded} == {Side.BUY}
    assert sum(quantity for *_, quantity in traded) == lots


def test_strangers_symbols_and_markets_without_a_mid_are_declined():
    async def story(clock: VirtualClock):
        market = Market(clock)
        made, line = trader(clock, EAGER, market)
        made.asked(ask(clock, symbol=Symbol("NOSUCH")))
        market.price = None
        made.asked(ask(clock, "r2"))
        await made.close()
        return line.said

    assert virtually(story) == [("decline", "unknown_symbol"), ("decline", "other")]


# --- scripts -----------------------------------------------------------------------------------------------------


def test_a_script_is_played_to_the_second():
    async def story(clock: VirtualClock):
        inbox = Inbox()
        async with InProcessGateway(clock=clock) as gateway:
            gateway.attach(inbox)
            dealer = script(gateway, "D01", clock)
            better = QuoteSide(Price(20_008), Quantity(30))
            dealer.on_request(Quotes(2, offer=OFFER), Quotes(3, offer=better), Withdraws(4), Declines(5))
            dealer.on_request()
            dealer.on_lift(Refuses(1.5, "last look")).on_lift(Confirms(0.5, Quantity(10))).on_lift()
            start = clock.now()
            await gateway.ask([request("r1", start)])
            await clock.sleep_until(start + timedelta(seconds=20))
            await gateway.ask([request("r2", clock.now())])
            quoted = inbox.of(DealerQuoted)[0]
            for n in (1, 2, 3):
                await gateway.lift(lift_of(quoted, clock.now(), name=f"l{n}"))
            await clock.sleep_until(clock.now() + timedelta(seconds=20))
            await dealer.close()
            return [(m, (at - start).total_seconds()) for _, m, at in inbox.taken if not isinstance(m, LineUp)]

    played = virtually(story)
    kinds = [(type(m), at) for m, at in played]
    assert kinds == [
        (DealerQuoted, 2.0),
        (DealerQuoted, 3.0),
        (DealerWithdrew, 4.0),
        (DealerDeclined, 5.0),
        (LiftAnswered, 20.5),
        (LiftAnswered, 21.5),
    ]
    assert [m.revision for m, _ in played[:2]] == [1, 2]
    assert played[4][0] == LiftAnswered(LiftId("l2"), "confirmed", Quantity(10))
    assert played[5][0] == LiftAnswered(LiftId("l1"), "refused", None, "last look")


def test_a_dropped_line_comes_back_when_the_script_says():
    async def story(clock: VirtualClock):
        inbox = Inbox()
        async with InProcessGateway(clock=clock) as gateway:
            gateway.attach(inbox)
            dealer = script(gateway, "D01", clock)
            dealer.on_request(Quotes(1, offer=OFFER)).on_lift(DropsLine(1, for_s=4), Confirms(2))
            await gateway.ask([request("r1", clock.now())])
            quoted = await inbox.next(DealerQuoted, within_s=30)
            lift = lift_of(quoted, clock.now(), answer_s=3)
            await gateway.lift(lift)
            await inbox.next(LineDown, within_s=30)
            await inbox.next(LineUp, 2, within_s=30)
            assert not inbox.of(LiftAnswered), "what it said while the line was down was not heard"
            await gateway.ask_status(lift)
            answer = await inbox.next(LiftAnswered, within_s=30)
            await dealer.close()
            return answer

    assert virtually(story) == LiftAnswered(LiftId("lift-1"), "confirmed")


def test_a_dealer_that_moves_to_another_house_keeps_its_answers():
    async def story(clock: VirtualClock):
        old, new = Inbox(), Inbox()
        async with InProcessGateway(clock=clock) as first, InProcessGateway(clock=clock) as second:
            first.attach(old)
            second.attach(new)
            dealer = script(first, "D01", clock).on_request(Quotes(1, offer=OFFER)).on_lift(Confirms(1))
            await first.ask([request("r1", clock.now())])
            lift = lift_of(await old.next(DealerQuoted, within_s=30), clock.now())
            await first.lift(lift)
            await clock.sleep_until(clock.now() + timedelta(seconds=0.5))
            dealer.seat.hang_up()
            assert not old.of(LineDown), "nobody was there to notice"
            await clock.sleep_until(clock.now() + timedelta(seconds=5))
            dealer.seat.dial(second)
            await second.ask_status(lift)
            answer = await new.next(LiftAnswered, within_s=30)
            await dealer.close()
            return answer, old.of(LiftAnswered), new.of(LineUp)

    answer, before, ups = virtually(story)
    assert answer.answer == "confirmed" and before == [] and len(ups) == 1


def test_wrong_wiring_is_refused():
    async def story(clock: VirtualClock):
        async with InProcessGateway(clock=clock) as gateway:
            gateway.attach(Inbox())
            script(gateway, "D01", clock)
            with pytest.raises(Inconsistent, match="seat already"):
                script(gateway, "D01", clock)
        with pytest.raises(BadInput, match="D12"):
            Fleet(
                "ws://nowhere",
                {t.dealer: "key" for t in PANEL[:-1]},
                panel=PANEL,
                exchange=lambda _: Market(),
                instruments=INSTRUMENTS,
                clock=clock,
                seed=1,
            )

    virtually(story)

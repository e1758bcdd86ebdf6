"""The fleet as it runs: twelve clients over sockets, mids and orders over the simulated exchange's own socket."""

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from dealer_bench import D1, Inbox, WallClock, lift_of, request, trade_of
from virtual_time import SeededIds

from dealers import commands
from dealers.gateway import WireGateway
from dealers.listener import listen
from dealers.panel import default_panel
from lit_router.market.clock import AcceleratedMarketClock
from lit_router.market.exchange import SimulatedExchange
from lit_router.market.orders import Ticket
from lit_router.market.server import ExchangeServer
from lit_router.market.threaded import ThreadedExchange
from rfq.domain.errors import BadInput, NotAllowed
from rfq.domain.events import Notice, NoticeKind
from rfq.domain.values import DealerId, Quantity, Side, Symbol
from rfq.instruments import directory
from rfq.ports import DealerDeclined, DealerQuoted, LiftAnswered, LineUp

OPENS = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
QDI = Symbol("QDI")
DEALERS = [traits.dealer for traits in default_panel(0, 12)]
KEYS = {dealer: f"key-of-{dealer}-0123456789" for dealer in DEALERS}


class Floor(SimulatedExchange):
    """The exchange, with a list of who traded what."""

    def __init__(self, *args, **given) -> None:
        super().__init__(*args, **given)
        self.orders: list[tuple[str, Ticket]] = []

    def submit(self, participant: str, ticket: Ticket) -> None:
        self.orders.append((participant, ticket))
        super().submit(participant, ticket)


async def test_twelve_dealers_quote_around_the_market_and_hedge_in_it():
    listings = directory(None)
    instruments = {symbol: listing.instrument for symbol, listing in listings.items()}
    core = Floor(list(listings.values()), seed=5, opens_at=OPENS)
    core.advance_to(OPENS + timedelta(seconds=30))
    market_clock = AcceleratedMarketClock(anchor=core.now, speed=200.0)
    sockets = ExchangeServer({key: dealer for dealer, key in KEYS.items()}, data_s=0.02)
    exchange = ThreadedExchange(core, market_clock, step_s=0.005, guests=(sockets.serving,))
    traded = defaultdict(int)
    clock, inbox, said = WallClock(), Inbox(), []
    gateway = WireGateway(clock=clock, ids=SeededIds(), instruments=instruments)
    gateway.attach(inbox)
    who = {key: dealer for dealer, key in KEYS.items()}
    async with exchange.running(), gateway, listen(gateway, who.get) as url:
        fleet = asyncio.ensure_future(
            commands.fleet(
                url,
                sockets.url,
                KEYS,
                instruments=instruments,
                clock=clock,
                ids=SeededIds(),
                seed=7,
                say=said.append,
            )
        )
        try:
            await inbox.until(lambda: len({d for d, m, _ in inbox.taken if isinstance(m, LineUp)}) == 12, 20)
            assert gateway.reachable() == set(DEALERS)
            mid = exchange.view(QDI).mid
            assert mid is not None
            with market_clock.real_time():
                asked = [
                    request(f"r{n}-{d}", clock.now(), dealer=d, symbol=QDI, quantity=Quantity(50_000), window_s=1.5)
                    for d in DEALERS
                    for n in range(3)
                ]
                assert len(await gateway.ask(asked)) == 36
                await asyncio.sleep(1.7)
            quotes = [(d, m) for d, m, _ in inbox.taken if isinstance(m, DealerQuoted)]
            declines = [m for _, m, _ in inbox.taken if isinstance(m, DealerDeclined)]
            assert len(quotes) >= 12 and len(quotes) + len(declines) <= 36
            for _, quote in quotes:
                assert abs(quote.offer.price - mid) / mid < 0.05, "around the market they see"

            before = exchange.view(QDI).volume
            for n, (dealer, quote) in enumerate(quotes[:8]):
                lift = lift_of(quote, clock.now(), name=f"lift-{n}", dealer=dealer).but(symbol=QDI)
                await gateway.lift(lift)
                answer = await inbox.next(LiftAnswered, 1 + sum(d == dealer for d, _ in quotes[:n]), dealer)
                if answer.answer == "confirmed":
                    traded[dealer] += quote.offer.quantity
                    await gateway.book(trade_of(lift, clock.now()))
            await gateway.tell([Notice(r.request_id, r.dealer_id, NoticeKind.EXPIRED) for r in asked])
            assert sum(traded.values()) > 0
            async with asyncio.timeout(8):
                while len(core.orders) < 3:  # noqa: ASYNC110 what it waits for happens in another thread
                    await asyncio.sleep(0.02)
            assert {ticket.side for _, ticket in core.orders} == {Side.BUY}, "hedges and leaks go the desk's way"
            assert {name[:3] for name, _ in core.orders} <= set(DEALERS)
            await asyncio.sleep(0.05)
            assert exchange.view(QDI).volume > before
            assert said[0].startswith("12 dealers see the market") and said[1].startswith("12 dealers are connected")
        finally:
            fleet.cancel()
            await asyncio.gather(fleet, return_exceptions=True)


async def test_a_refused_key_ends_the_fleet_with_its_reason():
    clock = WallClock()
    async with WireGateway(clock=clock, ids=SeededIds(), instruments={}) as gateway:
        gateway.attach(Inbox())
        core = SimulatedExchange(list(directory(None).values()), seed=5, opens_at=OPENS)
        sockets = ExchangeServer({KEYS[D1]: D1}, data_s=0.02)
        exchange = ThreadedExchange(core, AcceleratedMarketClock(anchor=core.now), guests=(sockets.serving,))
        async with exchange.running(), listen(gateway, lambda _: None) as url:
            given = {"instruments": {}, "clock": clock, "ids": SeededIds(), "seed": 1, "say": lambda _: None}
            with pytest.raises(NotAllowed, match="refused the key"):
                await commands.fleet(url, sockets.url, {D1: KEYS[D1]}, **given)
            with pytest.raises(NotAllowed, match="exchange"):
                await commands.fleet(url, sockets.url, {D1: "another"}, **given)
            with pytest.raises(BadInput, match="keys"):
                await commands.fleet(url, sockets.url, {DealerId("D99"): "key"}, **given)

"""The exchange's socket over real connections: keys, market data, orders, reports, slow readers, lost connections."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from lit_router.market import wire
from lit_router.market.client import ExchangeClient
from lit_router.market.clock import AcceleratedMarketClock
from lit_router.market.exchange import Listing, SimulatedExchange
from lit_router.market.server import ExchangeServer
from lit_router.market.threaded import ThreadedExchange
from rfq.domain.errors import NotAllowed, PeerGone
from rfq.domain.values import Instrument, Price, Quantity, Side, Symbol, TickBand

OPENS = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
ACME, ROUND = Symbol("ACME"), Symbol("ROUND")
KEY = "fleet-key"


def instrument(symbol: Symbol, lot: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        currency="USD",
        price_unit=Decimal("0.005"),
        tick_bands=(TickBand(Price(0), 2),),
        lot=Decimal(lot),
        adv=Quantity(2_000_000),
    )


@dataclass
class Floor:
    exchange: ThreadedExchange
    server: ExchangeServer
    clock: AcceleratedMarketClock

    def client(self, prefix: str = "o", **changes: object) -> ExchangeClient:
        numbers = itertools.count(1)
        settings: dict = {"new_id": lambda: f"{prefix}{next(numbers)}"} | changes
        return ExchangeClient(self.server.url, KEY, **settings)

    def raw(self, key: str = KEY, subprotocol: str = wire.JSON) -> connect:
        headers = {"Authorization": f"Bearer {key}"}
        return connect(self.server.url, subprotocols=[Subprotocol(subprotocol)], additional_headers=headers, proxy=None)

    async def volume(self, symbol: Symbol = ACME) -> int:
        return await self.exchange.ask(lambda core: core.view(symbol).volume)


async def serve(most_reports: int = 2_000, speed: float = 1.0) -> AsyncIterator[Floor]:
    listings = [Listing(instrument(ACME, "1"), Price(20_000)), Listing(instrument(ROUND, "100"), Price(9_000))]
    core = SimulatedExchange(listings, seed=5, opens_at=OPENS)
    core.advance_to(OPENS + timedelta(seconds=60))
    clock = AcceleratedMarketClock(anchor=core.now, speed=speed)
    server = ExchangeServer({KEY: "fleet"}, data_s=0.02, most_reports=most_reports)
    exchange = ThreadedExchange(core, clock, step_s=0.005, guests=(server.serving,))
    async with exchange.running():
        yield Floor(exchange, server, clock)


@pytest.fixture
async def floor() -> AsyncIterator[Floor]:
    async for each in serve():
        yield each


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 what it waits for happens in another thread
            await asyncio.sleep(0.005)


async def heard(connection: ClientConnection, codec: wire.Codec, kind: type, accept: Callable = lambda _: True):
    async with asyncio.timeout(10):
        while True:
            message = codec.to_participant(await connection.recv())
            if isinstance(message, kind) and accept(message):
                return message


async def test_an_unknown_key_and_an_unknown_subprotocol_are_refused(floor: Floor) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with floor.raw(key="wrong"):
            pass
    assert refused.value.response.status_code == 401
    with pytest.raises(InvalidStatus) as refused:
        async with floor.raw(subprotocol="something.else"):
            pass
    assert refused.value.response.status_code == 400
    with pytest.raises(NotAllowed):
        async with ExchangeClient(floor.server.url, "wrong", new_id=lambda: "1").connected():
            pass


async def test_a_client_sees_mids_and_market_time(floor: Floor) -> None:
    async with floor.client().connected() as client:
        await until(lambda: client.mid(ACME) == floor.exchange.view(ACME).mid)
        assert client.mid(Symbol("NONE")) is None
        assert abs(client.now() - floor.clock.now()) < timedelta(seconds=0.5)
        until_at = client.now() + timedelta(seconds=0.1)
        await client.sleep_until(until_at)
        assert client.now() >= until_at


async def test_client_time_follows_an_accelerated_clock() -> None:
    async for floor in serve(speed=50.0):
        async with floor.client().connected() as client:
            began = client.now()
            await asyncio.sleep(0.3)
            assert timedelta(seconds=8) < client.now() - began < timedelta(seconds=200)
            assert abs(client.now() - floor.clock.now()) < timedelta(seconds=5)


async def test_a_trade_moves_the_market_and_reports_executions_to_its_account(floor: Floor) -> None:
    heard: list[wire.Execution | wire.Error] = []
    async with floor.client(on_execution=heard.append).connected() as client:
        before = await floor.volume()
        client.trade("dealer-7", ACME, Side.BUY, Quantity(2_500))
        client.trade("dealer-8", ROUND, Side.SELL, Quantity(3))
        done: set[str] = set()
        await until(
            lambda: (
                {"dealer-7", "dealer-8"}
                == {e.account for e in heard if isinstance(e, wire.Execution) and e.leaves == "0"}
                or bool(done)
            )
        )
        fills = [e for e in heard if isinstance(e, wire.Execution) and e.kind == "executed"]
        assert sum(int(e.quantity or 0) for e in fills if e.account == "dealer-7") == 2_500
        assert sum(int(e.quantity or 0) for e in fills if e.account == "dealer-8") == 300, "three lots of a hundred"
        assert all(e.maker is False and e.execution_id for e in fills)
        assert await floor.volume() >= before + 2_500
        assert client.untold == 0


async def test_orders_rest_are_told_of_and_can_be_cancelled_in_json(floor: Floor) -> None:
    codec = wire.Codec(wire.JSON)
    async with floor.raw() as connection:
        welcome = await heard(connection, codec, wire.Welcome)
        assert welcome.participant == "fleet"
        assert set(welcome.books) == {"lit", "dark_block", "dark_broker", "dark_stream"}
        order = wire.NewOrder(order_id="a", symbol="ACME", side="buy", quantity="10", price="50.01")
        for message in (order, order, wire.CancelOrder(order_id="a"), wire.CancelOrder(order_id="a")):
            await connection.send(codec.encode(message))
        kinds = [(await heard(connection, codec, wire.Execution)).kind for _ in range(4)]
        assert kinds == ["accepted", "status", "cancelled", "cancel_rejected"]
        await connection.send(codec.encode(wire.AskStatus(order_id="a")))
        status = await heard(connection, codec, wire.Execution)
        assert (status.state, status.leaves, status.reason) == ("cancelled", "0", "requested")


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        ('{"type":"new_order","order_id":"x","symbol":"NONE","side":"buy","quantity":"1"}', "symbol"),
        ('{"type":"new_order","order_id":"x","symbol":"ACME","side":"up","quantity":"1"}', "side"),
        ('{"type":"new_order","order_id":"x","symbol":"ACME","side":"buy","quantity":"1.5"}', "quantity"),
        ('{"type":"new_order","order_id":"x","symbol":"ROUND","side":"buy","quantity":"150"}', "quantity"),
        ('{"type":"new_order","order_id":"x","symbol":"ACME","side":"buy","quantity":"1","price":"50.003"}', "price"),
        (
            '{"type":"new_order","order_id":"x","symbol":"ACME","side":"buy","quantity":"1","book":"b","price":"50"}',
            "book",
        ),
        ('{"type":"new_order","order_id":"","symbol":"ACME","side":"buy","quantity":"1","price":"50"}', "order_id"),
        ('{"type":"subscribe","symbols":["NONE"]}', "symbols"),
        ('{"type":"subscribe","surprise":1}', ""),
        ("not json", ""),
    ],
)
async def test_a_bad_message_is_answered_with_field_and_reason_and_the_line_stays(
    floor: Floor, frame: str, field: str
) -> None:
    codec = wire.Codec(wire.JSON)
    async with floor.raw() as connection:
        await connection.send(frame)
        error = await heard(connection, codec, wire.Error)
        assert error.field == field and error.reason
        await connection.send(codec.encode(wire.Subscribe(symbols=["ACME"])))
        data = await heard(connection, codec, wire.Data)
        assert {top.symbol for top in data.tops} <= {"ACME"}


async def test_a_lost_connection_cancels_its_orders(floor: Floor) -> None:
    codec = wire.Codec(wire.MSGPACK)
    bid = floor.exchange.view(ACME).bid
    assert bid is not None

    async def own_lots() -> int:
        return await floor.exchange.ask(
            lambda core: sum(order.leaves for order in core._listed[ACME].orders())  # type: ignore[attr-defined]
        )

    async with floor.raw(subprotocol=wire.MSGPACK) as connection:
        order = wire.NewOrder(order_id="a", symbol="ACME", side="buy", quantity="10", price="90")
        await connection.send(codec.encode(order))
        await heard(connection, codec, wire.Execution)
        assert await own_lots() == 10
        connection.transport.abort()
    async with asyncio.timeout(10):
        while await own_lots():  # noqa: ASYNC110 happens in another thread
            await asyncio.sleep(0.01)


async def test_a_participant_with_too_many_reports_waiting_is_disconnected_and_others_are_not() -> None:
    async for floor in serve(most_reports=50):
        codec = wire.Codec(wire.JSON)
        async with floor.raw() as connection, floor.raw() as other:
            for each in (connection, other):
                await each.send(codec.encode(wire.AskStatus(order_id="nothing", account=str(each is other))))
                await heard(each, codec, wire.Execution)
            await floor.exchange.ask(lambda core: [core.status("fleet/False", "nothing") for _ in range(51)] and None)
            with pytest.raises(ConnectionClosed) as closed:
                await heard(connection, codec, wire.Welcome)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
            await other.send(codec.encode(wire.AskStatus(order_id="nothing")))
            assert await heard(other, codec, wire.Execution)


async def test_a_client_comes_back_after_the_exchange_does_and_says_what_it_could_not_send() -> None:
    floors = serve()
    floor = await anext(floors)
    port = int(floor.server.url.rsplit(":", 1)[1].strip("/"))
    async with floor.client().connected() as client:
        await floors.aclose()
        await until(lambda: client.mid(ACME) is None)
        client.trade("dealer", ACME, Side.BUY, Quantity(1))
        assert client.untold == 1
        with pytest.raises(PeerGone):
            client.send(wire.CancelOrder(order_id="a"))
        core = SimulatedExchange([Listing(instrument(ACME, "1"), Price(20_000))], seed=5, opens_at=OPENS)
        server = ExchangeServer({KEY: "fleet"}, port=port, data_s=0.02)
        clock = AcceleratedMarketClock(anchor=OPENS)
        async with ThreadedExchange(core, clock, guests=(server.serving,)).running():
            await until(lambda: client.mid(ACME) is not None)


async def test_nobody_there_is_said_in_time() -> None:
    client = ExchangeClient("ws://127.0.0.1:9/", KEY, new_id=lambda: "1", answer_s=0.3)
    with pytest.raises(PeerGone):
        async with client.connected():
            pass


def test_both_codings_carry_every_message_alike() -> None:
    messages = [
        wire.Subscribe(symbols=["A"]),
        wire.NewOrder(order_id="1", symbol="A", side="buy", quantity="1"),
        wire.CancelOrder(order_id="1", account="x"),
        wire.AskStatus(order_id="1"),
    ]
    for coding in wire.SUBPROTOCOLS:
        codec = wire.Codec(coding)
        assert [codec.from_participant(codec.encode(message)) for message in messages] == messages
        with pytest.raises(msgspec.ValidationError):
            codec.to_participant(codec.encode(messages[0]))

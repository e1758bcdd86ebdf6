"""The whole house for scenario tests: the real engine, store, router and gateway on virtual time.

Only the market, the venues, the dealers' scripts and the choice of dealers are the test's own.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Self

import asyncpg
from order_floor import ASK, BID, INSTRUMENT, SYMBOL, HandMarket, HandVenue
from virtual_time import SeededIds, VirtualClock, VirtualMarketClock, VirtualTimeLoop, counted, real_time

from db.control_store import PostgresControlStore
from db.database import Database
from db.rfq_reader import PostgresRfqReader
from db.rfq_store import PostgresRfqStore
from db.trade_ledger import PostgresTradeLedger
from dealers.in_process import InProcessGateway
from dealers.scripted_trader import Quotes, ScriptedTrader, script
from lit_router.router import OrderRouter
from ml.residual_cost import SquareRootResidual
from rfq.domain import events as ev
from rfq.domain.block import Block, fold
from rfq.domain.fill import Fill, Where
from rfq.domain.quote import Quote, QuoteSide
from rfq.domain.rfq import Leg, RequestSide, Rfq, RfqTerms
from rfq.domain.selection import QUANTILES, DealerScore, Selection
from rfq.domain.values import DealerId, DeskId, Price, Quantity, RfqId, Side, Symbol
from rfq.engine.engine import Engine
from rfq.engine.parts import EngineSettings, Parts
from rfq.ports import SelectionRequest, StreamId

DESK = DeskId("desk-a")
MID = Price((BID + ASK) // 2)
BLOCK = 10_000


def offer(price: int, quantity: int = BLOCK, minimum: int = 0) -> QuoteSide:
    return QuoteSide(Price(price), Quantity(quantity), Quantity(minimum))


def terms(
    side: RequestSide = RequestSide.BUY,
    quantity: int = BLOCK,
    *,
    intent: Side | None = None,
    limit_price: int | None = None,
    **rest: Any,
) -> RfqTerms:
    limit = None if limit_price is None else Price(limit_price)
    leg = Leg(SYMBOL, side, Quantity(quantity), intent, limit)
    return RfqTerms((leg,), **{"quote_window_s": 10.0, **rest})


class AsksInOrder:
    """The DealerPredictor port, scripted: asks the whole panel by name, every dealer expected at `cost_bps`."""

    def __init__(self) -> None:
        self.cost_bps: dict[str, float] = {}

    async def select(self, request: SelectionRequest) -> Selection:
        ranking = tuple(self._score(dealer_id) for dealer_id in request.panel)
        chosen = tuple(s.dealer_id for s in ranking)[: request.terms.max_dealers]
        curve = tuple(10.0 - i for i in range(len(ranking) + 1))
        return Selection(ranking, chosen, {d: 1.0 for d in chosen}, curve, "scripted", request.seed)

    def _score(self, dealer_id: DealerId) -> DealerScore:
        cost = self.cost_bps.get(dealer_id, 5.0)
        spread = tuple(cost + 4 * (q - 0.5) for q in QUANTILES)
        return DealerScore(dealer_id, 0.9, spread, 0.1, 0.05, {})


class House:
    """One service on one database. Open several on the same URL to have two, or one after a crash."""

    def __init__(self, loop: VirtualTimeLoop, clock: VirtualClock, market_clock: VirtualMarketClock, seed: int) -> None:
        self.loop, self.clock, self.market_clock = loop, clock, market_clock
        self.ids = SeededIds(seed)
        self.market = HandMarket(market_clock)
        self.lit = HandVenue("lit", Where.LIT, self.market, market_clock)
        self.dark = HandVenue("dark", Where.DARK, self.market, market_clock)
        self.predictor = AsksInOrder()
        self.dealers: dict[str, ScriptedTrader] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        clock: VirtualClock,
        market_clock: VirtualMarketClock,
        *,
        holder: str = "engine-a",
        seed: int = 1,
        settings: EngineSettings | None = None,
        start: bool = True,
    ) -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        house = cls(loop, clock, market_clock, seed)
        with real_time():
            database = await Database.open(url)
            opening = PostgresRfqStore.open(database, holder)
            store = await opening.__aenter__()
        house.store = counted(store, loop)
        house.reader = counted(PostgresRfqReader(database), loop)
        ledger = counted(PostgresTradeLedger(database, store, clock, market_clock), loop)
        house.gateway = InProcessGateway(clock=clock, ledger=ledger)
        house.router = OrderRouter(
            [house.lit, house.dark], house.market, market_clock, clock, house.ids, {SYMBOL: INSTRUMENT}
        )
        house.parts = Parts(
            clock=clock,
            market_clock=market_clock,
            market=house.market,
            ids=house.ids,
            store=house.store,
            reader=house.reader,
            controls=counted(PostgresControlStore(store), loop),
            gateway=house.gateway,
            predictor=house.predictor,
            residual=SquareRootResidual(),
            router=house.router,
            instruments={SYMBOL: INSTRUMENT},
            seed=7,
            settings=settings,
        )
        house.engine = Engine(house.parts)
        try:
            async with house.gateway:
                if start:
                    await house.engine.start()
                yield house
                await house.engine.stop()
                await house.router.close()
                for trader in house.dealers.values():
                    await trader.close()
        finally:
            with real_time():
                await opening.__aexit__(None, None, None)
                await database.close()

    def dealer(self, name: str, *, cancel_on_disconnect: bool = False) -> ScriptedTrader:
        """A scripted dealer with its line up: silent until told what to do."""
        trader = script(self.gateway, name, self.clock, cancel_on_disconnect=cancel_on_disconnect)
        self.dealers[name] = trader
        return trader

    def offers(self, name: str, price: int, quantity: int = BLOCK, after_s: float = 1.0, **more: Any) -> ScriptedTrader:
        """A dealer who offers at a price, once, and confirms what is lifted."""
        return self.dealer(name).on_request(Quotes(after_s, offer=offer(price, quantity), **more))

    async def submit(self, asked: RfqTerms | None = None, key: str = "key-1") -> RfqId:
        rfq, _ = await self.engine.submit(DESK, asked or terms(), idempotency_key=key, body_digest="digest")
        return rfq.rfq_id

    async def until(self, rfq_id: RfqId, *statuses: str, within_s: float = 36_000.0) -> Rfq:
        """The RFQ once it is in one of these states, or over if none is named."""
        give_up = self.loop.time() + within_s
        while True:
            rfq = await self.engine.rfq(rfq_id)
            if (rfq.status in statuses) if statuses else rfq.is_over:
                return rfq
            assert self.loop.time() < give_up, f"{rfq_id} is {rfq.status.value} {rfq.needs_person} after {within_s} s"
            await asyncio.sleep(0.25)

    async def needs_person(self, rfq_id: RfqId, within_s: float = 600.0) -> Rfq:
        give_up = self.loop.time() + within_s
        while not (rfq := await self.engine.rfq(rfq_id)).needs_person:
            assert self.loop.time() < give_up, f"{rfq_id} is {rfq.status.value} and needs nobody"
            await asyncio.sleep(0.25)
        return rfq

    async def history(self, rfq_id: RfqId) -> list[ev.Stamped]:
        return await self.store.load(StreamId("rfq", rfq_id))

    async def recorded(self, rfq_id: RfqId) -> Block:
        """The block folded from what is in the database."""
        return fold(await self.history(rfq_id))

    async def quotes(self, rfq_id: RfqId) -> dict[str, Quote]:
        return {q.dealer_id: q for q in await self.reader.quotes(rfq_id)}

    async def fills(self, rfq_id: RfqId) -> Sequence[Fill]:
        return await self.reader.fills(rfq_id)

    def now(self) -> datetime:
        return self.clock.now()


async def kill_connections(url: str) -> None:
    """Every other connection to this database dies, as when the server goes."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()



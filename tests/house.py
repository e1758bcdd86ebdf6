"""The whole house for scenario tests: the real engine, store, router and gateway on virtual time.

Only the market, the venues, the dealers' scripts and the choice of dealers are the test's own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Self

import asyncpg
from order_floor import INSTRUMENT, SYMBOL
from virtual_time import SeededIds, VirtualTimeLoop, counted, real_time
from world import BLOCK, MID, World, asks, booked, side_of, takes, told

from db.control_store import PostgresControlStore
from db.database import Database
from db.rfq_reader import PostgresRfqReader
from db.rfq_store import PostgresRfqStore
from db.trade_ledger import PostgresTradeLedger
from dealers.in_process import InProcessGateway
from dealers.scripted_trader import Quotes, ScriptedTrader
from lit_router.ports import SlicePolicy
from lit_router.router import OrderRouter
from lit_router.schedules import schedules
from lit_router.settings import RouterSettings
from ml.residual_cost import SquareRootResidual
from rfq.domain import events as ev
from rfq.domain.block import Block, fold
from rfq.domain.errors import StoreUnavailable
from rfq.domain.fill import Fill
from rfq.domain.quote import Lift, Quote, QuoteSide
from rfq.domain.rfq import Leg, RequestSide, ResidualTerms, Rfq, RfqTerms, Schedule
from rfq.domain.selection import QUANTILES, DealerScore, Selection
from rfq.domain.values import DealerId, DeskId, Price, Quantity, RfqId, Side
from rfq.engine.engine import Engine
from rfq.engine.parts import EngineSettings, Parts
from rfq.ports import RfqStore, SelectionRequest, StreamId

DESK = DeskId("desk-a")
ROUTING = RouterSettings(decision_market_s=60.0)
HOUR = ResidualTerms(horizon_s=3600.0, schedule=Schedule.TWAP, max_participation=1.0)
"""Work what is left over an hour of the market: a minute and more of the session's, at sixty to one."""

offer = side_of


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


class CutStore:
    """A store whose line to the database dies with the `after`-th append to an RFQ's stream; nothing later is written.

    Not `acknowledged`: that append is durable and nobody learns of it, as when the process is killed at the commit.
    Acknowledged: the process goes on until its next commit, which never comes.
    """

    def __init__(self, store: RfqStore, after: int, acknowledged: bool) -> None:
        self._store, self._after, self._acknowledged = store, after, acknowledged
        self.appends = 0
        self.cut = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, stream: StreamId, *rest: Any, **more: Any) -> Awaitable[None]:
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if stream.kind == "rfq":
            self.appends += 1
        if self.appends > self._after:
            return never
        write = asyncio.ensure_future(self._store.append(stream, *rest, **more))
        if stream.kind != "rfq" or self.appends < self._after:
            return write
        write.add_done_callback(lambda _: self.cut.set())
        return write if self._acknowledged else never


class MigratedDatabase(Database):
    """A copy of the migrated template has nothing to be migrated: looking takes longer than a whole story."""

    async def _migrate(self) -> None:
        pass


class Outage:
    """A store that can be away: then everything it is asked fails, at once."""

    def __init__(self, store: RfqStore) -> None:
        self._store, self.away = store, False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._failing if self.away and name != "first_lease" else method

    def append(self, *arguments: Any, **more: Any) -> Awaitable[None]:
        return self._failing() if self.away else self._store.append(*arguments, **more)

    def _failing(self, *_: Any, **__: Any) -> Awaitable[Any]:
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        failed.set_exception(StoreUnavailable("the database is away"))
        return failed


class House:
    """One service on one database. Open several on the same URL to have two, or one after a crash."""

    engine: Engine
    parts: Parts
    gateway: InProcessGateway
    router: OrderRouter

    def __init__(self, world: World, url: str, holder: str) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self.loop, self.world, self.url, self.holder = loop, world, url, holder
        self.clock, self.market_clock = world.clock, world.market_clock
        self.market, self.lit, self.dark, self.dealers = world.market, world.lit, world.dark, world.dealers
        self.predictor = AsksInOrder()
        self.gone = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        world: World,
        *,
        holder: str = "engine-a",
        seed: int = 1,
        settings: EngineSettings | None = None,
        start: bool = True,
        cut: tuple[int, bool] | None = None,
        learned: SlicePolicy | None = None,
    ) -> AsyncIterator[Self]:
        """`cut`: see CutStore. `learned` works what is asked to be worked so. Dealers of the world dial in once the
        engine has started."""
        house = cls(world, url, holder)
        try:
            await house._build(seed, settings, cut, learned)
            await house.gateway.__aenter__()
            if start:
                await house.start()
            yield house
        finally:
            await house.close()

    async def _build(
        self,
        seed: int,
        settings: EngineSettings | None,
        cut: tuple[int, bool] | None,
        learned: SlicePolicy | None,
    ) -> None:
        with self.loop.in_flight("opening"), real_time():
            self._database = await MigratedDatabase.open(self.url)
            others = asyncio.all_tasks()
            self._opening = PostgresRfqStore.open(self._database, self.holder)
            self._store = await self._opening.__aenter__()
            (self._writer,) = [t for t in asyncio.all_tasks() - others if t.get_name() == "event log writer"]
        self.store: RfqStore = counted(self._store, self.loop)
        self.cut_store = CutStore(self.store, *cut) if cut else None
        self.outage = Outage(self.cut_store or self.store)  # type: ignore[arg-type]
        self.reader = counted(PostgresRfqReader(self._database), self.loop)
        ledger = PostgresTradeLedger(self._database, self._store, self.clock, self.market_clock)
        self.gateway = InProcessGateway(clock=self.clock, ledger=counted(ledger, self.loop))
        ids = SeededIds(seed)
        venues = [self.lit, self.dark]
        instruments = {SYMBOL: INSTRUMENT}
        policies = schedules(instruments) | ({Schedule.LEARNED: learned} if learned else {})
        self.router = OrderRouter(
            venues, self.market, self.market_clock, self.clock, ids, instruments, policies=policies, settings=ROUTING
        )
        self.parts = Parts(
            clock=self.clock,
            market_clock=self.market_clock,
            market=self.market,
            ids=ids,
            store=self.outage,  # type: ignore[arg-type]
            reader=self.reader,
            controls=counted(PostgresControlStore(self._store), self.loop),
            gateway=self.gateway,
            predictor=self.predictor,
            residual=SquareRootResidual(),
            router=self.router,
            instruments=instruments,
            seed=7,
            settings=settings,
        )
        self.engine = Engine(self.parts)

    async def start(self) -> None:
        await self.engine.start()
        self.world.reconnect(self.gateway)

    async def close(self) -> None:
        """Leaves in good order."""
        if self.gone:
            return
        self.gone = True
        await self.engine.stop()
        await self.gateway.__aexit__()
        with self.loop.in_flight("closing"), real_time():
            await self._opening.__aexit__(None, None, None)
            await self._database.close()

    async def crash(self) -> None:
        """kill -9: no task runs on, nothing queued is written, every line and connection is dead."""
        self.gone = True
        self.world.hang_up()
        for venue in (self.lit, self.dark):
            if venue._sink is self.router:
                venue._sink = None
        orders = [w for w in self.router._parents.values()]
        doomed = [*self.engine.stories.tasks, *self.gateway._tasks, self._writer]
        doomed += [w._task for w in orders if w._task is not None]
        doomed += [task for w in orders for task in w.children._tasks]
        for task in doomed:
            task.cancel()
        with self.loop.in_flight("crash"), real_time():
            await asyncio.gather(*doomed, return_exceptions=True)
            self._store._log._idle.set()  # What was queued is lost: there is nothing to wait for.
            await self._opening.__aexit__(None, None, None)
            await self._database.close()

    async def kill_connections(self) -> None:
        """Every connection to the database dies under the house, as when the server goes."""
        with self.loop.in_flight("killing connections"), real_time():
            await kill_connections(self.url)

    # --- dealers -------------------------------------------------------------------------------------------------

    def dealer(self, name: str, *, cancel_on_disconnect: bool = False) -> ScriptedTrader:
        """A scripted dealer with its line up: silent until told what to do."""
        return self.world.dealer(self.gateway, name, cancel_on_disconnect=cancel_on_disconnect)

    def offers(
        self, name: str, price: int, quantity: int = BLOCK, after_s: float = 1.0, minimum: int = 0, **more: Any
    ) -> ScriptedTrader:
        """A dealer who offers at a price, once, and confirms what is lifted."""
        return self.dealer(name).on_request(Quotes(after_s, offer=offer(price, quantity, minimum), **more))

    # --- the desk ------------------------------------------------------------------------------------------------

    async def submit(self, asked: RfqTerms | None = None, key: str = "key-1", desk: str = DESK) -> RfqId:
        rfq, _ = await self.engine.submit(DeskId(desk), asked or terms(), idempotency_key=key, body_digest="digest")
        return rfq.rfq_id

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

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

    # --- the record ----------------------------------------------------------------------------------------------

    async def history(self, rfq_id: RfqId) -> list[ev.Stamped]:
        return await self.store.load(StreamId("rfq", rfq_id))

    async def events(self, rfq_id: RfqId, *kinds: type) -> list[Any]:
        """The recorded events of these kinds, in order."""
        return [s.event for s in await self.history(rfq_id) if isinstance(s.event, kinds)]

    async def recorded(self, rfq_id: RfqId) -> Block:
        """The block folded from what is in the database."""
        return fold(await self.history(rfq_id))

    async def quotes(self, rfq_id: RfqId) -> dict[str, Quote]:
        return {q.dealer_id: q for q in await self.reader.quotes(rfq_id)}

    async def lifts(self, rfq_id: RfqId) -> list[Lift]:
        return await self.reader.lifts(rfq_id)

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
        with contextlib.suppress(Exception):
            await connection.close()


__all__ = [
    "BLOCK",
    "DESK",
    "HOUR",
    "MID",
    "House",
    "QuoteSide",
    "Quotes",
    "World",
    "asks",
    "booked",
    "kill_connections",
    "offer",
    "takes",
    "terms",
    "told",
]

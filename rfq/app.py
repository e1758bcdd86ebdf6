"""The service, wired: the only place where everything meets. `running(settings)` is all of it; `serve` runs it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from prometheus_client import CollectorRegistry

from db.api_keys import PostgresKeyStore
from db.cluster import default_data_dir
from db.control_store import PostgresControlStore
from db.database import Database
from db.embedded import EmbeddedPostgres
from db.history import PostgresHistory
from db.rfq_reader import PostgresRfqReader
from db.rfq_store import PostgresRfqStore
from db.trade_ledger import PostgresTradeLedger
from dealers.gateway import WireGateway
from dealers.line import LineBounds
from dealers.panel import default_panel
from dealers.session import SessionBounds
from lit_router.market.clock import AcceleratedMarketClock
from lit_router.market.server import ExchangeServer
from lit_router.market.threaded import ThreadedExchange
from lit_router.router import OrderRouter
from lit_router.schedules import schedules
from ml.model_process import ModelProcess
from ml.predictor import PanelPredictor
from ml.residual_cost import SquareRootResidual
from ml.selection import Exploration
from ml.slicer.policy import LearnedSlices, by_rule_alone, on_one_core, tuned_rule
from ml.slicer.residual import CriticResidual
from ml.slicer.weights import SHIPPED, Slicer, load
from ml.thompson import Thompson
from rfq import keys
from rfq.api.edge import Edge
from rfq.benchmarks import Benchmarks
from rfq.clocks import RandomIds, SystemClock
from rfq.domain.errors import BadInput
from rfq.domain.events import DealersAsked, ModelLoaded, ParentCreated, Stamped
from rfq.domain.rfq import Schedule
from rfq.domain.values import RfqId
from rfq.engine.engine import Engine
from rfq.engine.parts import EngineSettings, Parts
from rfq.markets import market
from rfq.metrics import Metrics
from rfq.ports import Clock, ControlStore, MarketClock, StreamId
from rfq.settings import Settings

log = structlog.get_logger()

FLEET = 12
LOOK_BACK = timedelta(days=1)


class Service:
    """What is running: for whoever serves it, looks at it, or stops it."""

    def __init__(self, settings: Settings, engine: Engine, edge: Edge, exchange_url: str) -> None:
        self.settings, self.engine, self.edge, self.exchange_url = settings, engine, edge, exchange_url
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Set with the error when a part that the service cannot do without has given up."""


@asynccontextmanager
async def running(settings: Settings, say: Callable[[str], None]) -> AsyncIterator[Service]:
    """Everything but the HTTP server: opened in order of need, closed in reverse.

    `say` is told what a person must know. Raises what the parts raise when they cannot start, each with its reason.
    """
    data_dir = (settings.data_dir or default_data_dir()).absolute()
    clock, ids = SystemClock(), RandomIds()
    metrics = Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        slicer = weights(settings, say)
        embedded = None
        if settings.database_url is None:
            say(f"database: embedded PostgreSQL in {data_dir}")
            embedded = await stack.enter_async_context(EmbeddedPostgres(data_dir))
        url = embedded.url if embedded else settings.database_url
        database = await Database.open(str(url), pool=settings.database_connections)
        stack.push_async_callback(database.close)
        holder = ids.new("engine")
        store = await stack.enter_async_context(PostgresRfqStore.open(database, holder, lease_s=settings.lease_s))
        reader, history = PostgresRfqReader(database), PostgresHistory(database)
        key_store = PostgresKeyStore(database)
        fleet: tuple[keys.KeyEntry, ...] = ()
        if settings.simulated_dealers:
            fleet = keys.of_fleet(data_dir / keys.FLEET_FILE, [t.dealer for t in default_panel(0, FLEET)])
        if settings.keys_file is not None:
            await keys.declare(key_store, keys.read(settings.keys_file))
        await keys.first_start(key_store, say)
        await keys.declare(key_store, fleet)

        seen_until = await reader.latest_market_time()
        mids = await reader.latest_mids(seen_until - LOOK_BACK) if seen_until else {}
        traded = market(settings, clock.now(), seen_until, mids, ids.new("run"))
        instruments = traded.instruments
        market_clock = AcceleratedMarketClock(anchor=traded.opens_at, speed=settings.simulation_speed)
        socket = ExchangeServer(
            {entry.key: entry.name for entry in fleet}, host=settings.exchange_host, port=settings.exchange_port
        )
        guests = (socket.serving,) if settings.simulated_dealers else ()
        exchange = ThreadedExchange(traded.core, market_clock, guests=guests)
        await stack.enter_async_context(exchange.running())

        gateway = WireGateway(
            clock=clock,
            ids=ids,
            instruments=instruments,
            ledger=PostgresTradeLedger(database, store, clock, market_clock),
            bounds=LineBounds(open_requests=settings.dealer_open_requests),
            session_bounds=SessionBounds(
                outbox=settings.dealer_outbox,
                send_s=settings.dealer_send_s,
                heartbeat_s=settings.dealer_heartbeat_s,
            ),
        )
        await stack.enter_async_context(gateway)
        on_one_core()
        if slicer is None:
            learned = by_rule_alone(tuned_rule(), instruments, traded.curve)
        else:
            learned = LearnedSlices(slicer, instruments, traded.curve)
        router = OrderRouter(
            traded.venues(exchange),
            exchange,
            market_clock,
            clock,
            ids,
            instruments,
            policies=schedules(instruments) | {Schedule.LEARNED: learned},
            curve=traded.curve,
        )
        thinking = ThreadPoolExecutor(1, thread_name_prefix="models")
        stack.callback(thinking.shutdown, wait=False, cancel_futures=True)
        models = await stack.enter_async_context(ModelProcess(settings.models_dir, _exploration(settings)))
        predictor = PanelPredictor(models, history, instruments, clock, thinking)
        stack.push_async_callback(predictor.close)
        await predictor.start(market_clock.now())
        controls = PostgresControlStore(store)
        benchmarks = Benchmarks(exchange, controls, clock, market_clock)
        stack.push_async_callback(benchmarks.close)

        before_the_first = ExitStack()
        if settings.replay_book is not None:  # A recording does not run away before the first block is asked for.
            before_the_first.enter_context(market_clock.real_time())

        def observe(rfq_id: RfqId, stamped: Stamped) -> None:
            metrics.saw(rfq_id, stamped)
            benchmarks.observe(rfq_id, stamped)
            if isinstance(stamped.event, DealersAsked | ParentCreated):
                before_the_first.close()

        engine = Engine(
            Parts(
                clock=clock,
                market_clock=market_clock,
                market=exchange,
                ids=ids,
                store=store,
                reader=reader,
                controls=controls,
                gateway=gateway,
                predictor=predictor,
                residual=SquareRootResidual() if slicer is None else CriticResidual(slicer),
                router=router,
                instruments=instruments,
                seed=settings.simulation_seed,
                settings=EngineSettings(
                    open_rfqs=settings.open_rfqs,
                    stale_after_s=settings.market_stale_s,
                    lift_answer_s=settings.lift_timeout_s,
                    unknown_limit_s=settings.unknown_limit_s,
                    takeover_s=settings.lease_s / 4,
                    regulatory_dealers=settings.regulatory_dealers,
                    leakage_budget_bps=settings.leakage_budget_bps,
                    wave_decision_s=settings.wave_decision_s,
                ),
                observe=observe,
            )
        )
        edge = Edge(
            engine=engine,
            reader=reader,
            history=history,
            keys=key_store,
            serve_dealer=gateway.serve,
            reachable=gateway.reachable,
            clock=clock,
            market_clock=market_clock,
            instruments=instruments,
            settings=settings,
            metrics=metrics,
            benchmarks=benchmarks.of,
        )
        metrics.watch("open_rfqs", "RFQs not over in this engine", lambda: engine.open)
        metrics.watch("dealers_connected", "Dealers whose line is up", lambda: len(gateway.reachable()))
        metrics.watch("kill_switch", "1 while the kill switch is thrown", lambda: engine.killed is not None)
        metrics.watch("ready", "1 while RFQs can be taken", lambda: engine.ready)
        service = Service(settings, engine, edge, socket.url)
        await stack.enter_async_context(_watched(store.writer, service))
        if embedded is not None:
            keeping = asyncio.ensure_future(embedded.watch())
            stack.callback(keeping.cancel)
            await stack.enter_async_context(_watched(keeping, service))
        await engine.start()
        await _note_model(controls, "dealers", predictor.model_version, clock, market_clock)
        await _note_model(controls, "slicer", learned.version, clock, market_clock)
        stack.push_async_callback(engine.stop)
        log.info("service up", **settings.shown())
        yield service
        edge.close_streams()


def _exploration(settings: Settings) -> Exploration | Thompson:
    if settings.exploration == "thompson":
        return Thompson(budget_bps=settings.exploration_budget_bps)
    return Exploration()


def weights(settings: Settings, say: Callable[[str], None]) -> Slicer | None:
    """The slicer's weights. None where those in the package are missing or do not fit: a rule stands in, and that is
    said. Raises BadInput for a file that the settings name and that does not fit."""
    try:
        return load(settings.slicer or SHIPPED)
    except BadInput as reason:
        if settings.slicer is not None:
            raise
        log.warning("no weights of the slicer", why=str(reason))
        say(f"slicer: a rule works what is left, without weights ({reason})")
        return None


async def _note_model(
    controls: ControlStore, model: str, version: str, clock: Clock, market_clock: MarketClock
) -> None:
    """Records which models are in use, whenever they are others than last time."""
    stream = StreamId("model", model)
    before = [s.event.version for s in await controls.history(stream) if isinstance(s.event, ModelLoaded)]
    if before[-1:] != [version]:
        await controls.record(stream, ModelLoaded(model, version), clock.now(), market_clock.now())


@asynccontextmanager
async def _watched(part: "asyncio.Future[None]", service: Service) -> AsyncIterator[None]:
    """While the context is open: when this part gives up, the service ends with its error."""

    def ended(part: "asyncio.Future[None]") -> None:
        error = None if part.cancelled() else part.exception()
        if error is not None and not service.failed.done():
            service.failed.set_exception(error)

    part.add_done_callback(ended)
    try:
        yield
    finally:
        part.remove_done_callback(ended)

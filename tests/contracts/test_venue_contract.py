"""What every venue does, lit, dark or recorded, stepped on the caller's loop or in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from recordings import ACME, ASK, BEGINS, BID, recording, shows

from lit_router.market.batch.pools import PoolCharacter
from lit_router.market.clock import AcceleratedMarketClock
from lit_router.market.exchange import Listing, SimulatedExchange
from lit_router.market.recorded import RecordedExchange
from lit_router.market.running import InlineExchange, RunningExchange
from lit_router.market.threaded import ThreadedExchange
from lit_router.ports import ExecutionReport, Fees, ReportKind, Venue
from lit_router.venues.dark import DarkVenue
from lit_router.venues.lit import LitVenue
from lit_router.venues.replay import ReplayHiddenVenue, ReplayLitVenue
from rfq.domain.errors import NotFound, OurFault, PeerGone
from rfq.domain.fill import Where
from rfq.domain.order import ChildOrder, TimeInForce
from rfq.domain.values import ChildId, Instrument, ParentId, Price, Quantity, Side, Symbol, TickBand

POOL = PoolCharacter("pool", 0.2, 0.0005, 0.5, 0.0, 300.0, 0.0, 0.0)
MIDWAY = (BID + ASK) // 2


class HandClock:
    """A market clock that moves when told to."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return self.at

    async def sleep_until(self, at: datetime) -> None:
        while self.at < at:
            await self._moved.wait()

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    @contextmanager
    def real_time(self):
        yield


class Sink:
    def __init__(self) -> None:
        self.reports: list[ExecutionReport] = []
        self.threads: set[int] = set()

    def take(self, report: ExecutionReport) -> None:
        self.reports.append(report)
        self.threads.add(threading.get_ident())

    def of(self, *kinds: ReportKind) -> list[ExecutionReport]:
        return [report for report in self.reports if report.kind in kinds]


@dataclass
class Place:
    """A venue under test; `passive` and `far` are prices at which a buy rests, soon filled or never."""

    venue: Venue
    exchange: RunningExchange
    clock: HandClock
    sink: Sink
    symbol: Symbol
    passive: Price
    far: Price
    tick: int

    def buy(self, child_id: str, lots: int, price: int | None, *, ioc: bool = False) -> ChildOrder:
        return ChildOrder(
            child_id=ChildId(child_id),
            parent_id=ParentId("parent"),
            venue=self.venue.name,
            symbol=self.symbol,
            side=Side.BUY,
            quantity=Quantity(lots),
            price=None if price is None else Price(price),
            time_in_force=TimeInForce.IOC if ioc else TimeInForce.DAY,
        )

    async def settle(self) -> None:
        """Until everything sent has been answered and delivered."""
        await self.exchange.ask(lambda core: None)
        for _ in range(3):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """Moves the clock, and waits until the exchange has played up to it."""
        self.clock.move(seconds)
        async with asyncio.timeout(20):
            while await self.exchange.ask(lambda core: core.now) < self.clock.now():  # noqa: ASYNC110 another thread
                await asyncio.sleep(0.005)
        await self.settle()


def simulated() -> SimulatedExchange:
    instrument = Instrument(
        symbol=ACME,
        currency="USD",
        price_unit=Decimal("0.005"),
        tick_bands=(TickBand(Price(0), 2),),
        adv=Quantity(2_000_000),
    )
    core = SimulatedExchange([Listing(instrument, Price(20_000))], seed=11, opens_at=BEGINS, pools=(POOL,))
    core.advance_to(BEGINS + timedelta(seconds=60))
    return core


def recorded() -> RecordedExchange:
    """A quiet book in which, every ten seconds, a seller hits the bid and a hidden seller is found at the mid."""
    rows = [((0.0, 1, 1, 100, BID, 1), shows(100, 100))]
    for number in range(1, 700):
        rows.append(((10.0 * number, 4, 1, 60, BID, 1), shows(100, 100)))
        rows.append(((10.0 * number + 1, 5, 0, 70, MIDWAY, -1), shows(100, 100)))
    core = RecordedExchange([recording(*rows, ends_s=7_200.0)])
    core.advance_to(BEGINS + timedelta(seconds=5))
    return core


@pytest.fixture(params=["inline", "threaded"])
def runs(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["lit", "dark", "replay", "replay hidden"])
async def place(request: pytest.FixtureRequest, runs: str) -> AsyncIterator[Place]:
    replayed = request.param.startswith("replay")
    core = recorded() if replayed else simulated()
    clock, sink = HandClock(core.now), Sink()
    async with AsyncExitStack() as stack:
        if runs == "inline":
            exchange: RunningExchange = await stack.enter_async_context(InlineExchange(core, clock).running())
        else:
            exchange = await stack.enter_async_context(ThreadedExchange(core, clock, step_s=0.002).running())
        mid, best = core.depth(ACME).mid, core.depth(ACME).bids[0][0]
        assert mid is not None
        tick = core.instrument(ACME).tick_at(mid)
        far = Price(best // tick // 2 * tick)
        venues: dict[str, tuple[Venue, int]] = {
            "lit": (LitVenue(exchange), best),
            "dark": (DarkVenue(exchange, POOL), best + 100 * tick),
            "replay": (ReplayLitVenue(exchange), best),
            "replay hidden": (ReplayHiddenVenue(exchange), ASK),
        }
        venue, passive = venues[request.param]
        venue.attach(sink)
        yield Place(venue, exchange, clock, sink, ACME, Price(passive), far, tick)


async def test_says_what_it_is(place: Place) -> None:
    assert place.venue.where is (Where.DARK if place.venue.name in ("pool", "hidden") else Where.LIT)
    assert isinstance(place.venue.fees, Fees)


async def test_a_resting_order_is_acknowledged_with_its_leaves(place: Place) -> None:
    await place.venue.send(place.buy("a", 200, place.far))
    assert place.sink.reports == [], "nothing is reported from inside the call that sends"
    await place.settle()
    (report,) = place.sink.reports
    assert (report.kind, report.child_id, report.leaves) == (ReportKind.ACKNOWLEDGED, "a", 200)
    assert report.market_at == place.clock.now()


async def test_the_same_child_sent_twice_is_taken_once(place: Place) -> None:
    for _ in range(2):
        await place.venue.send(place.buy("a", 200, place.far))
    await place.venue.cancel(ChildId("a"))
    await place.venue.cancel(ChildId("a"))
    await place.settle()
    kinds = [report.kind for report in place.sink.reports]
    assert kinds == [
        ReportKind.ACKNOWLEDGED,
        ReportKind.ACKNOWLEDGED,
        ReportKind.CANCELLED,
        ReportKind.CANCEL_REJECTED,
    ]
    assert place.sink.reports[2].leaves == 200


async def test_fills_add_up_and_are_told_again_when_asked(place: Place) -> None:
    asked = 500
    await place.venue.send(place.buy("a", asked, place.passive))
    for _ in range(24):
        await place.pass_time(240.0)
        if sum(fill.quantity for fill in place.sink.of(ReportKind.FILLED)) >= asked:
            break
    fills = place.sink.of(ReportKind.FILLED)
    assert fills, "an hour and a half at the best price, or at the mid"
    filled = 0
    for fill in fills:
        filled += fill.quantity
        assert fill.cumulative == filled and fill.leaves == asked - filled
        assert fill.price is not None and fill.price <= place.passive
        assert fill.mid is not None and fill.execution_id and fill.maker is not None
    before = len(place.sink.reports)
    await place.venue.status(ChildId("a"))
    await place.settle()
    again = place.sink.reports[before:]
    assert [report for report in again if report.kind is ReportKind.FILLED] == fills
    if filled < asked:
        assert (again[-1].kind, again[-1].leaves, again[-1].cumulative) == (
            ReportKind.ACKNOWLEDGED,
            asked - filled,
            filled,
        )
    assert len({fill.execution_id for fill in fills}) == len(fills)


async def test_replace_and_cancel_change_what_is_left(place: Place) -> None:
    await place.venue.send(place.buy("a", 200, place.far))
    await place.venue.replace(ChildId("a"), Quantity(150), Price(place.far + place.tick))
    await place.venue.replace(ChildId("a"), Quantity(150), Price(place.far + 1))
    await place.venue.status(ChildId("a"))
    await place.venue.cancel(ChildId("a"))
    await place.settle()
    replaced, refused, status, cancelled = place.sink.reports[1:]
    assert (replaced.kind, replaced.leaves, replaced.price) == (ReportKind.REPLACED, 150, place.far + place.tick)
    assert refused.kind is ReportKind.CANCEL_REJECTED and "tick" in refused.reason
    assert (status.kind, status.leaves, status.cumulative) == (ReportKind.ACKNOWLEDGED, 150, 0)
    assert (cancelled.kind, cancelled.leaves) == (ReportKind.CANCELLED, 150)


async def test_an_immediate_order_that_cannot_trade_expires(place: Place) -> None:
    await place.venue.send(place.buy("a", 200, place.far, ioc=True))
    await place.settle()
    assert [report.kind for report in place.sink.reports] == [ReportKind.ACKNOWLEDGED, ReportKind.EXPIRED]
    assert place.sink.reports[-1].leaves == 200


async def test_what_cannot_be_taken_is_rejected_with_a_reason(place: Place) -> None:
    await place.venue.send(place.buy("off tick", 200, place.far + 1))
    await place.venue.send(place.buy("symbol", 200, place.far).but(symbol=Symbol("NONE")))
    await place.settle()
    assert [report.kind for report in place.sink.reports] == [ReportKind.REJECTED] * 2
    assert all(report.reason for report in place.sink.reports)
    with pytest.raises(OurFault):
        await place.venue.send(place.buy("elsewhere", 200, place.far).but(venue="elsewhere"))


async def test_an_order_it_does_not_know_is_unknown(place: Place) -> None:
    await place.venue.status(ChildId("never sent"))
    await place.venue.cancel(ChildId("never sent"))
    await place.venue.replace(ChildId("never sent"), Quantity(1), place.far)
    await place.settle()
    assert [report.kind for report in place.sink.reports] == [
        ReportKind.UNKNOWN,
        ReportKind.CANCEL_REJECTED,
        ReportKind.CANCEL_REJECTED,
    ]


async def test_reports_come_on_the_loop_that_attached(place: Place) -> None:
    await place.venue.send(place.buy("a", 200, place.far))
    await place.settle()
    assert place.sink.threads == {threading.get_ident()}


async def test_market_data_agrees_with_the_core(place: Place) -> None:
    await place.pass_time(30.0)
    async with asyncio.timeout(5):
        while place.exchange.view(ACME).source_at < place.clock.now():  # noqa: ASYNC110 another thread
            await asyncio.sleep(0.005)
    view = place.exchange.view(ACME)
    assert view == await place.exchange.ask(lambda core: core.view(ACME))
    assert view.mid == await place.exchange.mid_at(ACME, place.clock.now())
    assert await place.exchange.mid_at(ACME, place.clock.now() + timedelta(hours=1)) is None
    with pytest.raises(NotFound):
        place.exchange.view(Symbol("NONE"))
    with pytest.raises(NotFound):
        await place.exchange.mid_at(Symbol("NONE"), place.clock.now())


async def test_sending_to_an_exchange_that_does_not_run_says_so() -> None:
    exchange = ThreadedExchange(simulated(), HandClock(BEGINS))
    with pytest.raises(PeerGone, match="not running"):
        LitVenue(exchange).attach(Sink())
    async with exchange.running():
        venue = LitVenue(exchange)
        with pytest.raises(PeerGone, match="attached"):
            await venue.cancel(ChildId("a"))
        venue.attach(Sink())
        await venue.cancel(ChildId("a"))
    with pytest.raises(PeerGone, match="not running"):
        await venue.cancel(ChildId("a"))


async def test_a_fault_in_the_exchange_is_kept_and_stops_it() -> None:
    exchange = ThreadedExchange(simulated(), HandClock(BEGINS + timedelta(seconds=60)))
    async with exchange.running():

        def fail(core: object) -> None:
            raise ValueError("broken")

        exchange.post(fail)
        async with asyncio.timeout(5):
            with pytest.raises(PeerGone):
                while True:
                    exchange.post(lambda core: None)
                    await asyncio.sleep(0.005)
    assert isinstance(exchange.fault, ValueError)


async def test_the_thread_keeps_up_with_an_accelerated_clock() -> None:
    clock = AcceleratedMarketClock(anchor=BEGINS + timedelta(seconds=60), speed=60.0)
    async with ThreadedExchange(simulated(), clock).running() as exchange:
        with clock.real_time():
            held = clock.now()
            await asyncio.sleep(0.05)
            assert clock.now() - held < timedelta(seconds=1)
        await clock.sleep_until(clock.now() + timedelta(seconds=30))
        lag = clock.now() - exchange.view(ACME).source_at
        assert lag < timedelta(seconds=30)
        control = await exchange.control_bps(ACME, BEGINS, clock.now() - timedelta(seconds=40))
        assert control is None, "nothing else is listed"

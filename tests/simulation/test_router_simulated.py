"""The router on the simulated exchange: real books and pools, in virtual time and on their own thread."""

import asyncio
from collections.abc import Mapping
from statistics import mean

import pytest
from order_floor import INSTRUMENT, SYMBOL, FoldingStore, parent
from virtual_time import START, SeededIds, VirtualClock, VirtualMarketClock, VirtualTimeLoop

from lit_router.market.clock import AcceleratedMarketClock
from lit_router.market.exchange import Listing, SimulatedExchange
from lit_router.market.running import InlineExchange, RunningExchange
from lit_router.market.threaded import ThreadedExchange
from lit_router.ports import SlicePolicy
from lit_router.router import OrderRouter
from lit_router.schedules import benchmarks
from lit_router.venues.dark import dark_venues
from lit_router.venues.lit import LitVenue
from lit_router.volume_curve import CONTINUOUS
from rfq.clocks import RandomIds, SystemClock
from rfq.domain import events as ev
from rfq.domain.fill import Where
from rfq.domain.order import ParentOrder
from rfq.domain.rfq import Schedule
from rfq.domain.values import Price, Side
from rfq.ports import Clock, IdSource, MarketClock

LISTING = Listing(INSTRUMENT, Price(19_995))


@pytest.fixture(autouse=True, scope="module")
def compiled_before_time_is_virtual() -> None:
    """Compiling takes real time, in which a virtual loop would see no progress."""
    exchange_core(0)


def exchange_core(seed: int) -> SimulatedExchange:
    return SimulatedExchange([LISTING], seed=seed, opens_at=START, name=f"SIM{seed}")


def router_on(
    exchange: RunningExchange,
    clock: Clock,
    market_clock: MarketClock,
    ids: IdSource,
    policies: Mapping[Schedule, SlicePolicy] | None = None,
) -> OrderRouter:
    venues = [LitVenue(exchange), *dark_venues(exchange)]
    instruments = {SYMBOL: INSTRUMENT}
    return OrderRouter(venues, exchange, market_clock, clock, ids, instruments, policies=policies, curve=CONTINUOUS)


def accounted(order: ParentOrder, store: FoldingStore) -> None:
    rfq = store.block.rfq
    fills = [event.fill for event in store.of(ev.ChildFilled)]
    assert rfq.filled + rfq.unfilled == order.quantity and rfq.working == 0
    assert sum(fill.quantity for fill in fills) == rfq.filled
    assert all(fill.mid_at_fill is not None for fill in fills)
    assert not store.of(ev.BreakFound)


def worked(
    order: ParentOrder, seed: int, policies: Mapping[Schedule, SlicePolicy] | None = None
) -> tuple[FoldingStore, int]:
    """Works an order to its end in virtual time; returns its store and the market's volume meanwhile."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_worked(order, seed, policies))


async def _worked(
    order: ParentOrder, seed: int, policies: Mapping[Schedule, SlicePolicy] | None
) -> tuple[FoldingStore, int]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    clock, market_clock = VirtualClock(loop), VirtualMarketClock(loop, speed=60.0)
    async with InlineExchange(exchange_core(seed), market_clock).running() as exchange:
        before = exchange.view(SYMBOL).volume
        store = FoldingStore(order)
        await router_on(exchange, clock, market_clock, SeededIds(), policies).work(order, store).done()
        accounted(order, store)
        return store, exchange.view(SYMBOL).volume - before


@pytest.mark.parametrize("schedule", [one for one in Schedule if one is not Schedule.LEARNED])
@pytest.mark.parametrize("side", list(Side))
def test_each_schedule_works_a_block(schedule: Schedule, side: Side) -> None:
    order = parent(15_000, side=side, horizon_s=1200, schedule=schedule, max_participation=0.3)
    store, volume = worked(order, seed=7)
    fills = [event.fill for event in store.of(ev.ChildFilled)]
    lit = sum(fill.quantity for fill in fills if fill.where is Where.LIT)
    assert lit <= 0.3 * volume
    if schedule is Schedule.POV:
        assert store.block.rfq.filled >= 0.8 * min(15_000, 0.3 * 0.75 * volume)
    else:
        assert store.block.rfq.filled == 15_000
    assert any(fill.fee_bps < 0 for fill in fills), "nothing ever rested long enough to be paid"


def test_the_same_seed_gives_the_same_events_byte_for_byte() -> None:
    order = parent(5_000, horizon_s=600, max_participation=0.3)
    first, again, other = (worked(order, seed)[0] for seed in (11, 11, 12))
    assert [ev.to_bytes(event) for event in first.events] == [ev.to_bytes(event) for event in again.events]
    assert first.events != other.events


def over_mid_bps(store: FoldingStore, where: Where) -> float:
    """What fills cost beyond the mid at their moment, mean over lots; what the price did later is not in it."""
    fills = [event.fill for event in store.of(ev.ChildFilled) if event.fill.where is where]
    paid = sum(f.side.sign * (f.price - (f.mid_at_fill or f.price)) * f.quantity for f in fills)
    return paid / sum(f.price * f.quantity for f in fills) * 1e4


def test_what_rests_earns_the_spread_that_market_orders_pay() -> None:
    """On the mean of eight markets: in some, what rests must catch up across the spread."""
    order = parent(4_000, horizon_s=900, max_participation=0.5, venues=("lit",))
    patient = [over_mid_bps(worked(order, seed)[0], Where.LIT) for seed in range(8)]
    hasty = [over_mid_bps(worked(order, seed, benchmarks())[0], Where.LIT) for seed in range(8)]
    assert min(hasty) > 1.0
    assert mean(patient) < mean(hasty) - 0.8


def test_dark_fills_are_at_the_mid() -> None:
    store, _ = worked(parent(20_000, horizon_s=900, max_participation=0.3), seed=5)
    dark = [event.fill for event in store.of(ev.ChildFilled) if event.fill.where is Where.DARK]
    assert dark and all(fill.price == fill.mid_at_fill for fill in dark)


def test_on_a_thread_of_its_own() -> None:
    """The real clocks, the real thread: 100 market seconds in one."""
    asyncio.run(_on_a_thread())


async def _on_a_thread() -> None:
    market_clock = AcceleratedMarketClock(anchor=START, speed=100.0)
    async with ThreadedExchange(exchange_core(3), market_clock).running() as exchange:
        router = router_on(exchange, SystemClock(), market_clock, RandomIds())
        orders = [
            parent(2_000, horizon_s=400, max_participation=0.4, side=side, name=f"parent-{side.value}") for side in Side
        ]
        stores = [FoldingStore(order) for order in orders]
        workings = [router.work(order, store) for order, store in zip(orders, stores, strict=True)]
        await asyncio.wait_for(asyncio.gather(*(working.done() for working in workings)), 20)
        for order, store in zip(orders, stores, strict=True):
            accounted(order, store)
            assert store.block.rfq.filled == 2_000
        assert not router.strays

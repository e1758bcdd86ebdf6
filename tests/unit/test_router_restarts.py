"""Stories of one order at the router: a restart, and a store or a lease that cannot be had."""

from datetime import timedelta

import pytest
from order_floor import ASK, FoldingStore, parent
from order_stage import Stage, Wants, adds_up, rest
from virtual_time import START

from lit_router.domain.child import ChildStatus
from rfq.domain import events as ev
from rfq.domain.errors import LeaseLost, StoreUnavailable

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_restart_goes_on_where_the_record_ends(stage: Stage, arrived: bool) -> None:
    order = parent()
    working, store = stage.work(order)
    await stage.market_s(300)
    stage.lit.fill(stage.lit.resting()[0].child_id, 3)
    await stage.router._parents[order.parent_id].children.ledger.record()
    working.abandon()  # The process is gone; what is recorded is all there is.
    if not arrived:
        for venue in (stage.lit, stage.pool):
            venue.orders.clear()
            venue.live.clear()
    filled = store.block.rfq.filled
    await stage.market_s(360)
    router = stage.new_router()
    again = router.work(order, store, store.orders)
    assert again is not working and again.worked.parent.filled == filled
    await again.done()
    assert store.block.rfq.filled == 1000
    assert stage.market_clock.now() <= START + timedelta(seconds=601)
    asked = [child_id for verb, child_id in stage.lit.calls + stage.pool.calls if verb == "status"]
    assert asked and len(store.of(ev.ParentStarted)) == 1
    adds_up(again, store)


async def test_a_resumed_order_keeps_its_participation(stage: Stage) -> None:
    stage.market.pace = 10.0
    order = parent(100_000, max_participation=0.2)
    working, store = stage.work(order)
    await stage.market_s(300)
    working.abandon()
    again = stage.new_router().work(order, store, store.orders)
    await again.done()
    assert 0.15 * stage.market.volume <= store.block.rfq.filled <= 0.2 * stage.market.volume


async def test_a_done_order_resumes_as_done(stage: Stage) -> None:
    order = parent()
    working, store = stage.work(order)
    await working.done()
    events = len(store.events)
    again = stage.new_router().work(order, store, store.orders)
    await again.done()
    assert len(store.events) == events


async def test_without_a_store_nothing_is_sent_and_what_rests_is_taken_out(stage: Stage) -> None:
    policy = Wants(rest(100), rest(100, ASK, "pool"))
    working, store = stage.work(parent(), policy)
    await stage.market_s(12)
    resting = stage.lit.sent()[0]
    store.fail = StoreUnavailable("the database is away")
    stage.pool.fill(stage.pool.sent()[0], 40)  # Heard, and not recordable.
    with pytest.raises(StoreUnavailable):
        await working.done()
    assert not stage.lit.resting() and not stage.pool.resting()
    sent = len(stage.lit.sent())
    await stage.market_s(60)
    assert len(stage.lit.sent()) == sent
    with pytest.raises(StoreUnavailable):
        await working.done()
    # The store is back; the block was loaded anew, and what venues said meanwhile is not lost.
    durable = store.events[: store.durable]
    fresh = FoldingStore(working.order)
    fresh.record_soon([e for e in durable if isinstance(e, ev.OrderEvent) and not isinstance(e, ev.ParentCreated)], ())
    again = stage.router.work(working.order, fresh, fresh.orders)
    assert again is not working
    assert fresh.block.rfq.filled == 40
    await again.done()
    assert fresh.block.rfq.filled == 1000
    assert again.worked.children[resting].status is ChildStatus.CANCELLED
    adds_up(again, fresh)


async def test_a_lost_lease_stops_the_work_and_touches_nothing(stage: Stage) -> None:
    working, store = stage.work(parent(), Wants(rest(100)))
    await stage.market_s(12)
    calls = len(stage.lit.calls)
    store.fail = LeaseLost("epoch 2")
    working.children.ledger.note()
    working.children.urgent.set()
    with pytest.raises(LeaseLost):
        await working.done()
    assert len(stage.lit.calls) == calls and len(stage.lit.resting()) == 1


async def test_closing_takes_the_children_out(stage: Stage) -> None:
    order = parent()
    _, store = stage.work(order, Wants(rest(100)))
    await stage.market_s(12)
    assert stage.lit.resting()
    await stage.router.close()
    assert not stage.lit.resting()
    again = stage.router.work(order, store, store.orders)
    await again.done()
    assert store.block.rfq.filled == 1000

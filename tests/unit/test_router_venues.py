"""Stories of one order at the router: what venues may do to it, and what becomes of its lots."""

import asyncio

import pytest
from order_floor import ASK, BID, FoldingStore, parent
from order_stage import Stage, Wants, adds_up, cross, rest

from lit_router.domain.child import ChildStatus
from lit_router.domain.parent import ParentStatus
from lit_router.ports import ReportKind
from lit_router.working import WorkingOrder
from rfq.domain import events as ev
from rfq.domain.errors import NeedsPerson
from rfq.domain.values import ChildId, Quantity

pytestmark = pytest.mark.virtual_time


async def test_the_same_execution_counts_once(stage: Stage) -> None:
    working, store = stage.work(parent(), Wants(rest(100)))
    await stage.market_s(12)
    child_id = stage.lit.sent()[0]
    for _ in range(3):
        stage.lit.fill(child_id, 30, execution_id="same")
    assert store.block.rfq.filled == 30
    adds_up(working, store)
    await working.cancel("desk")


@pytest.mark.parametrize("lots, fits", [(130, 100), (1_000_000, 100)])
async def test_an_excessive_fill_is_a_break_and_stops_the_order(stage: Stage, lots: int, fits: int) -> None:
    working, store = stage.work(parent(), Wants(rest(100), rest(200, ASK, "pool")))
    await stage.market_s(12)
    stage.lit.fill(stage.lit.sent()[0], lots)
    await working.done()
    (broken,) = store.of(ev.BreakFound)
    assert (broken.excess, broken.fill.quantity) == (lots - fits, lots - fits)
    assert store.block.rfq.filled == fits and store.block.rfq.stopped
    assert store.of(ev.ParentDone)[0].reason.startswith("break: lit")
    assert not stage.pool.resting()
    stage.lit.fill(stage.lit.sent()[0], 5)
    assert len(store.of(ev.BreakFound)) == 2 and store.block.rfq.filled == fits


async def sent_again(stage: Stage) -> tuple[WorkingOrder, FoldingStore, ChildId]:
    """An order whose child was cancelled and its lots sent again at another price, and that first child."""
    policy = Wants(rest(1000))
    working, store = stage.work(parent(), policy)
    await stage.market_s(12)
    first = stage.lit.sent()[0]
    policy.proposals = (rest(1000, BID - 2),)
    await stage.market_s(22)
    return working, store, first


async def test_a_late_fill_of_lots_sent_again_pulls_the_others(stage: Stage) -> None:
    working, store, first = await sent_again(stage)
    assert len(stage.lit.resting()) == 1
    stage.lit.fill(first, 50)
    assert working.worked.overcommitted
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not stage.lit.resting()
    await stage.market_s(40)
    assert [order.quantity for order in stage.lit.resting()] == [950]
    assert not store.of(ev.BreakFound)
    adds_up(working, store)
    await working.cancel("desk")
    await working.done()


async def test_a_late_fill_beside_a_child_that_cannot_be_cancelled(stage: Stage) -> None:
    working, store, first = await sent_again(stage)
    stage.lit.refuse_cancels = 10**6  # It was filled there, and we have not been told.
    stage.lit.fill(first, 50)
    await stage.market_s(82)
    assert [verb for verb, _ in stage.lit.calls].count("cancel") < 10
    stage.lit.fill(stage.lit.sent()[1], 1000)
    await working.done()
    assert store.block.rfq.filled == 1000
    (broken,) = store.of(ev.BreakFound)
    assert broken.excess == 50
    assert store.of(ev.ParentDone)[0].reason.startswith("break")


async def test_a_silent_venue_is_asked_then_a_person_is_needed(stage: Stage) -> None:
    working, store = stage.work(parent(), Wants(rest(100)))
    await stage.market_s(12)
    stage.lit.mute = True
    await working.cancel("desk")
    before = stage.clock.now()
    with pytest.raises(NeedsPerson, match=r"lit does not say what became of child .* \(100 lots\)"):
        await working.done()
    assert 6 <= (stage.clock.now() - before).total_seconds() <= 9
    assert [verb for verb, _ in stage.lit.calls].count("status") == 3
    assert working.worked.with_children == 100 and store.block.rfq.working == 1000
    adds_up(working, store)
    stage.lit.mute = False
    assert stage.router.work(working.order, store, store.orders) is working
    await working.done()
    assert store.block.rfq.unfilled == 1000 and working.worked.parent.status is ParentStatus.DONE


async def test_the_other_lots_go_on_while_one_child_is_lost(stage: Stage) -> None:
    policy = Wants(rest(100, ASK, "pool"))
    working, store = stage.work(parent(), policy)
    await stage.market_s(12)
    stage.pool.mute = True
    policy.proposals = (cross(1000),)
    with pytest.raises(NeedsPerson, match="pool"):
        await working.done()
    assert store.block.rfq.filled == 900 and working.worked.with_children == 100


async def test_an_order_that_did_not_arrive_frees_its_lots(stage: Stage) -> None:
    stage.lit.gone = True
    working, store = stage.work(parent())
    await stage.market_s(60)
    assert working.worked.with_children > 0 and not stage.lit.orders
    stage.lit.gone = False
    await working.done()
    assert store.block.rfq.filled == 1000
    assert any(verb == "status" for verb, _ in stage.lit.calls)
    adds_up(working, store)


async def test_a_rejected_child_gives_its_lots_back(stage: Stage) -> None:
    stage.lit.reject = "closed"
    working, store = stage.work(parent(), Wants(rest(100)))
    await stage.market_s(12)
    assert working.worked.free == 1000 and len(store.of(ev.ChildRejected)) >= 1
    stage.lit.reject = None
    await working.done()
    assert store.block.rfq.filled == 1000


async def test_a_venue_that_keeps_rejecting_is_left_alone_ever_longer(stage: Stage) -> None:
    stage.pool.reject = "below the pool's smallest execution"
    working, _ = stage.work(parent(), Wants(rest(100, ASK, "pool"), rest(10)))
    await stage.market_s(162)
    assert len(stage.pool.sent()) == 5  # At decisions 0, 2, 5, 10, 19 ... not at each of the 33.
    assert len(stage.lit.sent()) == 1
    stage.pool.reject = None
    await stage.market_s(400)
    assert stage.pool.resting()
    await working.cancel("desk")


async def test_no_more_children_than_allowed(stage: Stage) -> None:
    wants = Wants(*(rest(10, BID - 2 * depth) for depth in range(9)))
    working, _ = stage.work(parent(), wants, most_children=4)
    await stage.market_s(30)
    assert len(stage.lit.resting()) == len(working.worked.live) == 4
    await working.cancel("desk")


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_replace_that_is_not_answered_is_asked_about(stage: Stage, arrived: bool) -> None:
    policy = Wants(rest(100))
    working, store = stage.work(parent(), policy)
    await stage.market_s(12)
    stage.lit.mute, stage.lit.deaf = arrived, not arrived
    policy.proposals = (rest(40),)
    await stage.market_s(17)
    (child,) = working.worked.live
    assert child.status is ChildStatus.REPLACING and working.worked.with_children == 100
    stage.lit.mute = stage.lit.deaf = False
    policy.proposals = (rest(100),)
    await stage.market_s(17 + 60 * 2.5)
    assert len(store.of(ev.ChildReplaced)) == arrived
    assert len(store.of(ev.ChildCancelRejected)) == (not arrived)
    assert sum(order.quantity for order in stage.lit.resting()) == working.worked.with_children == 100
    await working.cancel("desk")


async def test_where_a_smaller_size_is_refused_the_child_is_cancelled(stage: Stage) -> None:
    stage.lit.refuse_replaces = True
    policy = Wants(rest(100))
    _, store = stage.work(parent(), policy)
    await stage.market_s(12)
    policy.proposals = (rest(40),)
    await stage.market_s(60)
    assert [verb for verb, _ in stage.lit.calls].count("replace") == 1
    assert [order.quantity for order in stage.lit.resting()] == [40]
    assert len(store.of(ev.ChildCancelled)) == 1


async def test_an_end_whose_fills_were_not_told_is_not_believed(stage: Stage) -> None:
    working, store = stage.work(parent(), Wants(rest(100)))
    await stage.market_s(12)
    child_id = stage.lit.sent()[0]
    stage.lit.mute = True
    stage.lit.fill(child_id, 60)
    stage.lit.mute = stage.lit.retells = False
    await working.cancel("desk")
    with pytest.raises(NeedsPerson, match="counts fills it has not told"):
        await working.done()
    assert working.worked.with_children == 100
    stage.lit.say(child_id, ReportKind.FILLED, execution_id="e1", price=BID, quantity=Quantity(60))
    await working.done()
    assert store.block.rfq.filled == 60 and store.block.rfq.unfilled == 940


async def test_fills_that_were_missed_are_told_again_when_asked_for(stage: Stage) -> None:
    working, store = stage.work(parent(), Wants(rest(100)))
    await stage.market_s(12)
    stage.lit.mute = True
    stage.lit.fill(stage.lit.sent()[0], 60)
    stage.lit.mute = False
    await working.cancel("desk")
    await working.done()
    assert store.block.rfq.filled == 60 and store.block.rfq.unfilled == 940


async def test_a_report_for_nobody_is_kept_aside(stage: Stage) -> None:
    stage.lit.say(ChildId("child-x"), ReportKind.FILLED, execution_id="e", price=BID, quantity=Quantity(5))
    assert [report.child_id for report in stage.router.strays] == ["child-x"]

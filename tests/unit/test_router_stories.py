"""Stories of one order at the router: how it is worked, what halts it, how it is called off."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from order_floor import ASK, BID, FoldingStore, parent
from order_stage import Learns, Stage, Wants, adds_up, cross, rest
from virtual_time import START

from lit_router.domain.child import ChildStatus
from lit_router.domain.observation import Observation
from lit_router.domain.parent import ParentStatus
from lit_router.ports import Slice
from lit_router.schedules import Unmindful, benchmarks
from rfq.domain import events as ev
from rfq.domain.errors import BadInput
from rfq.domain.order import TimeInForce
from rfq.domain.rfq import Schedule
from rfq.domain.values import Price

pytestmark = pytest.mark.virtual_time


# --- the ordinary way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [Schedule.TWAP, Schedule.VWAP, Schedule.ALMGREN_CHRISS])
async def test_a_liquid_market_fills_the_order_exactly(stage: Stage, schedule: Schedule) -> None:
    working, store = stage.work(parent(1003, schedule=schedule))
    await working.done()
    assert store.block.rfq.filled == 1003
    assert store.of(ev.ParentDone) == [ev.ParentDone(working.order.parent_id, "filled")]
    assert working.worked.parent.status is ParentStatus.DONE
    assert stage.market_clock.now() <= START + timedelta(seconds=601)
    adds_up(working, store)


async def test_children_are_durable_before_they_are_sent(stage: Stage) -> None:
    order = parent(1000)
    store = FoldingStore(order)
    store.takes_s = 0.03
    sent = []

    def durable(child) -> None:
        written = store.events[: store.durable]
        sent.append(ev.ChildCreated(child) in written and ev.ChildSent(child.child_id) in written)

    stage.lit.on_send = stage.pool.on_send = durable
    await stage.router.work(order, store).done()
    assert sent and all(sent)
    assert store.block.rfq.filled == 1000


async def test_market_orders_follow_twap(stage: Stage) -> None:
    stage.route(benchmarks())
    working, store = stage.work(parent(1200))
    for at_s in (100, 300, 500):
        await stage.market_s(at_s + 1)
        assert working.worked.parent.filled == pytest.approx(1200 * (at_s + 5) / 600, abs=2)
    await working.done()
    assert store.block.rfq.filled == 1200
    assert {e.order.time_in_force for e in store.of(ev.ChildCreated)} == {TimeInForce.IOC}
    with pytest.raises(BadInput, match="schedule"):
        stage.router.work(parent(1, schedule=Schedule.POV, name="other"), store)


async def test_decisions_stay_on_their_grid(stage: Stage) -> None:
    policy = Wants()
    working, store = stage.work(parent(horizon_s=200), policy, decision_market_s=10.0)
    store.takes_s = 0.2  # Twelve market seconds at this clock: a slow store makes decisions late.
    policy.proposals = (rest(10),)
    await working.done()
    starts = [(seen.at - START).total_seconds() for seen in policy.seen]
    assert len(starts) == len(set(starts)) <= 20
    assert all(seen.decision_s <= 10 for seen in policy.seen)
    assert starts[0] > 10 and starts[1] > 20  # Late, for the first writes were slow: the grid does not move.
    assert starts[2:] == pytest.approx(range(30, 200, 10), abs=0.01)


async def test_equal_children_keep_their_place(stage: Stage) -> None:
    policy = Wants(rest(100))
    _, store = stage.work(parent(), policy)
    await stage.market_s(60)
    assert len(stage.lit.sent()) == 1
    policy.proposals = (rest(130),)
    await stage.market_s(90)
    assert [order.quantity for order in stage.lit.resting()] == [100, 30]  # More lots go behind, as an order apart.
    policy.proposals = (rest(20),)
    await stage.market_s(120)
    assert [order.quantity for order in stage.lit.resting()] == [20]
    assert stage.lit.resting()[0].child_id == stage.lit.sent()[0]  # The oldest stays, made smaller in its place.
    assert len(store.of(ev.ChildReplaced)) == 1
    policy.proposals = (rest(20, BID - 2),)
    await stage.market_s(150)
    assert [order.price for order in stage.lit.resting()] == [BID - 2]


async def test_the_rest_is_given_back_when_the_limit_is_out_of_reach(stage: Stage) -> None:
    stage.pool.liquid = False
    working, store = stage.work(parent(limit_price=BID))
    await working.done()
    assert store.of(ev.ParentDone)[0].reason == "horizon over"
    assert store.block.rfq.filled == 0 and store.block.rfq.unfilled == 1000
    assert all(e.order.price <= BID for e in store.of(ev.ChildCreated))


async def test_participation_is_never_passed(stage: Stage) -> None:
    stage.market.pace = 10.0
    working, store = stage.work(parent(100_000, max_participation=0.2))
    while not working.ended:
        lit = sum(e.fill.quantity for e in store.of(ev.ChildFilled))
        live = sum(child.leaves for child in working.worked.live if child.order.venue == "lit")
        assert lit + live <= 0.2 * (stage.market.volume + live) + 1e-6
        await asyncio.sleep(0.05)
    await working.done()
    filled = store.block.rfq.filled
    assert 0.19 * stage.market.volume <= filled <= 0.2 * stage.market.volume
    assert store.of(ev.ParentDone)[0].reason == "horizon over"
    assert store.block.rfq.unfilled == 100_000 - filled


async def test_only_the_venues_named_are_used(stage: Stage) -> None:
    stage.pool.liquid = True
    working, store = stage.work(parent(venues=("pool",)))
    await working.done()
    assert {e.order.venue for e in store.of(ev.ChildCreated)} == {"pool"}
    with pytest.raises(BadInput, match="venues"):
        stage.router.work(parent(venues=("nowhere",), name="other"), store)


async def test_a_failing_policy_is_replaced_for_the_decision(stage: Stage) -> None:
    class Fails(Unmindful):
        name = "fails"

        def propose(self, observations: Sequence[Observation]) -> list[Slice]:
            raise RuntimeError("no weights")

    working, store = stage.work(parent(), Fails())
    await working.done()
    assert store.block.rfq.filled == 1000
    decisions = [event.decision for event in store.of(ev.SliceDecided)]
    assert decisions and {d.guard for d in decisions} == {"RuntimeError: left to twap"}, "and the record says so"
    assert len({d.observation for d in decisions}) == len(decisions)
    assert store.block.sliced[working.order.parent_id].by_rule == len(decisions)


async def test_a_policy_decides_at_its_own_pace_and_every_decision_is_recorded_before_its_children(
    stage: Stage,
) -> None:
    policy = Learns(cross(100))
    working, store = stage.work(parent(1000), policy)
    await working.done()
    assert [round(seen.elapsed, 3) for seen in policy.seen] == [k / 10 for k in range(10)]
    assert {seen.decision_s for seen in policy.seen} == {60.0}
    decisions = [event.decision for event in store.of(ev.SliceDecided)]
    assert [d.observation for d in decisions] == [seen.digest for seen in policy.seen]
    kinds = [type(event).__name__ for event in store.events if isinstance(event, ev.SliceDecided | ev.ChildCreated)]
    assert kinds == ["SliceDecided", "ChildCreated"] * 10
    assert policy.forgotten == [working.order.parent_id]
    adds_up(working, store)


async def test_the_router_is_no_faster_than_its_own_pace(stage: Stage) -> None:
    policy = Learns()
    working, _ = stage.work(parent(10, horizon_s=20.0), policy)
    await working.done()
    assert len(policy.seen) == 4, "every five seconds, however hasty the policy"


async def test_orders_woken_together_share_one_call(stage: Stage) -> None:
    policy = Learns(cross(10))
    stage.new_router(policy)
    orders = [parent(100, name=f"p{k}") for k in range(64)]
    stores = [FoldingStore(order) for order in orders]
    working = [stage.router.work(order, store) for order, store in zip(orders, stores, strict=True)]
    await asyncio.gather(*(one.done() for one in working))
    assert policy.calls == [64] * 10
    for one, store in zip(working, stores, strict=True):
        adds_up(one, store)
        assert store.block.rfq.filled == 100


# --- the market stops -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["halted", "one_sided", "stale", "crossed", "gone"])
async def test_an_unfit_market_pauses_the_order_and_a_fit_one_resumes_it(stage: Stage, trouble: str) -> None:
    def set_trouble(on: bool) -> None:
        stage.market.halted = on and trouble == "halted"
        asks = {"one_sided": None, "crossed": Price(BID - 2)}
        stage.market.ask = asks.get(trouble, ASK) if on else ASK
        stage.market.behind_s = 60.0 if on and trouble == "stale" else 0.0
        stage.market.gone = on and trouble == "gone"

    working, store = stage.work(parent())
    await stage.market_s(102)
    assert stage.lit.resting() and stage.pool.resting()
    set_trouble(True)
    await stage.market_s(112)
    assert working.worked.parent.status is ParentStatus.PAUSED
    assert not stage.lit.resting() and not stage.pool.resting()
    before = len(stage.lit.calls)
    await stage.market_s(300)
    assert len(stage.lit.calls) == before
    set_trouble(False)
    await stage.market_s(312)
    assert working.worked.parent.status is ParentStatus.WORKING
    await working.done()
    assert store.block.rfq.filled == 1000
    assert len(store.of(ev.ParentPaused)) == len(store.of(ev.ParentResumed)) == 1


async def test_a_market_that_stays_halted_ends_with_the_horizon(stage: Stage) -> None:
    stage.market.halted = True
    working, store = stage.work(parent())
    await working.done()
    assert store.of(ev.ParentDone)[0].reason == "horizon over"
    assert not stage.lit.calls


# --- cancelling -----------------------------------------------------------------------------------------------------


async def test_a_cancel_takes_the_children_out_and_ends_the_order(stage: Stage) -> None:
    working, store = stage.work(parent(), Wants(rest(100), rest(300, ASK, "pool")))
    await stage.market_s(30)
    await working.cancel("cancelled by the desk")
    assert [verb for verb, _ in stage.lit.calls[-1:] + stage.pool.calls[-1:]] == ["cancel", "cancel"]
    await working.done()
    assert store.of(ev.ParentDone)[0].reason == "cancelled by the desk"
    assert store.block.rfq.unfilled == 1000
    sent = len(stage.lit.sent())
    await stage.market_s(300)
    assert len(stage.lit.sent()) == sent
    await working.cancel("again")
    adds_up(working, store)


async def test_a_cancel_before_the_start_sends_nothing(stage: Stage) -> None:
    working, store = stage.work(parent(starts_at=START + timedelta(seconds=100)))
    await stage.market_s(50)
    assert working.worked.parent.status is ParentStatus.PENDING
    await working.cancel("desk")
    await working.done()
    assert not stage.lit.calls and store.block.rfq.unfilled == 1000


async def test_a_cancel_while_children_are_being_recorded_keeps_them_home(stage: Stage) -> None:
    working, store = stage.work(parent(), Wants(rest(100)))
    store.takes_s = 0.5
    await asyncio.sleep(0.7)  # ParentStarted is written; the first child is on its way to the store.
    assert [c.status for c in working.worked.live] == [ChildStatus.SENT]
    await working.cancel("desk")
    await working.done()
    assert stage.lit.calls == []
    assert working.worked.parent.status is ParentStatus.DONE


async def test_a_fill_after_the_cancel_is_recorded(stage: Stage) -> None:
    working, store = stage.work(parent(), Wants(rest(100)))
    await stage.market_s(30)
    child_id = stage.lit.sent()[0]
    await working.cancel("desk")
    await working.done()
    stage.lit.fill(child_id, 40)
    assert store.block.rfq.filled == 40 and store.block.rfq.unfilled == 960
    assert working.worked.children[child_id].status is ChildStatus.CANCELLED
    adds_up(working, store)


async def test_a_refused_cancel_is_repeated_until_the_child_is_over(stage: Stage) -> None:
    stage.lit.refuse_cancels = 2
    working, store = stage.work(parent(), Wants(rest(100)))
    await stage.market_s(30)
    await working.cancel("desk")
    await working.done()
    assert len(store.of(ev.ChildCancelRejected)) == 2
    assert [verb for verb, _ in stage.lit.calls].count("cancel") == 3
    assert store.block.rfq.unfilled == 1000


async def test_lots_are_not_sent_again_before_the_cancel_is_confirmed(stage: Stage) -> None:
    policy = Wants(rest(1000))
    working, store = stage.work(parent(), policy)
    await stage.market_s(12)
    stage.lit.mute = True
    policy.proposals = (cross(1000),)
    await stage.market_s(22)
    assert len(stage.lit.sent()) == 1 and working.worked.free == 0
    stage.lit.mute = False
    await working.done()
    assert store.block.rfq.filled == 1000
    adds_up(working, store)

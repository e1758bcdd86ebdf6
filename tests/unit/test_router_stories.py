"""Stories of one order at the router: what venues may do to it, and what becomes of its lots."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from order_floor import ASK, BID, INSTRUMENT, SYMBOL, FoldingStore, HandMarket, HandVenue, parent
from virtual_time import START, SeededIds, VirtualClock, VirtualMarketClock

from lit_router.domain.child import ChildStatus
from lit_router.domain.observation import Observation
from lit_router.domain.parent import ParentStatus
from lit_router.ports import Proposal, ReportKind, Slice
from lit_router.router import OrderRouter
from lit_router.schedules import Unmindful, benchmarks
from lit_router.settings import RouterSettings
from lit_router.working import WorkingOrder
from rfq.domain import events as ev
from rfq.domain.errors import BadInput, LeaseLost, NeedsPerson, StoreUnavailable
from rfq.domain.fill import Where
from rfq.domain.order import ParentOrder, TimeInForce
from rfq.domain.rfq import Schedule
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import ChildId, ParentId, Price, Quantity, Side

pytestmark = pytest.mark.virtual_time


class Wants(Unmindful):
    """A policy that proposes what the test says."""

    name = "wants"

    def __init__(self, *proposals: Proposal) -> None:
        self.proposals: Sequence[Proposal] = proposals
        self.seen: list[Observation] = []

    def propose(self, observations: Sequence[Observation]) -> list[Slice]:
        self.seen.extend(observations)
        return [Slice(self.proposals) for _ in observations]


def rest(lots: int, price: int = BID, venue: str = "lit") -> Proposal:
    return Proposal(venue, Quantity(lots), Price(price))


def cross(lots: int, venue: str = "lit") -> Proposal:
    return Proposal(venue, Quantity(lots), None, TimeInForce.IOC)


class Stage:
    """A router over one lit venue and one pool; `work` starts an order with a store of its own."""

    def __init__(self, clock: VirtualClock, market_clock: VirtualMarketClock, ids: SeededIds) -> None:
        self.clock, self.market_clock, self.ids = clock, market_clock, ids
        self.market = HandMarket(market_clock)
        self.lit = HandVenue("lit", Where.LIT, self.market, market_clock)
        self.pool = HandVenue("pool", Where.DARK, self.market, market_clock)
        self.router = self.new_router()

    def new_router(self, policy: object = None, **settings: float) -> OrderRouter:
        policies = None if policy is None else dict.fromkeys(Schedule, policy)
        self.router = OrderRouter(
            [self.lit, self.pool],
            self.market,
            self.market_clock,
            self.clock,
            self.ids,
            {SYMBOL: INSTRUMENT},
            policies=policies,  # type: ignore[arg-type]
            settings=RouterSettings(**settings),  # type: ignore[arg-type]
        )
        return self.router

    def work(self, order: ParentOrder, policy: object = None, **settings: float) -> tuple[WorkingOrder, FoldingStore]:
        if policy is not None or settings:
            self.new_router(policy, **settings)
        store = FoldingStore(order)
        return self.router.work(order, store), store

    async def market_s(self, seconds: float) -> None:
        await self.market_clock.sleep_until(START + timedelta(seconds=seconds))


@pytest.fixture
async def stage(clock: VirtualClock, market_clock: VirtualMarketClock, ids: SeededIds) -> Stage:
    return Stage(clock, market_clock, ids)


def adds_up(working: WorkingOrder, store: FoldingStore) -> None:
    worked = working.worked
    assert worked.parent.filled + worked.with_children + worked.free == worked.parent.order.quantity
    recorded = sum(e.fill.quantity for e in store.of(ev.ChildFilled))
    assert recorded == worked.parent.filled == store.block.rfq.filled


# --- the ordinary way ----------------------------------------------------------------------------------------------


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
    stage.router = OrderRouter(
        [stage.lit, stage.pool],
        stage.market,
        stage.market_clock,
        stage.clock,
        stage.ids,
        {SYMBOL: INSTRUMENT},
        policies=benchmarks(),
    )
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


class Learns(Wants):
    """Decides at a pace of its own, and says how."""

    name = "learns"

    def __init__(self, *proposals: Proposal) -> None:
        super().__init__(*proposals)
        self.calls: list[int] = []
        self.forgotten: list[str] = []

    def pace_s(self, order: ParentOrder) -> float:
        return order.horizon_s / 10

    def forget(self, parent_id: ParentId) -> None:
        self.forgotten.append(parent_id)

    def propose(self, observations: Sequence[Observation]) -> list[Slice]:
        self.calls.append(len(observations))
        told = [SliceDecision("learns", "w1", one.digest, ("half",), value=-0.5) for one in observations]
        return [
            Slice(one.proposals, decision)
            for one, decision in zip(super().propose(observations), told, strict=True)
        ]


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


# --- the market stops ----------------------------------------------------------------------------------------------


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


# --- cancelling ----------------------------------------------------------------------------------------------------


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


# --- venues misbehave ----------------------------------------------------------------------------------------------


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


async def test_a_late_fill_of_lots_sent_again_pulls_the_others(stage: Stage) -> None:
    policy = Wants(rest(1000))
    working, store = stage.work(parent(), policy)
    await stage.market_s(12)
    first = stage.lit.sent()[0]
    policy.proposals = (rest(1000, BID - 2),)
    await stage.market_s(22)
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
    policy = Wants(rest(1000))
    working, store = stage.work(parent(), policy)
    await stage.market_s(12)
    first = stage.lit.sent()[0]
    policy.proposals = (rest(1000, BID - 2),)
    await stage.market_s(22)
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


async def test_a_cancel_while_making_way_sends_nothing(stage: Stage) -> None:
    policies = {Schedule.TWAP: Wants(rest(100)), Schedule.VWAP: Wants()}
    stage.router = OrderRouter(
        [stage.lit, stage.pool],
        stage.market,
        stage.market_clock,
        stage.clock,
        stage.ids,
        {SYMBOL: INSTRUMENT},
        policies=policies,
    )
    buyer, _ = stage.work(parent())
    seller, _ = stage.work(parent(side=Side.SELL, schedule=Schedule.VWAP, name="parent-2"))
    await stage.market_s(7)
    stage.lit.mute = True
    policies[Schedule.VWAP].proposals = (cross(50),)
    await stage.market_s(12)
    assert ("cancel", stage.lit.sent()[0]) in stage.lit.calls  # The seller waits for the buyer's order to go.
    await seller.cancel("desk")
    stage.lit.mute = False
    await seller.done()
    assert not seller.worked.children and all(o.side is Side.BUY for o in stage.lit.orders.values())
    await buyer.cancel("desk")


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


# --- two orders of ours --------------------------------------------------------------------------------------------


async def test_we_do_not_trade_with_ourselves(stage: Stage) -> None:
    buys, sells = Wants(rest(100)), Wants()
    stage.router = OrderRouter(
        [stage.lit, stage.pool],
        stage.market,
        stage.market_clock,
        stage.clock,
        stage.ids,
        {SYMBOL: INSTRUMENT},
        policies={Schedule.TWAP: buys, Schedule.VWAP: sells},
    )
    buyer, _ = stage.work(parent())
    seller, _ = stage.work(parent(side=Side.SELL, schedule=Schedule.VWAP, name="parent-2"))
    at_send: list[list[Side]] = []
    stage.lit.on_send = lambda order: at_send.append(
        [o.side for o in stage.lit.resting() if order.side is Side.SELL and o.side is Side.BUY]
    )
    await stage.market_s(12)
    assert len(stage.lit.resting()) == 1
    sells.proposals = (cross(50),)
    buys.proposals = ()
    await stage.market_s(22)
    assert seller.worked.parent.filled >= 50
    assert all(not resting for resting in at_send)
    assert ("cancel", next(iter(buyer.worked.children))) in stage.lit.calls
    buys.proposals, sells.proposals = (rest(10, ASK, "pool"),), (rest(10, BID, "pool"),)
    await stage.market_s(60)
    assert len(stage.pool.resting()) == 1
    for working in (buyer, seller):
        await working.cancel("desk")
        await working.done()


# --- restart and the store -----------------------------------------------------------------------------------------


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

"""Lots at the router: none is lost and none is sent twice, whatever policies propose and venues do."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from order_floor import ASK, BID, INSTRUMENT, SYMBOL, FoldingStore, HandMarket, HandVenue, parent
from virtual_time import START, SeededIds, VirtualClock, VirtualMarketClock, VirtualTimeLoop

from lit_router.dispose import dispose, participation_room
from lit_router.domain.child import CHILD_OVER
from lit_router.domain.observation import Observation
from lit_router.domain.parent import ParentStatus, WorkedParent, begin
from lit_router.observe import observe, resting
from lit_router.ports import Proposal, ReportKind, Slice
from lit_router.router import OrderRouter
from lit_router.schedules import Unmindful
from lit_router.settings import RouterSettings
from lit_router.volume_curve import CONTINUOUS
from lit_router.working import WorkingOrder
from rfq.domain import events as ev
from rfq.domain.errors import NeedsPerson
from rfq.domain.fill import Where
from rfq.domain.order import ChildOrder, TimeInForce
from rfq.domain.rfq import Schedule
from rfq.domain.values import ChildId, Price, Quantity, Side
from rfq.ports import MarketView

VENUES = {"lit": Where.LIT, "pool": Where.DARK}
LOTS = 1000

wild_proposals = st.lists(
    st.builds(
        Proposal,
        venue=st.sampled_from(["lit", "lit", "pool", "nowhere", ""]),
        quantity=st.one_of(st.integers(-5, 400), st.sampled_from([10**12, LOTS])).map(Quantity),
        price=st.one_of(st.none(), st.sampled_from([BID, BID - 2, ASK]), st.integers(-10, 50_000)).map(
            lambda p: None if p is None else Price(p)
        ),
        time_in_force=st.sampled_from(TimeInForce),
        min_quantity=st.integers(-5, 2000).map(Quantity),
    ),
    max_size=6,
)


# --- the clamp alone ---------------------------------------------------------------------------------------------


@st.composite
def half_worked(draw: st.DrawFn) -> WorkedParent:
    """A parent with some children in any reachable state."""
    side = draw(st.sampled_from(Side))
    limit = draw(st.one_of(st.none(), st.integers(BID - 20, ASK + 20).map(Price)))
    order = parent(LOTS, side=side, limit_price=limit, max_participation=draw(st.sampled_from([0.05, 0.3, 1.0])))
    worked = begin(order)
    worked.apply(ev.ParentStarted(order.parent_id))
    for number in range(draw(st.integers(0, 5))):
        if not worked.free:
            break
        child_id = ChildId(f"child-{number}")
        lots = Quantity(draw(st.integers(1, worked.free)))
        venue, price = draw(st.sampled_from(["lit", "pool"])), Price(draw(st.sampled_from([BID, BID - 2, ASK])))
        tif = draw(st.sampled_from(TimeInForce))
        worked.apply(ev.ChildCreated(ChildOrder(child_id, order.parent_id, venue, SYMBOL, side, lots, price, tif)))
        for event in draw(
            st.sampled_from(
                [
                    [ev.ChildSent(child_id)],
                    [ev.ChildSent(child_id), ev.ChildAcknowledged(child_id)],
                    [ev.ChildSent(child_id), ev.ChildAcknowledged(child_id), ev.ChildCancelling(child_id)],
                    [
                        ev.ChildSent(child_id),
                        ev.ChildAcknowledged(child_id),
                        ev.ChildReplacing(child_id, Quantity(max(1, lots // 2)), price),
                    ],
                    [ev.ChildSent(child_id), ev.ChildCancelled(child_id)],
                ]
            )
        ):
            worked.apply(event)
    return worked


def observation(worked: WorkedParent, volume: int) -> Observation:
    at = START + timedelta(seconds=60)
    view = MarketView(SYMBOL, BID, ASK, Quantity(500), Quantity(500), BID, Quantity(volume), at)
    return observe(
        worked,
        view,
        INSTRUMENT,
        at,
        decision_s=5.0,
        market_volume=Quantity(volume),
        dark_filled={},
        sent_at={},
        lit_venue="lit",
        dark_venues=("pool",),
        curve=CONTINUOUS,
    )


@given(half_worked(), wild_proposals, st.integers(0, 20_000))
@settings(max_examples=100, deadline=None)
def test_whatever_is_proposed_is_clamped(worked: WorkedParent, proposals: Sequence[Proposal], volume: int) -> None:
    seen, bounds = observation(worked, volume), RouterSettings()
    plan = dispose(proposals, worked, seen, INSTRUMENT, VENUES, bounds)
    order = worked.parent.order
    assert sum(p.quantity for p in plan.place) <= worked.free
    room = participation_room(seen, worked, VENUES)
    if room is not None:
        assert sum(p.quantity for p in plan.place if p.venue == "lit") <= room
    assert len(worked.live) + len(plan.place) <= bounds.most_children or not plan.place
    for placed in plan.place:
        assert placed.venue in VENUES and placed.quantity > 0 and 0 <= placed.min_quantity <= placed.quantity
        assert placed.price is not None and INSTRUMENT.on_tick(placed.price)
        if order.limit_price is not None:
            assert order.side.sign * (placed.price - order.limit_price) <= 0
    standing = {child.order.child_id: child for child in resting(worked)}
    wanted = {(p.venue, p.price) for p in proposals}
    assert set(plan.cancel) <= set(standing)
    for smaller in plan.smaller:
        child = standing[smaller.child_id]
        assert child.filled < smaller.quantity < child.order.quantity
        assert smaller.child_id not in plan.cancel
    for child in standing.values():
        key = (child.order.venue, child.order.price)
        enough = sum(p.quantity for p in proposals if (p.venue, p.price) == key and p.quantity > 0) >= LOTS
        if key in wanted and enough and order.limit_price is None:
            day = [p for p in proposals if (p.venue, p.price) == key and p.time_in_force is TimeInForce.DAY]
            if sum(p.quantity for p in day if p.quantity > 0) >= LOTS:
                assert child.order.child_id not in plan.cancel


# --- the whole router against a wild venue -----------------------------------------------------------------------

actions = st.one_of(
    st.tuples(st.just("fill"), st.integers(0, 20), st.integers(1, 400)),
    st.tuples(st.just("again"), st.integers(0, 20), st.integers(1, 400)),
    st.tuples(st.just("late"), st.integers(0, 20), st.integers(1, 60)),
    st.tuples(st.just("mute"), st.sampled_from(["lit", "pool"]), st.booleans()),
    st.tuples(st.just("gone"), st.sampled_from(["lit", "pool"]), st.booleans()),
    st.tuples(st.just("deaf"), st.sampled_from(["lit", "pool"]), st.booleans()),
    st.tuples(st.just("refuse"), st.integers(1, 2), st.just(0)),
    st.tuples(st.just("reject"), st.booleans(), st.just(0)),
    st.tuples(st.just("halt"), st.booleans(), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)
steps = st.lists(st.tuples(wild_proposals, st.lists(actions, max_size=3)), min_size=1, max_size=8)


class Script(Unmindful):
    name = "script"

    def __init__(self) -> None:
        self.proposals: Sequence[Proposal] = ()

    def propose(self, observations: Sequence[Observation]) -> list[Slice]:
        return [Slice(self.proposals) for _ in observations]


class Wild:
    """One run: the order, its venues, and what they do to it."""

    def __init__(self, liquid: bool) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self.clock, self.market_clock = VirtualClock(loop), VirtualMarketClock(loop, speed=60.0)
        self.market = HandMarket(self.market_clock)
        self.venues = {name: HandVenue(name, where, self.market, self.market_clock) for name, where in VENUES.items()}
        self.venues["lit"].liquid = liquid
        self.order = parent(LOTS, horizon_s=300.0)
        self.store, self.policy, self.ids = FoldingStore(self.order), Script(), SeededIds()
        self.late = False
        for venue in self.venues.values():
            venue.on_send = self.sent
        self.working = self.start()

    def start(self) -> WorkingOrder:
        router = OrderRouter(
            list(self.venues.values()),
            self.market,
            self.market_clock,
            self.clock,
            self.ids,
            {SYMBOL: INSTRUMENT},
            policies=dict.fromkeys(Schedule, self.policy),
            settings=RouterSettings(answer_s=0.2),
        )
        return router.work(self.order, self.store, self.store.orders)

    def sent(self, order: ChildOrder) -> None:
        """The truth at the venues: what they have filled, may still fill, and are being sent."""
        done = sum(lots for venue in self.venues.values() for lots in venue.filled.values())
        live = sum(o.quantity - v.filled[o.child_id] for v in self.venues.values() for o in v.resting())
        assert self.late or done + live + order.quantity <= LOTS

    def check(self) -> None:
        worked = self.working.worked
        committed = worked.parent.filled + worked.with_children + worked.free
        if worked.overcommitted:
            assert self.late
        else:
            assert committed == LOTS
        assert worked.parent.filled <= LOTS
        rfq = self.store.block.rfq
        recorded = sum(event.fill.quantity for event in self.store.of(ev.ChildFilled))
        assert rfq.filled == recorded == worked.parent.filled
        assert self.working.children.ledger.failed is None

    def act(self, kind: str, first: object, second: object) -> None:
        orders = [(venue, order) for venue in self.venues.values() for order in venue.orders.values()]
        match kind, first, second:
            case "mute" | "gone" | "deaf", str(), _:
                setattr(self.venues[first], kind, second)
            case "refuse", int(), _:
                self.venues["lit"].refuse_cancels = first
            case "reject", bool(), _:
                self.venues["lit"].reject = "closed" if first else None
            case "halt", bool(), _:
                self.market.halted = first
            case "restart", _, _:
                self.working.abandon()
                self.working = self.start()
            case "fill" | "again" | "late", int(), int() if orders:
                venue, order = orders[first % len(orders)]
                left = order.quantity - venue.filled[order.child_id]
                over = order.child_id not in venue.live
                if left <= 0 or venue.mute or (kind == "late") != over:
                    return
                self.late = self.late or over
                venue.fill(order.child_id, min(second, left), execution_id=f"x{order.child_id}{left}")
                if kind == "again":
                    filled = self.working.worked.parent.filled
                    venue.say(
                        order.child_id,
                        ReportKind.FILLED,
                        execution_id=f"x{order.child_id}{left}",
                        price=order.price,
                        quantity=Quantity(7),
                    )
                    assert self.working.worked.parent.filled == filled
            case _:
                pass

    def mend(self) -> None:
        for venue in self.venues.values():
            venue.mute = venue.gone = venue.deaf = False
            venue.refuse_cancels = 0


async def run(script: Sequence, liquid: bool, cancel: bool) -> None:
    wild = Wild(liquid)
    for at, (proposals, acts) in enumerate(script):
        wild.policy.proposals = proposals
        await wild.market_clock.sleep_until(START + timedelta(seconds=7 * (at + 1)))
        for kind, first, second in acts:
            wild.act(kind, first, second)
            wild.check()
    wild.mend()
    if cancel:
        await wild.working.cancel("desk")
    with contextlib.suppress(NeedsPerson):
        await wild.working.done()
    wild.check()
    await wild.working.done()  # Every venue answers again: nobody is needed now.
    wild.check()
    worked = wild.working.worked
    assert worked.parent.status is ParentStatus.DONE
    assert all(child.status in CHILD_OVER for child in worked.children.values())
    assert not any(venue.live for venue in wild.venues.values())
    assert wild.store.block.rfq.working == 0
    assert wild.store.block.rfq.filled + wild.store.block.rfq.unfilled == LOTS
    told = sum(lots for venue in wild.venues.values() for lots in venue.filled.values())
    assert told == worked.parent.filled + worked.excess
    assert not worked.excess or wild.late
    refold = begin(wild.order)
    for event in wild.store.orders:
        refold.apply(event)
    assert refold == worked


@given(steps, st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_lot_is_lost_or_sent_twice(script: Sequence, liquid: bool, cancel: bool) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run(script, liquid, cancel))


@given(st.integers(1, 5000), st.floats(20, 3000), st.sampled_from(Side), st.sampled_from([60.0, 1.0, 500.0]))
@settings(max_examples=12, deadline=None)
def test_twap_completes_exactly(lots: int, horizon_s: float, side: Side, speed: float) -> None:
    async def complete() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        market_clock = VirtualMarketClock(loop, speed=speed)
        market = HandMarket(market_clock)
        venues = [HandVenue(name, where, market, market_clock) for name, where in VENUES.items()]
        order = parent(lots, horizon_s=horizon_s, side=side)
        store = FoldingStore(order)
        router = OrderRouter(venues, market, market_clock, VirtualClock(loop), SeededIds(), {SYMBOL: INSTRUMENT})
        await router.work(order, store).done()
        assert store.block.rfq.filled == lots
        assert store.of(ev.ParentDone)[0].reason == "filled"

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(complete())

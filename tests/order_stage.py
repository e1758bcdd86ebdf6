"""A router over venues run by hand, and policies that propose what a test says."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from order_floor import BID, INSTRUMENT, SYMBOL, FoldingStore, HandMarket, HandVenue
from virtual_time import START, SeededIds, VirtualClock, VirtualMarketClock

from lit_router.domain.observation import Observation
from lit_router.ports import Proposal, Slice
from lit_router.router import OrderRouter
from lit_router.schedules import Unmindful
from lit_router.settings import RouterSettings
from lit_router.working import WorkingOrder
from rfq.domain import events as ev
from rfq.domain.fill import Where
from rfq.domain.order import ParentOrder, TimeInForce
from rfq.domain.rfq import Schedule
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import ParentId, Price, Quantity


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
        return self.route(None if policy is None else dict.fromkeys(Schedule, policy), **settings)

    def route(self, policies: Mapping[Schedule, object] | None, **settings: float) -> OrderRouter:
        """A router with these policies by schedule, None: its own."""
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


def adds_up(working: WorkingOrder, store: FoldingStore) -> None:
    worked = working.worked
    assert worked.parent.filled + worked.with_children + worked.free == worked.parent.order.quantity
    recorded = sum(e.fill.quantity for e in store.of(ev.ChildFilled))
    assert recorded == worked.parent.filled == store.block.rfq.filled


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

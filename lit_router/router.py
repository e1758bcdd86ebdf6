"""The router: works parent orders through venues. The policy proposes, the router disposes."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

import structlog

from lit_router.children import Children
from lit_router.domain.child import CHILD_OVER, Child
from lit_router.facts import Fact
from lit_router.floor import Floor
from lit_router.gathering import Gathered
from lit_router.ports import ExecutionReport, Proposal, ReportKind, SlicePolicy, Venue
from lit_router.schedules import PassiveThenCross, schedules
from lit_router.settings import RouterSettings
from lit_router.trajectories import twap
from lit_router.volume_curve import U_SHAPE, VolumeCurve
from lit_router.working import WorkingOrder
from rfq.domain.errors import BadInput, NotFound, WrongState
from rfq.domain.order import ParentOrder
from rfq.domain.rfq import Schedule
from rfq.domain.values import ChildId, Instrument, ParentId, Price, Quantity, Symbol
from rfq.ports import Clock, IdSource, MarketClock, MarketData, OrderStore

log = structlog.get_logger()

REMEMBERED = 1000
"""Parents that are done and still heard, should a venue report late."""


class OrderRouter:
    """Implements rfq.ports.Router over venues, and is their ReportSink. One task a working order.

    Reports reach it on the event loop it was made in. A report for a child it does not know is kept in `strays` (the
    latest hundred) and logged: nothing else can be done about it here.
    """

    def __init__(
        self,
        venues: Sequence[Venue],
        market: MarketData,
        market_clock: MarketClock,
        clock: Clock,
        ids: IdSource,
        instruments: Mapping[Symbol, Instrument],
        *,
        policies: Mapping[Schedule, SlicePolicy] | None = None,
        curve: VolumeCurve = U_SHAPE,
        settings: RouterSettings | None = None,
    ) -> None:
        policies = schedules(instruments) if policies is None else policies
        self._floor = Floor(
            venues={venue.name: venue for venue in venues},
            market=market,
            market_clock=market_clock,
            clock=clock,
            ids=ids,
            instruments=instruments,
            policies={schedule: Gathered(policy) for schedule, policy in policies.items()},
            fallback=PassiveThenCross("twap", twap),
            curve=curve,
            settings=settings or RouterSettings(),
        )
        self.strays: deque[ExecutionReport] = deque(maxlen=100)
        self._parents: OrderedDict[ParentId, WorkingOrder] = OrderedDict()
        self._children: dict[ChildId, Children] = {}
        self._here: dict[Symbol, list[WorkingOrder]] = {symbol: [] for symbol in instruments}
        for venue in venues:
            venue.attach(self)

    def venues(self) -> frozenset[str]:
        return frozenset(self._floor.venues)

    def work(self, order: ParentOrder, journal: OrderStore, history: Sequence[Fact] = ()) -> WorkingOrder:
        """Starts working an order whose ParentCreated is recorded. With `history` it resumes where that ends.

        Asked again for an order that it is working, with the same journal, it returns the same. With another journal
        the former is stopped, and what venues have told it that may not be recorded is told to its successor.
        Raises BadInput if the order names a venue, schedule or symbol that is not here.
        """
        self._check(order)
        former = self._parents.get(order.parent_id)
        if former is not None and former.journal is journal and former.going_on:
            return former
        if former is not None:
            former.abandon()
        working = WorkingOrder(order, journal, history, self._floor, self)
        self._parents[order.parent_id] = working
        others = [w for w in self._here[order.symbol] if w is not former and not w.over]
        self._here[order.symbol] = [*others, working]
        self._parents.move_to_end(order.parent_id)
        if former is not None:
            for report in former.children.ledger.unrecorded:
                if report.child_id in working.worked.children:
                    working.children.take(report)
                else:
                    self._stray(report)
        self._forget()
        working.start()
        return working

    def take(self, report: ExecutionReport) -> None:
        """What a venue says of a child. Never blocks."""
        children = self._children.get(report.child_id)
        if children is None:
            self._stray(report)
        else:
            children.take(report)

    def settle(self, child_id: ChildId, filled: Quantity, price: Price | None) -> None:
        """See rfq.ports.Router."""
        children = self._children.get(child_id)
        child = children.worked.children.get(child_id) if children else None
        if children is None or child is None:
            raise NotFound("child order", child_id)
        if child.status in CHILD_OVER:
            raise WrongState("child order", child_id, child.status.value, "be settled")
        if not child.filled <= filled <= child.order.quantity:
            rule = f"must be from the {child.filled} lots known to be filled to the order's {child.order.quantity}"
            raise BadInput("filled", filled, rule)
        now, more = self._floor.market_clock.now(), Quantity(filled - child.filled)
        if more:
            if price is None or price <= 0:
                raise BadInput("price", price, "is needed for lots not yet known to be filled")
            self.take(
                ExecutionReport(
                    child_id, ReportKind.FILLED, now, execution_id="by hand", price=price, quantity=more
                )
            )
        if children.worked.children[child_id].status not in CHILD_OVER:
            self.take(ExecutionReport(child_id, ReportKind.CANCELLED, now, reason="settled by hand"))

    async def close(self) -> None:
        """Cancels every live child, gives venues the time they have to answer, and stops. The orders can be resumed."""
        await asyncio.gather(*(w.close() for w in self._parents.values() if not w.ended))

    # --- the crowd ---------------------------------------------------------------------------------------------

    def adopt(self, child_id: ChildId, children: Children) -> None:
        self._children[child_id] = children

    def opposing(self, children: Children, proposal: Proposal) -> list[tuple[Children, Child]]:
        order = children.worked.parent.order
        sign = order.side.sign
        found: list[tuple[Children, Child]] = []
        for working in self._here[order.symbol]:
            if working.order.side is order.side:
                continue
            for child in working.worked.live:
                price, limit = child.order.price, proposal.price
                crosses = price is None or limit is None or sign * (limit - price) >= 0
                if child.order.venue == proposal.venue and crosses:
                    found.append((working.children, child))
        return found

    def _check(self, order: ParentOrder) -> None:
        if order.symbol not in self._floor.instruments:
            raise BadInput("order.symbol", order.symbol, "is not an instrument of this router")
        if order.schedule not in self._floor.policies:
            raise BadInput("order.schedule", order.schedule.value, "has no policy here")
        if unknown := sorted(set(order.venues) - set(self._floor.venues)):
            raise BadInput("order.venues", unknown[0], "is not a venue of this router")

    def _stray(self, report: ExecutionReport) -> None:
        log.error("report of an unknown child", child_id=report.child_id, kind=report.kind.value)
        self.strays.append(report)

    def _forget(self) -> None:
        """Lets go of the oldest parents that are done, beyond those that may still be reported on."""
        done = [p for p, w in self._parents.items() if w.over]
        for parent_id in done[: max(0, len(done) - REMEMBERED)]:
            gone = self._parents.pop(parent_id)
            for child_id in gone.worked.children:
                self._children.pop(child_id, None)

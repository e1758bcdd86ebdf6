"""What is true of a parent and its children: folded as it is heard, written down in the RFQ's own stream."""

from collections.abc import Sequence

import structlog

from lit_router.domain.child import CHILD_OVER
from lit_router.domain.parent import ParentStatus, WorkedParent
from lit_router.facts import ENDS, Fact, facts, untold
from lit_router.floor import Floor
from lit_router.ports import ExecutionReport, ReportKind
from rfq.domain import events as ev
from rfq.domain.errors import IllegalTransition, Inconsistent
from rfq.domain.fill import Fill, Where
from rfq.domain.order import TimeInForce
from rfq.domain.values import NO_LOTS, ChildId, FillId, Quantity
from rfq.ports import OrderStore

log = structlog.get_logger()


class Ledger:
    """Folds events and records them, in one order.

    After the store has failed (`failed`), what venues still report is folded and kept in `unrecorded`, for whoever
    resumes the order.
    """

    def __init__(self, worked: WorkedParent, journal: OrderStore, floor: Floor) -> None:
        self.worked, self.journal, self._floor = worked, journal, floor
        self.failed: Exception | None = None
        self.unrecorded: list[ExecutionReport] = []
        """Reports not known to be durable; each changed something, so that they are bounded by the order's lots."""
        self.dark_filled: dict[str, Quantity] = {}
        self._known: set[FillId] = set()
        self._excess: dict[ChildId, int] = {}
        self._ends: dict[ChildId, ExecutionReport] = {}

    @property
    def stopping(self) -> bool:
        """No new risk: the parent is ending, the store has failed, or a late fill has taken lots sent again."""
        ending = self.worked.parent.status in (ParentStatus.CANCELLING, ParentStatus.DONE)
        return ending or self.failed is not None or self.worked.overcommitted

    def fold(self, history: Sequence[Fact]) -> None:
        """Takes over what was recorded before. Raises what the fold raises."""
        for event in history:
            self.worked.apply(event)
            if isinstance(event, ev.ChildFilled | ev.BreakFound):
                self._know(event.fill)

    def note(self, *events: Fact) -> None:
        """Folds and records facts; never waits. A failing store is remembered, not raised."""
        touched = [noun for event in events for noun in self.worked.apply(event)]
        if self.failed is not None:
            return
        try:
            self.journal.record_soon(events, touched)
        except (Inconsistent, IllegalTransition) as error:
            self._refused(events, error)
        except Exception as error:
            self._fail(error)

    async def record(self, *events: Fact) -> None:
        """Folds and records; durable on return. Raises what the store raises."""
        if self.failed is not None:
            raise self.failed
        touched = [noun for event in events for noun in self.worked.apply(event)]
        noted = len(self.unrecorded)
        await self.journal.record(events, touched)
        del self.unrecorded[:noted]

    def hear(self, report: ExecutionReport) -> list[Fact]:
        """Folds and records what a report says. An end is held back while fills that it counts have not been told."""
        if self._early(report):
            self._ends[report.child_id] = report
            return []
        found = facts(report, self.worked, self._known, lambda identity, lots: self._fill(report, identity, lots))
        for event in found:
            if isinstance(event, ev.ChildFilled | ev.BreakFound):
                self._know(event.fill)
            self.note(event)
        child = self.worked.children[report.child_id]
        taken = child.filled + self._excess.get(report.child_id, 0)
        if child.status not in CHILD_OVER and taken >= child.order.quantity:
            self.note(ev.ChildCancelled(report.child_id))  # The excess took what was left of it.
        if found:
            self.unrecorded.append(report)
        end = self._ends.get(report.child_id)
        if end is not None and not self._untold(end):
            del self._ends[report.child_id]
            found += self.hear(end)
        return found

    def fills_missing(self, child_id: ChildId) -> bool:
        """Whether the venue says that this child is over, with more lots filled than it has told us of."""
        return child_id in self._ends

    def _early(self, report: ExecutionReport) -> bool:
        child = self.worked.children[report.child_id]
        ends = report.kind in ENDS or (report.kind is ReportKind.FILLED and not report.quantity)
        return ends and child.status not in CHILD_OVER and self._untold(report)

    def _untold(self, report: ExecutionReport) -> bool:
        child_id = report.child_id
        return untold(report, self.worked.children[child_id], self._excess.get(child_id, 0))

    def _refused(self, events: Sequence[Fact], error: Exception) -> None:
        # A fill for which the block has no lots left (they went elsewhere after this parent's end) is an excess.
        match events:
            case [ev.ChildFilled(fill=fill)]:
                excess = fill.but(fill_id=FillId(f"{fill.fill_id}:excess"))
                self.note(ev.BreakFound(excess, fill.quantity))
            case [ev.BreakFound()]:
                log.warning("break recorded before", error=repr(error))
            case _:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        log.error("order cannot be recorded", parent_id=self.worked.parent.order.parent_id, error=repr(error))
        self.failed = error

    def _fill(self, report: ExecutionReport, identity: FillId, lots: Quantity) -> Fill:
        order, child = self.worked.parent.order, self.worked.children[report.child_id].order
        venue = self._floor.venues[child.venue]
        assert report.price is not None
        maker = child.time_in_force is TimeInForce.DAY if report.maker is None else report.maker
        return Fill(
            fill_id=identity,
            rfq_id=order.rfq_id,
            symbol=order.symbol,
            side=order.side,
            price=report.price,
            quantity=lots,
            where=venue.where,
            venue=venue.name,
            filled_at=self._floor.clock.now(),
            market_filled_at=report.market_at,
            mid_at_fill=report.mid,
            fee_bps=venue.fees.make_bps if maker else venue.fees.take_bps,
            parent_id=order.parent_id,
            child_id=report.child_id,
        )

    def _know(self, fill: Fill) -> None:
        self._known.add(fill.fill_id)
        if fill.fill_id.endswith(":excess"):
            assert fill.child_id is not None
            self._excess[fill.child_id] = self._excess.get(fill.child_id, 0) + fill.quantity
        elif fill.where is Where.DARK:
            self.dark_filled[fill.venue] = Quantity(self.dark_filled.get(fill.venue, NO_LOTS) + fill.quantity)

"""What a venue's report makes true of a child: the events it stands for, if any. Pure."""

from collections.abc import Callable, Collection
from typing import TypeAlias

from lit_router.domain.child import CHILD_OVER, Child, ChildStatus
from lit_router.domain.parent import WorkedParent
from lit_router.ports import ExecutionReport, ReportKind
from rfq.domain import events as ev
from rfq.domain.fill import Fill
from rfq.domain.values import FillId, Quantity

Fact: TypeAlias = ev.OrderEvent | ev.BreakFound
MakeFill: TypeAlias = Callable[[FillId, Quantity], Fill]
"""(id, lots) -> the fill a report speaks of."""

_C, _K = ChildStatus, ReportKind
ENDS = frozenset({_K.REJECTED, _K.CANCELLED, _K.EXPIRED, _K.UNKNOWN})


def facts(report: ExecutionReport, worked: WorkedParent, known: Collection[FillId], fill: MakeFill) -> list[Fact]:
    """The events `report` stands for; none if it says what is known (a duplicate, an answer that changes nothing).

    `known` are the fills already recorded. A fill is recorded whatever state the child is in; what goes beyond the
    child's or the parent's lots is a break.
    """
    child = worked.children[report.child_id]
    if report.kind is _K.FILLED:
        return _filled(report, child, worked, known, fill)
    if child.status in CHILD_OVER:
        return []
    child_id = report.child_id
    match report.kind:
        case _K.ACKNOWLEDGED if child.status is _C.SENT:
            return [ev.ChildAcknowledged(child_id)]
        case _K.ACKNOWLEDGED if child.status is _C.REPLACING:
            return [_replace_seen(report, child)]  # The answer to a status request: did the replace arrive?
        case _K.REPLACED if child.status in (_C.REPLACING, _C.CANCELLING):
            return [ev.ChildReplaced(child_id)]
        case _K.CANCEL_REJECTED if child.status in (_C.REPLACING, _C.CANCELLING):
            return [ev.ChildCancelRejected(child_id, report.reason)]
        case _K.REJECTED if child.status in (_C.SENT, _C.CANCELLING):
            return [ev.ChildRejected(child_id, report.reason)]
        case _K.EXPIRED if child.status is not _C.CREATED:
            return [ev.ChildExpired(child_id)]
        case _K.CANCELLED | _K.UNKNOWN | _K.REJECTED | _K.EXPIRED:
            return [ev.ChildCancelled(child_id)]
        case _:
            return []


def fill_id(report: ExecutionReport) -> FillId:
    """The same report always names the same fill, also after a restart."""
    return FillId(f"{report.child_id}:{report.execution_id}")


def untold(report: ExecutionReport, child: Child, excess: int = 0) -> bool:
    """Whether the venue counts fills of this child that it has not told us of; `excess` lots were told as a break."""
    whole = child.order.quantity if report.kind is _K.FILLED and not report.quantity else 0
    return max(report.cumulative or 0, whole) > child.filled + excess


def _filled(
    report: ExecutionReport, child: Child, worked: WorkedParent, known: Collection[FillId], fill: MakeFill
) -> list[Fact]:
    identity = fill_id(report)
    excess_id = FillId(f"{identity}:excess")
    if report.quantity <= 0 or report.price is None or identity in known or excess_id in known:
        return []
    order = worked.parent.order
    fits = min(report.quantity, child.order.quantity - child.filled, order.quantity - worked.parent.filled)
    fits = max(0, fits)
    events: list[Fact] = []
    if fits:
        events.append(ev.ChildFilled(fill(identity, Quantity(fits))))
    if excess := report.quantity - fits:
        events.append(ev.BreakFound(fill(excess_id, Quantity(excess)), Quantity(excess)))
    return events


def _replace_seen(report: ExecutionReport, child: Child) -> Fact:
    pending = child.pending_quantity
    if pending is not None and report.leaves == max(0, pending - child.filled):
        return ev.ChildReplaced(report.child_id)
    return ev.ChildCancelRejected(report.child_id, "the venue still holds the order as it was")

"""A parent order's life, and the fold of its children."""

from enum import StrEnum

import msgspec

from lit_router.domain.child import CHILD_OVER, Child
from rfq.domain import events as ev
from rfq.domain.errors import Inconsistent
from rfq.domain.lifecycle import Table, advance
from rfq.domain.order import ParentOrder
from rfq.domain.values import NO_LOTS, AveragePrice, ChildId, Frozen, Quantity


class ParentStatus(StrEnum):
    PENDING = "pending"
    WORKING = "working"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    DONE = "done"


_P = ParentStatus
PARENT_TABLE: Table[ParentStatus] = {
    (_P.PENDING, "start"): _P.WORKING,
    (_P.PENDING, "cancel"): _P.CANCELLING,
    (_P.WORKING, "pause"): _P.PAUSED,
    (_P.WORKING, "cancel"): _P.CANCELLING,
    (_P.WORKING, "finish"): _P.DONE,
    (_P.PAUSED, "resume"): _P.WORKING,
    (_P.PAUSED, "cancel"): _P.CANCELLING,
    (_P.PAUSED, "finish"): _P.DONE,
    (_P.CANCELLING, "finish"): _P.DONE,
}


class Parent(Frozen, frozen=True):
    """A parent order's current state. Lots: filled + with children + still free = the order's quantity."""

    order: ParentOrder
    status: ParentStatus = ParentStatus.PENDING
    average: AveragePrice = AveragePrice()
    reason: str = ""

    @property
    def filled(self) -> Quantity:
        return self.average.quantity


class WorkedParent(msgspec.Struct):
    """Parent and children, folded from the RFQ's events. Mutable: one owner, the router (or the store's rebuild)."""

    parent: Parent
    children: dict[ChildId, Child] = msgspec.field(default_factory=dict[ChildId, Child])
    open: dict[ChildId, Child] = msgspec.field(default_factory=dict[ChildId, Child])
    """Those of the children that are not over: few, where the children of a day are many."""
    excess: Quantity = NO_LOTS
    """Lots that venues filled beyond what they were asked for: a break, kept outside the parent's own fills."""

    @property
    def with_children(self) -> Quantity:
        """Lots that live children may still fill, counting the larger size while a replace is in flight."""
        return Quantity(sum(max(c.leaves, (c.pending_quantity or 0) - c.filled) for c in self.live))

    @property
    def free(self) -> Quantity:
        """Lots that may be sent now without any chance of an over-fill."""
        return Quantity(max(0, self.parent.order.quantity - self.parent.filled - self.with_children))

    @property
    def live(self) -> tuple[Child, ...]:
        """Children that are not over, oldest first."""
        return tuple(self.open.values())

    @property
    def overcommitted(self) -> bool:
        """A late fill took lots that had been sent again: live children must be cancelled at once."""
        return self.parent.filled + self.with_children > self.parent.order.quantity

    def apply(self, event: ev.OrderEvent | ev.BreakFound) -> tuple[Parent | Child, ...]:
        """Folds one event in; returns the nouns it changed.

        Raises IllegalTransition or Inconsistent, with nothing changed.
        """
        match event:
            case ev.ChildCreated(order=order):
                if order.child_id in self.children:
                    raise Inconsistent(f"child {order.child_id} created twice")
                return (self._hold(Child(order)),)
            case ev.ChildFilled(fill=fill):
                child = self._hold(self._child(fill.child_id).after(event))
                self.parent = self.parent.but(average=self.parent.average.plus(fill.price, fill.quantity))
                return self.parent, child
            case ev.BreakFound(excess=excess):
                self.excess = Quantity(self.excess + excess)
                return (self.parent,)
            case ev.ParentCreated():
                return (self.parent,)
            case ev.SliceDecided():
                return ()  # Says why; what comes of it are children.
            case ev.ParentStarted():
                return self._to("start")
            case ev.ParentPaused(reason=reason):
                return self._to("pause", reason)
            case ev.ParentResumed():
                return self._to("resume", "")
            case ev.ParentCancelling(reason=reason):
                return self._to("cancel", reason)
            case ev.ParentDone(reason=reason):
                return self._to("finish", reason)
            case _:
                return (self._hold(self._child(event.child_id).after(event)),)

    def _hold(self, child: Child) -> Child:
        child_id = child.order.child_id
        self.children[child_id] = child
        if child.status in CHILD_OVER:
            self.open.pop(child_id, None)
        else:
            self.open[child_id] = child
        return child

    def _to(self, event: str, reason: str | None = None) -> tuple[Parent]:
        order = self.parent.order
        status = advance(f"parent {order.parent_id}", PARENT_TABLE, self.parent.status, event)
        self.parent = self.parent.but(status=status, reason=self.parent.reason if reason is None else reason)
        return (self.parent,)

    def _child(self, child_id: ChildId | None) -> Child:
        child = self.children.get(child_id) if child_id else None
        if child is None:
            raise Inconsistent(f"parent {self.parent.order.parent_id} has no child {child_id}")
        return child


def begin(order: ParentOrder) -> WorkedParent:
    """A parent newly created, nothing sent."""
    if order.quantity <= NO_LOTS:
        raise Inconsistent(f"parent {order.parent_id} has no lots")
    return WorkedParent(Parent(order))

"""A child order's life: one order at one venue, from creation to its end."""

from enum import StrEnum

from rfq.domain import events as ev
from rfq.domain.lifecycle import Table, advance
from rfq.domain.order import ChildOrder
from rfq.domain.values import NO_LOTS, Frozen, Price, Quantity


class ChildStatus(StrEnum):
    CREATED = "created"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REPLACING = "replacing"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


_C = ChildStatus
CHILD_TABLE: Table[ChildStatus] = {
    (_C.CREATED, "send"): _C.SENT,
    (_C.CREATED, "cancelled"): _C.CANCELLED,
    (_C.SENT, "acknowledge"): _C.ACKNOWLEDGED,
    (_C.SENT, "reject"): _C.REJECTED,
    (_C.SENT, "cancel"): _C.CANCELLING,
    (_C.SENT, "cancelled"): _C.CANCELLED,
    (_C.SENT, "expire"): _C.EXPIRED,
    (_C.SENT, "complete"): _C.FILLED,
    (_C.ACKNOWLEDGED, "replace"): _C.REPLACING,
    (_C.ACKNOWLEDGED, "cancel"): _C.CANCELLING,
    (_C.ACKNOWLEDGED, "cancelled"): _C.CANCELLED,
    (_C.ACKNOWLEDGED, "expire"): _C.EXPIRED,
    (_C.ACKNOWLEDGED, "complete"): _C.FILLED,
    (_C.REPLACING, "replaced"): _C.ACKNOWLEDGED,
    (_C.REPLACING, "cancel"): _C.CANCELLING,
    (_C.REPLACING, "cancel_rejected"): _C.ACKNOWLEDGED,
    (_C.REPLACING, "cancelled"): _C.CANCELLED,
    (_C.REPLACING, "expire"): _C.EXPIRED,
    (_C.REPLACING, "complete"): _C.FILLED,
    (_C.CANCELLING, "acknowledge"): _C.CANCELLING,
    (_C.CANCELLING, "cancelled"): _C.CANCELLED,
    (_C.CANCELLING, "cancel_rejected"): _C.ACKNOWLEDGED,
    (_C.CANCELLING, "reject"): _C.REJECTED,
    (_C.CANCELLING, "replaced"): _C.CANCELLING,
    (_C.CANCELLING, "expire"): _C.EXPIRED,
    (_C.CANCELLING, "complete"): _C.FILLED,
}

CHILD_OVER = frozenset({_C.FILLED, _C.CANCELLED, _C.REJECTED, _C.EXPIRED})


class Child(Frozen, frozen=True):
    """A child order's current state. A partial fill is arithmetic, not a state; a fill after the end is a fact too."""

    order: ChildOrder
    status: ChildStatus = ChildStatus.CREATED
    filled: Quantity = NO_LOTS
    pending_quantity: Quantity | None = None
    pending_price: Price | None = None
    reason: str = ""

    @property
    def leaves(self) -> Quantity:
        """Lots that may still fill at the venue: none once the order is over."""
        return NO_LOTS if self.status in CHILD_OVER else Quantity(max(0, self.order.quantity - self.filled))

    def _step(self, event: str) -> ChildStatus:
        return advance(f"child {self.order.child_id}", CHILD_TABLE, self.status, event)

    def _replaced(self) -> "Child":
        after = self.but(status=self._step("replaced"))
        if self.pending_quantity is None:
            return after
        order = self.order.but(quantity=self.pending_quantity, price=self.pending_price)
        after = after.but(order=order, pending_quantity=None, pending_price=None)
        if after.filled >= order.quantity:  # Fills overtook the replace: nothing is left of the smaller size.
            after = after.but(status=after._step("complete"))
        return after

    def after(self, event: ev.ChildEvent) -> "Child":
        """The child after `event`. Raises IllegalTransition, with nothing changed."""
        match event:
            case ev.ChildSent():
                return self.but(status=self._step("send"))
            case ev.ChildAcknowledged():
                return self.but(status=self._step("acknowledge"))
            case ev.ChildRejected(reason=reason):
                return self.but(status=self._step("reject"), reason=reason)
            case ev.ChildReplacing(quantity=quantity, price=price):
                return self.but(status=self._step("replace"), pending_quantity=quantity, pending_price=price)
            case ev.ChildReplaced():
                return self._replaced()
            case ev.ChildCancelling():
                return self.but(status=self._step("cancel"))
            case ev.ChildCancelled():
                return self.but(status=self._step("cancelled"))
            case ev.ChildCancelRejected(reason=reason):
                after = self.but(status=self._step("cancel_rejected"), reason=reason)
                if self.status is _C.REPLACING:  # It was the replace that was refused: the order stands as it was.
                    after = after.but(pending_quantity=None, pending_price=None)
                return after
            case ev.ChildExpired():
                return self.but(status=self._step("expire"))
            case ev.ChildFilled(fill=fill):
                filled = Quantity(self.filled + fill.quantity)
                complete = filled >= self.order.quantity and self.status not in CHILD_OVER
                return self.but(filled=filled, status=self._step("complete") if complete else self.status)
            case ev.ChildCreated():
                return self

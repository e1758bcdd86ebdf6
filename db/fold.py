"""A whole stream folded to the nouns it leaves: what the state tables must hold."""

from collections.abc import Sequence

from lit_router.domain.parent import WorkedParent, begin
from rfq.domain import events as ev
from rfq.domain.block import Block
from rfq.domain.errors import Inconsistent
from rfq.domain.values import ChildId, ParentId
from rfq.ports import StreamId


def nouns_of(stream: StreamId, events: Sequence[ev.Stamped]) -> list[object]:
    """The last state of every noun of the stream; none for streams other than an RFQ's.

    Raises IllegalTransition or Inconsistent for events that do not fold.
    """
    if stream.kind != "rfq":
        return []
    block, orders = Block(), _Orders()
    for stamped in events:
        block.apply(stamped)
        if isinstance(stamped.event, ev.OrderEvent):
            orders.apply(stamped.event)
    held = (block.auctions, block.requests, block.quotes, block.lifts, block.fills)
    return [block.rfq, *(noun for nouns in held for noun in nouns.values()), *orders.nouns()]


class _Orders:
    """The parents of one RFQ and their children."""

    def __init__(self) -> None:
        self._parents: dict[ParentId, WorkedParent] = {}
        self._parent_of: dict[ChildId, ParentId] = {}

    def apply(self, event: ev.OrderEvent) -> None:
        if isinstance(event, ev.ParentCreated):
            self._parents[event.order.parent_id] = begin(event.order)
            return
        if isinstance(event, ev.ChildCreated):
            self._parent_of[event.order.child_id] = event.order.parent_id
        worked = self._parents.get(self._parent(event) or ParentId(""))
        if worked is None:
            raise Inconsistent(f"{type(event).__name__} of an order that was never created")
        worked.apply(event)

    def _parent(self, event: ev.OrderEvent) -> ParentId | None:
        if isinstance(event, ev.ParentCreated | ev.ChildCreated):
            return event.order.parent_id
        if isinstance(event, ev.ParentEvent):
            return event.parent_id
        if isinstance(event, ev.ChildFilled):
            return event.fill.parent_id
        return self._parent_of.get(event.child_id)

    def nouns(self) -> list[object]:
        worked = self._parents.values()
        return [*(w.parent for w in worked), *(child for w in worked for child in w.children.values())]

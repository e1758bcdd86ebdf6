"""Working a residual: the router, and where it records what happens."""

from collections.abc import Sequence
from typing import Protocol

from rfq.domain.events import BreakFound, OrderEvent
from rfq.domain.order import ParentOrder
from rfq.domain.values import ChildId, Price, Quantity


class OrderStore(Protocol):
    """Where the router records what happens to its orders: the RFQ's own stream."""

    async def record(self, events: Sequence[OrderEvent | BreakFound], touched: Sequence[object]) -> None:
        """Durable on return. `touched` are the parent and child nouns as they stand after the events.

        Raises StoreUnavailable or LeaseLost: take no new risk then. Raises Inconsistent or IllegalTransition with
        nothing recorded.
        """
        ...

    def record_soon(self, events: Sequence[OrderEvent | BreakFound], touched: Sequence[object]) -> None:
        """Folded now, durable with the next record: for facts that no new risk hangs on."""
        ...


class Working(Protocol):
    """A parent order being worked."""

    async def done(self) -> None:
        """Returns when the parent is done and every child is over. Called again, it asks the venues again.

        Raises NeedsPerson when a venue will not say what became of a child, and what the OrderStore raised when it
        failed: the order is then left as recorded, to be resumed.
        """
        ...

    async def cancel(self, reason: str) -> None:
        """Cancels children at once, then records it. Returns when cancels are out, not when they are confirmed."""
        ...


class Router(Protocol):
    def venues(self) -> frozenset[str]: ...

    def work(self, order: ParentOrder, journal: OrderStore, history: Sequence[OrderEvent | BreakFound] = ()) -> Working:
        """Starts working an order whose ParentCreated is recorded. With `history` it resumes where that ends."""
        ...

    async def close(self) -> None:
        """Cancels every live child, gives venues their time to answer, and stops. What is left can be resumed."""
        ...

    def settle(self, child_id: ChildId, filled: Quantity, price: Price | None) -> None:
        """A person's word on a child that its venue will not account for: `filled` lots in all, and over.

        Lots not yet known to be filled are taken as filled at `price`. Raises NotFound for a child it does not work,
        WrongState for one that is over, BadInput where the numbers cannot be.
        """
        ...

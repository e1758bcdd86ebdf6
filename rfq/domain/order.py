"""Orders that work the residual: what a parent asks for and what its children are. Their lives are lit_router's."""

from datetime import datetime
from enum import StrEnum

from rfq.domain.errors import BadInput
from rfq.domain.rfq import Schedule, Urgency
from rfq.domain.values import NO_LOTS, ChildId, Frozen, ParentId, Price, Quantity, RfqId, Side, Symbol


class ParentOrder(Frozen, frozen=True):
    """The residual of a block, to be worked over `horizon_s` market seconds from `starts_at` (market time)."""

    parent_id: ParentId
    rfq_id: RfqId
    symbol: Symbol
    side: Side
    quantity: Quantity
    arrival: Price
    starts_at: datetime
    horizon_s: float
    max_participation: float
    urgency: Urgency
    schedule: Schedule
    venues: tuple[str, ...] = ()
    limit_price: Price | None = None


class TimeInForce(StrEnum):
    DAY = "day"
    IOC = "ioc"


class ChildOrder(Frozen, frozen=True):
    """One order at one venue. A price of None is a market order, which must be IOC."""

    child_id: ChildId
    parent_id: ParentId
    venue: str
    symbol: Symbol
    side: Side
    quantity: Quantity
    price: Price | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    min_quantity: Quantity = NO_LOTS

    def __post_init__(self) -> None:
        if self.quantity <= 0:
            raise BadInput("child.quantity", self.quantity, "must be positive")
        if self.price is None and self.time_in_force is not TimeInForce.IOC:
            raise BadInput("child.time_in_force", self.time_in_force.value, "must be ioc for a market order")

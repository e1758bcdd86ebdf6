"""What a participant says to a matching core, and what the core reports back. Market times, lots, price units."""

from datetime import datetime
from enum import StrEnum

import msgspec

from rfq.domain.order import TimeInForce
from rfq.domain.values import Price, Quantity, Side, Symbol

LIT = "lit"
"""The name under which a core lists its lit book; every other name is a dark pool."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A new order. `price` None is a market order in the lit book (it must be IOC), no limit in a dark pool.

    `minimum` is the smallest execution wanted (dark pools only). `order_id` is the participant's own, never reused.
    """

    order_id: str
    symbol: Symbol
    side: Side
    quantity: Quantity
    price: Price | None = None
    tif: TimeInForce = TimeInForce.DAY
    minimum: Quantity = Quantity(0)
    book: str = LIT


class Report(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of what the core reports about one order, at one market time."""

    order_id: str
    at: datetime


class Accepted(Report, frozen=True, kw_only=True, tag="accepted"):
    """The order is live. Executions may follow at the same time."""

    leaves: Quantity


class Rejected(Report, frozen=True, kw_only=True, tag="rejected"):
    """The order was never live."""

    reason: str


class Executed(Report, frozen=True, kw_only=True, tag="executed"):
    """A trade. `fill_id` is unique at this core; `maker` is whether the order was resting."""

    fill_id: str
    price: Price
    quantity: Quantity
    leaves: Quantity
    cumulative: Quantity
    maker: bool
    mid: Price | None
    """The mid just before."""


class Cancelled(Report, frozen=True, kw_only=True, tag="cancelled"):
    """The order is out, as asked or by rule; `leaves` lots were not traded."""

    leaves: Quantity
    cumulative: Quantity
    reason: str


class Expired(Report, frozen=True, kw_only=True, tag="expired"):
    """The untraded rest of an IOC order is out."""

    leaves: Quantity
    cumulative: Quantity
    reason: str


class CancelRejected(Report, frozen=True, kw_only=True, tag="cancel_rejected"):
    """A cancel or replace changed nothing."""

    reason: str


class Replaced(Report, frozen=True, kw_only=True, tag="replaced"):
    """The order now has this price and this total quantity, of which `leaves` remain."""

    price: Price | None
    quantity: Quantity
    leaves: Quantity


class OrderState(StrEnum):
    LIVE = "live"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class OrderStatus(Report, frozen=True, kw_only=True, tag="status"):
    """Answer to a status request, or to an order id sent again; every execution of the order is reported before it."""

    state: OrderState
    cumulative: Quantity = Quantity(0)
    leaves: Quantity = Quantity(0)
    reason: str = ""


AnyReport = Accepted | Rejected | Executed | Cancelled | Expired | CancelRejected | Replaced | OrderStatus


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """What is public of one book at `at`: up to five (price, lots) a side, best first; mid None while one-sided."""

    symbol: Symbol
    at: datetime
    bids: tuple[tuple[Price, Quantity], ...]
    asks: tuple[tuple[Price, Quantity], ...]
    mid: Price | None
    last_price: Price | None
    last_quantity: Quantity | None
    volume: Quantity
    halted: bool

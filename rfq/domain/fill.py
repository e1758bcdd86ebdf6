"""Fills: facts that lots changed hands. Never dropped, whenever they arrive."""

from datetime import datetime
from enum import StrEnum

from rfq.domain.values import (
    ChildId,
    DealerId,
    FillId,
    Frozen,
    LiftId,
    ParentId,
    Price,
    Quantity,
    RfqId,
    Side,
    Symbol,
)


class Where(StrEnum):
    QUOTE = "quote"
    LIT = "lit"
    DARK = "dark"


class Fill(Frozen, frozen=True):
    """Lots that changed hands, at a dealer's quote or at a venue. `fee_bps` is positive when we pay."""

    fill_id: FillId
    rfq_id: RfqId
    symbol: Symbol
    side: Side
    price: Price
    quantity: Quantity
    where: Where
    venue: str
    """The dealer's or the venue's name."""
    filled_at: datetime
    market_filled_at: datetime
    mid_at_fill: Price | None
    fee_bps: float = 0.0
    dealer_id: DealerId | None = None
    lift_id: LiftId | None = None
    parent_id: ParentId | None = None
    child_id: ChildId | None = None


MARK_OUT_HORIZONS_S = (1.0, 10.0, 60.0, 300.0, 1800.0)
"""Market seconds after a request or a fill at which mid and control are stored."""


class MarkOut(Frozen, frozen=True):
    """Where the mid stood some time after a request went out or a fill was had.

    `subject` is the request's or fill's id. `mid` None means that it could not be had, and is stored as missing.
    `control_bps` is the move of the rest of the market over the same time.
    """

    subject: str
    rfq_id: RfqId
    horizon_s: float
    due_at: datetime
    """Market time."""
    reference: Price
    mid: Price | None
    control_bps: float | None

"""Auctions and awards: who was in, who won what, and why."""

from datetime import datetime
from enum import StrEnum

from rfq.domain.lifecycle import Table
from rfq.domain.selection import WaveDecision
from rfq.domain.values import NO_LOTS, AuctionId, DealerId, Frozen, Price, Quantity, QuoteId, RfqId, Side


class AuctionStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    AWARDING = "awarding"
    SETTLED = "settled"


AUCTION_TABLE: Table[AuctionStatus] = {
    (AuctionStatus.OPEN, "ask"): AuctionStatus.OPEN,
    (AuctionStatus.OPEN, "close"): AuctionStatus.CLOSED,
    (AuctionStatus.CLOSED, "award"): AuctionStatus.AWARDING,
    (AuctionStatus.AWARDING, "award"): AuctionStatus.AWARDING,
    (AuctionStatus.CLOSED, "settle"): AuctionStatus.SETTLED,
    (AuctionStatus.AWARDING, "settle"): AuctionStatus.SETTLED,
}


class Auction(Frozen, frozen=True):
    """One sealed auction. `deadline` is that of its last wave; `cover` the best price that did not win."""

    auction_id: AuctionId
    rfq_id: RfqId
    opened_at: datetime
    deadline: datetime
    waves: int = 0
    asked: int = 0
    status: AuctionStatus = AuctionStatus.OPEN
    closed_at: datetime | None = None
    best: Price | None = None
    cover: Price | None = None
    neutral_told: bool = False
    outcome_told: bool = False
    decisions: tuple[WaveDecision, ...] = ()
    """On further waves, in order."""


class Allocation(Frozen, frozen=True):
    """Lots to be taken from one quote at its own price."""

    quote_id: QuoteId
    revision: int
    dealer_id: DealerId
    price: Price
    quantity: Quantity


class Award(Frozen, frozen=True):
    """How the block is split, decided once quotes were in: lots at quotes, lots to work, and what each should cost.

    Costs are in bps of arrival over the whole quantity asked. `by` is 'automatic' or the key that picked.
    """

    auction_id: AuctionId
    side: Side
    allocations: tuple[Allocation, ...]
    residual: Quantity = NO_LOTS
    expected_quote_bps: float = 0.0
    expected_residual_bps: float = 0.0
    by: str = "automatic"
    reason: str = ""
    decided_at: datetime | None = None

    @property
    def lots(self) -> Quantity:
        return Quantity(sum(a.quantity for a in self.allocations))

"""Requests to dealers, their quotes, and the lifting of a quote."""

from datetime import datetime
from enum import StrEnum

from rfq.domain.errors import BadInput
from rfq.domain.lifecycle import Table
from rfq.domain.rfq import RequestSide
from rfq.domain.values import (
    NO_LOTS,
    AuctionId,
    DealerId,
    Frozen,
    LiftId,
    Price,
    Quantity,
    QuoteId,
    RequestId,
    RfqId,
    Side,
    Symbol,
)


class RequestStatus(StrEnum):
    ASKED = "asked"
    QUOTED = "quoted"
    DECLINED = "declined"
    UNREACHED = "unreached"
    """The request was recorded, and could not be put on the dealer's line."""
    SILENT = "silent"
    """The deadline passed without an answer."""


REQUEST_TABLE: Table[RequestStatus] = {
    (RequestStatus.ASKED, "quote"): RequestStatus.QUOTED,
    (RequestStatus.ASKED, "decline"): RequestStatus.DECLINED,
    (RequestStatus.ASKED, "miss"): RequestStatus.UNREACHED,
    (RequestStatus.ASKED, "lapse"): RequestStatus.SILENT,
    (RequestStatus.QUOTED, "quote"): RequestStatus.QUOTED,
    (RequestStatus.QUOTED, "decline"): RequestStatus.DECLINED,
    (RequestStatus.DECLINED, "quote"): RequestStatus.QUOTED,
    (RequestStatus.UNREACHED, "quote"): RequestStatus.QUOTED,
    (RequestStatus.UNREACHED, "decline"): RequestStatus.DECLINED,
    (RequestStatus.UNREACHED, "lapse"): RequestStatus.SILENT,
}


class Request(Frozen, frozen=True):
    """One dealer asked once. Its id is random and the dealer's alone (FIX 131 QuoteReqID)."""

    request_id: RequestId
    rfq_id: RfqId
    auction_id: AuctionId
    dealer_id: DealerId
    symbol: Symbol
    side: RequestSide
    quantity: Quantity
    deadline: datetime
    asked_at: datetime
    market_asked_at: datetime
    mid_at_ask: Price
    wave: int = 1
    propensity: float = 1.0
    """Probability with which this dealer was asked under the logged randomisation."""
    requester: str = ""
    """The desk's name if disclosed, else empty."""
    residual: Quantity | None = None
    """Lots the desk will work beside the auction, if disclosed."""
    competitors: int | None = None
    """How many others are asked, where that is told."""
    status: RequestStatus = RequestStatus.ASKED
    reason: str = ""
    answered_at: datetime | None = None


def quote_key(request_id: RequestId, dealers_id: str) -> QuoteId:
    """Our id of a quote: the dealer's own id (FIX 117), made unique by the request it answers."""
    return QuoteId(f"{request_id}/{dealers_id}")


def dealers_quote_id(quote_id: QuoteId) -> str:
    """The dealer's own id again, as a lift must name it to the dealer."""
    return quote_id.partition("/")[2]


class QuoteStatus(StrEnum):
    LIVE = "live"
    LIFTING = "lifting"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    LOST = "lost"
    LATE = "late"
    """Came after the deadline: recorded, never winning."""


QUOTE_TABLE: Table[QuoteStatus] = {
    (QuoteStatus.LIVE, "revise"): QuoteStatus.LIVE,
    (QuoteStatus.LIVE, "withdraw"): QuoteStatus.WITHDRAWN,
    (QuoteStatus.LIVE, "expire"): QuoteStatus.EXPIRED,
    (QuoteStatus.LIVE, "lift"): QuoteStatus.LIFTING,
    (QuoteStatus.LIVE, "lose"): QuoteStatus.LOST,
    (QuoteStatus.LIFTING, "confirm"): QuoteStatus.CONFIRMED,
    (QuoteStatus.LIFTING, "refuse"): QuoteStatus.REFUSED,
    (QuoteStatus.LIFTING, "lose_contact"): QuoteStatus.UNKNOWN,
    (QuoteStatus.UNKNOWN, "confirm"): QuoteStatus.CONFIRMED,
    (QuoteStatus.UNKNOWN, "refuse"): QuoteStatus.REFUSED,
}


class QuoteSide(Frozen, frozen=True):
    """One side of a quote: at this price up to `quantity`, not less than `min_quantity`."""

    price: Price
    quantity: Quantity
    min_quantity: Quantity = NO_LOTS

    def __post_init__(self) -> None:
        if self.price <= 0 or self.quantity <= 0:
            raise BadInput("quote price and quantity", (self.price, self.quantity), "must be positive")
        if not 0 <= self.min_quantity <= self.quantity:
            raise BadInput("min_quantity", self.min_quantity, "must be between 0 and the quantity")


class Quote(Frozen, frozen=True):
    """A dealer's price, sealed until the close (FIX 35=S). The desk sells at the bid and buys at the offer."""

    quote_id: QuoteId
    request_id: RequestId
    auction_id: AuctionId
    dealer_id: DealerId
    revision: int
    received_at: datetime
    market_received_at: datetime
    mid_at_quote: Price
    expires_at: datetime
    bid: QuoteSide | None = None
    offer: QuoteSide | None = None
    firm: bool = True
    last_look_s: float = 0.0
    """How long the dealer may look before it confirms; 0 for a firm quote."""
    status: QuoteStatus = QuoteStatus.LIVE

    def __post_init__(self) -> None:
        if self.bid is None and self.offer is None:
            raise BadInput("quote", None, "must have a bid or an offer")
        if self.bid and self.offer and self.bid.price >= self.offer.price:
            raise BadInput("bid", self.bid.price, "must be below the offer")
        if self.revision < 1:
            raise BadInput("revision", self.revision, "must be at least 1")
        if self.firm == (self.last_look_s > 0) or not 0 <= self.last_look_s <= 60:
            raise BadInput("last_look_s", self.last_look_s, "must be 0 if firm, else above 0 and at most 60")

    def for_desk(self, side: Side) -> QuoteSide | None:
        """The side that a desk of `side` trades against."""
        return self.offer if side is Side.BUY else self.bid


class LiftStatus(StrEnum):
    SENT = "sent"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


LIFT_TABLE: Table[LiftStatus] = {
    (LiftStatus.SENT, "confirm"): LiftStatus.CONFIRMED,
    (LiftStatus.SENT, "refuse"): LiftStatus.REFUSED,
    (LiftStatus.SENT, "lose_contact"): LiftStatus.UNKNOWN,
    (LiftStatus.UNKNOWN, "confirm"): LiftStatus.CONFIRMED,
    (LiftStatus.UNKNOWN, "refuse"): LiftStatus.REFUSED,
}


class Lift(Frozen, frozen=True):
    """We take a quote (FIX 694=1 hit/lift). Names quote and revision; its lots are reserved until it is resolved."""

    lift_id: LiftId
    rfq_id: RfqId
    auction_id: AuctionId
    request_id: RequestId
    quote_id: QuoteId
    revision: int
    dealer_id: DealerId
    symbol: Symbol
    side: Side
    """The desk's side."""
    price: Price
    quantity: Quantity
    sent_at: datetime
    answer_by: datetime
    status: LiftStatus = LiftStatus.SENT
    reason: str = ""

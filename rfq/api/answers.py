"""What callers get over HTTP. Prices and quantities are decimal strings, times ISO-8601 UTC.

Answers do not forbid unknown fields, so that an older client reads a newer service. Quantities are in units of the
instrument (shares, not lots); `_s` is seconds, `_bps` basis points of the arrival mid unless said.
"""

from datetime import datetime

from msgspec import Struct

from rfq.api.messages import RfqBody
from rfq.domain.award import AuctionStatus
from rfq.domain.fill import Where
from rfq.domain.quote import LiftStatus, QuoteStatus, RequestStatus
from rfq.domain.rfq import RequestSide, RfqStatus
from rfq.domain.values import Side


class Answer(Struct, frozen=True, kw_only=True):
    """Base of what they get."""


# --- the request and its auctions --------------------------------------------------------------------------------


class ArrivalAnswer(Answer, frozen=True):
    bid: str
    ask: str
    mid: str
    source_at: datetime


class RfqAnswer(Answer, frozen=True):
    """`filled + reserved + working + unfilled` is the quantity asked. `sequence` is where its event stream stands."""

    rfq_id: str
    desk_id: str
    status: RfqStatus
    side: Side | None
    terms: RfqBody
    arrival: ArrivalAnswer
    received_at: datetime
    market_received_at: datetime
    filled: str
    reserved: str
    working: str
    unfilled: str
    over: bool
    reason: str = ""
    cancelling: bool = False
    needs_person: str = ""
    sequence: int = 0


class RfqPage(Answer, frozen=True):
    """Newest first. `next` goes into the query's `before` for the page after this one; null at the end."""

    rfqs: tuple[RfqAnswer, ...]
    next: str | None = None


class Cancelled(Answer, frozen=True):
    """`done` is what had happened already and cannot be undone; `pending` what is still being called back."""

    rfq: RfqAnswer
    done: tuple[str, ...]
    pending: tuple[str, ...]


class RequestAnswer(Answer, frozen=True):
    request_id: str
    dealer_id: str
    side: RequestSide
    quantity: str
    wave: int
    propensity: float
    status: RequestStatus
    asked_at: datetime
    deadline: datetime
    answered_at: datetime | None = None
    reason: str = ""


class AuctionAnswer(Answer, frozen=True):
    """`time_left_s` is to the deadline while the auction is open, else 0. `cover` is the best price that lost."""

    auction_id: str
    status: AuctionStatus
    opened_at: datetime
    deadline: datetime
    time_left_s: float
    waves: int
    asked: int
    requests: tuple[RequestAnswer, ...]
    closed_at: datetime | None = None
    best: str | None = None
    cover: str | None = None


class AuctionsAnswer(Answer, frozen=True):
    auctions: tuple[AuctionAnswer, ...]


class QuoteSideAnswer(Answer, frozen=True):
    price: str
    quantity: str
    min_quantity: str


class QuoteAnswer(Answer, frozen=True):
    """While its auction is open a quote is `sealed`: bid and offer are null for everyone."""

    quote_id: str
    request_id: str
    auction_id: str
    dealer_id: str
    revision: int
    status: QuoteStatus
    sealed: bool
    bid: QuoteSideAnswer | None
    offer: QuoteSideAnswer | None
    firm: bool
    last_look_s: float
    received_at: datetime
    expires_at: datetime
    time_left_s: float
    mid_at_quote: str


class QuotesAnswer(Answer, frozen=True):
    quotes: tuple[QuoteAnswer, ...]


class AllocationAnswer(Answer, frozen=True):
    quote_id: str
    revision: int
    dealer_id: str
    price: str
    quantity: str


class AwardAnswer(Answer, frozen=True):
    auction_id: str
    side: Side
    allocations: tuple[AllocationAnswer, ...]
    residual: str
    expected_quote_bps: float
    expected_residual_bps: float
    by: str
    reason: str
    decided_at: datetime | None


class LiftAnswer(Answer, frozen=True):
    """One taking of one quote, and what the dealer said."""

    lift_id: str
    auction_id: str
    quote_id: str
    revision: int
    dealer_id: str
    side: Side
    price: str
    quantity: str
    status: LiftStatus
    sent_at: datetime
    answer_by: datetime
    reason: str = ""


class AwardsAnswer(Answer, frozen=True):
    awards: tuple[AwardAnswer, ...]
    lifts: tuple[LiftAnswer, ...]


# --- orders and fills --------------------------------------------------------------------------------------------


class FillAnswer(Answer, frozen=True):
    fill_id: str
    where: Where
    venue: str
    side: Side
    price: str
    quantity: str
    filled_at: datetime
    market_filled_at: datetime
    mid_at_fill: str | None
    fee_bps: float
    dealer_id: str | None = None
    lift_id: str | None = None
    parent_id: str | None = None
    child_id: str | None = None


class FillsAnswer(Answer, frozen=True):
    fills: tuple[FillAnswer, ...]


class ChildAnswer(Answer, frozen=True):
    """`price` null is a market order."""

    child_id: str
    venue: str
    status: str
    quantity: str
    filled: str
    price: str | None


class ParentAnswer(Answer, frozen=True):
    parent_id: str
    status: str
    side: Side
    quantity: str
    filled: str
    children: tuple[ChildAnswer, ...]


class OrdersAnswer(Answer, frozen=True):
    parents: tuple[ParentAnswer, ...]


class EventAnswer(Answer, frozen=True):
    """One fact of the RFQ's stream: `data` has the event's own fields."""

    sequence: int
    event: str
    session_at: datetime
    market_at: datetime
    data: dict[str, object]


class EventPage(Answer, frozen=True):
    events: tuple[EventAnswer, ...]
    next: int | None = None

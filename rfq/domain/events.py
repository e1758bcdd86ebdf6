"""Everything that can happen to a block, as facts. The event log holds these, in canonical bytes, and nothing else.

One stream per RFQ carries the auction and the orders that work its residual alike, so that every fact about a
block has one place in one order.
"""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from rfq.domain.award import Award
from rfq.domain.fill import Fill, MarkOut
from rfq.domain.order import ChildOrder, ParentOrder
from rfq.domain.quote import Lift, Quote, Request
from rfq.domain.rfq import Arrival, RfqTerms
from rfq.domain.selection import Selection
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import (
    AuctionId,
    ChildId,
    DealerId,
    DeskId,
    LiftId,
    ParentId,
    Price,
    Quantity,
    QuoteId,
    RequestId,
    RfqId,
)

SCHEMA_VERSION = 1


class Event(msgspec.Struct, frozen=True, tag=True, tag_field="event", forbid_unknown_fields=True):
    """Base of all events; the tag is the class name."""


# --- the request -----------------------------------------------------------------------------------------------


class RfqReceived(Event, frozen=True):
    rfq_id: RfqId
    desk_id: DeskId
    terms: RfqTerms
    arrival: Arrival


class RfqRejected(Event, frozen=True):
    reason: str


class CancelRequested(Event, frozen=True):
    by: str


class RfqCancelled(Event, frozen=True):
    reason: str


class RfqExpired(Event, frozen=True):
    reason: str


class RfqDone(Event, frozen=True):
    reason: str


class PersonNeeded(Event, frozen=True):
    reason: str


class PersonSettled(Event, frozen=True):
    """A supervisor resolved what the engine could not, with evidence: one lift, one child order, or all there was.

    A word on a lift or a child settles nothing else: while a break or another lift is open, a person is still needed.
    """

    by: str
    evidence: str
    lift_id: LiftId | None = None
    child_id: ChildId | None = None


# --- the auction -----------------------------------------------------------------------------------------------


class PanelScored(Event, frozen=True):
    selection: Selection


class AuctionOpened(Event, frozen=True):
    auction_id: AuctionId


class DealersAsked(Event, frozen=True):
    """Recorded before the first request leaves. One wave of one auction."""

    auction_id: AuctionId
    wave: int
    deadline: datetime
    requests: tuple[Request, ...]


class RequestsUnreached(Event, frozen=True):
    request_ids: tuple[RequestId, ...]


class RequestDeclined(Event, frozen=True):
    request_id: RequestId
    reason: str


class QuoteReceived(Event, frozen=True):
    """A new quote, or a newer revision of one."""

    quote: Quote


class QuoteCameLate(Event, frozen=True):
    quote: Quote


class QuoteWithdrawn(Event, frozen=True):
    quote_id: QuoteId


class QuotesExpired(Event, frozen=True):
    quote_ids: tuple[QuoteId, ...]


class AuctionClosed(Event, frozen=True):
    auction_id: AuctionId
    silent: tuple[RequestId, ...] = ()


class AwardDecided(Event, frozen=True):
    award: Award


class QuoteLifted(Event, frozen=True):
    """Recorded before the lift leaves: from here its lots are reserved."""

    lift: Lift


class LiftConfirmed(Event, frozen=True):
    lift_id: LiftId
    fill: Fill


class LiftRefused(Event, frozen=True):
    lift_id: LiftId
    reason: str


class LiftUnknown(Event, frozen=True):
    lift_id: LiftId
    reason: str


class QuotesLost(Event, frozen=True):
    quote_ids: tuple[QuoteId, ...]


class AuctionSettled(Event, frozen=True):
    auction_id: AuctionId
    best: Price | None
    cover: Price | None


class NoticeKind(StrEnum):
    """FIX 694: 3 expired, 4 cover, 5 done away."""

    EXPIRED = "expired"
    COVER = "cover"
    DONE_AWAY = "done_away"


class Notice(msgspec.Struct, frozen=True):
    """What a dealer who did not win is told of one request."""

    request_id: RequestId
    dealer_id: DealerId
    kind: NoticeKind


class LosersTold(Event, frozen=True):
    auction_id: AuctionId
    notices: tuple[Notice, ...]


class BreakFound(Event, frozen=True):
    """A counterparty filled more than it was asked for. The excess is a fact; it stops the RFQ."""

    fill: Fill
    excess: Quantity


# --- the residual ----------------------------------------------------------------------------------------------


class ParentCreated(Event, frozen=True):
    order: ParentOrder


class ParentStarted(Event, frozen=True):
    parent_id: ParentId


class ParentPaused(Event, frozen=True):
    parent_id: ParentId
    reason: str


class ParentResumed(Event, frozen=True):
    parent_id: ParentId


class SliceDecided(Event, frozen=True):
    """Recorded before the children it leads to are sent. Moves no lots."""

    parent_id: ParentId
    decision: SliceDecision


class ParentCancelling(Event, frozen=True):
    parent_id: ParentId
    reason: str


class ParentDone(Event, frozen=True):
    parent_id: ParentId
    reason: str


class ChildCreated(Event, frozen=True):
    order: ChildOrder


class ChildSent(Event, frozen=True):
    child_id: ChildId


class ChildAcknowledged(Event, frozen=True):
    child_id: ChildId


class ChildRejected(Event, frozen=True):
    child_id: ChildId
    reason: str


class ChildFilled(Event, frozen=True):
    fill: Fill


class ChildReplacing(Event, frozen=True):
    child_id: ChildId
    quantity: Quantity
    price: Price | None


class ChildReplaced(Event, frozen=True):
    child_id: ChildId


class ChildCancelling(Event, frozen=True):
    child_id: ChildId


class ChildCancelled(Event, frozen=True):
    child_id: ChildId


class ChildCancelRejected(Event, frozen=True):
    child_id: ChildId
    reason: str


class ChildExpired(Event, frozen=True):
    child_id: ChildId


# --- beside the RFQ: streams of their own ----------------------------------------------------------------------


class MarkOutsTaken(Event, frozen=True):
    marks: tuple[MarkOut, ...]


class TradeAcknowledged(Event, frozen=True):
    """A dealer has booked the trade: it need not be sent again."""

    lift_id: LiftId


class BenchmarksWorked(Event, frozen=True):
    """What the whole block would have cost by other means on the same market path: (name, bps of arrival)."""

    cost_bps: tuple[tuple[str, float], ...]


class KillSwitchThrown(Event, frozen=True):
    by: str
    reason: str


class KillSwitchReleased(Event, frozen=True):
    by: str


class LimitSet(Event, frozen=True):
    desk_id: DeskId
    limit: str
    value: str
    by: str


class ModelLoaded(Event, frozen=True):
    model: str
    version: str


ParentEvent: TypeAlias = (
    ParentCreated | ParentStarted | ParentPaused | ParentResumed | SliceDecided | ParentCancelling | ParentDone
)
ChildEvent: TypeAlias = (
    ChildCreated
    | ChildSent
    | ChildAcknowledged
    | ChildRejected
    | ChildFilled
    | ChildReplacing
    | ChildReplaced
    | ChildCancelling
    | ChildCancelled
    | ChildCancelRejected
    | ChildExpired
)
OrderEvent: TypeAlias = ParentEvent | ChildEvent
BlockEvent: TypeAlias = (
    RfqReceived
    | RfqRejected
    | CancelRequested
    | RfqCancelled
    | RfqExpired
    | RfqDone
    | PersonNeeded
    | PersonSettled
    | PanelScored
    | AuctionOpened
    | DealersAsked
    | RequestsUnreached
    | RequestDeclined
    | QuoteReceived
    | QuoteCameLate
    | QuoteWithdrawn
    | QuotesExpired
    | AuctionClosed
    | AwardDecided
    | QuoteLifted
    | LiftConfirmed
    | LiftRefused
    | LiftUnknown
    | QuotesLost
    | AuctionSettled
    | LosersTold
    | BreakFound
    | OrderEvent
)
SideEvent: TypeAlias = (
    MarkOutsTaken
    | TradeAcknowledged
    | BenchmarksWorked
    | KillSwitchThrown
    | KillSwitchReleased
    | LimitSet
    | ModelLoaded
)
AnyEvent: TypeAlias = BlockEvent | SideEvent


class Stamped(msgspec.Struct, frozen=True):
    """An event with its place in its stream (from 1, without gaps) and both clocks."""

    sequence: int
    event: AnyEvent
    session_at: datetime
    market_at: datetime


_encoder = msgspec.json.Encoder(order="deterministic", decimal_format="string")
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def to_bytes(event: AnyEvent) -> bytes:
    """Canonical bytes: the same event always gives the same bytes."""
    return _encoder.encode(event)


def from_bytes(payload: bytes) -> AnyEvent:
    """The event again. Raises msgspec.ValidationError on bytes that no event of this schema version gives."""
    return _decoder.decode(payload)

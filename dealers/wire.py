"""The dealer protocol's messages: what is said over the line, by whom, in which words. See docs/dealer-protocol.md.

Names follow FIX 4.4 (message type or tag in brackets). Prices and quantities are decimal strings; times are UTC, with
the seconds that are left beside every deadline, so that nobody depends on another's clock. `side` is the desk's side
everywhere: a desk that buys lifts the offer.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

VERSION = 1
JSON = "sotto.v1.json"
MSGPACK = "sotto.v1.msgpack"
SUBPROTOCOLS = (JSON, MSGPACK)

Number = Annotated[str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,12})?\Z")]
Name = Annotated[str, Meta(pattern=r"^[!-~]{1,64}\Z")]
Text = Annotated[str, Meta(max_length=200)]
Moment = Annotated[datetime, Meta(tz=True)]


class Message(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=True):
    """Base of every message; `type` says which it is."""


# --- from a dealer ---------------------------------------------------------------------------------------------------


class Logon(Message, frozen=True, tag="logon"):
    """First message of every connection (A). `session_id` and `last_sequence` resume where an earlier one ended."""

    version: int
    session_id: Annotated[str, Meta(max_length=64)] = ""
    last_sequence: Annotated[int, Meta(ge=0)] = 0
    cancel_on_disconnect: bool = False
    """Withdraw my live quotes of open auctions when the line is lost."""


class QuotedSide(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One side of a quote (132-135): up to `quantity` at `price`, not less than `min_quantity`."""

    price: Number
    quantity: Number
    min_quantity: Number = "0"


class Quote(Message, frozen=True, tag="quote"):
    """A price (S). The same `quote_id` with a higher revision replaces it. Exactly one of the two expiries is given."""

    request_id: Name
    quote_id: Name
    revision: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    bid: QuotedSide | None = None
    offer: QuotedSide | None = None
    expires_at: Moment | None = None
    """FIX 62 ValidUntilTime."""
    valid_for_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    """Seconds from its arrival, for dealers who would rather not compare clocks."""
    firm: bool = True
    last_look_s: Annotated[float, Meta(ge=0, le=60)] = 0.0


class QuoteCancel(Message, frozen=True, tag="quote_cancel"):
    """Takes a quote back while the auction is open (Z)."""

    request_id: Name
    quote_id: Name


class DeclineReason(StrEnum):
    """FIX 658 QuoteRequestRejectReason."""

    UNKNOWN_SYMBOL = "unknown_symbol"
    TOO_LATE = "too_late"
    NOT_AUTHORISED = "not_authorised"
    NO_INVENTORY = "no_inventory"
    PASS = "pass"
    OTHER = "other"


class Decline(Message, frozen=True, tag="decline"):
    """No quote, and why (AG). Takes back a quote that stands."""

    request_id: Name
    reason: DeclineReason


class Confirm(Message, frozen=True, tag="confirm"):
    """The lift is a trade (8, ExecType F): for `quantity`, or for all of the lift."""

    lift_id: Name
    quantity: Number | None = None


class Refuse(Message, frozen=True, tag="refuse"):
    """The lift is refused (8, ExecType 8): only within a last look, or because the quote was gone."""

    lift_id: Name
    reason: Text = ""


class Status(Message, frozen=True, tag="status"):
    """Answers a status request (8, ExecType I). `unknown`: never seen, and it will be refused if it comes yet."""

    lift_id: Name
    state: Literal["confirmed", "refused", "pending", "unknown"]
    quantity: Number | None = None
    reason: Text = ""


class TradeAck(Message, frozen=True, tag="trade_ack"):
    """The trade is booked: do not send it again (AR)."""

    lift_id: Name


class Resend(Message, frozen=True, tag="resend"):
    """Asks for every message after a sequence (2)."""

    after: Annotated[int, Meta(ge=0)]


# --- from Sotto ------------------------------------------------------------------------------------------------------
# `sequence` numbers the messages of business for one dealer in one session, from 1 without gaps. Session, Heartbeat,
# Gap, Error and Logout do not advance it: they carry the number of the last message of business.


class Session(Message, frozen=True, tag="session"):
    """Answers a logon (A)."""

    version: int
    session_id: str
    sequence: int
    heartbeat_s: float
    resumed: bool
    """The session named at logon goes on: what was missed follows."""
    now: Moment


class TickFrom(msgspec.Struct, frozen=True):
    """From this price upward, prices are multiples of `tick`."""

    from_price: str
    tick: str


class QuoteRequest(Message, frozen=True, tag="quote_request"):
    """Please quote (R): the offer for a desk that buys, the bid for one that sells, both if two-way."""

    sequence: int
    request_id: str
    symbol: str
    side: Literal["buy", "sell", "two_way"]
    quantity: str
    deadline: Moment
    """FIX 126 ExpireTime: quotes arriving later never win."""
    time_left_s: float
    currency: str
    lot: str
    ticks: tuple[TickFrom, ...]
    requester: str = ""
    """The desk, if it is disclosed."""
    residual: str | None = None
    """What the desk will work in the market beside the auction, if disclosed."""
    competitors: int | None = None
    """How many others are asked, where that is told."""
    possible_duplicate: bool = False
    """FIX 43: may have been sent before, under the same sequence."""


class Lift(Message, frozen=True, tag="lift"):
    """We take your quote (AJ, 694=1). Confirm or refuse by `answer_by`; a timely lift of a firm quote is a trade."""

    sequence: int
    lift_id: str
    request_id: str
    quote_id: str
    revision: int
    symbol: str
    side: Literal["buy", "sell"]
    price: str
    quantity: str
    answer_by: Moment
    time_left_s: float
    possible_duplicate: bool = False


class StatusRequest(Message, frozen=True, tag="status_request"):
    """What became of this lift (H)?"""

    sequence: int
    lift_id: str
    request_id: str
    quote_id: str
    revision: int
    possible_duplicate: bool = False


class Trade(Message, frozen=True, tag="trade"):
    """A confirmed lift, to be booked and acknowledged (AE). Sent again until it is."""

    sequence: int
    lift_id: str
    trade_id: str
    request_id: str
    quote_id: str
    revision: int
    symbol: str
    side: Literal["buy", "sell"]
    price: str
    quantity: str
    currency: str
    amount: str
    """Price times quantity times multiplier, in the currency."""
    traded_at: Moment
    possible_duplicate: bool = False


class Outcome(Message, frozen=True, tag="outcome"):
    """You did not win (AJ; 694: 3 expired, 4 cover, 5 done away). `expired` does not say whether anyone did."""

    sequence: int
    request_id: str
    outcome: Literal["expired", "cover", "done_away"]
    possible_duplicate: bool = False


class RequestWithdrawn(Message, frozen=True, tag="request_withdrawn"):
    """No quote is wanted any more."""

    sequence: int
    request_id: str
    reason: str
    possible_duplicate: bool = False


class Gap(Message, frozen=True, tag="gap"):
    """Messages from..to are no longer kept (4, GapFill). Open requests, lifts and trades were sent again anyway."""

    sequence: int
    from_sequence: int
    to_sequence: int


class Error(Message, frozen=True, tag="error"):
    """A message of yours was not taken (3, j). `blame`: the dealer's mistake, a rule of business, or our own fault."""

    sequence: int
    code: Literal["malformed", "bad_input", "not_found", "refused", "too_fast", "not_logged_on", "version", "our_fault"]
    text: str
    blame: Literal["dealer", "rules", "us"]
    field: str = ""
    value: str = ""
    rule: str = ""
    refers_to: str = ""
    """Type and id of the message at fault, as far as they could be read: `quote Q1`."""


class Logout(Message, frozen=True, tag="logout"):
    """The connection is about to be closed by Sotto (5), and why."""

    sequence: int
    code: Literal["replaced", "too_slow", "too_many_errors", "silent", "not_logged_on", "version", "closing"]
    text: str


# --- from either -----------------------------------------------------------------------------------------------------


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    """Still here (0). From Sotto with the last sequence, so that a dealer can tell that it has missed something."""

    sequence: int | None = None


FromDealer: TypeAlias = (
    Logon | Quote | QuoteCancel | Decline | Confirm | Refuse | Status | TradeAck | Resend | Heartbeat
)
Business: TypeAlias = QuoteRequest | Lift | StatusRequest | Trade | Outcome | RequestWithdrawn
FromSotto: TypeAlias = Session | Business | Gap | Error | Logout | Heartbeat

"""The dealers, wherever they are: what is said to them and what they say."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from rfq.domain.events import Notice
from rfq.domain.fill import Fill
from rfq.domain.quote import Lift, QuoteSide, Request
from rfq.domain.values import DealerId, Frozen, LiftId, Quantity, RequestId


class DealerQuoted(Frozen, frozen=True):
    """A quote as it came in: the dealer's word. `quote_id` is the dealer's own (see rfq.domain.quote.quote_key)."""

    request_id: RequestId
    quote_id: str
    revision: int
    bid: QuoteSide | None
    offer: QuoteSide | None
    expires_at: datetime
    firm: bool
    last_look_s: float


class DealerWithdrew(Frozen, frozen=True):
    request_id: RequestId
    quote_id: str


class DealerDeclined(Frozen, frozen=True):
    request_id: RequestId
    reason: str


class LiftAnswered(Frozen, frozen=True):
    """Confirm, refuse, or the answer to a status request: then `unknown` says that the dealer never saw the lift."""

    lift_id: LiftId
    answer: Literal["confirmed", "refused", "unknown"]
    quantity: Quantity | None = None
    """Lots confirmed; None means all of the lift's."""
    reason: str = ""


class LineDown(Frozen, frozen=True):
    """The dealer's last connection closed."""


class LineUp(Frozen, frozen=True):
    """The dealer is connected again and has been sent what it missed."""


DealerMessage: TypeAlias = DealerQuoted | DealerWithdrew | DealerDeclined | LiftAnswered | LineDown | LineUp


class DealerInbox(Protocol):
    def take(self, dealer_id: DealerId, message: DealerMessage, received_at: datetime) -> None:
        """Called on arrival, with the arrival stamp. Never blocks.

        Raises a PeerFault (NotFound, BadInput), to be answered with a typed error, when the message is the dealer's
        mistake; Refusal when business rules forbid it.
        """
        ...


class Trade(Frozen, frozen=True):
    """A confirmed lift, as it is told to the dealer until it acknowledges."""

    lift: Lift
    fill: Fill


class DealerGateway(Protocol):
    """The dealers, wherever they are. Sends never wait for an answer, and are bounded by a deadline of their own."""

    def attach(self, inbox: DealerInbox) -> None: ...

    def reachable(self) -> frozenset[DealerId]:
        """Dealers with a live connection and room under their cap on open requests."""
        ...

    async def ask(self, requests: Sequence[Request]) -> frozenset[RequestId]:
        """Sends requests; returns those that reached their dealer's line. Sending one twice is harmless.

        Each is kept open, and sent again when its dealer reconnects, until its deadline or `withdraw`.
        """
        ...

    def reopen(self, requests: Sequence[Request]) -> None:
        """After a restart: requests that are still open, to be sent when their dealers connect."""
        ...

    async def lift(self, lift: Lift) -> None:
        """Raises PeerGone if the line is down: the lift may or may not have been seen."""
        ...

    async def ask_status(self, lift: Lift) -> None:
        """Asks what became of a lift. Raises PeerGone."""
        ...

    async def withdraw(self, requests: Sequence[Request], reason: str) -> None:
        """The auction is over for these: no quote is wanted any more. Best effort."""
        ...

    async def tell(self, notices: Sequence[Notice]) -> None:
        """Best effort now; redelivered on reconnect within the session."""
        ...

    async def book(self, trade: Trade) -> None:
        """Sends a trade, redelivered until the dealer acknowledges it."""
        ...


class TradeLedger(Protocol):
    """Which confirmed trades each dealer has not acknowledged yet; survives restarts."""

    async def unacknowledged(self, dealer_id: DealerId) -> list[Trade]: ...

    async def acknowledge(self, dealer_id: DealerId, lift_id: LiftId) -> None:
        """Idempotent. Raises NotFound for a lift that is not this dealer's."""
        ...

"""A dealer's seat: what comes to it and what it can say, in exact domain values, wherever the dealer sits."""

from datetime import datetime
from typing import Protocol

from rfq.domain.events import NoticeKind
from rfq.domain.quote import Lift, QuoteSide, Request, dealers_quote_id
from rfq.domain.rfq import RequestSide
from rfq.domain.values import DealerId, Frozen, LiftId, Price, Quantity, RequestId, Side, Symbol


class Ask(Frozen, frozen=True):
    """A request as the dealer is shown it: nothing of the desk's that was not disclosed, nothing of other dealers."""

    request_id: RequestId
    symbol: Symbol
    side: RequestSide
    quantity: Quantity
    deadline: datetime
    requester: str = ""
    residual: Quantity | None = None
    competitors: int | None = None


class Take(Frozen, frozen=True):
    """A lift as the dealer is shown it. `side` is the desk's, `quote_id` the dealer's own."""

    lift_id: LiftId
    request_id: RequestId
    quote_id: str
    revision: int
    symbol: Symbol
    side: Side
    price: Price
    quantity: Quantity
    answer_by: datetime


class Booked(Frozen, frozen=True):
    """A trade that stands: `quantity` lots, the dealer on the other side of the desk's `side`."""

    lift_id: LiftId
    request_id: RequestId
    symbol: Symbol
    side: Side
    price: Price
    quantity: Quantity


class QuoteTerms(Frozen, frozen=True):
    """A quote as the dealer makes it."""

    request_id: RequestId
    symbol: Symbol
    quote_id: str
    revision: int
    bid: QuoteSide | None
    offer: QuoteSide | None
    expires_at: datetime
    firm: bool = True
    last_look_s: float = 0.0


class Seat(Protocol):
    """What a dealer can say. Never waits. False if there is no line at the moment."""

    @property
    def dealer_id(self) -> DealerId: ...

    def quote(self, terms: QuoteTerms) -> bool: ...
    def withdraw(self, request_id: RequestId, quote_id: str) -> bool: ...
    def decline(self, request_id: RequestId, reason: str) -> bool: ...
    def confirm(self, lift_id: LiftId, quantity: Quantity | None = None) -> bool: ...
    def refuse(self, lift_id: LiftId, reason: str) -> bool: ...


class Trader(Protocol):
    """What a dealer does with what it hears. Each thing is heard once; calls must not block."""

    def asked(self, ask: Ask) -> None: ...
    def taken(self, take: Take) -> None: ...
    def booked(self, booked: Booked) -> None: ...
    def told(self, request_id: RequestId, kind: NoticeKind) -> None: ...
    def withdrawn(self, request_id: RequestId) -> None: ...
    def corrected(self, why: str) -> None:
        """Something it said was not taken."""
        ...


class Exchange(Protocol):
    """A dealer's own access to the market, apart from the dealer protocol: Sotto never sees whose flow it is."""

    def mid(self, symbol: Symbol, /) -> Price | None: ...

    def now(self) -> datetime:
        """Market time."""
        ...

    async def sleep_until(self, at: datetime, /) -> None:
        """Market time."""
        ...

    def trade(self, account: DealerId, symbol: Symbol, side: Side, lots: Quantity, /) -> None:
        """Buys or sells at the market for the dealer's own account. Never waits."""
        ...


def ask_of(request: Request) -> Ask:
    """What the dealer may know of a request."""
    return Ask(
        request_id=request.request_id,
        symbol=request.symbol,
        side=request.side,
        quantity=request.quantity,
        deadline=request.deadline,
        requester=request.requester,
        residual=request.residual,
        competitors=request.competitors,
    )


def take_of(lift: Lift) -> Take:
    """What the dealer may know of a lift."""
    return Take(
        lift_id=lift.lift_id,
        request_id=lift.request_id,
        quote_id=dealers_quote_id(lift.quote_id),
        revision=lift.revision,
        symbol=lift.symbol,
        side=lift.side,
        price=lift.price,
        quantity=lift.quantity,
        answer_by=lift.answer_by,
    )

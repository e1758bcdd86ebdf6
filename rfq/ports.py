"""What the engine needs from the outside, and nothing of how it is done. Adapters implement it; app.py wires them."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from rfq.domain.award import Auction, Award
from rfq.domain.blend import ResidualCurve
from rfq.domain.events import AnyEvent, BreakFound, Notice, OrderEvent, Stamped
from rfq.domain.fill import Fill, MarkOut
from rfq.domain.order import ParentOrder
from rfq.domain.quote import Lift, Quote, QuoteSide, Request
from rfq.domain.rfq import RequestSide, Rfq, RfqStatus, RfqTerms
from rfq.domain.selection import Selection
from rfq.domain.values import (
    ChildId,
    DealerId,
    DeskId,
    Frozen,
    Instrument,
    LiftId,
    Price,
    Quantity,
    RequestId,
    RfqId,
    Side,
    Symbol,
)

# --- time and ids ----------------------------------------------------------------------------------------------


class Clock(Protocol):
    """The session clock: UTC, never accelerated. Deadlines, expiries and last looks run on it."""

    def now(self) -> datetime: ...

    async def sleep_until(self, at: datetime) -> None:
        """Returns at once if `at` has passed."""
        ...


class MarketClock(Protocol):
    """The market's clock: horizons, schedules, mark-outs. In simulation it may run faster than the session's."""

    def now(self) -> datetime: ...

    async def sleep_until(self, at: datetime) -> None: ...

    def real_time(self) -> AbstractContextManager[None]:
        """While any such context is open the market clock runs at 1x: an auction is on."""
        ...


class IdSource(Protocol):
    def new(self, noun: str) -> str:
        """A fresh id, unguessable in production and repeatable under a seed: '<noun>-<random>'."""
        ...


# --- the market ------------------------------------------------------------------------------------------------


class MarketView(Frozen, frozen=True):
    """One instrument's market as it was at `source_at` (market time). Quantities in lots."""

    symbol: Symbol
    bid: Price | None
    ask: Price | None
    bid_quantity: Quantity
    ask_quantity: Quantity
    last: Price | None
    volume: Quantity
    """Lots traded since the session began."""
    source_at: datetime
    halted: bool = False

    @property
    def mid(self) -> Price | None:
        """Exact, because the price unit divides half a tick; None without both sides."""
        return None if self.bid is None or self.ask is None else Price((self.bid + self.ask) // 2)


class MarketData(Protocol):
    def view(self, symbol: Symbol) -> MarketView:
        """The latest known, without waiting. Raises NotFound for a symbol that has no feed."""
        ...

    async def mid_at(self, symbol: Symbol, at: datetime) -> Price | None:
        """The mid that stood at market time `at`; None if it is not known (halted, empty, no longer kept)."""
        ...

    async def control_bps(self, symbol: Symbol, since: datetime, until: datetime) -> float | None:
        """The move of the rest of the market between two market times: what `symbol` would have done anyway."""
        ...


# --- dealers ---------------------------------------------------------------------------------------------------


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


# --- choosing and blending ---------------------------------------------------------------------------------------


class SelectionRequest(Frozen, frozen=True):
    """What choosing may know: the terms, the instrument, the market at the request and who can be reached."""

    terms: RfqTerms
    instrument: Instrument
    market: MarketView
    at: datetime
    """Market time."""
    panel: tuple[DealerId, ...]
    residual: ResidualCurve | None
    seed: int


class DealerPredictor(Protocol):
    async def select(self, request: SelectionRequest) -> Selection:
        """Ranks the panel and chooses whom to ask. Runs off the event loop. An empty panel gives an empty choice."""
        ...


class ResidualRequest(Frozen, frozen=True):
    """State in which a residual would be worked; `asked` and `side` matter because those who lose may trade ahead."""

    instrument: Instrument
    side: Side | None
    quantity: Quantity
    market: MarketView
    terms: RfqTerms
    asked: tuple[DealerId, ...] = ()
    leakage_bps: float = 0.0
    """Expected adverse move caused by those asked and not hit."""


class ResidualCost(Protocol):
    def curve(self, request: ResidualRequest) -> ResidualCurve:
        """The cost of working any part of the quantity: table from 0 to `quantity` lots."""
        ...


# --- working the residual ----------------------------------------------------------------------------------------


class OrderStore(Protocol):
    """Where the router records what happens to its orders: the RFQ's own stream."""

    async def record(self, events: Sequence[OrderEvent | BreakFound], touched: Sequence[object]) -> None:
        """Durable on return. `touched` are the parent and child nouns as they stand after the events.

        Raises StoreUnavailable or LeaseLost: take no new risk then. Raises Inconsistent or IllegalTransition with
        nothing recorded.
        """
        ...

    def record_soon(self, events: Sequence[OrderEvent | BreakFound], touched: Sequence[object]) -> None:
        """Folded now, durable with the next record: for facts that no new risk hangs on."""
        ...


class Working(Protocol):
    """A parent order being worked."""

    async def done(self) -> None:
        """Returns when the parent is done and every child is over. Called again, it asks the venues again.

        Raises NeedsPerson when a venue will not say what became of a child, and what the OrderStore raised when it
        failed: the order is then left as recorded, to be resumed.
        """
        ...

    async def cancel(self, reason: str) -> None:
        """Cancels children at once, then records it. Returns when cancels are out, not when they are confirmed."""
        ...


class Router(Protocol):
    def venues(self) -> frozenset[str]: ...

    def work(
        self, order: ParentOrder, journal: OrderStore, history: Sequence[OrderEvent | BreakFound] = ()
    ) -> Working:
        """Starts working an order whose ParentCreated is recorded. With `history` it resumes where that ends."""
        ...

    def settle(self, child_id: ChildId, filled: Quantity, price: Price | None) -> None:
        """A person's word on a child that its venue will not account for: `filled` lots in all, and over.

        Lots not yet known to be filled are taken as filled at `price`. Raises NotFound for a child it does not work,
        WrongState for one that is over, BadInput where the numbers cannot be.
        """
        ...


# --- storage -----------------------------------------------------------------------------------------------------


class StreamId(Frozen, frozen=True):
    """Kinds: rfq, dealer, limit, model, system, markout, benchmark."""

    kind: str
    name: str


class Lease(Frozen, frozen=True):
    """Ownership of one RFQ. A newer epoch fences out every older one."""

    rfq_id: RfqId
    holder: str
    epoch: int


class RfqStore(Protocol):
    async def claim(self, rfq_id: RfqId) -> Lease:
        """Takes ownership if it is free or has lapsed, with a higher epoch. Raises LeaseLost if somebody holds it."""
        ...

    def first_lease(self, rfq_id: RfqId) -> Lease:
        """The lease of an RFQ about to be received: epoch 1, recorded in the transaction of its first append."""
        ...

    async def renew(self) -> None:
        """Keeps every lease of this holder alive. A holder that has not renewed for the lease time loses them all."""
        ...

    async def release(self, lease: Lease) -> None: ...

    def append(
        self,
        stream: StreamId,
        events: Sequence[Stamped],
        touched: Sequence[object],
        lease: Lease | None,
        created_by: "Idempotency | None" = None,
    ) -> Awaitable[None]:
        """Queues events and the rows of the nouns they touched for one transaction; awaiting it waits for durability.

        The order of calls is the order of the stream. Raises (on awaiting) StreamConflict, LeaseLost, StoreUnavailable;
        after that every later append to the stream by this holder fails too, until it is claimed and loaded again.
        `touched` holds domain nouns (see rfq.domain.block.Noun; and lit_router's Parent and Child), latest state last.
        """
        ...

    async def load(self, stream: StreamId) -> list[Stamped]: ...

    async def unfinished(self) -> list[RfqId]:
        """RFQs that are not over, oldest first."""
        ...

    async def unmarked(self, since: datetime) -> list["Unmarked"]:
        """Requests and fills since market time `since` with the horizons they still lack."""
        ...


class Idempotency(Frozen, frozen=True):
    """Ties an Idempotency-Key, scoped to its desk, to the RFQ it created and a digest of the body."""

    desk_id: DeskId
    key: str
    body_digest: str
    rfq_id: RfqId


class Unmarked(Frozen, frozen=True):
    """A request or fill whose mark-outs are not complete."""

    subject: str
    rfq_id: RfqId
    symbol: Symbol
    at: datetime
    """Market time of the request or fill."""
    reference: Price
    missing_s: tuple[float, ...]


class RfqReader(Protocol):
    """Reads of the state tables, for answers to people. Reads come from committed state only."""

    async def rfq(self, rfq_id: RfqId) -> Rfq | None: ...

    async def rfqs(
        self, desk_id: DeskId | None, status: RfqStatus | None, before: str | None, limit: int
    ) -> tuple[list[Rfq], str | None]:
        """Newest first; the second value is the cursor of the next page, None at the end."""
        ...

    async def auctions(self, rfq_id: RfqId) -> list[Auction]: ...
    async def requests(self, rfq_id: RfqId) -> list[Request]: ...
    async def quotes(self, rfq_id: RfqId) -> list[Quote]: ...
    async def awards(self, rfq_id: RfqId) -> list[Award]: ...
    async def lifts(self, rfq_id: RfqId) -> list[Lift]: ...
    async def fills(self, rfq_id: RfqId) -> list[Fill]: ...
    async def selection(self, rfq_id: RfqId) -> Selection | None: ...
    async def orders(self, rfq_id: RfqId) -> list[Mapping[str, object]]:
        """Parents and children as plain rows, parents first."""
        ...

    async def mark_outs(self, rfq_id: RfqId) -> list[MarkOut]: ...

    async def events(self, rfq_id: RfqId, after: int, limit: int) -> list[Stamped]: ...

    async def idempotent(self, desk_id: DeskId, key: str) -> Idempotency | None: ...

    async def open_count(self, desk_id: DeskId) -> int: ...


class DealerOutcome(Frozen, frozen=True):
    """One dealer asked once, as the models learn from it. Mark-outs are mid moves in bps against the desk's side."""

    request_id: RequestId
    rfq_id: RfqId
    dealer_id: DealerId
    symbol: Symbol
    side: Side | None
    shown_side: RequestSide
    quantity: Quantity
    asked: int
    """How many dealers were asked in this auction."""
    propensity: float
    session_at: datetime
    market_at: datetime
    mid_at_ask: Price
    anonymous: bool
    answered: bool
    response_s: float | None
    quote_price: Price | None
    mid_at_quote: Price | None
    lifted: bool
    confirmed: bool
    refused: bool
    mark_outs: tuple[float | None, ...]
    """Per MARK_OUT_HORIZONS_S, of the mid since the request, positive when adverse to the desk; None is missing."""
    controls: tuple[float | None, ...]


class HistoryReader(Protocol):
    def outcomes(self, since: datetime, limit: int) -> AsyncIterator[DealerOutcome]:
        """Outcomes of the newest `limit` requests sent since market time `since`, oldest of them first."""
        ...


# --- people --------------------------------------------------------------------------------------------------------


Role: TypeAlias = Literal["desk", "dealer", "supervisor", "operator"]


class Principal(Frozen, frozen=True):
    """Who is calling: a role, and the desk or dealer it acts for."""

    name: str
    role: Role


class KeyStore(Protocol):
    async def who(self, key: str) -> Principal | None: ...

    async def add(self, principal: Principal, key: str) -> None:
        """Stores a hash of the key. Raises BadInput if the name already has one of that role."""
        ...

    async def names(self, role: Role) -> list[str]: ...


class ControlStore(Protocol):
    """System and limit streams: the kill switch and what desks may do."""

    async def record(self, stream: StreamId, event: AnyEvent, session_at: datetime, market_at: datetime) -> None: ...

    async def history(self, stream: StreamId) -> list[Stamped]: ...

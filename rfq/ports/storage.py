"""What is kept: the log, its leases, and reads of what follows from it."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from rfq.domain.award import Auction, Award
from rfq.domain.events import AnyEvent, Stamped
from rfq.domain.fill import Fill, MarkOut
from rfq.domain.quote import Lift, Quote, Request
from rfq.domain.rfq import RequestSide, Rfq, RfqStatus
from rfq.domain.selection import Selection
from rfq.domain.values import DealerId, DeskId, Frozen, Price, Quantity, RequestId, RfqId, Side, Symbol


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
    window_s: float
    """Time it was given to answer."""
    withdrawn: bool
    """It took its quote back while the auction was open."""
    mark_outs: tuple[float | None, ...]
    """Per MARK_OUT_HORIZONS_S, of the mid since the request, positive when adverse to the desk; None is missing."""
    controls: tuple[float | None, ...]
    spread: tuple[Price, Price] | None = None
    """Best bid and ask as the request was accepted."""
    urgent: bool = False
    residual_disclosed: bool = False
    chosen: tuple[DealerId, ...] = ()
    """All that the decision wanted asked, in however many waves; empty where no decision is on record."""
    propensities: dict[DealerId, float] = msgspec.field(default_factory=dict[DealerId, float])
    """Of everybody who could have been asked, with which probability."""
    set_propensity: float | None = None
    """Exact probability of just `chosen`."""


class HistoryReader(Protocol):
    def outcomes(self, since: datetime, limit: int) -> AsyncIterator[DealerOutcome]:
        """Outcomes of the newest `limit` requests sent since market time `since`, oldest of them first."""
        ...


class ControlStore(Protocol):
    """System and limit streams: the kill switch and what desks may do."""

    async def record(self, stream: StreamId, event: AnyEvent, session_at: datetime, market_at: datetime) -> None: ...

    async def history(self, stream: StreamId) -> list[Stamped]: ...

"""What the router needs: venues to send to, and a policy that proposes. The policy proposes, the router disposes."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from lit_router.domain.observation import Observation
from rfq.domain.fill import Where
from rfq.domain.order import ChildOrder, ParentOrder, TimeInForce
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import NO_LOTS, ChildId, Frozen, ParentId, Price, Quantity


class ReportKind(StrEnum):
    """After FIX 150 ExecType."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    FILLED = "filled"
    """Some or all lots: `quantity` at `price`."""
    REPLACED = "replaced"
    CANCELLED = "cancelled"
    CANCEL_REJECTED = "cancel_rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    """Answer to a status request for an order the venue does not know."""


class ExecutionReport(Frozen, frozen=True):
    """What a venue says of a child order (FIX 35=8). `execution_id` names a fill once and for all."""

    child_id: ChildId
    kind: ReportKind
    market_at: datetime
    execution_id: str = ""
    price: Price | None = None
    quantity: Quantity = NO_LOTS
    mid: Price | None = None
    """The venue's mid just before the fill."""
    leaves: Quantity = NO_LOTS
    reason: str = ""
    maker: bool | None = None
    """Whether our order was resting when it filled; None if the venue does not say (then an IOC took)."""
    cumulative: Quantity | None = None
    """Lots of this order filled so far by the venue's count (FIX 14 CumQty); None if it does not say. An order whose
    fills we have not all been told is not taken to be over."""


class ReportSink(Protocol):
    def take(self, report: ExecutionReport) -> None:
        """Called on the router's event loop, in the venue's order. Never blocks."""
        ...


class Fees(Frozen, frozen=True):
    """What a venue charges, in bps of notional; negative is a rebate."""

    take_bps: float
    make_bps: float


class Venue(Protocol):
    """A place that takes child orders. Sending the same child id twice is harmless: it is taken once."""

    @property
    def name(self) -> str: ...

    @property
    def where(self) -> Where:
        """LIT or DARK."""
        ...

    @property
    def fees(self) -> Fees: ...

    def attach(self, sink: ReportSink) -> None: ...

    async def send(self, order: ChildOrder) -> None:
        """Raises PeerGone if the venue cannot be reached: the order may or may not have arrived."""
        ...

    async def replace(self, child_id: ChildId, quantity: Quantity, price: Price | None) -> None: ...

    async def cancel(self, child_id: ChildId) -> None: ...

    async def status(self, child_id: ChildId) -> None:
        """Asks what became of an order: every fill of it is reported again under its own execution id, then its state

        (acknowledged with its leaves, its end, or unknown).
        """
        ...


class Proposal(Frozen, frozen=True):
    """One child a policy would like to have at a venue. A price of None crosses the spread at once."""

    venue: str
    quantity: Quantity
    price: Price | None
    time_in_force: TimeInForce = TimeInForce.DAY
    min_quantity: Quantity = NO_LOTS


class Slice(NamedTuple):
    """What a policy wants for one parent, and how it came to it, where that is not plain from the order."""

    proposals: Sequence[Proposal]
    decision: SliceDecision | None = None
    """Recorded before any child is sent."""


class SlicePolicy(Protocol):
    """Proposes what should be resting and what should cross, given what a slicer may see. Quick, and never blocks."""

    @property
    def name(self) -> str: ...

    def pace_s(self, order: ParentOrder) -> float:
        """Market seconds that it wants between two decisions; the router takes no fewer than its own. 0: as it does."""
        ...

    def forget(self, parent_id: ParentId) -> None:
        """It will not be asked about this order again."""
        ...

    def propose(self, observations: Sequence[Observation]) -> Sequence[Slice]:
        """For each working parent, none of them twice, the full set of children it should have from now on.

        A resting child equal to a proposal (venue, price) is kept with its priority; others are cancelled; crossing
        proposals are sent. The router clamps quantities, prices and participation, whatever is proposed.
        """
        ...

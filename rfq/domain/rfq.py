"""The RFQ: a desk's request for a block, its terms and its life."""

from datetime import datetime
from enum import StrEnum

from rfq.domain.errors import BadInput
from rfq.domain.lifecycle import Table
from rfq.domain.values import (
    NO_LOTS,
    DealerId,
    DeskId,
    Frozen,
    Price,
    Quantity,
    RfqId,
    Side,
    Symbol,
)


class RfqStatus(StrEnum):
    RECEIVED = "received"
    AUCTIONING = "auctioning"
    AWAITING_AWARD = "awaiting_award"
    WORKING = "working"
    DONE = "done"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


RFQ_TABLE: Table[RfqStatus] = {
    (RfqStatus.RECEIVED, "reject"): RfqStatus.REJECTED,
    (RfqStatus.RECEIVED, "open_auction"): RfqStatus.AUCTIONING,
    (RfqStatus.RECEIVED, "work_residual"): RfqStatus.WORKING,
    (RfqStatus.RECEIVED, "cancel"): RfqStatus.CANCELLED,
    (RfqStatus.RECEIVED, "expire"): RfqStatus.EXPIRED,
    (RfqStatus.AUCTIONING, "close_auction"): RfqStatus.AWAITING_AWARD,
    (RfqStatus.AWAITING_AWARD, "open_auction"): RfqStatus.AUCTIONING,
    (RfqStatus.AWAITING_AWARD, "work_residual"): RfqStatus.WORKING,
    (RfqStatus.AWAITING_AWARD, "finish"): RfqStatus.DONE,
    (RfqStatus.AWAITING_AWARD, "cancel"): RfqStatus.CANCELLED,
    (RfqStatus.AWAITING_AWARD, "expire"): RfqStatus.EXPIRED,
    (RfqStatus.WORKING, "finish"): RfqStatus.DONE,
    (RfqStatus.WORKING, "cancel"): RfqStatus.CANCELLED,
}

OVER = frozenset({RfqStatus.DONE, RfqStatus.REJECTED, RfqStatus.CANCELLED, RfqStatus.EXPIRED})


class RequestSide(StrEnum):
    """What the dealers are shown. A two-way request hides the desk's side and is quoted on both."""

    BUY = "buy"
    SELL = "sell"
    TWO_WAY = "two_way"


class AwardMode(StrEnum):
    AUTOMATIC = "automatic"
    MANUAL = "manual"


class TellLosers(StrEnum):
    """When those who did not win learn of it, and what.

    NEUTRALLY (the default): 'expired' at the close, 'cover' or 'done away' after the last child order. AT_ONCE:
    'cover' or 'done away' after the last confirmation, while the residual may still be worked. AFTER_BLOCK:
    nothing at all until the last child order.
    """

    AT_ONCE = "at_once"
    NEUTRALLY = "neutrally"
    AFTER_BLOCK = "after_block"


class Urgency(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Schedule(StrEnum):
    TWAP = "twap"
    VWAP = "vwap"
    POV = "pov"
    ALMGREN_CHRISS = "almgren_chriss"
    LEARNED = "learned"
    """No schedule: a learned policy decides, and hands over to a tuned rule where it has no experience."""


class ResidualTerms(Frozen, frozen=True):
    """How what the dealers do not take is to be worked. `venues` empty means every venue there is."""

    horizon_s: float
    max_participation: float = 0.1
    urgency: Urgency = Urgency.MEDIUM
    schedule: Schedule = Schedule.LEARNED
    venues: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.horizon_s <= 24 * 3600:
            raise BadInput("residual.horizon_s", self.horizon_s, "must be between 1 and 86400")
        if not 0 < self.max_participation <= 1:
            raise BadInput("residual.max_participation", self.max_participation, "must be above 0 and at most 1")


class Leg(Frozen, frozen=True):
    """One instrument of the request. `intent` is the desk's own side when `side` hides it from the dealers."""

    symbol: Symbol
    side: RequestSide
    quantity: Quantity
    intent: Side | None = None
    limit_price: Price | None = None

    @property
    def desk_side(self) -> Side | None:
        """What the desk wants to do, if it has said so."""
        return self.intent if self.side is RequestSide.TWO_WAY else Side(self.side.value)


class RfqTerms(Frozen, frozen=True):
    """Everything the desk asks for. Checked here for combinations that cannot be; raises BadInput.

    `min_fill` is the least that must trade at quotes, or nothing does; `all_or_none` makes it the whole block.
    `max_winners` bounds how many dealers share the award. `first_wave` asks so many dealers first and widens
    only if that pays. `quote_window_s` is the time dealers have; `award_window_s` the time a desk has to pick.
    """

    legs: tuple[Leg, ...]
    client_order_id: str = ""
    min_fill: Quantity = NO_LOTS
    all_or_none: bool = False
    include: tuple[DealerId, ...] = ()
    exclude: tuple[DealerId, ...] = ()
    min_dealers: int = 1
    max_dealers: int = 8
    max_winners: int = 3
    first_wave: int | None = None
    anonymous: bool = False
    disclose_residual: bool = False
    tell_losers: TellLosers = TellLosers.NEUTRALLY
    quote_window_s: float = 10.0
    award: AwardMode = AwardMode.AUTOMATIC
    award_window_s: float = 30.0
    residual: ResidualTerms | None = None

    @property
    def urgent(self) -> bool:
        """The desk is in a hurry with what is left."""
        return self.residual is not None and self.residual.urgency is Urgency.HIGH

    def __post_init__(self) -> None:
        if len(self.legs) != 1:
            raise BadInput("legs", len(self.legs), "must hold exactly one leg")
        leg = self.leg
        if leg.quantity <= 0:
            raise BadInput("legs[0].quantity", leg.quantity, "must be positive")
        if leg.limit_price is not None and leg.limit_price <= 0:
            raise BadInput("legs[0].limit_price", leg.limit_price, "must be positive")
        if leg.side is not RequestSide.TWO_WAY and leg.intent is not None:
            raise BadInput("legs[0].intent", leg.intent.value, "is only for side two_way")
        if leg.side is RequestSide.TWO_WAY and leg.intent is None:
            if self.award is AwardMode.AUTOMATIC:
                raise BadInput("legs[0].intent", None, "is needed for a two_way request awarded automatically")
            if leg.limit_price is not None:
                raise BadInput("legs[0].intent", None, "is needed for a two_way request with a limit_price")
        if not 0 <= self.min_fill <= leg.quantity:
            raise BadInput("min_fill", self.min_fill, "must be between 0 and the quantity")
        if self.all_or_none and self.residual is not None:
            raise BadInput("residual", "given", "cannot stand beside all_or_none: nothing would be left to work")
        if not 1 <= self.min_dealers <= self.max_dealers <= 50:
            raise BadInput("max_dealers", self.max_dealers, "must be from min_dealers (at least 1) to 50")
        if not 1 <= self.max_winners <= 10:
            raise BadInput("max_winners", self.max_winners, "must be from 1 to 10")
        if self.first_wave is not None and not 1 <= self.first_wave < self.max_dealers:
            raise BadInput("first_wave", self.first_wave, "must be at least 1 and below max_dealers")
        if self.first_wave is not None and self.first_wave < max(self.min_dealers, len(set(self.include))):
            raise BadInput("first_wave", self.first_wave, "must reach min_dealers and everyone in include")
        if both := sorted(set(self.include) & set(self.exclude)):
            raise BadInput("exclude", both[0], "is also in include")
        if len(set(self.include)) > self.max_dealers:
            raise BadInput("include", len(self.include), "names more dealers than max_dealers")
        if not 0.05 <= self.quote_window_s <= 600:
            raise BadInput("quote_window_s", self.quote_window_s, "must be between 0.05 and 600")
        if not 0.05 <= self.award_window_s <= 3600:
            raise BadInput("award_window_s", self.award_window_s, "must be between 0.05 and 3600")
        if len(self.client_order_id) > 64:
            raise BadInput("client_order_id", self.client_order_id, "must be at most 64 characters")

    @property
    def leg(self) -> Leg:
        return self.legs[0]

    @property
    def least_at_quotes(self) -> Quantity:
        """Lots that must trade at quotes if any do."""
        return self.leg.quantity if self.all_or_none else self.min_fill


class Arrival(Frozen, frozen=True):
    """The market as it stood when the request was accepted: what every cost is measured from."""

    bid: Price
    ask: Price
    mid: Price
    source_at: datetime
    """Market time of the book that `mid` was read from."""


class Rfq(Frozen, frozen=True):
    """The request's current state. Lots: filled + reserved + working + unfilled = the quantity asked, always."""

    rfq_id: RfqId
    desk_id: DeskId
    terms: RfqTerms
    arrival: Arrival
    received_at: datetime
    market_received_at: datetime
    status: RfqStatus = RfqStatus.RECEIVED
    side: Side | None = None
    filled: Quantity = NO_LOTS
    reserved: Quantity = NO_LOTS
    working: Quantity = NO_LOTS
    unfilled: Quantity = NO_LOTS
    reason: str = ""
    cancelling: bool = False
    stopped: bool = False
    """A break was found: nothing new is done until a person has settled it."""
    needs_person: str = ""
    sequence: int = 0
    """Sequence of the last event folded in: the place to resume a subscription from."""

    @property
    def is_over(self) -> bool:
        return self.status in OVER

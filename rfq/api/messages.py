"""What callers send over HTTP. Prices and quantities are decimal strings; anything not listed here is refused.

Quantities are in units of the instrument (shares, not lots); `_s` is seconds.
"""

from typing import Literal

from msgspec import Struct

from rfq.domain.rfq import AwardMode, RequestSide, Schedule, TellLosers, Urgency
from rfq.domain.values import Side


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what callers send."""


class LegBody(Body, frozen=True):
    """`intent` is the desk's own side when `side` is two_way. `limit_price` is never shown to a dealer."""

    symbol: str
    side: RequestSide
    quantity: str
    intent: Side | None = None
    limit_price: str | None = None


class ResidualBody(Body, frozen=True):
    """How to work what the dealers do not take. `horizon_s` is in market seconds; `venues` empty means all."""

    horizon_s: float
    max_participation: float = 0.1
    urgency: Urgency = Urgency.MEDIUM
    schedule: Schedule = Schedule.LEARNED
    venues: tuple[str, ...] = ()


class RfqBody(Body, frozen=True):
    """A request for a block. `min_fill` is the least that must trade at quotes, or nothing does at them."""

    legs: tuple[LegBody, ...]
    client_order_id: str = ""
    min_fill: str = "0"
    all_or_none: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
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
    residual: ResidualBody | None = None


class PickBody(Body, frozen=True):
    """Lots of one quote. With `revision` given, a newer revision refuses the pick instead of being taken."""

    quote_id: str
    quantity: str
    revision: int | None = None
    side: Side | None = None


class AwardBody(Body, frozen=True):
    picks: tuple[PickBody, ...]


class SettleBody(Body, frozen=True):
    """What a person found out, and how. With `lift_id` and `answer`: what became of a lift that nobody could resolve
    (`quantity` null means all of it). Without: what else the RFQ needed a person for has been dealt with."""

    evidence: str
    lift_id: str | None = None
    answer: Literal["confirmed", "refused"] | None = None
    quantity: str | None = None


class SettleOrderBody(Body, frozen=True):
    """What a person found out about a child order that its venue does not account for: `filled` of it in all, and it is
    over. `price` is that of what was not yet known to be filled."""

    evidence: str
    filled: str
    price: str | None = None


class KillBody(Body, frozen=True):
    reason: str


class LimitsBody(Body, frozen=True):
    """`largest_block` is money in the instrument's currency."""

    largest_block: str
    open_rfqs: int
    largest_share_of_adv: float

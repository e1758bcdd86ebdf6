"""What callers get that is not about one RFQ: plans, dealers, instruments, controls, health, problems."""

from datetime import datetime
from typing import Literal

from rfq.api.answers import Answer


class RankedDealerAnswer(Answer, frozen=True):
    """`quote_cost_bps` by quantile; `marginal_bps` is the saving expected from asking this one after those above, with
    90% bounds in a plan."""

    rank: int
    dealer_id: str
    chosen: bool
    propensity: float | None
    response_probability: float
    quote_cost_bps: dict[str, float]
    leakage_bps: float
    fade_probability: float
    marginal_bps: float | None
    reasons: dict[str, float]
    fallback: str = ""
    response_s: float | None = None
    """Median time to a quote, given that there will be one."""
    marginal_low_bps: float | None = None
    marginal_high_bps: float | None = None


class ResidualPointAnswer(Answer, frozen=True):
    """Expected cost of working so much, in bps of arrival over that quantity."""

    quantity: str
    cost_bps: float


class PlanAnswer(Answer, frozen=True):
    """What would be done, asking nobody. `curve_bps[k]` is the expected all-in cost of asking the k best."""

    symbol: str
    bid: str | None
    ask: str | None
    mid: str | None
    source_at: datetime
    expected_cost_bps: float
    ranking: tuple[RankedDealerAnswer, ...]
    curve_bps: tuple[float, ...]
    residual: tuple[ResidualPointAnswer, ...] | None
    model_version: str
    notes: tuple[str, ...] = ()
    exploration: str = ""
    """How the choice was randomised, and how much of it."""
    set_propensity: float | None = None
    """Probability with which just these were to be asked together."""


class DealerAnswer(Answer, frozen=True):
    """A dealer's line and its recent record. Costs are null to those who may not see desks' quotes."""

    dealer_id: str
    connected: bool
    asked: int
    answered: int
    lifted: int
    confirmed: int
    refused: int
    response_s: float | None
    """Median time to a quote."""
    quote_cost_bps: float | None
    """Mean distance of its quotes from mid, positive when worse for the desk."""
    after_losing_bps: float | None
    """Mean move against the desk, net of control, 60 market seconds after it was asked and not lifted."""


class DealersAnswer(Answer, frozen=True):
    dealers: tuple[DealerAnswer, ...]
    since: datetime


class TickBandAnswer(Answer, frozen=True):
    from_price: str
    tick: str


class InstrumentAnswer(Answer, frozen=True):
    symbol: str
    currency: str
    price_unit: str
    ticks: tuple[TickBandAnswer, ...]
    lot: str
    multiplier: str
    opens: int
    closes: int
    time_zone: str
    adv: str
    volatility_bps: float
    spread_bps: float
    asset_class: str
    sector: str


class InstrumentsAnswer(Answer, frozen=True):
    instruments: tuple[InstrumentAnswer, ...]


class KillSwitchAnswer(Answer, frozen=True):
    """`recorded` false: it acts already, and its record waits for the database."""

    thrown: bool
    reason: str | None = None
    recorded: bool = True


class LimitsAnswer(Answer, frozen=True):
    desk_id: str
    largest_block: str
    open_rfqs: int
    largest_share_of_adv: float


class Live(Answer, frozen=True):
    live: bool


class Ready(Answer, frozen=True):
    ready: bool
    why: str = ""


class Problem(Answer, frozen=True, omit_defaults=True):
    """RFC 9457. `blame` is caller, us or state; `state` is that of the thing when it does not allow the request."""

    type: str
    title: str
    status: int
    detail: str
    blame: Literal["caller", "us", "state"]
    field: str | None = None
    value: str | None = None
    rule: str | None = None
    state: str | None = None

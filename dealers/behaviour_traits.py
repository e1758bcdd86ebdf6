"""What a simulated dealer is, what it sees of a request, and what it may decide: plain values.

Response times, propensities to leak and shares traded are declared and swept in studies; nobody publishes
them, so none is called calibrated. Known of real dealers, and used for signs and shapes: quotes around a
composite follow a skewed exponential-power law (Fermanian, Gueant, Pu 2016); dealers answer more when fewer
compete, when the size is larger and in markets they make (Riggs, Onur, Reiffen, Zhu 2020); one more dealer
asked adds competition and a front-runner (Baldauf, Mollner 2024); chronic faders refuse 24-39% of quotes won.
"""

from enum import IntEnum

from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId, Frozen, Instrument, Price, Quantity, Side


class DeclineReason(IntEnum):
    """Why a dealer does not quote: FIX tag 658, QuoteRequestRejectReason."""

    UNKNOWN_SYMBOL = 1
    TOO_LATE = 4
    NOT_AUTHORISED = 6
    NO_INVENTORY = 9
    PASS = 10


class DealerTraits(Frozen, frozen=True):
    """One dealer's declared parameters. Charges are costs to the desk."""

    dealer: DealerId
    specialisms: tuple[str, ...] = ()
    """Sectors in which it makes markets: keener, larger, likelier to answer."""
    coverage: tuple[str, ...] = ()
    """Sectors that it quotes at all; empty means every one."""

    spread_share: float = 1.0
    """Charge as a multiple of half the instrument's spread."""
    risk_charge: float = 0.5
    """Charge per daily volatility and per square root of (own lots / ADV)."""
    provision: float = 0.02
    """Charge for losers trading ahead of its hedge: per volatility, sqrt(block / ADV), log of asked."""
    residual_charge: float = 0.06
    """Charge for the rest of the block being worked: per volatility and sqrt(rest / ADV)."""
    margin: float = 0.5
    """Profit asked, as a share of spread and risk, when alone; divided by the number asked."""
    specialist_discount: float = 0.25
    relationship_discount: float = 0.1
    """Off spread and risk for the best relationship with a disclosed desk."""
    anonymity_premium: float = 0.08
    two_way_premium: float = 0.1
    """On spread and risk where the side is hidden: whoever asks may be on either, and both prices have to stand. About
    what a hidden name costs; nobody publishes it."""
    provision_hidden: float = 0.0
    """Share of the provision that is still charged where the side is hidden: no loser knows which way to trade ahead of
    the winner (Baldauf, Mollner)."""
    skew: float = 0.03
    """Shift of both sides per unit of inventory and per daily volatility."""
    informed: float = 0.0
    """How much of what it believes the price will do goes into its quotes, 0 to 1."""
    noise: float = 0.3
    """Scale of the quote noise as a share of spread and risk."""
    noise_shape: float = 1.1
    """Exponent of the exponential-power law: 2 is Gaussian, 1 Laplace."""
    noise_skew: float = 1.4
    """Ratio of the scale above (dearer) to the scale below."""

    answer_logit: float = 1.2
    answer_per_rival: float = -0.45
    """Added to the logit per log of the number asked."""
    answer_per_size: float = 0.18
    """Added to the logit per log of (1 + block / 1% of ADV)."""
    answer_specialist: float = 0.8
    answer_axe: float = 0.5
    """Added to the logit per unit of inventory that the request would reduce."""
    silent_share: float = 0.25
    """Of requests not quoted: the share left without any reply."""
    answer_per_breadth: float = 2.0
    """Added to the logit per share of all dealers that make the market."""
    relationship: float = 0.5
    """With a disclosed desk, 0 to 1: a likelier answer, a keener price and fewer leaks."""
    relationships: tuple[tuple[str, float], ...] = ()
    """With desks of its own, by name, where it differs."""

    appetite: float = 0.06
    """Usual quantity quoted, as a share of ADV."""
    minimum_share: float = 0.0
    """Minimum quantity of a quote as a share of its quantity."""
    good_for_s: float = 20.0
    """Life of a quote after it is sent, beyond the answer deadline."""
    latency_s: float = 0.05
    pace: float = 0.3
    """Median answer time as a share of the time left."""
    pace_spread: float = 0.45
    """Standard deviation of the log of the answer time."""

    last_look_s: float | None = None
    """Window in which it may still refuse; None quotes firm."""
    fade_rate: float = 0.02
    """Probability of refusing a last-look lift when the mid has not moved."""
    fade_per_move: float = 3.0
    """Added to that probability per daily volatility of adverse move since the quote."""

    inventory_half_life_s: float = 23_400.0
    """How fast inventory forgets, in market time."""

    leak_rate: float = 0.05
    """Probability of trading ahead after losing a very large request."""
    leak_share: float = 0.1
    """Usual lots traded ahead, as a share of the request."""
    leak_per_urgency: float = 0.8
    """Log of the rate's rise from a request without hurry to one in full hurry."""
    leak_loyalty: float = 0.5
    """Share of the leaks that the best relationship prevents."""
    leak_horizon_s: float = 120.0
    hedge_share: float = 0.7
    """Share of a won quantity hedged in the market."""
    hedge_horizon_s: float = 1800.0

    def __post_init__(self) -> None:
        shares = (
            "silent_share", "relationship", "fade_rate", "leak_rate", "leak_loyalty", "minimum_share", "informed",
            "provision_hidden",
        )  # fmt: skip
        for name in shares:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise BadInput(f"{self.dealer}.{name}", value, "must lie between 0 and 1")
        for name in (
            "appetite",
            "noise_shape",
            "noise_skew",
            "pace",
            "good_for_s",
            "inventory_half_life_s",
            "leak_horizon_s",
            "hedge_horizon_s",
        ):
            value = getattr(self, name)
            if value <= 0:
                raise BadInput(f"{self.dealer}.{name}", value, "must be positive")
        for desk, strength in self.relationships:
            if not 0 <= strength <= 1:
                raise BadInput(f"{self.dealer}.relationships.{desk}", strength, "must lie between 0 and 1")

    def relationship_with(self, desk: str | None) -> float:
        return next((strength for name, strength in self.relationships if name == desk), self.relationship)


class RequestView(Frozen, frozen=True):
    """A request as the dealer sees it. Hidden facts are None: side, desk, number of rivals, residual.

    `volatility_bps` is the standard deviation of a day's return now; `belief_bps` what the dealer thinks the
    mid will do over the next half hour (0 in markets that carry no such signal).
    """

    instrument: Instrument
    side: Side | None
    quantity: Quantity
    mid: Price
    volatility_bps: float
    time_left_s: float
    minimum: Quantity = Quantity(0)
    competitors: int | None = None
    residual: Quantity | None = None
    desk: str | None = None
    belief_bps: float = 0.0

    def __post_init__(self) -> None:
        if self.quantity <= 0:
            raise BadInput("quantity", self.quantity, "must be positive")
        if self.mid <= 0:
            raise BadInput("mid", self.mid, "must be positive")
        if self.volatility_bps <= 0:
            raise BadInput("volatility_bps", self.volatility_bps, "must be positive")

    @property
    def block(self) -> float:
        """Asked quantity as a share of average daily volume."""
        return self.quantity / self.instrument.adv


class Silence(Frozen, frozen=True, tag="silence"):
    """No reply at all."""


class Declining(Frozen, frozen=True, tag="decline"):
    """A decline sent after `delay_s`."""

    delay_s: float
    reason: DeclineReason


class Quoting(Frozen, frozen=True, tag="quote"):
    """A quote sent after `delay_s`, good for `good_for_s` from then. A side not quoted has no price.

    `last_look_s` is the window in which a lift may still be refused; None means firm.
    """

    delay_s: float
    bid: Price | None
    bid_quantity: Quantity
    bid_minimum: Quantity
    offer: Price | None
    offer_quantity: Quantity
    offer_minimum: Quantity
    good_for_s: float
    last_look_s: float | None


Plan = Silence | Declining | Quoting


class LiftAnswer(Frozen, frozen=True):
    """What the dealer says to a lift, `delay_s` after it arrives."""

    confirmed: bool
    delay_s: float


class Campaign(Frozen, frozen=True):
    """Orders that a dealer will send to the market for its own account: (seconds from now, lots) each."""

    side: Side
    lots: Quantity
    horizon_s: float
    slices: tuple[tuple[float, Quantity], ...]

"""The router's own few settings."""

from rfq.domain.errors import BadInput
from rfq.domain.values import Frozen


class RouterSettings(Frozen, frozen=True):
    """Bounds on pace, size and waiting. `market_s` fields are market seconds, the others session seconds."""

    decision_market_s: float = 5.0
    """Between two decisions on one order; longer where the horizon would need more than `most_decisions`."""
    most_decisions: int = 1000
    least_pause_s: float = 0.005
    """Session time between two decisions on one order, however fast the market's clock runs."""
    stale_after_market_s: float = 30.0
    most_children: int = 8
    """Live children of one order."""
    collar_bps: int = 50
    """How far beyond the touch a crossing order may walk."""
    slack: float = 0.25
    """A resting child up to this share larger than proposed is left as it is."""
    answer_s: float = 2.0
    """Time a venue has to answer before it is asked for the order's status."""
    most_status_requests: int = 3
    """After so many without an answer a person is needed."""
    last_rounds: int = 3
    """Crossing orders at the end of the horizon for what is left."""

    def __post_init__(self) -> None:
        for field in ("decision_market_s", "least_pause_s", "stale_after_market_s", "answer_s"):
            if not 0.001 <= getattr(self, field) <= 3600:
                raise BadInput(f"router.{field}", getattr(self, field), "must be between 0.001 and 3600")
        for field in ("most_decisions", "most_children", "most_status_requests", "last_rounds"):
            if not 1 <= getattr(self, field) <= 100_000:
                raise BadInput(f"router.{field}", getattr(self, field), "must be between 1 and 100000")
        if not 0 <= self.collar_bps <= 5000:
            raise BadInput("router.collar_bps", self.collar_bps, "must be between 0 and 5000")
        if not 0 <= self.slack <= 10:
            raise BadInput("router.slack", self.slack, "must be between 0 and 10")

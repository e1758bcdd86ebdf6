"""What a slicer may see when it decides. Built by one function, offline and live; nothing latent enters."""

from datetime import datetime
from hashlib import sha256

import msgspec

from rfq.domain.order import ParentOrder
from rfq.domain.values import ChildId, Frozen, Price, Quantity

_encoder = msgspec.json.Encoder(order="deterministic")


class Resting(Frozen, frozen=True):
    """One of our own live children, as the slicer sees it."""

    child_id: ChildId
    venue: str
    price: Price | None
    leaves: Quantity
    since: datetime
    """Market time at which it was sent."""


class Observation(Frozen, frozen=True):
    """One parent's situation at a decision. Times are market times; quantities lots; prices price units."""

    order: ParentOrder
    at: datetime
    elapsed: float
    """Share of the horizon that has passed, 0 to 1."""
    filled: Quantity
    free: Quantity
    """Lots neither filled nor with a live child."""
    bid: Price | None
    ask: Price | None
    bid_quantity: Quantity
    ask_quantity: Quantity
    last: Price | None
    tick: int
    market_volume: Quantity
    """Lots traded in the market since the order began, ours included."""
    dark_filled: dict[str, Quantity]
    resting: tuple[Resting, ...]
    lit_venue: str
    dark_venues: tuple[str, ...]
    decision_s: float
    """Market seconds until the next decision."""
    volume_curve: float
    """Share of the day's volume expected between the order's start and now, over that of its whole horizon."""
    next_volume_curve: float
    """The same at the next decision."""

    @property
    def digest(self) -> str:
        """SHA-256, hex, of the canonical bytes: the same observation always has the same."""
        return sha256(_encoder.encode(self)).hexdigest()

    @property
    def remaining(self) -> Quantity:
        return Quantity(self.order.quantity - self.filled)

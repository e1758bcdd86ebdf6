"""The one function that builds what a slicer sees, live and in studies alike."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from lit_router.domain.child import Child, ChildStatus
from lit_router.domain.observation import Observation, Resting
from lit_router.domain.parent import WorkedParent
from lit_router.volume_curve import VolumeCurve
from rfq.domain.order import TimeInForce
from rfq.domain.values import NO_LOTS, ChildId, Instrument, Price, Quantity
from rfq.ports import MarketView

STANDING = frozenset({ChildStatus.SENT, ChildStatus.ACKNOWLEDGED, ChildStatus.REPLACING})
"""Live and not on its way out."""


def observe(
    worked: WorkedParent,
    view: MarketView,
    instrument: Instrument,
    at: datetime,
    *,
    decision_s: float,
    market_volume: Quantity,
    dark_filled: Mapping[str, Quantity],
    sent_at: Mapping[ChildId, datetime],
    lit_venue: str,
    dark_venues: Sequence[str],
    curve: VolumeCurve,
) -> Observation:
    """One parent's situation at market time `at`, with the next decision `decision_s` market seconds away.

    `market_volume` counts lots since the order began; `dark_filled` ours by dark venue; `sent_at` is market time.
    """
    order = worked.parent.order
    elapsed_s = (at - order.starts_at).total_seconds()
    hours = instrument.hours
    next_at = at + timedelta(seconds=decision_s)
    return Observation(
        order=order,
        at=at,
        elapsed=min(1.0, max(0.0, elapsed_s / order.horizon_s)),
        filled=worked.parent.filled,
        free=worked.free,
        bid=view.bid,
        ask=view.ask,
        bid_quantity=view.bid_quantity,
        ask_quantity=view.ask_quantity,
        last=view.last,
        tick=instrument.tick_at(view.bid or view.ask or view.last or order.arrival),
        market_volume=Quantity(max(NO_LOTS, market_volume)),
        dark_filled=dict(dark_filled),
        resting=tuple(_resting(child, sent_at.get(child.order.child_id, at)) for child in resting(worked)),
        lit_venue=lit_venue,
        dark_venues=tuple(dark_venues),
        decision_s=decision_s,
        volume_curve=curve.progress(hours, order.starts_at, order.horizon_s, at),
        next_volume_curve=curve.progress(hours, order.starts_at, order.horizon_s, next_at),
    )


def resting(worked: WorkedParent) -> list[Child]:
    """Children that stand in a book, or will once they arrive; not those being cancelled, nor IOC orders on the way."""
    return [c for c in worked.live if c.status in STANDING and c.order.time_in_force is TimeInForce.DAY]


def standing_lots(child: Child) -> Quantity:
    """Lots a child will have left once a replace in flight is through."""
    if child.pending_quantity is None:
        return child.leaves
    return Quantity(max(0, child.pending_quantity - child.filled))


def _resting(child: Child, since: datetime) -> Resting:
    order = child.order
    price: Price | None = order.price
    return Resting(order.child_id, order.venue, price, standing_lots(child), since)

"""The schedules as slice policies: what is due rests first, what stays undone too long crosses, some waits in the dark.

Baselines and fallback for the learned policy, and the plain market-order TWAP and VWAP that costs are compared with.
"""

from collections.abc import Mapping, Sequence

from lit_router.domain.observation import Observation
from lit_router.ports import Proposal, Slice, SlicePolicy
from lit_router.trajectories import AlmgrenChriss, Trajectory, pov, twap, vwap
from rfq.domain.order import ParentOrder, TimeInForce
from rfq.domain.rfq import Schedule, Urgency
from rfq.domain.values import NO_LOTS, Frozen, Instrument, ParentId, Price, Quantity, Side, Symbol


class Placement(Frozen, frozen=True):
    """How what is due is placed. `grace` and `lead` are shares of the horizon, never shorter than one decision.

    A lot may rest `lead` before it is due and is crossed when it is `grace` late; the grace shrinks to nothing at
    the end of the horizon. `dark_share` of what neither crosses nor rests waits in the dark venues, split evenly.
    """

    grace: float
    lead: float
    dark_share: float


PASSIVE_THEN_CROSS: Mapping[Urgency, Placement] = {
    Urgency.LOW: Placement(grace=0.04, lead=0.02, dark_share=0.6),
    Urgency.MEDIUM: Placement(grace=0.02, lead=0.015, dark_share=0.5),
    Urgency.HIGH: Placement(grace=0.005, lead=0.01, dark_share=0.4),
}


class Unmindful:
    """Decides as often as the router does, from what it sees alone."""

    def pace_s(self, order: ParentOrder) -> float:
        return 0.0

    def forget(self, parent_id: ParentId) -> None:
        pass


class PassiveThenCross(Unmindful):
    """Follows a trajectory: rests at the own best price, crosses what lags, waits in the dark with a share."""

    def __init__(
        self, name: str, trajectory: Trajectory, placement: Mapping[Urgency, Placement] = PASSIVE_THEN_CROSS
    ) -> None:
        self.name = name
        self._trajectory, self._placement = trajectory, placement

    def propose(self, observations: Sequence[Observation]) -> list[Slice]:
        return [Slice(self._slice(seen)) for seen in observations]

    def _slice(self, seen: Observation) -> list[Proposal]:
        if seen.bid is None or seen.ask is None:
            return []
        order, placement = seen.order, self._placement[seen.order.urgency]
        left_s = max(0.0, order.horizon_s * (1 - seen.elapsed) - seen.decision_s)
        grace_s = min(left_s, max(seen.decision_s, placement.grace * order.horizon_s))
        lead_s = max(seen.decision_s, placement.lead * order.horizon_s)
        late = self._due(seen, seen.decision_s - grace_s)
        early = self._due(seen, seen.decision_s + lead_s)
        cross = _within(late - seen.filled, seen.remaining)
        rest = _within(early - seen.filled - cross, seen.remaining - cross)
        # Never more on show than others show: a lone large order is read by everybody.
        rest = min(rest, max(1, seen.bid_quantity if order.side is Side.BUY else seen.ask_quantity))
        proposals: list[Proposal] = []
        if cross and seen.lit_venue:
            proposals.append(Proposal(seen.lit_venue, Quantity(cross), None, TimeInForce.IOC))
        if rest and seen.lit_venue:
            best = seen.bid if order.side is Side.BUY else seen.ask
            proposals.append(Proposal(seen.lit_venue, Quantity(rest), best))
        return proposals + _dark(seen, int(placement.dark_share * (seen.remaining - cross - rest)))

    def _due(self, seen: Observation, ahead_s: float) -> int:
        return round(seen.order.quantity * self._trajectory(seen, ahead_s))


class MarketOrders(Unmindful):
    """Follows a trajectory by market orders alone: at each decision, what is due by the next. A benchmark."""

    def __init__(self, name: str, trajectory: Trajectory) -> None:
        self.name = name
        self._trajectory = trajectory

    def propose(self, observations: Sequence[Observation]) -> list[Slice]:
        return [Slice(self._slice(seen)) for seen in observations]

    def _slice(self, seen: Observation) -> list[Proposal]:
        due = round(seen.order.quantity * self._trajectory(seen, seen.decision_s))
        cross = _within(due - seen.filled, seen.remaining)
        return [Proposal(seen.lit_venue, Quantity(cross), None, TimeInForce.IOC)] if cross and seen.lit_venue else []


def schedules(instruments: Mapping[Symbol, Instrument]) -> dict[Schedule, SlicePolicy]:
    """The policy for each schedule that needs no learning."""
    return {
        Schedule.TWAP: PassiveThenCross("twap", twap),
        Schedule.VWAP: PassiveThenCross("vwap", vwap),
        Schedule.POV: PassiveThenCross("pov", pov),
        Schedule.ALMGREN_CHRISS: PassiveThenCross("almgren_chriss", AlmgrenChriss(instruments)),
    }


def benchmarks() -> dict[Schedule, SlicePolicy]:
    """Market-order TWAP and VWAP: what a desk could have had with no skill at all."""
    return {
        Schedule.TWAP: MarketOrders("twap_market", twap),
        Schedule.VWAP: MarketOrders("vwap_market", vwap),
    }


def _dark(seen: Observation, lots: int) -> list[Proposal]:
    venues = seen.dark_venues
    proposals: list[Proposal] = []
    for place, venue in enumerate(venues):
        share = lots // len(venues) + (place < lots % len(venues))
        if share:
            proposals.append(Proposal(venue, Quantity(share), dark_limit(seen, venue)))
    return proposals


def dark_limit(seen: Observation, venue: str) -> Price:
    """The worst mid we would trade at: the far touch, kept as it was while it still makes sense (priority is kept)."""
    assert seen.bid is not None and seen.ask is not None
    mid, spread = (seen.bid + seen.ask) / 2, seen.ask - seen.bid
    far, sign = (seen.ask, 1) if seen.order.side is Side.BUY else (seen.bid, -1)
    for child in seen.resting:
        if child.venue != venue or child.price is None:
            continue
        if sign * (child.price - mid) >= 0 and sign * (child.price - far) <= spread:
            return child.price
    return far


def _within(lots: int, most: int) -> int:
    return max(NO_LOTS, min(lots, most))

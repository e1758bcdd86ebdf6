"""The policy proposes, the router disposes: what is kept, cancelled, made smaller and sent. Pure."""

from collections.abc import Mapping, Sequence
from math import ceil, floor

from lit_router.domain.child import Child, ChildStatus
from lit_router.domain.observation import Observation
from lit_router.domain.parent import WorkedParent
from lit_router.observe import resting, standing_lots
from lit_router.ports import Proposal
from lit_router.settings import RouterSettings
from rfq.domain.fill import Where
from rfq.domain.order import ParentOrder, TimeInForce
from rfq.domain.values import NO_LOTS, ChildId, Frozen, Instrument, Price, Quantity, Side


class Smaller(Frozen, frozen=True):
    """A child to be replaced by the same order with fewer lots in all: it keeps its priority."""

    child_id: ChildId
    quantity: Quantity


class Disposal(Frozen, frozen=True):
    """What to do about a set of proposals. `short` lots could not be sent because they are with children."""

    cancel: tuple[ChildId, ...]
    smaller: tuple[Smaller, ...]
    place: tuple[Proposal, ...]
    short: Quantity


def dispose(
    proposals: Sequence[Proposal],
    worked: WorkedParent,
    seen: Observation,
    instrument: Instrument,
    venues: Mapping[str, Where],
    settings: RouterSettings,
) -> Disposal:
    """Fits `proposals` to the lots that are free, the limit price, ticks, participation, venues and number of children.

    `venues` are those the order may use. Earlier proposals come first where not all fit. Lots of a child on its way
    out are not free until the venue has said so. The participation cap counts lit fills and everything live in lit
    books, as if all of it filled, against lit volume: it cannot be passed whatever fills next. Dark fills stand
    outside it.
    """
    valid = [p for proposal in proposals if (p := _clean(proposal, seen, instrument, venues, settings)) is not None]
    wanted: dict[tuple[str, Price | None], int] = {}
    for proposal in valid:
        if proposal.time_in_force is TimeInForce.DAY:
            key = proposal.venue, proposal.price
            wanted[key] = wanted.get(key, 0) + proposal.quantity
    cancel, smaller, missing = _match(wanted, worked, settings.slack)

    free = int(worked.free)
    room = participation_room(seen, worked, venues)
    slots = settings.most_children - len(worked.live)
    place: list[Proposal] = []
    short = 0
    for proposal in valid:
        asked = int(proposal.quantity)
        if proposal.time_in_force is TimeInForce.DAY:
            key = proposal.venue, proposal.price
            asked = min(asked, missing[key])
            missing[key] -= asked
        if venues[proposal.venue] is Where.LIT and room is not None:
            asked = min(asked, room)
        if slots <= 0 or asked <= 0:
            continue
        lots = min(asked, free)
        short += asked - lots
        if lots <= 0:
            continue
        free -= lots
        slots -= 1
        if venues[proposal.venue] is Where.LIT and room is not None:
            room -= lots
        least = min(max(NO_LOTS, proposal.min_quantity), lots)
        place.append(proposal.but(quantity=Quantity(lots), min_quantity=least))
    return Disposal(tuple(cancel), tuple(smaller), tuple(place), Quantity(short))


def participation_room(seen: Observation, worked: WorkedParent, venues: Mapping[str, Where]) -> int | None:
    """Lots that may still be sent to lit books within `max_participation`; None where it does not bind.

    If c more lots trade, the market's volume has grown by c too: c <= (p * volume - ours) / (1 - p).
    """
    order = seen.order
    if order.max_participation >= 1:
        return None
    dark = sum(seen.dark_filled.values())
    live = sum(
        max(child.leaves, (child.pending_quantity or 0) - child.filled)
        for child in worked.live
        if venues.get(child.order.venue, Where.LIT) is Where.LIT
    )
    allowed = order.max_participation * seen.market_volume - (worked.parent.filled - dark)
    return max(0, floor(allowed / (1 - order.max_participation) + 1e-9) - live)


def _clean(
    proposal: Proposal,
    seen: Observation,
    instrument: Instrument,
    venues: Mapping[str, Where],
    settings: RouterSettings,
) -> Proposal | None:
    """The proposal with a valid price, or None if it cannot be sent at all."""
    if proposal.venue not in venues or proposal.quantity <= 0:
        return None
    order, price = seen.order, proposal.price
    if price is not None:
        price = _at_limit(price, order, instrument)
        return proposal.but(price=price) if price > 0 else None
    touch = seen.ask if order.side is Side.BUY else seen.bid
    if touch is None:
        return None
    reach = touch * settings.collar_bps // 10_000
    price = _at_limit(Price(touch + order.side.sign * reach), order, instrument)
    # Beyond the desk's limit nothing is there to take.
    if price <= 0 or (venues[proposal.venue] is Where.LIT and order.side.sign * (touch - price) > 0):
        return None
    return proposal.but(price=price, time_in_force=TimeInForce.IOC)


def _at_limit(price: Price, order: ParentOrder, instrument: Instrument) -> Price:
    """No worse than the desk's limit, and on the tick, rounded in the desk's favour."""
    if order.limit_price is not None:
        price = Price(order.side.sign * min(order.side.sign * price, order.side.sign * order.limit_price))
    return instrument.round_to_tick(price, towards=order.side)


def _match(
    wanted: Mapping[tuple[str, Price | None], int], worked: WorkedParent, slack: float
) -> tuple[list[ChildId], list[Smaller], dict[tuple[str, Price | None], int]]:
    """Which resting children stay, and what is missing. The oldest are kept: they stand nearest the front."""
    standing: dict[tuple[str, Price | None], list[Child]] = {}
    cancel: list[ChildId] = []
    smaller: list[Smaller] = []
    for child in resting(worked):
        key = child.order.venue, child.order.price
        if key in wanted:
            standing.setdefault(key, []).append(child)
        else:
            cancel.append(child.order.child_id)
    missing: dict[tuple[str, Price | None], int] = {}
    for key, lots in wanted.items():
        children = standing.get(key, [])
        surplus = sum(standing_lots(child) for child in children) - lots
        missing[key] = max(0, -surplus)
        if surplus <= ceil(slack * lots):
            continue
        for child in reversed(children):
            has = standing_lots(child)
            if has <= surplus:
                cancel.append(child.order.child_id)
                surplus -= has
            elif surplus > 0:
                if child.status is ChildStatus.ACKNOWLEDGED:
                    smaller.append(Smaller(child.order.child_id, Quantity(child.filled + has - surplus)))
                break
    return cancel, smaller, missing

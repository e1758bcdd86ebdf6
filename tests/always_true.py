"""What must be true of every block at every instant, checked on its record, its rows and the world outside."""

from collections import Counter
from collections.abc import Iterable

from house import House

from lit_router.domain.parent import begin
from rfq.domain import events as ev
from rfq.domain.block import Block
from rfq.domain.fill import Where
from rfq.domain.quote import LiftStatus, QuoteStatus
from rfq.domain.rfq import Rfq
from rfq.domain.values import LiftId, RfqId
from rfq.engine.work import orders_of


async def check(house: House, rfq_ids: Iterable[RfqId], *, settled_by_hand: frozenset[LiftId] = frozenset()) -> None:
    """Every RFQ is over, or says that it needs a person; its lots add up; nothing was lifted or filled twice.

    `settled_by_hand`: lifts on which a person's word was taken, which may differ from the dealer's.
    """
    await house.sleep(0.001)  # Time moves on when all that was queued is written.
    for rfq_id in rfq_ids:
        block = await recorded_as_rows(house, rfq_id)
        rfq = block.rfq
        assert rfq.is_over or rfq.needs_person, f"{rfq_id} is {rfq.status.value} and wants nobody"
        history = await house.history(rfq_id)
        lots_add_up(rfq, block, history)
        lifted_rightly(block)
        told_in_order(history)
        the_world_agrees(house, block, history, settled_by_hand)


async def recorded_as_rows(house: House, rfq_id: RfqId) -> Block:
    """The fold of the recorded history is what the state rows say, noun by noun."""
    block = await house.recorded(rfq_id)
    assert await house.reader.rfq(rfq_id) == block.rfq
    for held, rows, key in (
        (block.auctions, await house.reader.auctions(rfq_id), "auction_id"),
        (block.requests, await house.reader.requests(rfq_id), "request_id"),
        (block.quotes, await house.reader.quotes(rfq_id), "quote_id"),
        (block.lifts, await house.reader.lifts(rfq_id), "lift_id"),
        (block.fills, await house.reader.fills(rfq_id), "fill_id"),
    ):
        assert held == {getattr(row, key): row for row in rows}
    assert await house.reader.awards(rfq_id) == block.awards
    assert await house.reader.selection(rfq_id) == block.selection
    history = await house.history(rfq_id)
    orders = {row[f"{row['kind']}_id"]: row for row in await house.reader.orders(rfq_id)}
    for parent_id, order in block.parents.items():
        worked = begin(order)
        for event in orders_of(parent_id, history):
            worked.apply(event)
        row = orders.pop(parent_id)
        assert (row["status"], row["filled"]) == (worked.parent.status.value, worked.parent.filled)
        for child_id, child in worked.children.items():
            row = orders.pop(child_id)
            assert (row["status"], row["filled"]) == (child.status.value, child.filled)
    assert not orders
    return block


def lots_add_up(rfq: Rfq, block: Block, history: list[ev.Stamped]) -> None:
    """Filled, reserved, working and unfilled are the quantity asked after every single event, and are what they say."""
    again = Block()
    breaks: set[str] = set()
    for stamped in history:
        again.apply(stamped)
        if isinstance(stamped.event, ev.BreakFound):
            breaks.add(stamped.event.fill.fill_id)
        now = again.rfq
        assert min(now.filled, now.reserved, now.working, now.unfilled) >= 0
        assert now.filled + now.reserved + now.working + now.unfilled == now.terms.leg.quantity
        assert now.filled == sum(f.quantity for f in again.fills.values() if f.fill_id not in breaks)
        assert now.reserved == sum(x.quantity for x in again.lifts_in(LiftStatus.SENT, LiftStatus.UNKNOWN))
    assert again.rfq == rfq
    if rfq.is_over:
        assert rfq.reserved == rfq.working == 0 and not block.open_parents


def lifted_rightly(block: Block) -> None:
    """No quote twice, none that was late or had expired, none beyond the desk's limit."""
    lifted = Counter(lift.quote_id for lift in block.lifts.values())
    assert all(times == 1 for times in lifted.values()), "a quote was lifted twice"
    limit = block.rfq.terms.leg.limit_price
    for lift in block.lifts.values():
        quote = block.quotes[lift.quote_id]
        request = block.requests[quote.request_id]
        assert quote.status is not QuoteStatus.LATE and quote.received_at <= request.deadline
        assert quote.revision == lift.revision and lift.sent_at < quote.expires_at
        assert limit is None or lift.side.sign * (lift.price - limit) <= 0
    for fill in block.fills.values():
        assert limit is None or fill.side.sign * (fill.price - limit) <= 0


def told_in_order(history: list[ev.Stamped]) -> None:
    """Nobody is told that others traded before the last confirmation."""
    resolved = (ev.LiftConfirmed, ev.LiftRefused)
    last = max((s.sequence for s in history if isinstance(s.event, resolved)), default=0)
    for stamped in history:
        if isinstance(stamped.event, ev.LosersTold):
            loud = [n for n in stamped.event.notices if n.kind is not ev.NoticeKind.EXPIRED]
            assert not loud or stamped.sequence > last, "a loser was told before the last confirmation"


def the_world_agrees(
    house: House, block: Block, history: list[ev.Stamped], settled_by_hand: frozenset[LiftId]
) -> None:
    """Dealers and venues hold to have traded what is recorded, lot for lot; what is unknown is reserved."""
    at_quotes: Counter[str] = Counter()
    at_venues: Counter[str] = Counter()
    for fill in block.fills.values():
        if fill.where is Where.QUOTE:
            at_quotes[fill.lift_id or ""] += fill.quantity
        else:
            at_venues[fill.child_id or ""] += fill.quantity
    theirs = house.world.confirmed_by_dealers()
    for lift in block.lifts.values():
        if lift.status is not LiftStatus.UNKNOWN and lift.lift_id not in settled_by_hand:
            assert at_quotes[lift.lift_id] == theirs.get(lift.lift_id, 0), f"{lift.lift_id} with {lift.dealer_id}"
    filled = house.world.filled_at_venues()
    for stamped in history:
        if isinstance(stamped.event, ev.ChildCreated):
            child_id = stamped.event.order.child_id
            assert at_venues.pop(child_id, 0) == filled.get(child_id, 0), f"child {child_id}"
    assert not at_venues, "a fill of a child that was never created"

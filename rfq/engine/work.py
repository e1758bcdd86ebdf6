"""Working the residual: hand it to the router, wait, and end the RFQ when every lot is accounted for."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from rfq.domain import events as ev
from rfq.domain.errors import NeedsPerson
from rfq.domain.order import ParentOrder
from rfq.domain.quote import LiftStatus
from rfq.domain.values import NO_LOTS, ChildId, ParentId
from rfq.engine.notices import tell_outcome
from rfq.engine.sourcing import Sourcing, log
from rfq.ports import Working


def new_parent(s: Sourcing) -> ParentOrder:
    """The residual as an order: what is unfilled, over what is left of the horizon since the RFQ came in."""
    rfq, residual = s.rfq, s.rfq.terms.residual
    assert residual is not None and rfq.side is not None
    now = s.parts.market_clock.now()
    ends = rfq.market_received_at + timedelta(seconds=residual.horizon_s)
    return ParentOrder(
        parent_id=ParentId(s.parts.ids.new("parent")),
        rfq_id=rfq.rfq_id,
        symbol=rfq.terms.leg.symbol,
        side=rfq.side,
        quantity=rfq.unfilled,
        arrival=rfq.arrival.mid,
        starts_at=now,
        horizon_s=max(1.0, (ends - now).total_seconds()),
        max_participation=residual.max_participation,
        urgency=residual.urgency,
        schedule=residual.schedule,
        venues=residual.venues,
        limit_price=rfq.terms.leg.limit_price,
    )


def may_work(s: Sourcing) -> bool:
    """Whether the desk wants what is unfilled to be worked, and nothing stands against it."""
    rfq = s.rfq
    residual = rfq.terms.residual
    if residual is None or not rfq.unfilled or rfq.side is None or rfq.cancelling or rfq.stopped:
        return False
    ends = rfq.market_received_at + timedelta(seconds=residual.horizon_s)
    return s.parts.market_clock.now() < ends


async def begin_residual(s: Sourcing) -> None:
    """Records the parent: from here the RFQ is working."""
    order = new_parent(s)
    await s.journal.write(ev.ParentCreated(order))
    s.new_parents.add(order.parent_id)


async def work(s: Sourcing) -> None:
    """WORKING: every open parent is at the router; when all are done and nothing is reserved, the RFQ ends."""
    s.working = [await _start(s, parent_id) for parent_id in s.block.open_parents]
    tasks = [asyncio.create_task(working.done()) for working in s.working]
    tasks.append(asyncio.create_task(_cancel_when_asked(s)))
    try:
        await asyncio.gather(*tasks[:-1])
    except NeedsPerson as problem:
        await s.journal.write(ev.PersonNeeded(str(problem)))
        await s.until(lambda: not s.rfq.needs_person)
        return  # The story comes back here and resumes what is still open.
    finally:
        for task in tasks:
            task.cancel()
    await s.until(lambda: s.rfq.reserved == NO_LOTS and not s.rfq.needs_person)
    if may_work(s):
        await begin_residual(s)  # Lots that came back from a lift which was unknown.
    else:
        await finish(s)


async def _start(s: Sourcing, parent_id: ParentId) -> Working:
    history: list[ev.OrderEvent | ev.BreakFound] = []
    if parent_id not in s.new_parents:
        await s.journal.flush()
        history = orders_of(parent_id, await s.parts.store.load(s.journal.stream))
    s.new_parents.discard(parent_id)
    return s.parts.router.work(s.block.parents[parent_id], s.journal, history)


def orders_of(parent_id: ParentId, stream: Sequence[ev.Stamped]) -> list[ev.OrderEvent | ev.BreakFound]:
    """One parent's own events and its children's, out of an RFQ's whole stream, in order."""
    children: set[ChildId] = set()
    found: list[ev.OrderEvent | ev.BreakFound] = []
    for stamped in stream:
        event = stamped.event
        match event:
            case ev.ParentCreated(order=order):
                mine = order.parent_id == parent_id
            case ev.ChildCreated(order=order):
                mine = order.parent_id == parent_id
                if mine:
                    children.add(order.child_id)
            case ev.ChildFilled(fill=fill) | ev.BreakFound(fill=fill):
                mine = fill.parent_id == parent_id
            case ev.ParentStarted() | ev.ParentPaused() | ev.ParentResumed() | ev.ParentCancelling() | ev.ParentDone():
                mine = event.parent_id == parent_id
            case (
                ev.ChildSent()
                | ev.ChildAcknowledged()
                | ev.ChildRejected()
                | ev.ChildReplacing()
                | ev.ChildReplaced()
                | ev.ChildCancelling()
                | ev.ChildCancelled()
                | ev.ChildCancelRejected()
                | ev.ChildExpired()
            ):
                mine = event.child_id in children
            case _:
                continue
        if mine:
            found.append(event)
    return found


async def _cancel_when_asked(s: Sourcing) -> None:
    await s.until(lambda: s.rfq.cancelling or s.rfq.stopped)
    reason = "cancelled by the desk" if s.rfq.cancelling else s.rfq.needs_person
    for working in s.working:
        await working.cancel(reason)


async def finish(s: Sourcing) -> None:
    """Ends the RFQ in the state its lots and the desk's wishes say, and tells the losers what is still to be told."""
    rfq = s.rfq
    unknown = s.block.lifts_in(LiftStatus.SENT, LiftStatus.UNKNOWN)
    assert not unknown, "an RFQ cannot end with lifts in flight"
    if rfq.cancelling and rfq.unfilled:
        s.journal.note(ev.RfqCancelled("cancelled by the desk"))
    elif rfq.filled or rfq.terms.residual:
        s.journal.note(ev.RfqDone("filled" if not rfq.unfilled else "done with lots left unfilled"))
    else:
        s.journal.note(ev.RfqExpired("no quote was traded"))
    await tell_outcome(s)
    await s.journal.flush()
    log.info("over", rfq_id=rfq.rfq_id, status=s.rfq.status.value, filled=s.rfq.filled, unfilled=s.rfq.unfilled)

"""Taking over an RFQ that this process did not bring this far: load, fold, and put its outside world back."""

from collections.abc import Callable, Sequence

from rfq.domain import events as ev
from rfq.domain.block import fold
from rfq.domain.errors import OurFault
from rfq.domain.quote import LiftStatus, RequestStatus
from rfq.domain.rfq import RfqStatus
from rfq.domain.values import RfqId
from rfq.engine.parts import Parts
from rfq.engine.sourcing import Sourcing, log
from rfq.ports import StreamId


async def recover(
    parts: Parts,
    rfq_id: RfqId,
    on_change: Callable[[Sourcing, Sequence[ev.Stamped]], None],
    recall: Callable[[Sourcing, ev.AnyEvent], None],
) -> Sourcing:
    """Claims and loads an RFQ into a state from which its story can go on.

    - Received, and nobody asked yet: expires, for the arrival it was to be measured from has passed.
    - Auctioning: goes on until its stored deadline; dealers are sent the open requests when they connect.
    - A lift in flight: unknown until its dealer has said what became of it.
    - Working: the router resumes each parent from its recorded fills.

    Raises LeaseLost if somebody else owns it, StoreUnavailable, and OurFault if its history does not fold.
    """
    lease = await parts.store.claim(rfq_id)
    history = await parts.store.load(StreamId("rfq", rfq_id))
    if not history:
        raise OurFault(f"RFQ {rfq_id} has no events")
    s = Sourcing(parts, fold(history), lease, on_change)
    for stamped in history:  # Learned from, not acted on: that was done when it happened.
        recall(s, stamped.event)
    if s.rfq.status is RfqStatus.RECEIVED:
        waited_s = (s.now() - s.rfq.received_at).total_seconds()
        if waited_s > s.rfq.terms.quote_window_s:
            await s.journal.write(ev.RfqExpired("interrupted before anyone was asked"))
    if s.rfq.status is RfqStatus.AUCTIONING and s.block.auction is not None:
        open_states = (RequestStatus.ASKED, RequestStatus.QUOTED, RequestStatus.UNREACHED)
        requests = s.block.requests_of(s.block.auction.auction_id)
        parts.gateway.reopen([r for r in requests if r.status in open_states and r.deadline > s.now()])
    for lift in s.block.lifts_in(LiftStatus.SENT):
        s.journal.note(ev.LiftUnknown(lift.lift_id, "interrupted while lifting"))
    log.info("recovered", rfq_id=rfq_id, status=s.rfq.status.value, epoch=lease.epoch)
    return s

"""Taking over an RFQ that this process did not bring this far: load, fold, and put its outside world back."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from rfq.domain import events as ev
from rfq.domain.block import fold
from rfq.domain.errors import OurFault
from rfq.domain.quote import LiftStatus, QuoteStatus, RequestStatus
from rfq.domain.rfq import RfqStatus
from rfq.domain.values import RfqId
from rfq.engine.parts import Parts
from rfq.engine.sourcing import Sourcing, log
from rfq.ports import StreamId

RETURN_S = 6.0
"""How long dealers whose quotes stand are waited for after a restart: their clients try again every few seconds."""
LOOK_S = 0.1


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
    s.dealers_back_by = s.in_s(RETURN_S)
    log.info("recovered", rfq_id=rfq_id, status=s.rfq.status.value, epoch=lease.epoch)
    return s


async def dealers_back(s: Sourcing) -> None:
    """Before the first award after a restart: waits for the dealers whose quotes stand.

    Their lines went down with the process that asked them. To lift at once would lose every quote to a line that is
    not there yet. A quote within reach is not let lapse for it.
    """
    while (latest := s.dealers_back_by) is not None:
        here = s.parts.gateway.reachable()
        live = [q for q in s.block.quotes.values() if q.status is QuoteStatus.LIVE and q.expires_at > s.now()]
        in_hand = [q.expires_at - timedelta(seconds=1) for q in live if q.dealer_id in here]
        if s.rfq.cancelling or all(q.dealer_id in here for q in live) or s.now() >= min([latest, *in_hand]):
            s.dealers_back_by = None
        else:
            await s.until(lambda: s.rfq.cancelling, s.in_s(LOOK_S))

"""What dealers say, folded into the block the moment it arrives. Errors raised here go back to the dealer."""

from datetime import datetime

from rfq.domain import events as ev
from rfq.domain.auction import Admission, admit
from rfq.domain.errors import BadInput, NotFound, WrongState
from rfq.domain.fill import Fill, Where
from rfq.domain.quote import (
    Lift,
    LiftStatus,
    Quote,
    QuoteStatus,
    Request,
    RequestStatus,
    dealers_quote_id,
    quote_key,
)
from rfq.domain.rfq import RfqStatus
from rfq.domain.values import FillId, Quantity
from rfq.engine.sourcing import Sourcing, log
from rfq.ports import DealerDeclined, DealerQuoted, DealerWithdrew, LiftAnswered

MOST_LATE = 8
"""Late quotes recorded for each request; more say nothing new, and would grow without bound."""


def take_quote(s: Sourcing, request: Request, said: DealerQuoted, received_at: datetime) -> None:
    """Admits a quote by its arrival stamp and records it. Raises BadInput for one that breaks the rules."""
    quote = Quote(
        quote_id=quote_key(request.request_id, said.quote_id),
        request_id=request.request_id,
        auction_id=request.auction_id,
        dealer_id=request.dealer_id,
        revision=said.revision,
        received_at=received_at,
        market_received_at=s.parts.market_clock.now(),
        mid_at_quote=s.mid,
        expires_at=said.expires_at,
        bid=said.bid,
        offer=said.offer,
        firm=said.firm,
        last_look_s=said.last_look_s,
    )
    before = s.block.quotes.get(quote.quote_id)
    admission = admit(request, quote, before, s.instrument)
    if admission is Admission.REPEATED:
        return
    auctioning = s.rfq.status is RfqStatus.AUCTIONING and not s.rfq.cancelling
    if admission is Admission.LATE or not auctioning:
        if before is None and _may_record_late(s, request):
            s.journal.note(ev.QuoteCameLate(quote))
        raise WrongState("request", request.request_id, "closed", "be quoted any more")
    _refuse_second_quote(s, request, quote)
    s.journal.note(ev.QuoteReceived(quote))


def _may_record_late(s: Sourcing, request: Request) -> bool:
    late = [q for q in s.block.quotes.values() if q.request_id == request.request_id and q.status is QuoteStatus.LATE]
    return not s.rfq.is_over and len(late) < MOST_LATE


def _refuse_second_quote(s: Sourcing, request: Request, quote: Quote) -> None:
    """One live quote for each request: a better price is a revision of it, so that no dealer stands twice."""
    for other in s.block.quotes.values():
        if (
            other.request_id == request.request_id
            and other.quote_id != quote.quote_id
            and other.status is QuoteStatus.LIVE
        ):
            raise BadInput(
                "quote_id",
                dealers_quote_id(quote.quote_id),
                f"must be {dealers_quote_id(other.quote_id)} revised, which stands",
            )


def take_withdrawal(s: Sourcing, request: Request, said: DealerWithdrew) -> None:
    """Takes a quote back while the auction is open. After the close it stands until it expires."""
    quote = s.block.quotes.get(quote_key(request.request_id, said.quote_id))
    if quote is None:
        raise NotFound("quote", said.quote_id)
    if quote.status is QuoteStatus.WITHDRAWN:
        return
    if quote.status is not QuoteStatus.LIVE or s.rfq.status is not RfqStatus.AUCTIONING:
        state = "closed" if quote.status is QuoteStatus.LIVE else quote.status.value
        raise WrongState("quote", quote.quote_id, state, "be withdrawn")
    s.journal.note(ev.QuoteWithdrawn(quote.quote_id))


def take_decline(s: Sourcing, request: Request, said: DealerDeclined) -> None:
    """A decline is a reply: it counts as an answer, and takes a standing quote back."""
    if request.status is RequestStatus.DECLINED:
        return
    if s.rfq.status is not RfqStatus.AUCTIONING:
        raise WrongState("request", request.request_id, "closed", "be declined")
    for quote in s.block.quotes_in(request.auction_id, QuoteStatus.LIVE):
        if quote.request_id == request.request_id:
            s.journal.note(ev.QuoteWithdrawn(quote.quote_id))
    s.journal.note(ev.RequestDeclined(request.request_id, said.reason))


def take_lift_answer(s: Sourcing, lift: Lift, said: LiftAnswered) -> None:
    """Resolves a lift by the dealer's word. Saying the same again is harmless; the opposite is refused.

    A confirmation of more lots than were lifted fills what was lifted; the excess is a break, which stops the RFQ.
    'unknown' (the dealer never saw the lift) answers a status request only, and frees the lots.
    """
    said_yes = said.answer == "confirmed"
    if lift.status in (LiftStatus.CONFIRMED, LiftStatus.REFUSED):
        if said_yes == (lift.status is LiftStatus.CONFIRMED):
            return
        if said_yes:
            late_confirmation(s, lift, said.quantity)
        raise WrongState("lift", lift.lift_id, lift.status.value, f"be {said.answer}")
    if not said_yes:
        if said.answer == "unknown" and lift.status is not LiftStatus.UNKNOWN:
            raise WrongState("lift", lift.lift_id, lift.status.value, "be unknown: no status was asked")
        s.journal.note(ev.LiftRefused(lift.lift_id, said.reason or said.answer))
        log.info("lift refused", rfq_id=s.rfq.rfq_id, dealer=lift.dealer_id, reason=said.reason)
    else:
        confirm(s, lift, said.quantity)
    if s.rfq.needs_person and not s.rfq.stopped and not s.block.lifts_in(LiftStatus.UNKNOWN):
        # A person was wanted because the dealer did not say. Now it has.
        said_so = f"answered by itself: {said.answer}"
        s.journal.note(ev.PersonSettled(f"dealer {lift.dealer_id}", said_so, lift.lift_id))


def late_confirmation(s: Sourcing, lift: Lift, quantity: Quantity | None) -> None:
    """A dealer holds to have traded what was resolved as refused: a fact in dispute, recorded once, for a person."""
    lots = lift.quantity if quantity is None else quantity
    fill = _fill(s, lift, Quantity(lots)).but(fill_id=FillId(f"{fill_id_of(lift)}-break"))
    if lots > 0 and fill.fill_id not in s.block.fills:
        s.journal.note(ev.BreakFound(fill, Quantity(lots)))
        log.error("break", rfq_id=s.rfq.rfq_id, dealer=lift.dealer_id, excess=lots)


def fill_id_of(lift: Lift) -> FillId:
    """One lift, one fill, one name: what is confirmed twice is still one trade."""
    return FillId(f"fill-{lift.lift_id}")


def confirm(s: Sourcing, lift: Lift, quantity: Quantity | None = None) -> None:
    """Records the trade, and a break for any lots beyond those lifted."""
    lots = lift.quantity if quantity is None else quantity
    if lots <= 0:
        raise BadInput("quantity", lots, "must be positive in a confirmation")
    fill = _fill(s, lift, Quantity(min(lots, lift.quantity)))
    if lots <= lift.quantity:
        s.journal.note(ev.LiftConfirmed(lift.lift_id, fill))
        return
    excess = Quantity(lots - lift.quantity)
    beyond = fill.but(fill_id=FillId(f"{fill.fill_id}-break"), quantity=excess)
    # One group: a crash must not keep the trade and forget the break.
    s.journal.note(ev.LiftConfirmed(lift.lift_id, fill), ev.BreakFound(beyond, excess))
    log.error("break", rfq_id=s.rfq.rfq_id, dealer=lift.dealer_id, excess=excess)


def _fill(s: Sourcing, lift: Lift, lots: Quantity) -> Fill:
    return Fill(
        fill_id=fill_id_of(lift),
        rfq_id=lift.rfq_id,
        symbol=lift.symbol,
        side=lift.side,
        price=lift.price,
        quantity=lots,
        where=Where.QUOTE,
        venue=lift.dealer_id,
        filled_at=s.now(),
        market_filled_at=s.parts.market_clock.now(),
        mid_at_fill=s.market.mid,
        dealer_id=lift.dealer_id,
        lift_id=lift.lift_id,
    )

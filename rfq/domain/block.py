"""A block: one RFQ's events folded into its nouns, with every lot accounted for at every instant."""

from collections.abc import Iterable

from rfq.domain import events as ev
from rfq.domain.award import Auction
from rfq.domain.errors import Inconsistent
from rfq.domain.fill import Fill
from rfq.domain.holdings import Holdings, Noun, known
from rfq.domain.lifecycle import advance
from rfq.domain.order import ParentOrder
from rfq.domain.quote import QUOTE_TABLE, Lift, LiftStatus, Quote, QuoteStatus
from rfq.domain.rfq import RFQ_TABLE, Rfq, RfqStatus
from rfq.domain.values import NO_LOTS, LiftId, Quantity


class Block(Holdings):
    """The fold. Nouns are immutable and held by id; `apply` swaps them and says which it touched.

    One block has one owner (the engine's task, or a rebuild). A rejected event leaves it exactly as it was: every
    `apply` works on drafts and commits them only at its end.
    """

    def apply(self, stamped: ev.Stamped) -> tuple[Noun, ...]:
        """Folds one event in and returns the nouns it changed, the RFQ first.

        Raises IllegalTransition or Inconsistent with nothing changed.
        """
        if stamped.sequence != self.sequence + 1:
            raise Inconsistent(f"event {stamped.sequence} after {self.sequence}")
        touched = self._fold(stamped)
        rfq = next((n for n in touched if isinstance(n, Rfq)), self.rfq if self._rfq else None)
        if rfq is None:
            raise Inconsistent(f"{type(stamped.event).__name__} before RfqReceived")
        rfq = rfq.but(sequence=stamped.sequence)
        _check_lots(rfq)
        rest = tuple(n for n in touched if not isinstance(n, Rfq))
        self.sequence = stamped.sequence
        self._rfq = rfq
        for noun in rest:
            self.hold(noun)
        self._note(stamped.event)
        return rfq, *rest

    # --- one case an event: returns drafts, changes nothing ---------------------------------------------------

    def _fold(self, stamped: ev.Stamped) -> tuple[Noun, ...]:
        event = stamped.event
        match event:
            case ev.RfqReceived():
                return (self._receive(event, stamped),)
            case ev.RfqRejected(reason=reason):
                return (self._rfq_to("reject", reason=reason),)
            case ev.CancelRequested():
                return (self.rfq.but(cancelling=True),)
            case ev.RfqCancelled(reason=reason):
                return (self._end("cancel", reason),)
            case ev.RfqExpired(reason=reason):
                return (self._end("expire", reason),)
            case ev.RfqDone(reason=reason):
                return (self._end("finish", reason),)
            case ev.PersonNeeded(reason=reason):
                return (self.rfq.but(needs_person=reason),)
            case ev.PersonSettled(lift_id=None, child_id=None):
                return (self.rfq.but(needs_person="", stopped=False),)
            case ev.PersonSettled():
                open_still = self.rfq.stopped or self.lifts_in(LiftStatus.UNKNOWN)
                return (self.rfq.but(needs_person=self.rfq.needs_person if open_still else ""),)
            case ev.PanelScored(selection=selection):
                return (selection,)
            case ev.AuctionOpened(auction_id=auction_id):
                auction = Auction(auction_id, self.rfq.rfq_id, stamped.session_at, stamped.session_at)
                return self._rfq_to("open_auction"), auction
            case ev.DealersAsked():
                self._still_on("ask")
                auction = self._auction_to(event.auction_id, "ask")
                if any(r.request_id in self.requests for r in event.requests):
                    raise Inconsistent("a request id was used twice")
                asked = auction.asked + len(event.requests)
                return auction.but(waves=event.wave, deadline=event.deadline, asked=asked), *event.requests
            case ev.RequestsUnreached(request_ids=ids):
                return tuple(self._request_to(i, "miss") for i in ids)
            case ev.RequestDeclined(request_id=request_id, reason=reason):
                request = self._request_to(request_id, "decline")
                return (request.but(reason=reason, answered_at=stamped.session_at),)
            case ev.QuoteReceived(quote=quote):
                return self._quote(quote)
            case ev.QuoteCameLate(quote=quote):
                if quote.quote_id in self.quotes:
                    return ()  # A late revision: the event is its record; the quote that stands is not touched.
                return (quote.but(status=QuoteStatus.LATE),)
            case ev.QuoteWithdrawn(quote_id=quote_id):
                return (self._quote_to(quote_id, "withdraw"),)
            case ev.QuotesExpired(quote_ids=ids):
                return tuple(self._quote_to(i, "expire") for i in ids)
            case ev.QuotesLost(quote_ids=ids):
                return tuple(self._quote_to(i, "lose") for i in ids)
            case ev.AuctionClosed(auction_id=auction_id, silent=silent):
                auction = self._auction_to(auction_id, "close").but(closed_at=stamped.session_at)
                return self._rfq_to("close_auction"), auction, *(self._request_to(i, "lapse") for i in silent)
            case ev.AwardDecided(award=award):
                if self.rfq.side not in (None, award.side):
                    raise Inconsistent(f"award to {award.side.value} on a request to {self.rfq.side}")
                return self.rfq.but(side=award.side), self._auction_to(award.auction_id, "award"), award
            case ev.QuoteLifted(lift=lift):
                return self._lift(lift)
            case ev.LiftConfirmed(lift_id=lift_id, fill=fill):
                return self._confirm(lift_id, fill)
            case ev.LiftRefused(lift_id=lift_id, reason=reason):
                lift = self._lift_to(lift_id, "refuse").but(reason=reason)
                rfq = self._move(lift.quantity, "reserved", "unfilled")
                return rfq, lift, self._quote_to(lift.quote_id, "refuse")
            case ev.LiftUnknown(lift_id=lift_id, reason=reason):
                lift = self._lift_to(lift_id, "lose_contact").but(reason=reason)
                return lift, self._quote_to(lift.quote_id, "lose_contact")
            case ev.AuctionSettled(auction_id=auction_id, best=best, cover=cover):
                return (self._auction_to(auction_id, "settle").but(best=best, cover=cover),)
            case ev.LosersTold(auction_id=auction_id, notices=notices):
                neutral = all(n.kind is ev.NoticeKind.EXPIRED for n in notices)
                auction = self._auction(auction_id)
                return (auction.but(neutral_told=True) if neutral else auction.but(outcome_told=True),)
            case ev.BreakFound(fill=fill, excess=excess):
                if fill.fill_id in self.fills or not 0 < fill.quantity == excess:
                    raise Inconsistent(f"break {fill.fill_id} must hold the excess lots, once")
                reason = f"break: {fill.venue} filled more than asked"
                return self.rfq.but(needs_person=reason, stopped=True), fill
            case ev.ParentCreated(order=order):
                return self._open_parent(order)
            case ev.ParentDone(parent_id=parent_id):
                left = known("open parent", self.open_parents.get(parent_id), parent_id)
                return (self._move(left, "working", "unfilled"),)
            case ev.ChildFilled(fill=fill):
                return self._work_fill(fill)
            case ev.SliceDecided(parent_id=parent_id):
                known("parent", self.parents.get(parent_id), parent_id)
                return ()
            case (
                ev.MarkOutsTaken()
                | ev.TradeAcknowledged()
                | ev.BenchmarksWorked()
                | ev.KillSwitchThrown()
                | ev.KillSwitchReleased()
                | ev.LimitSet()
                | ev.ModelLoaded()
            ):
                raise Inconsistent(f"{type(event).__name__} does not belong to an RFQ's stream")
            case _:
                return ()  # The rest of a parent's and a child's life moves no lots: lit_router folds it.

    def _receive(self, event: ev.RfqReceived, stamped: ev.Stamped) -> Rfq:
        if self._rfq is not None:
            raise Inconsistent(f"RFQ {event.rfq_id} received twice")
        leg = event.terms.leg
        return Rfq(
            rfq_id=event.rfq_id,
            desk_id=event.desk_id,
            terms=event.terms,
            arrival=event.arrival,
            received_at=stamped.session_at,
            market_received_at=stamped.market_at,
            side=leg.desk_side,
            unfilled=leg.quantity,
        )

    def _quote(self, quote: Quote) -> tuple[Noun, ...]:
        request = self.requests.get(quote.request_id)
        if request is None or request.dealer_id != quote.dealer_id:
            raise Inconsistent(f"quote {quote.quote_id} answers no request of {quote.dealer_id}")
        if quote.received_at > request.deadline:
            raise Inconsistent(f"quote {quote.quote_id} came after its deadline")
        before = self.quotes.get(quote.quote_id)
        if before is not None:
            if before.dealer_id != quote.dealer_id or quote.revision <= before.revision:
                raise Inconsistent(f"quote {quote.quote_id} revision {quote.revision} after {before.revision}")
            quote = quote.but(status=advance(f"quote {quote.quote_id}", QUOTE_TABLE, before.status, "revise"))
        answered = request.answered_at or quote.received_at
        return self._request_to(quote.request_id, "quote").but(answered_at=answered), quote

    def _lift(self, lift: Lift) -> tuple[Noun, ...]:
        self._still_on("lift")
        if lift.lift_id in self.lifts:
            raise Inconsistent(f"lift {lift.lift_id} recorded twice")
        quote = self._quote_to(lift.quote_id, "lift")
        offered = quote.for_desk(lift.side)
        if quote.revision != lift.revision or offered is None or offered.price != lift.price:
            raise Inconsistent(f"lift {lift.lift_id} names what quote {lift.quote_id} does not say")
        if (quote.auction_id, quote.dealer_id) != (lift.auction_id, lift.dealer_id) or self.rfq.side != lift.side:
            raise Inconsistent(f"lift {lift.lift_id} is not of the auction, dealer or side that was awarded")
        if not max(1, offered.min_quantity) <= lift.quantity <= offered.quantity:
            raise Inconsistent(f"lift {lift.lift_id} of {lift.quantity} lots is outside the quote's quantity")
        return self._move(lift.quantity, "unfilled", "reserved"), lift, quote

    def _confirm(self, lift_id: LiftId, fill: Fill) -> tuple[Noun, ...]:
        lift = self._lift_to(lift_id, "confirm")
        matches = 0 < fill.quantity <= lift.quantity and (fill.price, fill.side) == (lift.price, lift.side)
        if fill.fill_id in self.fills or not matches:
            raise Inconsistent(f"confirmation of lift {lift_id} does not match it")
        rfq = self._move(fill.quantity, "reserved", "filled")
        rest = lift.quantity - fill.quantity
        rfq = rfq.but(reserved=Quantity(rfq.reserved - rest), unfilled=Quantity(rfq.unfilled + rest))
        return rfq, lift, self._quote_to(lift.quote_id, "confirm"), fill

    def _open_parent(self, order: ParentOrder) -> tuple[Noun, ...]:
        if order.parent_id in self.parents:
            raise Inconsistent(f"parent {order.parent_id} created twice")
        rfq = self._move(order.quantity, "unfilled", "working")
        if order.quantity <= NO_LOTS or rfq.side not in (None, order.side):
            raise Inconsistent(f"parent {order.parent_id} to {order.side.value} {order.quantity} lots")
        status = rfq.status
        if status is not RfqStatus.WORKING:
            status = advance(f"RFQ {rfq.rfq_id}", RFQ_TABLE, status, "work_residual")
        return rfq.but(status=status, side=order.side), order

    def _work_fill(self, fill: Fill) -> tuple[Noun, ...]:
        if fill.fill_id in self.fills:
            raise Inconsistent(f"fill {fill.fill_id} recorded twice")
        if fill.parent_id is None or fill.parent_id not in self.parents:
            raise Inconsistent(f"fill {fill.fill_id} has no parent here")
        # A fill after the parent's end comes out of what was given back.
        open_lots = self.open_parents.get(fill.parent_id)
        if fill.quantity <= NO_LOTS or (open_lots is not None and fill.quantity > open_lots):
            raise Inconsistent(f"fill {fill.fill_id} of {fill.quantity} lots, with {open_lots} left to parent")
        return self._move(fill.quantity, "unfilled" if open_lots is None else "working", "filled"), fill


def _check_lots(rfq: Rfq) -> None:
    parts = (rfq.filled, rfq.reserved, rfq.working, rfq.unfilled)
    if min(parts) < NO_LOTS or sum(parts) != rfq.terms.leg.quantity:
        raise Inconsistent(f"RFQ {rfq.rfq_id}: {parts} lots do not add up to {rfq.terms.leg.quantity}")


def fold(history: Iterable[ev.Stamped]) -> Block:
    """The block after a whole history. Raises as `Block.apply` does."""
    block = Block()
    for stamped in history:
        block.apply(stamped)
    return block

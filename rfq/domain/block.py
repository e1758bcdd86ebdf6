"""A block: one RFQ's events folded into its nouns, with every lot accounted for at every instant."""

from collections.abc import Iterable
from typing import TypeAlias, TypeVar

from rfq.domain import events as ev
from rfq.domain.award import AUCTION_TABLE, Auction, Award
from rfq.domain.errors import IllegalTransition, Inconsistent
from rfq.domain.fill import Fill
from rfq.domain.lifecycle import advance
from rfq.domain.order import ParentOrder
from rfq.domain.quote import (
    LIFT_TABLE,
    QUOTE_TABLE,
    REQUEST_TABLE,
    Lift,
    LiftStatus,
    Quote,
    QuoteStatus,
    Request,
)
from rfq.domain.rfq import RFQ_TABLE, Rfq, RfqStatus
from rfq.domain.selection import Selection
from rfq.domain.values import (
    NO_LOTS,
    AuctionId,
    FillId,
    LiftId,
    ParentId,
    Quantity,
    QuoteId,
    RequestId,
)

T = TypeVar("T")

Noun: TypeAlias = Rfq | Auction | Request | Quote | Award | Lift | Fill | Selection | ParentOrder


class Block:
    """The fold. Nouns are immutable and held by id; `apply` swaps them and says which it touched.

    One block has one owner (the engine's task, or a rebuild). A rejected event leaves it exactly as it was: every
    `apply` works on drafts and commits them only at its end.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self._rfq: Rfq | None = None
        self.auctions: dict[AuctionId, Auction] = {}
        self.requests: dict[RequestId, Request] = {}
        self.quotes: dict[QuoteId, Quote] = {}
        self.lifts: dict[LiftId, Lift] = {}
        self.fills: dict[FillId, Fill] = {}
        self.breaks: set[FillId] = set()
        """Fills beyond what was asked for: facts in dispute, which count in no lots."""
        self.awards: list[Award] = []
        self.parents: dict[ParentId, ParentOrder] = {}
        self.open_parents: dict[ParentId, Quantity] = {}
        """Lots of each unfinished parent that are neither filled nor given back."""
        self.selection: Selection | None = None

    @property
    def rfq(self) -> Rfq:
        if self._rfq is None:
            raise Inconsistent("the block has no RfqReceived yet")
        return self._rfq

    @property
    def auction(self) -> Auction | None:
        """The latest auction."""
        return next(reversed(self.auctions.values()), None)

    @property
    def award(self) -> Award | None:
        """The latest award."""
        return self.awards[-1] if self.awards else None

    def lifts_in(self, *states: LiftStatus) -> list[Lift]:
        return [lift for lift in self.lifts.values() if lift.status in states]

    def quotes_in(self, auction_id: AuctionId, *states: QuoteStatus) -> list[Quote]:
        return [q for q in self.quotes.values() if q.auction_id == auction_id and q.status in states]

    def requests_of(self, auction_id: AuctionId) -> list[Request]:
        return [r for r in self.requests.values() if r.auction_id == auction_id]

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
            self._hold(noun)
        self._note_open_lots(stamped.event)
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
            case ev.PersonSettled():
                return (self.rfq.but(needs_person="", stopped=False),)
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
                left = _known("open parent", self.open_parents.get(parent_id), parent_id)
                return (self._move(left, "working", "unfilled"),)
            case ev.ChildFilled(fill=fill):
                return self._work_fill(fill)
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

    # --- small steps -------------------------------------------------------------------------------------------

    def _move(self, lots: Quantity, source: str, target: str) -> Rfq:
        rfq = self.rfq
        held, gains = int(getattr(rfq, source)), int(getattr(rfq, target))
        if not 0 <= lots <= held:
            raise Inconsistent(f"RFQ {rfq.rfq_id}: {lots} lots from {source}, which holds {held}")
        return rfq.but(**{source: held - lots, target: gains + lots})

    def _still_on(self, event: str) -> None:
        """No new risk on a request that is over."""
        if self.rfq.is_over:
            raise IllegalTransition(f"RFQ {self.rfq.rfq_id}", self.rfq.status.value, event)

    def _end(self, event: str, reason: str) -> Rfq:
        if self.rfq.reserved or self.rfq.working:
            raise Inconsistent(f"RFQ {self.rfq.rfq_id} cannot end with lots reserved or working")
        return self._rfq_to(event, reason=reason)

    def _rfq_to(self, event: str, **changes: object) -> Rfq:
        status = advance(f"RFQ {self.rfq.rfq_id}", RFQ_TABLE, self.rfq.status, event)
        return self.rfq.but(status=status, **changes)

    def _auction(self, auction_id: AuctionId) -> Auction:
        return _known("auction", self.auctions.get(auction_id), auction_id)

    def _auction_to(self, auction_id: AuctionId, event: str) -> Auction:
        auction = self._auction(auction_id)
        return auction.but(status=advance(f"auction {auction_id}", AUCTION_TABLE, auction.status, event))

    def _request_to(self, request_id: RequestId, event: str) -> Request:
        request = _known("request", self.requests.get(request_id), request_id)
        return request.but(status=advance(f"request {request_id}", REQUEST_TABLE, request.status, event))

    def _quote_to(self, quote_id: QuoteId, event: str) -> Quote:
        quote = _known("quote", self.quotes.get(quote_id), quote_id)
        return quote.but(status=advance(f"quote {quote_id}", QUOTE_TABLE, quote.status, event))

    def _lift_to(self, lift_id: LiftId, event: str) -> Lift:
        lift = _known("lift", self.lifts.get(lift_id), lift_id)
        return lift.but(status=advance(f"lift {lift_id}", LIFT_TABLE, lift.status, event))

    def _hold(self, noun: Noun) -> None:
        match noun:
            case Auction():
                self.auctions[noun.auction_id] = noun
            case Request():
                self.requests[noun.request_id] = noun
            case Quote():
                self.quotes[noun.quote_id] = noun
            case Lift():
                self.lifts[noun.lift_id] = noun
            case Fill():
                self.fills[noun.fill_id] = noun
            case Award():
                self.awards.append(noun)
            case Selection():
                self.selection = noun
            case ParentOrder():
                self.parents[noun.parent_id] = noun
                self.open_parents[noun.parent_id] = noun.quantity
            case Rfq():
                self._rfq = noun

    def _note_open_lots(self, event: ev.AnyEvent) -> None:
        match event:
            case ev.ChildFilled(fill=fill) if fill.parent_id and fill.parent_id in self.open_parents:
                self.open_parents[fill.parent_id] = Quantity(self.open_parents[fill.parent_id] - fill.quantity)
            case ev.ParentDone(parent_id=parent_id):
                del self.open_parents[parent_id]
            case ev.BreakFound(fill=fill):
                self.breaks.add(fill.fill_id)
            case _:
                pass


def _known(noun: str, found: T | None, identity: str) -> T:
    if found is None:
        raise Inconsistent(f"no {noun} {identity} here")
    return found


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

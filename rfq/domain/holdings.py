"""What a block holds: its nouns by id, and drafts of what each becomes. Nothing here decides what an event means."""

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
from rfq.domain.rfq import RFQ_TABLE, Rfq
from rfq.domain.selection import Selection
from rfq.domain.slicing import Sliced, after
from rfq.domain.values import AuctionId, FillId, LiftId, ParentId, Quantity, QuoteId, RequestId

T = TypeVar("T")

Noun: TypeAlias = Rfq | Auction | Request | Quote | Award | Lift | Fill | Selection | ParentOrder


class Holdings:
    """The nouns of one block. Immutable themselves; `hold` swaps them."""

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
        self.sliced: dict[ParentId, Sliced] = {}
        """How the slices of each parent that a learned policy works were decided."""
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

    # --- drafts: what a noun becomes, changing nothing ---

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
        return known("auction", self.auctions.get(auction_id), auction_id)

    def _auction_to(self, auction_id: AuctionId, event: str) -> Auction:
        auction = self._auction(auction_id)
        return auction.but(status=advance(f"auction {auction_id}", AUCTION_TABLE, auction.status, event))

    def _request_to(self, request_id: RequestId, event: str) -> Request:
        request = known("request", self.requests.get(request_id), request_id)
        return request.but(status=advance(f"request {request_id}", REQUEST_TABLE, request.status, event))

    def _quote_to(self, quote_id: QuoteId, event: str) -> Quote:
        quote = known("quote", self.quotes.get(quote_id), quote_id)
        return quote.but(status=advance(f"quote {quote_id}", QUOTE_TABLE, quote.status, event))

    def _lift_to(self, lift_id: LiftId, event: str) -> Lift:
        lift = known("lift", self.lifts.get(lift_id), lift_id)
        return lift.but(status=advance(f"lift {lift_id}", LIFT_TABLE, lift.status, event))

    def hold(self, noun: Noun) -> None:
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

    def _note(self, event: ev.AnyEvent) -> None:
        match event:
            case ev.ChildFilled(fill=fill) if fill.parent_id and fill.parent_id in self.open_parents:
                self.open_parents[fill.parent_id] = Quantity(self.open_parents[fill.parent_id] - fill.quantity)
            case ev.ParentDone(parent_id=parent_id):
                del self.open_parents[parent_id]
            case ev.BreakFound(fill=fill):
                self.breaks.add(fill.fill_id)
            case ev.SliceDecided(parent_id=parent_id, decision=decision):
                self.sliced[parent_id] = after(self.sliced.get(parent_id), decision)
            case _:
                pass


def known(noun: str, found: T | None, identity: str) -> T:
    if found is None:
        raise Inconsistent(f"no {noun} {identity} here")
    return found

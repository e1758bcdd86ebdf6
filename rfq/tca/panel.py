"""Who was asked, why, what each answered and what became of it: the auction half of the best-execution record."""

from decimal import Decimal

from rfq.domain.award import Auction
from rfq.domain.block import Block
from rfq.domain.quote import Lift, LiftStatus, Quote, QuoteStatus, Request, RequestStatus
from rfq.domain.selection import QUANTILES, DealerScore, WaveDecision
from rfq.domain.values import AuctionId, DealerId, Frozen, Instrument, Price, Quantity, RequestId, Side


class DealerAsked(Frozen, frozen=True):
    """One dealer asked once. Costs in bps, positive when worse for the desk; quantities in shares."""

    dealer_id: DealerId
    request_id: RequestId
    auction_id: AuctionId
    wave: int
    propensity: float
    explored: bool
    """Owes its place to the logged randomisation."""
    expected_rank: int | None
    """Place in the ranking by expected cost, from 1."""
    expected_response: float | None
    expected_cost_bps: float | None
    """Median of the predicted quote, against mid."""
    expected_leakage_bps: float | None
    reasons: dict[str, float]
    fallback: str
    outcome: RequestStatus
    reason: str
    late: bool
    response_s: float | None
    expected_response_s: float | None
    price: Decimal | None
    revision: int | None
    firm: bool | None
    cost_bps: float | None
    """Price against arrival."""
    spread_bps: float | None
    """Price against the mid when it was given."""
    quote_status: QuoteStatus | None
    lifted: Decimal
    confirmed: Decimal
    faded: bool
    """Refused a lift of its quote."""


class AuctionReport(Frozen, frozen=True):
    """One auction in counts of dealers, and how close it was."""

    auction_id: AuctionId
    waves: int
    asked: int
    quoted: int
    declined: int
    silent: int
    unreached: int
    late: int
    fades: int
    unknown: int
    best: Decimal | None
    """The best price that traded."""
    cover: Decimal | None
    best_to_cover_bps: float | None
    """How much worse the best price that did not win was, in bps of arrival; below 0 if one was passed over."""
    decisions: tuple[WaveDecision, ...] = ()
    """Whether a further wave was asked, each time that this was weighed, and why."""


class PassedOver(Frozen, frozen=True):
    """A quote better than the worst price that traded, which did not trade itself, and what became of it."""

    dealer_id: DealerId
    price: Decimal
    quantity: Decimal
    status: QuoteStatus


class Panel:
    """Reads one block's auctions. The side is the desk's; without one (a two-way request not awarded) no costs."""

    def __init__(self, block: Block, instrument: Instrument) -> None:
        self._block, self._instrument = block, instrument
        self._side, self._arrival = block.rfq.side, block.rfq.arrival.mid
        selection = block.selection
        self._ranking = {s.dealer_id: (n, s) for n, s in enumerate(selection.ranking, 1)} if selection else {}
        self._explored = frozenset(selection.explored) if selection else frozenset[DealerId]()

    def dealers(self) -> tuple[DealerAsked, ...]:
        return tuple(self._dealer(request) for request in self._block.requests.values())

    def auctions(self) -> tuple[AuctionReport, ...]:
        return tuple(self._auction(auction) for auction in self._block.auctions.values())

    def passed_over(self) -> tuple[PassedOver, ...]:
        side = self._side
        traded = [x.price for x in self._block.lifts.values() if x.status is LiftStatus.CONFIRMED]
        if side is None or not traded:
            return ()
        worst = max(traded, key=lambda price: side.sign * price)
        found: list[PassedOver] = []
        for quote in self._block.quotes.values():
            offered = quote.for_desk(side)
            if offered and quote.status is not QuoteStatus.CONFIRMED and side.sign * (offered.price - worst) < 0:
                price, shares = self._money(offered.price), self._shares(offered.quantity)
                found.append(PassedOver(quote.dealer_id, price, shares, quote.status))
        return tuple(found)

    def _dealer(self, request: Request) -> DealerAsked:
        quotes = [q for q in self._block.quotes.values() if q.request_id == request.request_id]
        lifts = [x for x in self._block.lifts.values() if x.request_id == request.request_id]
        quote = _that_counts(quotes, lifts)
        price = _price(quote, self._side) if quote else None
        rank, score = self._ranking.get(request.dealer_id, (None, None))
        filled = [f for f in self._block.fills.values() if f.fill_id not in self._block.breaks]
        ids = {x.lift_id for x in lifts}
        return DealerAsked(
            dealer_id=request.dealer_id,
            request_id=request.request_id,
            auction_id=request.auction_id,
            wave=request.wave,
            propensity=request.propensity,
            explored=request.dealer_id in self._explored,
            expected_rank=rank,
            expected_response=score.response_probability if score else None,
            expected_cost_bps=_median(score) if score else None,
            expected_leakage_bps=score.leakage_bps if score else None,
            reasons=score.reasons if score else {},
            fallback=score.fallback if score else "",
            outcome=request.status,
            reason=request.reason,
            late=any(q.status is QuoteStatus.LATE for q in quotes),
            response_s=(request.answered_at - request.asked_at).total_seconds() if request.answered_at else None,
            expected_response_s=score.response_s if score else None,
            price=None if price is None else self._money(price),
            revision=quote.revision if quote else None,
            firm=quote.firm if quote else None,
            cost_bps=self._bps(price, self._arrival),
            spread_bps=self._bps(price, quote.mid_at_quote) if quote else None,
            quote_status=quote.status if quote else None,
            lifted=self._shares(sum(x.quantity for x in lifts)),
            confirmed=self._shares(sum(f.quantity for f in filled if f.lift_id in ids)),
            faded=any(x.status is LiftStatus.REFUSED for x in lifts),
        )

    def _auction(self, auction: Auction) -> AuctionReport:
        requests = self._block.requests_of(auction.auction_id)
        lifts = [x for x in self._block.lifts.values() if x.auction_id == auction.auction_id]
        late = {q.dealer_id for q in self._block.quotes_in(auction.auction_id, QuoteStatus.LATE)}

        def count(status: RequestStatus) -> int:
            return sum(r.status is status for r in requests)

        best, cover = auction.best, auction.cover
        return AuctionReport(
            auction_id=auction.auction_id,
            waves=auction.waves,
            asked=len(requests),
            quoted=count(RequestStatus.QUOTED),
            declined=count(RequestStatus.DECLINED),
            silent=count(RequestStatus.SILENT),
            unreached=count(RequestStatus.UNREACHED),
            late=len(late),
            fades=sum(x.status is LiftStatus.REFUSED for x in lifts),
            unknown=sum(x.status is LiftStatus.UNKNOWN for x in lifts),
            best=None if best is None else self._money(best),
            cover=None if cover is None else self._money(cover),
            best_to_cover_bps=None if best is None or cover is None else self._bps(cover, best, self._arrival),
            decisions=auction.decisions,
        )

    def _bps(self, price: Price | None, against: Price, base: Price | None = None) -> float | None:
        """Cost of `price` against another, positive when worse for the desk, in bps of `base` or of that other."""
        if price is None or self._side is None:
            return None
        return self._side.sign * (price - against) / (against if base is None else base) * 1e4

    def _money(self, price: Price) -> Decimal:
        return price * self._instrument.price_unit

    def _shares(self, lots: int | Quantity) -> Decimal:
        return lots * self._instrument.lot


def _that_counts(quotes: list[Quote], lifts: list[Lift]) -> Quote | None:
    """The quote that was lifted, else the last that was in time, else none: a late one is told apart."""
    lifted = {x.quote_id for x in lifts}
    in_time = [q for q in quotes if q.status is not QuoteStatus.LATE]
    return next((q for q in in_time if q.quote_id in lifted), in_time[-1] if in_time else None)


def _price(quote: Quote, side: Side | None) -> Price | None:
    offered = quote.for_desk(side) if side else None
    return offered.price if offered else None


def _median(score: DealerScore) -> float:
    return score.quote_cost_bps[QUANTILES.index(0.5)]

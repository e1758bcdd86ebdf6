"""The sealed auction as pure functions: admit, rank, cover. Stages are types: Quote -> RankedQuote -> Allocation."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from rfq.domain.errors import BadInput
from rfq.domain.events import Notice, NoticeKind
from rfq.domain.quote import Quote, QuoteSide, QuoteStatus, Request, RequestStatus
from rfq.domain.rfq import RequestSide
from rfq.domain.values import DealerId, Frozen, Instrument, Price, Quantity, QuoteId, Side

STOOD = frozenset({QuoteStatus.LIVE, QuoteStatus.LOST, QuoteStatus.EXPIRED})
"""Quotes that were good at the close and did not trade."""


class Admission(StrEnum):
    """What becomes of a quote on arrival."""

    NEW = "new"
    REVISED = "revised"
    REPEATED = "repeated"
    """The same revision again: resending is harmless."""
    LATE = "late"


def admit(request: Request, quote: Quote, before: Quote | None, instrument: Instrument) -> Admission:
    """Decides on a quote by its arrival stamp alone, however late the loop gets to it.

    A quote stamped at the deadline or before counts; one stamped after never wins. Raises BadInput, naming field and
    rule, for a quote that breaks the request or the instrument's rules; it is then not recorded as a quote.
    """
    for name, side in (("bid", quote.bid), ("offer", quote.offer)):
        if side is not None and not instrument.on_tick(side.price):
            raise BadInput(f"{name}.price", instrument.format_price(side.price), "must be on the tick")
    wanted = {
        RequestSide.BUY: quote.offer is not None,
        RequestSide.SELL: quote.bid is not None,
        RequestSide.TWO_WAY: quote.bid is not None and quote.offer is not None,
    }
    if not wanted[request.side]:
        missing = {RequestSide.BUY: "offer", RequestSide.SELL: "bid", RequestSide.TWO_WAY: "bid and offer"}
        raise BadInput(missing[request.side], None, f"is needed: the request is {request.side.value}")
    if before is not None:  # Before the expiry is looked at: resending what has meanwhile expired is harmless too.
        if before.dealer_id != quote.dealer_id or before.request_id != quote.request_id:
            raise BadInput("quote_id", quote.quote_id, "belongs to another request")
        if quote.revision == before.revision:
            return Admission.REPEATED
        if quote.revision < before.revision:
            raise BadInput("revision", quote.revision, f"must be above {before.revision}")
    if quote.expires_at <= quote.received_at:
        raise BadInput("expires_at", quote.expires_at.isoformat(), "must lie in the future")
    if quote.received_at > request.deadline:
        return Admission.LATE
    if before is not None:
        if before.status is not QuoteStatus.LIVE:
            raise BadInput("quote_id", quote.quote_id, f"is {before.status.value} and cannot be revised")
        return Admission.REVISED
    return Admission.NEW


class RankedQuote(Frozen, frozen=True):
    """A quote as it stands in the ranking for one side. `rank` 1 is the best."""

    rank: int
    quote_id: QuoteId
    revision: int
    dealer_id: DealerId
    price: Price
    quantity: Quantity
    min_quantity: Quantity
    firm: bool


def rank(quotes: Iterable[Quote], side: Side, at: datetime, limit: Price | None = None) -> tuple[RankedQuote, ...]:
    """Live quotes on `side` within the desk's hidden limit and unexpired at `at`, best first.

    Written tie-break, in order: better price, larger quantity, firm before last look, earlier arrival of the revision
    that stands, dealer id. A dealer with several live quotes competes with the best of them only. The order in which
    `quotes` are given plays no part.
    """
    eligible = _in_order((q for q in quotes if q.status is QuoteStatus.LIVE and q.expires_at > at), side)
    ranked: list[RankedQuote] = []
    seen: set[DealerId] = set()
    for quote, offered in eligible:
        beyond = limit is not None and side.sign * (offered.price - limit) > 0
        if beyond or quote.dealer_id in seen:
            continue
        seen.add(quote.dealer_id)
        ranked.append(
            RankedQuote(
                rank=len(ranked) + 1,
                quote_id=quote.quote_id,
                revision=quote.revision,
                dealer_id=quote.dealer_id,
                price=offered.price,
                quantity=offered.quantity,
                min_quantity=offered.min_quantity,
                firm=quote.firm,
            )
        )
    return tuple(ranked)


def _in_order(quotes: Iterable[Quote], side: Side) -> list[tuple[Quote, QuoteSide]]:
    """Quotes that have this side, best first by the written tie-break."""
    pairs = [(quote, offered) for quote in quotes if (offered := quote.for_desk(side)) is not None]
    return sorted(
        pairs,
        key=lambda pair: (
            side.sign * pair[1].price,
            -pair[1].quantity,
            not pair[0].firm,
            pair[0].received_at,
            pair[0].dealer_id,
            pair[0].quote_id,
        ),
    )


def cover(quotes: Iterable[Quote], side: Side) -> Price | None:
    """The best price on `side` among dealers that won nothing: what the desk would have paid without the winners."""
    quotes = list(quotes)
    winners = {q.dealer_id for q in quotes if q.status is QuoteStatus.CONFIRMED}
    losing = _in_order((q for q in quotes if q.status in STOOD and q.dealer_id not in winners), side)
    return losing[0][1].price if losing else None


def best_won(quotes: Iterable[Quote], side: Side) -> Price | None:
    """The best price among confirmed quotes."""
    prices = [
        offered.price
        for quote in quotes
        if quote.status is QuoteStatus.CONFIRMED and (offered := quote.for_desk(side)) is not None
    ]
    return min(prices, key=lambda price: side.sign * price, default=None)


def silent(requests: Iterable[Request]) -> tuple[Request, ...]:
    """Those who were asked and have not answered."""
    return tuple(r for r in requests if r.status in (RequestStatus.ASKED, RequestStatus.UNREACHED))


def neutral_notices(requests: Sequence[Request], winners: frozenset[DealerId]) -> tuple[Notice, ...]:
    """'Expired' for everyone who was asked and did not win: says that it is over, and not how."""
    return tuple(Notice(r.request_id, r.dealer_id, NoticeKind.EXPIRED) for r in requests if r.dealer_id not in winners)


def outcome_notices(
    requests: Sequence[Request], quotes: Sequence[Quote], winners: frozenset[DealerId], side: Side | None
) -> tuple[Notice, ...]:
    """'Cover' for the dealer with the best losing price if anything traded, 'done away' for the other quoters,
    'expired' for those who did not quote or if nothing traded."""
    traded = bool(winners) and side is not None
    quoted = {q.dealer_id for q in quotes if q.status is not QuoteStatus.LATE}
    second = None
    if traded and side is not None:
        losing = _in_order((q for q in quotes if q.status in STOOD and q.dealer_id not in winners), side)
        second = losing[0][0].dealer_id if losing else None
    notices: list[Notice] = []
    for request in requests:
        if request.dealer_id in winners:
            continue
        if traded and request.dealer_id == second:
            kind = NoticeKind.COVER
        elif traded and request.dealer_id in quoted:
            kind = NoticeKind.DONE_AWAY
        else:
            kind = NoticeKind.EXPIRED
        notices.append(Notice(request.request_id, request.dealer_id, kind))
    return tuple(notices)

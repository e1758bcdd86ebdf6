"""Telling those who did not win: when, and how much. Notices leak too."""

from rfq.domain import events as ev
from rfq.domain.auction import neutral_notices, outcome_notices
from rfq.domain.quote import LiftStatus, QuoteStatus, Request, RequestStatus
from rfq.domain.rfq import TellLosers
from rfq.domain.values import AuctionId, DealerId
from rfq.engine.sourcing import Sourcing


def winners(s: Sourcing, auction_id: AuctionId) -> frozenset[DealerId]:
    return frozenset(q.dealer_id for q in s.block.quotes_in(auction_id, QuoteStatus.CONFIRMED))


def _reached(s: Sourcing, auction_id: AuctionId) -> list[Request]:
    """Who was asked and knows of it: a notice would tell the others that there was something."""
    return [r for r in s.block.requests_of(auction_id) if r.status is not RequestStatus.UNREACHED]


async def tell_at_close(s: Sourcing, auction_id: AuctionId) -> None:
    """After the last confirmation: the outcome, a neutral 'expired', or nothing yet, as the desk asked.

    While a lift is unknown there is no last confirmation: the outcome waits for the end, and its dealer, who may have
    traded, is not told that it is over.
    """
    unknown = frozenset(lift.dealer_id for lift in s.block.lifts_in(LiftStatus.UNKNOWN))
    match s.rfq.terms.tell_losers:
        case TellLosers.AT_ONCE if not unknown:
            await tell_outcome(s)
        case TellLosers.NEUTRALLY if not s.block.auctions[auction_id].neutral_told:
            notices = neutral_notices(_reached(s, auction_id), winners(s, auction_id) | unknown)
            s.journal.note(ev.LosersTold(auction_id, notices))
            await s.parts.gateway.tell(notices)
        case _:
            pass


async def tell_outcome(s: Sourcing) -> None:
    """Cover to the best loser, 'done away' to the other quoters. Recorded, then sent; once for each auction."""
    for auction in tuple(s.block.auctions.values()):
        if auction.outcome_told:
            continue
        requests = _reached(s, auction.auction_id)
        quotes = [q for q in s.block.quotes.values() if q.auction_id == auction.auction_id]
        notices = outcome_notices(requests, quotes, winners(s, auction.auction_id), s.rfq.side)
        if auction.neutral_told:  # 'Expired' was said already.
            notices = tuple(n for n in notices if n.kind is not ev.NoticeKind.EXPIRED)
        if notices:
            s.journal.note(ev.LosersTold(auction.auction_id, notices))
            await s.parts.gateway.tell(notices)

"""Awarding: split the block, lift the quotes, see every lift resolved, fall to the next best, settle the auction."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from math import comb

from rfq.domain import events as ev
from rfq.domain.auction import best_won, cover, rank
from rfq.domain.award import Allocation, AuctionStatus, Award
from rfq.domain.blend import MOST_QUOTES, sure_split
from rfq.domain.errors import PeerGone
from rfq.domain.quote import Lift, LiftStatus, QuoteStatus
from rfq.domain.rfq import AwardMode
from rfq.domain.values import NO_LOTS, AuctionId, LiftId, Price, Quantity, Side
from rfq.engine.accept import is_fit
from rfq.engine.choose import residual_curve
from rfq.engine.notices import tell_at_close
from rfq.engine.recover import dealers_back
from rfq.engine.sourcing import Sourcing, log
from rfq.engine.work import begin_residual, finish, may_work

LOOK_AGAIN_S = 0.25
"""Pause between looks at a market that is halted or stale."""
QUICK_SETS = 60
"""Sets of winners that are weighed on the event loop, in a few milliseconds; more are weighed beside it."""


async def award_and_confirm(s: Sourcing) -> None:
    """AWAITING AWARD: lifts quotes until nothing more is wanted or to be had, then settles the auction.

    Automatic awards decide here; manual ones arrive from the desk through `place` while this waits. Lots of a lift
    that is unknown stay reserved: the others go on, and past its limit a person is asked.
    """
    auction = s.block.auction
    assert auction is not None
    await dealers_back(s)
    while True:
        await _answers(s)
        _expire(s, auction.auction_id)
        if await _award_more(s, auction.auction_id):
            continue
        if s.block.lifts_in(LiftStatus.UNKNOWN) and not s.rfq.needs_person:
            await _chase(s)
            continue
        break
    await _settle(s, auction.auction_id)


async def _award_more(s: Sourcing, auction_id: AuctionId) -> bool:
    """Places one more award if there is one to place; True if lifts went out."""
    if s.rfq.cancelling or s.rfq.stopped or s.rfq.unfilled == NO_LOTS:
        return False
    if s.rfq.terms.award is AwardMode.MANUAL:
        return await _wait_for_picks(s, auction_id)
    if not await _fit(s, auction_id):
        return False
    award = await decide(s, auction_id)
    if award is None:
        return False
    await place(s, award)
    return True


async def _fit(s: Sourcing, auction_id: AuctionId) -> bool:
    """Waits while the market is halted or stale, as long as a quote stands: nothing is traded against no market."""
    while not is_fit(s.parts, s.market):
        _expire(s, auction_id)
        if s.rfq.cancelling or s.rfq.stopped or not s.block.quotes_in(auction_id, QuoteStatus.LIVE):
            return False
        await s.until(lambda: s.rfq.cancelling or s.rfq.stopped, s.in_s(LOOK_AGAIN_S))
    return True


async def _wait_for_picks(s: Sourcing, auction_id: AuctionId) -> bool:
    """Until the desk has picked, its time is up, or nothing is left to pick from."""
    last = s.block.award
    if last is not None:
        picked = {a.quote_id for a in last.allocations}
        if not any(lift.status is LiftStatus.REFUSED for lift in s.block.lifts.values() if lift.quote_id in picked):
            return False  # The desk has had what it picked.
    closed_at = s.block.auctions[auction_id].closed_at or s.now()
    deadline = closed_at + timedelta(seconds=s.rfq.terms.award_window_s)

    def settled() -> bool:
        picked = bool(s.block.lifts_in(LiftStatus.SENT))
        return picked or s.rfq.cancelling or not s.block.quotes_in(auction_id, QuoteStatus.LIVE)

    while s.now() < deadline and not settled():
        live = s.block.quotes_in(auction_id, QuoteStatus.LIVE)
        await s.until(settled, min([deadline, *(q.expires_at for q in live)]))
        _expire(s, auction_id)
    return bool(s.block.lifts_in(LiftStatus.SENT))


async def decide(s: Sourcing, auction_id: AuctionId) -> Award | None:
    """The least-cost split of what is unfilled over the live quotes and the residual; None if no quote is worth it."""
    rfq, terms = s.rfq, s.rfq.terms
    side = terms.leg.desk_side
    assert side is not None
    ranked = rank(s.block.quotes_in(auction_id, QuoteStatus.LIVE), side, s.now(), terms.leg.limit_price)
    nothing_yet = not rfq.filled and not rfq.reserved
    curve = residual_curve(s.parts, terms, s.instrument, s.market, s.block.selection)
    won = len({lift.dealer_id for lift in s.block.lifts_in(LiftStatus.CONFIRMED, LiftStatus.UNKNOWN)})
    if won >= terms.max_winners:
        return None
    # Weighed from the mid as it is now, as working the residual would be: what the market has moved since the arrival
    # is paid either way.
    weigh = partial(
        sure_split,
        ranked,
        rfq.unfilled,
        side,
        s.mid,
        residual=curve,
        least=terms.least_at_quotes if nothing_yet else NO_LOTS,
        max_winners=terms.max_winners - won,
    )
    sets = sum(comb(min(len(ranked), MOST_QUOTES), n) for n in range(1, terms.max_winners - won + 1))
    found = weigh() if sets <= QUICK_SETS else await asyncio.to_thread(weigh)
    if not found.allocations:
        return None
    asked, arrival = terms.leg.quantity, rfq.arrival.mid
    moved_bps = side.sign * (s.mid - arrival) / arrival * 1e4
    return Award(
        auction_id=auction_id,
        side=side,
        allocations=found.allocations,
        residual=found.residual,
        expected_quote_bps=expected_bps(found.allocations, side, arrival, asked),
        expected_residual_bps=(found.residual_cost + found.residual * moved_bps) / asked,
        reason="least expected cost of quotes and residual",
        decided_at=s.now(),
    )


def expected_bps(allocations: Sequence[Allocation], side: Side, arrival: Price, asked: Quantity) -> float:
    """What these lots cost at their quotes, in bps of arrival over all that was asked."""
    return sum(side.sign * (a.price - arrival) / arrival * 1e4 * a.quantity for a in allocations) / asked


async def place(s: Sourcing, award: Award) -> list[Lift]:
    """Records an award and its lifts, then sends them. From the record on, their lots are reserved.

    What is cancelled, or expires, while it is being recorded is not sent any more.
    """
    lifts = [_lift(s, award.auction_id, award.side, allocation) for allocation in award.allocations]
    s.unsent.update(lift.lift_id for lift in lifts)
    await s.journal.write(ev.AwardDecided(award), *(ev.QuoteLifted(lift) for lift in lifts))
    for lift in lifts:
        s.unsent.discard(lift.lift_id)
        quote = s.block.quotes[lift.quote_id]
        if s.rfq.cancelling or s.rfq.stopped or quote.expires_at <= s.now():
            why = "the request was stopped" if s.rfq.cancelling or s.rfq.stopped else "the quote had expired"
            s.journal.note(ev.LiftRefused(lift.lift_id, f"never sent: {why}"))
            continue
        s.answer_by[lift.lift_id] = s.in_s(quote.last_look_s + s.parts.settings.lift_answer_s)
        try:
            await s.parts.gateway.lift(lift)
        except PeerGone as gone:
            if s.block.lifts[lift.lift_id].status is LiftStatus.SENT:
                s.journal.note(ev.LiftUnknown(lift.lift_id, str(gone)))
    s.changed.set()  # That they have left changes nothing in the block, and yet their answers are due from here.
    return lifts


def _lift(s: Sourcing, auction_id: AuctionId, side: Side, allocation: Allocation) -> Lift:
    quote = s.block.quotes[allocation.quote_id]
    return Lift(
        lift_id=LiftId(s.parts.ids.new("lift")),
        rfq_id=s.rfq.rfq_id,
        auction_id=auction_id,
        request_id=quote.request_id,
        quote_id=quote.quote_id,
        revision=allocation.revision,
        dealer_id=quote.dealer_id,
        symbol=s.rfq.terms.leg.symbol,
        side=side,
        price=allocation.price,
        quantity=allocation.quantity,
        sent_at=s.now(),
        answer_by=s.in_s(quote.last_look_s + s.parts.settings.lift_answer_s),
    )


async def _answers(s: Sourcing) -> None:
    """Until no lift is waiting for its answer. One that has none in time becomes unknown, and its dealer is asked."""
    while s.block.lifts_in(LiftStatus.SENT):
        if not s.lifting:  # Being recorded: no deadline runs before they have left.
            await s.until(lambda: bool(s.lifting) or not s.block.lifts_in(LiftStatus.SENT))
            continue
        deadline = min(_answer_by(s, lift) for lift in s.lifting)
        await s.until(lambda: not s.block.lifts_in(LiftStatus.SENT), deadline)
        for lift in s.lifting:
            if _answer_by(s, lift) <= s.now():
                s.journal.note(ev.LiftUnknown(lift.lift_id, "no answer in time"))
                await ask_status(s, [s.block.lifts[lift.lift_id]])


def _answer_by(s: Sourcing, lift: Lift) -> datetime:
    return s.answer_by.get(lift.lift_id, lift.answer_by)


async def ask_status(s: Sourcing, lifts: Sequence[Lift]) -> None:
    """Asks what became of lifts; a dealer who is away is asked when it is back."""
    for lift in lifts:
        try:
            await s.parts.gateway.ask_status(lift)
        except PeerGone:
            log.warning("line down", rfq_id=lift.rfq_id, dealer=lift.dealer_id, lift=lift.lift_id)


async def _chase(s: Sourcing) -> None:
    """Asks again and again what became of unknown lifts; past the limit a person is needed."""
    limit = s.in_s(s.parts.settings.unknown_limit_s)
    while True:
        again = min(limit, s.in_s(s.parts.settings.lift_answer_s))
        if await s.until(lambda: not s.block.lifts_in(LiftStatus.UNKNOWN), again):
            return
        unknown = s.block.lifts_in(LiftStatus.UNKNOWN)
        if s.now() >= limit:
            dealers = ", ".join(sorted({lift.dealer_id for lift in unknown}))
            await s.journal.write(ev.PersonNeeded(f"{dealers} does not say what became of a lift"))
            return
        await ask_status(s, unknown)


def _expire(s: Sourcing, auction_id: AuctionId) -> None:
    now = s.now()
    lapsed = tuple(q.quote_id for q in s.block.quotes_in(auction_id, QuoteStatus.LIVE) if q.expires_at <= now)
    if lapsed:
        s.journal.note(ev.QuotesExpired(lapsed))


async def _settle(s: Sourcing, auction_id: AuctionId) -> None:
    """Lets the other quotes go, tells what is to be told now, and goes on to the residual or to the end."""
    live = tuple(q.quote_id for q in s.block.quotes_in(auction_id, QuoteStatus.LIVE))
    if live:
        s.journal.note(ev.QuotesLost(live))
    quotes = [q for q in s.block.quotes.values() if q.auction_id == auction_id]
    side = s.rfq.side
    best = best_won(quotes, side) if side else None
    if s.block.auctions[auction_id].status is not AuctionStatus.SETTLED:
        s.journal.note(ev.AuctionSettled(auction_id, best, cover(quotes, side) if side else None))
    await tell_at_close(s, auction_id)
    if may_work(s):
        await begin_residual(s)
        return
    await s.until(lambda: s.rfq.reserved == NO_LOTS and not s.rfq.needs_person)
    if may_work(s):  # Lots that came back from a lift which was unknown.
        await begin_residual(s)
    else:
        await finish(s)

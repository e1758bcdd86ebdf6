"""Asking: open the auction, send the requests, wait for the close, widen if it pays."""

from collections.abc import Sequence

from rfq.domain import events as ev
from rfq.domain.auction import silent
from rfq.domain.errors import MarketUnfit
from rfq.domain.quote import Request, RequestStatus
from rfq.domain.selection import Selection
from rfq.domain.values import AuctionId, DealerId, RequestId
from rfq.engine.accept import arrival_of
from rfq.engine.choose import score_panel
from rfq.engine.sourcing import Sourcing, log
from rfq.engine.widen import decide_wave, in_hand
from rfq.engine.work import begin_residual


async def open_auction(s: Sourcing) -> None:
    """RECEIVED: chooses and asks the first wave, or goes straight to the residual when nobody can be asked."""
    terms = s.rfq.terms
    if s.rfq.cancelling:
        await s.journal.write(ev.RfqCancelled("cancelled before anyone was asked"))
        return
    try:
        arrival_of(s.parts, s.market)
    except MarketUnfit as unfit:
        await s.journal.write(ev.RfqRejected(str(unfit)))
        return
    seed = s.random("selection").getrandbits(63)
    selection = await score_panel(s.parts, terms, s.instrument, s.market, seed)
    if len(selection.chosen) < max(1, terms.min_dealers):
        s.journal.note(ev.PanelScored(selection))
        if terms.residual is None or terms.least_at_quotes or s.rfq.side is None:
            few = f"only {len(selection.chosen)} of at least {terms.min_dealers} dealers could be asked"
            await s.journal.write(ev.RfqExpired(few if selection.chosen else "no dealer could be asked"))
        else:
            await begin_residual(s)
        return
    auction_id = AuctionId(s.parts.ids.new("auction"))
    first = selection.chosen[: terms.first_wave] if terms.first_wave else selection.chosen
    s.journal.note(ev.PanelScored(selection), ev.AuctionOpened(auction_id))
    await _ask(s, auction_id, first, selection, wave=1)


async def collect(s: Sourcing) -> None:
    """AUCTIONING: until the deadline, or until everyone asked has answered; then widens or closes."""
    auction = s.block.auction
    assert auction is not None
    await s.until(lambda: s.rfq.cancelling or not silent(s.block.requests_of(auction.auction_id)), auction.deadline)
    selection = s.block.selection
    if not s.rfq.cancelling and selection is not None:
        hand = in_hand(s, auction.auction_id)
        decision = await decide_wave(s, auction.auction_id, selection)
        if in_hand(s, auction.auction_id) != hand and not s.rfq.cancelling:
            return  # What was weighed is not there any more, or more is: this step is taken again.
        if decision is not None:
            s.journal.note(ev.WaveDecided(auction.auction_id, decision))
        if decision is not None and decision.further and not s.rfq.cancelling:
            await _ask(s, auction.auction_id, decision.further, selection, decision.wave)
            return
    unanswered = silent(s.block.requests_of(auction.auction_id))
    # Who could not be reached was not silent, and stays marked so: nothing is learned of it, and it is told nothing.
    lapsed = tuple(r.request_id for r in unanswered if r.status is RequestStatus.ASKED)
    s.journal.note(ev.AuctionClosed(auction.auction_id, lapsed))
    await s.parts.gateway.withdraw(unanswered, "closed")


async def _ask(
    s: Sourcing, auction_id: AuctionId, dealers: Sequence[DealerId], selection: Selection, wave: int
) -> None:
    terms, leg = s.rfq.terms, s.rfq.terms.leg
    deadline = s.in_s(terms.quote_window_s)
    others = len(s.block.requests_of(auction_id)) + len(dealers) - 1
    requests = tuple(
        Request(
            request_id=RequestId(s.parts.ids.new("request")),
            rfq_id=s.rfq.rfq_id,
            auction_id=auction_id,
            dealer_id=dealer_id,
            symbol=leg.symbol,
            side=leg.side,
            quantity=leg.quantity,
            deadline=deadline,
            asked_at=s.now(),
            market_asked_at=s.parts.market_clock.now(),
            mid_at_ask=s.mid,
            wave=wave,
            propensity=selection.propensities.get(dealer_id, 1.0),
            requester="" if terms.anonymous else s.rfq.desk_id,
            residual=leg.quantity if terms.disclose_residual and terms.residual else None,
            competitors=others if s.parts.settings.compete_disclosed else None,
        )
        for dealer_id in dealers
    )
    await s.journal.write(ev.DealersAsked(auction_id, wave, deadline, requests))
    # A cancel that came while this was recorded: nobody learns of the block.
    reached = frozenset() if s.rfq.cancelling else await s.parts.gateway.ask(requests)
    asked_still = {RequestStatus.ASKED}
    missed = tuple(
        r.request_id
        for r in requests
        if r.request_id not in reached and s.block.requests[r.request_id].status in asked_still
    )
    if missed:
        s.journal.note(ev.RequestsUnreached(missed))
    log.info("asked", rfq_id=s.rfq.rfq_id, wave=wave, dealers=list(dealers), unreached=len(missed))

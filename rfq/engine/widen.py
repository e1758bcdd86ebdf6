"""Whether to ask a further wave: what the models say of the quotes in hand, or a rule where they cannot say in time."""

import asyncio
from collections.abc import Sequence

from rfq.domain.auction import RankedQuote, rank
from rfq.domain.errors import OurFault
from rfq.domain.quote import QuoteStatus
from rfq.domain.selection import DealerScore, Selection, WaveDecision
from rfq.domain.values import AuctionId, DealerId, Side
from rfq.engine.accept import is_fit
from rfq.engine.choose import improvement_bps, selection_request
from rfq.engine.sourcing import Sourcing, log
from rfq.ports import Answered, WaveRequest


async def decide_wave(s: Sourcing, auction_id: AuctionId, selection: Selection) -> WaveDecision | None:
    """Asks of those chosen and not yet asked whoever is expected to be worth it. None where there is nothing to decide:
    the terms want one wave, or nobody is left who could be asked."""
    terms, side = s.rfq.terms, s.rfq.terms.leg.desk_side
    left = _left(s, auction_id, selection)
    if terms.first_wave is None or not left:
        return None
    wave = s.block.auctions[auction_id].waves + 1
    everybody = tuple(score.dealer_id for score in left)
    if not is_fit(s.parts, s.market):
        return WaveDecision(wave, (), "rule", "the market is halted, stale or without a price")
    if side is None:
        return WaveDecision(wave, (), "rule", "the desk has not said its side: its quotes cannot be weighed")
    ranked = in_hand(s, auction_id)
    if sum(q.quantity for q in ranked) < terms.least_at_quotes:
        return WaveDecision(wave, everybody, "rule", "what is in hand is less than the desk's minimum")
    if not ranked and terms.residual is None:
        return WaveDecision(wave, everybody, "rule", "nothing is in hand, and nothing is to be worked")
    try:
        decision = await _by_models(s, auction_id, wave, left, ranked, side)
    except OurFault as fault:
        late = f"the models could not say ({str(fault).splitlines()[0]})"
    except TimeoutError:
        late = "the models took too long"
    else:
        log.info("wave decided", rfq_id=s.rfq.rfq_id, wave=wave, further=list(decision.further), by=decision.by)
        return decision
    further, why = _by_rule(s, left, ranked, side)
    log.warning("wave decided by rule", rfq_id=s.rfq.rfq_id, wave=wave, further=list(further), why=late)
    return WaveDecision(wave, further, "rule", f"{why}; {late}")


def in_hand(s: Sourcing, auction_id: AuctionId) -> tuple[RankedQuote, ...]:
    """Quotes of the auction that could be taken now, best first; none while the desk has no side."""
    side = s.rfq.terms.leg.desk_side
    if side is None:
        return ()
    return rank(s.block.quotes_in(auction_id, QuoteStatus.LIVE), side, s.now(), s.rfq.terms.leg.limit_price)


def _left(s: Sourcing, auction_id: AuctionId, selection: Selection) -> list[DealerScore]:
    """Those chosen, not yet asked and within reach."""
    asked = {r.dealer_id for r in s.block.requests_of(auction_id)}
    reachable = s.parts.gateway.reachable()
    return [
        score
        for score in selection.ranking
        if score.dealer_id in selection.chosen and score.dealer_id not in asked and score.dealer_id in reachable
    ]


async def _by_models(
    s: Sourcing,
    auction_id: AuctionId,
    wave: int,
    left: Sequence[DealerScore],
    ranked: Sequence[RankedQuote],
    side: Side,
) -> WaveDecision:
    """Raises OurFault, and TimeoutError after the setting's wait or half of what the first quote to lapse has left."""
    terms, now = s.rfq.terms, s.now()
    closes = s.in_s(terms.quote_window_s)
    quotes = {q.dealer_id: q for q in ranked}
    expiries = [s.block.quotes[q.quote_id].expires_at for q in ranked]
    answers: list[Answered] = []
    for dealer_id in dict.fromkeys(r.dealer_id for r in s.block.requests_of(auction_id)):
        quote = quotes.get(dealer_id)
        if quote is None:
            answers.append(Answered(dealer_id))
            continue
        lapses = s.block.quotes[quote.quote_id].expires_at <= closes
        answers.append(Answered(dealer_id, _cost_bps(s, quote, side), quote.quantity, lapses))
    panel = (*(a.dealer_id for a in answers), *(score.dealer_id for score in left))
    seed = s.random(f"wave {wave}").getrandbits(63)
    request = selection_request(s.parts, terms, s.instrument, s.market, seed, panel)
    wait_s = min([s.parts.settings.wave_decision_s, *((at - now).total_seconds() / 2 for at in expiries)])
    async with asyncio.timeout(wait_s):
        decision = await s.parts.predictor.further(WaveRequest(request, wave, tuple(answers)))
    allowed = {score.dealer_id for score in left} & s.parts.gateway.reachable()  # Lines may have gone down meanwhile.
    return decision.but(further=tuple(d for d in decision.further if d in allowed))


def _by_rule(
    s: Sourcing, left: Sequence[DealerScore], ranked: Sequence[RankedQuote], side: Side
) -> tuple[tuple[DealerId, ...], str]:
    """Whoever is expected to improve on the best quote; nobody, if that would lapse before the wider auction closes: a
    bird in the hand is not risked."""
    if not ranked:
        return tuple(score.dealer_id for score in left), "nothing is in hand"
    if s.block.quotes[ranked[0].quote_id].expires_at <= s.in_s(s.rfq.terms.quote_window_s):
        return (), "the best quote would lapse first"
    best_bps = _cost_bps(s, ranked[0], side)
    better = tuple(score.dealer_id for score in left if improvement_bps(score, best_bps) > 0)
    return better, "expected to improve on the best quote" if better else "nobody is expected to improve on the best"


def _cost_bps(s: Sourcing, quote: RankedQuote, side: Side) -> float:
    return side.sign * (quote.price - s.mid) / s.mid * 1e4

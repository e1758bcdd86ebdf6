"""Domain nouns into answers: exact decimal strings, and nothing that is still sealed."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from rfq.api import answers as a
from rfq.api import house_answers as h
from rfq.api.messages import LegBody, ResidualBody, RfqBody
from rfq.domain.award import Auction, AuctionStatus, Award
from rfq.domain.fill import Fill
from rfq.domain.limits import DeskLimits
from rfq.domain.quote import Lift, Quote, QuoteSide, Request
from rfq.domain.rfq import Rfq, RfqTerms
from rfq.domain.selection import QUANTILES, Selection
from rfq.domain.values import AuctionId, DeskId, Instrument, Price, Quantity
from rfq.engine.plan import PlanAnswer


def price(value: Price | None, instrument: Instrument) -> str | None:
    return None if value is None else instrument.format_price(value)


def terms(t: RfqTerms, i: Instrument) -> RfqBody:
    """The terms as they could be sent again."""
    leg = LegBody(
        symbol=t.leg.symbol,
        side=t.leg.side,
        quantity=i.format_quantity(t.leg.quantity),
        intent=t.leg.intent,
        limit_price=price(t.leg.limit_price, i),
    )
    return RfqBody(
        legs=(leg,),
        client_order_id=t.client_order_id,
        min_fill=i.format_quantity(t.min_fill),
        all_or_none=t.all_or_none,
        include=t.include,
        exclude=t.exclude,
        min_dealers=t.min_dealers,
        max_dealers=t.max_dealers,
        max_winners=t.max_winners,
        first_wave=t.first_wave,
        anonymous=t.anonymous,
        disclose_residual=t.disclose_residual,
        tell_losers=t.tell_losers,
        quote_window_s=t.quote_window_s,
        award=t.award,
        award_window_s=t.award_window_s,
        residual=None
        if t.residual is None
        else ResidualBody(
            horizon_s=t.residual.horizon_s,
            max_participation=t.residual.max_participation,
            urgency=t.residual.urgency,
            schedule=t.residual.schedule,
            venues=t.residual.venues,
        ),
    )


def rfq(r: Rfq, i: Instrument) -> a.RfqAnswer:
    return a.RfqAnswer(
        rfq_id=r.rfq_id,
        desk_id=r.desk_id,
        status=r.status,
        side=r.side,
        terms=terms(r.terms, i),
        arrival=a.ArrivalAnswer(
            bid=i.format_price(r.arrival.bid),
            ask=i.format_price(r.arrival.ask),
            mid=i.format_price(r.arrival.mid),
            source_at=r.arrival.source_at,
        ),
        received_at=r.received_at,
        market_received_at=r.market_received_at,
        filled=i.format_quantity(r.filled),
        reserved=i.format_quantity(r.reserved),
        working=i.format_quantity(r.working),
        unfilled=i.format_quantity(r.unfilled),
        over=r.is_over,
        reason=r.reason,
        cancelling=r.cancelling,
        needs_person=r.needs_person,
        sequence=r.sequence,
    )


def request(r: Request, i: Instrument) -> a.RequestAnswer:
    return a.RequestAnswer(
        request_id=r.request_id,
        dealer_id=r.dealer_id,
        side=r.side,
        quantity=i.format_quantity(r.quantity),
        wave=r.wave,
        propensity=r.propensity,
        status=r.status,
        asked_at=r.asked_at,
        deadline=r.deadline,
        answered_at=r.answered_at,
        reason=r.reason,
    )


def auction(x: Auction, requests: Iterable[Request], i: Instrument, now: datetime) -> a.AuctionAnswer:
    return a.AuctionAnswer(
        auction_id=x.auction_id,
        status=x.status,
        opened_at=x.opened_at,
        deadline=x.deadline,
        time_left_s=_left_s(x.deadline, now) if x.status is AuctionStatus.OPEN else 0.0,
        waves=x.waves,
        asked=x.asked,
        requests=tuple(request(r, i) for r in requests if r.auction_id == x.auction_id),
        closed_at=x.closed_at,
        best=price(x.best, i),
        cover=price(x.cover, i),
    )


def closed(auctions: Iterable[Auction]) -> set[AuctionId]:
    """Auctions whose quotes may be shown. Those of any other are sealed."""
    return {x.auction_id for x in auctions if x.status is not AuctionStatus.OPEN}


def quote(q: Quote, sealed: Collection[AuctionId], i: Instrument, now: datetime) -> a.QuoteAnswer:
    hidden = q.auction_id in sealed
    return a.QuoteAnswer(
        quote_id=q.quote_id,
        request_id=q.request_id,
        auction_id=q.auction_id,
        dealer_id=q.dealer_id,
        revision=q.revision,
        status=q.status,
        sealed=hidden,
        bid=None if hidden else _quote_side(q.bid, i),
        offer=None if hidden else _quote_side(q.offer, i),
        firm=q.firm,
        last_look_s=q.last_look_s,
        received_at=q.received_at,
        expires_at=q.expires_at,
        time_left_s=_left_s(q.expires_at, now),
        mid_at_quote=i.format_price(q.mid_at_quote),
    )


def award(x: Award, i: Instrument) -> a.AwardAnswer:
    return a.AwardAnswer(
        auction_id=x.auction_id,
        side=x.side,
        allocations=tuple(
            a.AllocationAnswer(
                quote_id=y.quote_id,
                revision=y.revision,
                dealer_id=y.dealer_id,
                price=i.format_price(y.price),
                quantity=i.format_quantity(y.quantity),
            )
            for y in x.allocations
        ),
        residual=i.format_quantity(x.residual),
        expected_quote_bps=x.expected_quote_bps,
        expected_residual_bps=x.expected_residual_bps,
        by=x.by,
        reason=x.reason,
        decided_at=x.decided_at,
    )


def lift(x: Lift, i: Instrument) -> a.LiftAnswer:
    return a.LiftAnswer(
        lift_id=x.lift_id,
        auction_id=x.auction_id,
        quote_id=x.quote_id,
        revision=x.revision,
        dealer_id=x.dealer_id,
        side=x.side,
        price=i.format_price(x.price),
        quantity=i.format_quantity(x.quantity),
        status=x.status,
        sent_at=x.sent_at,
        answer_by=x.answer_by,
        reason=x.reason,
    )


def fill(x: Fill, i: Instrument) -> a.FillAnswer:
    return a.FillAnswer(
        fill_id=x.fill_id,
        where=x.where,
        venue=x.venue,
        side=x.side,
        price=i.format_price(x.price),
        quantity=i.format_quantity(x.quantity),
        filled_at=x.filled_at,
        market_filled_at=x.market_filled_at,
        mid_at_fill=price(x.mid_at_fill, i),
        fee_bps=x.fee_bps,
        dealer_id=x.dealer_id,
        lift_id=x.lift_id,
        parent_id=x.parent_id,
        child_id=x.child_id,
    )


def plan(p: PlanAnswer, i: Instrument) -> h.PlanAnswer:
    curve = p.residual
    return h.PlanAnswer(
        symbol=i.symbol,
        bid=price(p.market.bid, i),
        ask=price(p.market.ask, i),
        mid=price(p.market.mid, i),
        source_at=p.market.source_at,
        expected_cost_bps=p.expected_cost_bps,
        ranking=ranking(p.selection),
        curve_bps=p.selection.curve_bps,
        residual=None
        if curve is None
        else tuple(
            h.ResidualPointAnswer(quantity=i.format_quantity(lots), cost_bps=cost / lots if lots else 0.0)
            for lots, cost in zip(curve.lots, curve.cost, strict=True)
        ),
        model_version=p.selection.model_version,
        notes=p.selection.notes,
        exploration=p.selection.exploration,
        set_propensity=p.selection.set_propensity,
    )


def ranking(s: Selection) -> tuple[h.RankedDealerAnswer, ...]:
    marginal = s.marginal_bps
    return tuple(
        h.RankedDealerAnswer(
            rank=n + 1,
            dealer_id=score.dealer_id,
            chosen=score.dealer_id in s.chosen,
            propensity=s.propensities.get(score.dealer_id),
            response_probability=score.response_probability,
            quote_cost_bps={format(q, "g"): c for q, c in zip(QUANTILES, score.quote_cost_bps, strict=True)},
            leakage_bps=score.leakage_bps,
            fade_probability=score.fade_probability,
            marginal_bps=marginal[n] if n < len(marginal) else None,
            reasons=score.reasons,
            fallback=score.fallback,
            response_s=score.response_s,
            marginal_low_bps=s.marginal_low_bps[n] if n < len(s.marginal_low_bps) else None,
            marginal_high_bps=s.marginal_high_bps[n] if n < len(s.marginal_high_bps) else None,
        )
        for n, score in enumerate(s.ranking)
    )


def instruments(known: Iterable[Instrument]) -> h.InstrumentsAnswer:
    return h.InstrumentsAnswer(instruments=tuple(map(instrument, known)))


def instrument(i: Instrument) -> h.InstrumentAnswer:
    return h.InstrumentAnswer(
        symbol=i.symbol,
        currency=i.currency,
        price_unit=format(i.price_unit.normalize(), "f"),
        ticks=tuple(
            h.TickBandAnswer(from_price=i.format_price(b.from_price), tick=i.format_price(Price(b.tick)))
            for b in i.tick_bands
        ),
        lot=i.format_quantity(Quantity(1)),
        multiplier=format(i.multiplier.normalize(), "f"),
        opens=i.hours.opens,
        closes=i.hours.closes,
        time_zone=i.hours.time_zone,
        adv=i.format_quantity(i.adv),
        volatility_bps=i.volatility_bps,
        spread_bps=i.spread_bps,
        asset_class=i.asset_class,
        sector=i.sector,
    )


def limits(desk_id: DeskId, bounds: DeskLimits) -> h.LimitsAnswer:
    return h.LimitsAnswer(
        desk_id=desk_id,
        largest_block=format(bounds.largest_block, "f"),
        open_rfqs=bounds.open_rfqs,
        largest_share_of_adv=bounds.largest_share_of_adv,
    )


def awards(found: Sequence[Award], lifts: Sequence[Lift], i: Instrument) -> a.AwardsAnswer:
    return a.AwardsAnswer(awards=tuple(award(x, i) for x in found), lifts=tuple(lift(x, i) for x in lifts))


def _quote_side(side: QuoteSide | None, i: Instrument) -> a.QuoteSideAnswer | None:
    if side is None:
        return None
    return a.QuoteSideAnswer(
        price=i.format_price(side.price),
        quantity=i.format_quantity(side.quantity),
        min_quantity=i.format_quantity(side.min_quantity),
    )


def _left_s(deadline: datetime, now: datetime) -> float:
    return max(0.0, (deadline - now).total_seconds())

"""The parts of a report add up to the whole, exactly, whatever was filled where at whatever fee."""

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from examples import ACME, AUCTION, MID, at, lift, parent, quote, quote_fill, received, request, stamp, terms, work_fill
from hypothesis import given
from hypothesis import strategies as st

from rfq.domain import events as ev
from rfq.domain.award import Award
from rfq.domain.block import Block, fold
from rfq.domain.fill import Where
from rfq.domain.rfq import RequestSide
from rfq.domain.values import Price, Side
from rfq.tca.report import report

moves = st.integers(-300, 300)
fees = st.one_of(st.floats(-2, 5), st.sampled_from([0.0, 0.3, -0.2, 0.1 + 0.2]))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """Quotes, of which some fill in part, then a parent filled here and there, over or still open."""
    side = draw(st.sampled_from(Side))
    shown = RequestSide(side.value)
    events: list[ev.AnyEvent] = [
        received(terms(shown, 100)),
        ev.AuctionOpened(AUCTION),
        ev.DealersAsked(AUCTION, 1, at(10), tuple(request(d, shown) for d in "abc")),
    ]
    answers = []
    for dealer in "abc"[: draw(st.integers(0, 3))]:
        price = MID + 2 * draw(moves)
        sides = {"offer": price} if side is Side.BUY else {"bid": price}
        answers.append(quote(dealer, quantity=30, mid_at_quote=Price(MID + draw(moves)), **sides))
    events += [ev.QuoteReceived(q) for q in answers]
    events += [ev.AuctionClosed(AUCTION), ev.AwardDecided(Award(AUCTION, side, ()))]
    for answer in answers:
        lifted = lift(answer, 30, side)
        events.append(ev.QuoteLifted(lifted))
        confirmed = draw(st.integers(0, 30))
        events.append(
            ev.LiftConfirmed(lifted.lift_id, quote_fill(lifted, confirmed))
            if confirmed
            else ev.LiftRefused(lifted.lift_id, "moved")
        )
    order = parent(10, side=side)
    events.append(ev.ParentCreated(order))
    for n in range(draw(st.integers(0, 5))):
        mid = draw(st.one_of(st.none(), moves.map(lambda move: Price(MID + move))))
        events.append(
            ev.ChildFilled(
                work_fill(
                    order,
                    draw(st.integers(1, 2)),
                    MID + draw(moves),
                    str(n),
                    where=draw(st.sampled_from([Where.LIT, Where.DARK])),
                    mid_at_fill=mid,
                    fee_bps=draw(fees),
                    market_filled_at=at(60 + draw(st.integers(0, 9))),
                )
            )
        )
    if draw(st.booleans()):
        events.append(ev.ParentDone(order.parent_id, "horizon over"))
    return fold(stamp(n, event) for n, event in enumerate(events, 1))


@given(blocks(), moves)
def test_the_parts_are_the_whole(block: Block, last: int) -> None:
    last_mid = Price(MID + last)
    found = report(block, ACME, last_mid=last_mid)
    with localcontext(prec=60):
        s = found.shortfall
        parts = (s.spread, s.delay, s.drift, s.unattributed, s.fees, s.opportunity)
        assert sum((p.money for p in parts), Decimal(0)) == s.total.money
        assert sum(p.bps for p in parts) == pytest.approx(s.total.bps, abs=1e-9)
        for place in found.places:
            assert place.spread + place.delay + place.drift + place.unattributed + place.fees == place.cost
        assert sum((p.cost for p in found.places), Decimal(0)) + s.opportunity.money == s.total.money
        assert sum(p.quantity for p in found.places) == found.filled
        assert found.filled + found.unfilled + found.open == found.asked
        assert sum(d.confirmed for d in found.dealers) == found.places[0].quantity


@given(blocks(), moves)
def test_the_whole_is_paper_less_real(block: Block, last: int) -> None:
    """Against the definition, in fractions: what was paid and what is left to pay, less the block at arrival."""
    last_mid = Price(MID + last)
    rfq = block.rfq
    assert rfq.side is not None
    unit = Fraction(ACME.price_unit) * Fraction(ACME.lot)
    spent = sum(Fraction(f.price * f.quantity) for f in block.fills.values())
    charged = Fraction(0)
    for fill in block.fills.values():
        exact = Fraction(repr(fill.fee_bps)) / 10_000 * fill.price * fill.quantity * unit
        charged += Fraction(round(exact * 10**6), 10**6)
    accounted = rfq.filled + rfq.unfilled
    shortfall = rfq.side.sign * (spent + rfq.unfilled * last_mid - accounted * MID) * unit + charged
    assert Fraction(report(block, ACME, last_mid=last_mid).shortfall.total.money) == shortfall

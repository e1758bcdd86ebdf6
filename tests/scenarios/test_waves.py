"""Ask a few first; widen when it pays, not when it does not, and never at the risk of the bird in hand."""

from always_true import check
from house import BLOCK, MID, House, Quotes, asks, offer, terms

from dealers.scripted_trader import Declines
from rfq.domain import events as ev

DEAR, CHEAP = 40.0, 2.0


async def test_a_dear_first_quote_makes_it_worth_asking_more(house: House) -> None:
    house.offers("alpha", MID + 41)
    house.offers("bravo", MID + 11)
    unasked = house.offers("charlie", MID + 9)
    house.predictor.cost_bps = {"bravo": CHEAP, "charlie": DEAR}
    rfq_id = await house.submit(terms(first_wave=1))
    await house.until(rfq_id)
    asked = await house.events(rfq_id, ev.DealersAsked)
    assert [(a.wave, [r.dealer_id for r in a.requests]) for a in asked] == [(1, ["alpha"]), (2, ["bravo"])]
    assert not asks(unasked), "nobody is asked who is not expected to improve on it"
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["bravo"]
    (auction,) = await house.reader.auctions(rfq_id)
    assert (auction.waves, auction.asked) == (2, 2) and auction.cover == MID + 41, "the first wave's quotes still stand"
    await check(house, [rfq_id])


async def test_a_good_first_quote_is_taken_and_nobody_else_learns_of_it(house: House) -> None:
    house.offers("alpha", MID + 3)
    others = [house.offers("bravo", MID + 1), house.offers("charlie", MID + 1)]
    house.predictor.cost_bps = {"bravo": DEAR, "charlie": DEAR}
    rfq_id = await house.submit(terms(first_wave=1))
    await house.until(rfq_id)
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["alpha"]
    assert not any(asks(other) for other in others)
    await check(house, [rfq_id])


async def test_the_bird_in_hand_is_not_risked(house: House) -> None:
    """Widening is expected to pay, but the best quote would lapse before the wider auction closed."""
    house.offers("alpha", MID + 41, good_for_s=9.0)
    other = house.offers("bravo", MID + 1)
    house.predictor.cost_bps = {"bravo": CHEAP}
    rfq_id = await house.submit(terms(first_wave=1))
    await house.until(rfq_id)
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["alpha"] and not asks(other)
    await check(house, [rfq_id])


async def test_no_quote_at_all_asks_everybody_who_is_left(house: House) -> None:
    house.dealer("alpha").on_request(Declines(1.0))
    house.offers("bravo", MID + 11)
    house.offers("charlie", MID + 15)
    house.predictor.cost_bps = {"bravo": DEAR, "charlie": DEAR}
    rfq_id = await house.submit(terms(first_wave=1))
    rfq = await house.until(rfq_id)
    assert [len(a.requests) for a in await house.events(rfq_id, ev.DealersAsked)] == [1, 2]
    assert rfq.filled == BLOCK
    await check(house, [rfq_id])


async def test_too_little_for_the_minimum_asks_on(house: House) -> None:
    house.offers("alpha", MID + 1, 4000)
    house.offers("bravo", MID + 11, 6000)
    house.predictor.cost_bps = {"bravo": DEAR}
    rfq_id = await house.submit(terms(first_wave=1, all_or_none=True))
    rfq = await house.until(rfq_id)
    assert rfq.filled == BLOCK
    await check(house, [rfq_id])


async def test_a_first_wave_dealer_may_better_its_quote_while_others_are_asked(house: House) -> None:
    """Its own request had its own deadline: after that, what it says is late."""
    house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 41)), Quotes(10.5, offer=offer(MID + 1)))
    house.dealer("bravo").on_request(Quotes(9.9, offer=offer(MID + 11)))
    house.predictor.cost_bps = {"bravo": CHEAP}
    rfq_id = await house.submit(terms(first_wave=1))
    await house.until(rfq_id)
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["bravo"]
    assert "is closed" in house.dealers["alpha"].corrections[0]
    await check(house, [rfq_id])

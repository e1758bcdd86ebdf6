"""At least so many lots at quotes, or none at quotes; the rest may be worked."""

from always_true import check
from house import BLOCK, HOUR, MID, House, takes, terms

from dealers.scripted_trader import Refuses
from rfq.domain.fill import Where
from rfq.domain.rfq import RfqStatus


async def test_enough_at_quotes(house: House) -> None:
    house.offers("alpha", MID + 1, 4000)
    house.offers("bravo", MID + 3, 3000)
    rfq_id = await house.submit(terms(min_fill=7000))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled, rfq.unfilled) == (RfqStatus.DONE, 7000, 3000)
    await check(house, [rfq_id])


async def test_too_little_at_quotes_is_none_and_all_is_worked(house: House) -> None:
    dealers = [house.offers("alpha", MID + 1, 4000), house.offers("bravo", MID + 3, 2000)]
    rfq_id = await house.submit(terms(min_fill=7000, residual=HOUR))
    rfq = await house.until(rfq_id)
    assert not any(takes(dealer) for dealer in dealers)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert {f.where for f in await house.fills(rfq_id)} == {Where.LIT}
    await check(house, [rfq_id])


async def test_a_dear_quote_is_taken_to_reach_the_minimum(house: House) -> None:
    """Working would be cheaper than the second quote; the desk wants its minimum."""
    house.offers("alpha", MID + 1, 4000)
    house.offers("bravo", MID + 41, 4000)
    rfq_id = await house.submit(terms(min_fill=6000, residual=HOUR))
    await house.until(rfq_id)
    at_quotes = {f.dealer_id: f.quantity for f in await house.fills(rfq_id) if f.dealer_id}
    assert at_quotes == {"alpha": 4000, "bravo": 2000}
    await check(house, [rfq_id])


async def test_once_something_stands_the_next_best_need_not_reach_it_again(house: House) -> None:
    """A firm dealer refuses all the same: what the other confirmed stands, and a small quote is good enough."""
    house.offers("alpha", MID + 1, 4000)
    house.offers("bravo", MID + 3, 4000).on_lift(Refuses(0.5))
    house.offers("charlie", MID + 5, 1000)
    rfq_id = await house.submit(terms(quantity=8000, min_fill=8000))
    rfq = await house.until(rfq_id)
    assert {f.dealer_id: f.quantity for f in await house.fills(rfq_id)} == {"alpha": 4000, "charlie": 1000}
    assert (rfq.status, rfq.unfilled) == (RfqStatus.DONE, 3000)
    await check(house, [rfq_id])

"""A block shared between dealers, each at its own price and not below its own minimum."""

from always_true import check
from house import BLOCK, MID, House, booked, takes, terms, told

from dealers.scripted_trader import Refuses
from rfq.domain.events import NoticeKind


async def test_minimum_quantities_are_kept(house: House) -> None:
    """5,000 + 4,000 cheapest, and the last 1,000 must leave the third its minimum of 3,000."""
    house.offers("alpha", MID + 1, 5000, minimum=1000)
    house.offers("bravo", MID + 3, 4000)
    house.offers("charlie", MID + 5, 9000, minimum=3000)
    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)
    assert {f.dealer_id: (f.price, f.quantity) for f in await house.fills(rfq_id)} == {
        "alpha": (MID + 1, 5000),
        "bravo": (MID + 3, 2000),
        "charlie": (MID + 5, 3000),
    }
    assert rfq.filled == BLOCK
    (auction,) = await house.reader.auctions(rfq_id)
    assert (auction.best, auction.cover) == (MID + 1, None)
    await check(house, [rfq_id])


async def test_no_more_winners_than_the_desk_allows(house: House) -> None:
    """Both confirm and lots are left: a third dealer is one too many."""
    house.offers("alpha", MID + 1, 3000)
    house.offers("bravo", MID + 3, 3000)
    third = house.offers("charlie", MID + 5, 3000)
    rfq_id = await house.submit(terms(max_winners=2))
    rfq = await house.until(rfq_id)
    assert (rfq.filled, rfq.unfilled) == (6000, 4000)
    assert not takes(third)
    await check(house, [rfq_id])


async def test_a_refusal_makes_room_for_another_winner(house: House) -> None:
    winner = house.offers("alpha", MID + 1, 5000)
    house.offers("bravo", MID + 3, 5000, last_look_s=1.0).on_lift(Refuses(0.3))
    third = house.offers("charlie", MID + 5, 5000)
    fourth = house.offers("delta", MID + 7, 5000)
    rfq_id = await house.submit(terms(max_winners=2))
    rfq = await house.until(rfq_id)
    assert {f.dealer_id for f in await house.fills(rfq_id)} == {"alpha", "charlie"} and rfq.filled == BLOCK
    assert [b.quantity for b in booked(winner)] == [b.quantity for b in booked(third)] == [5000]
    assert told(winner) == told(third) == []
    assert told(fourth) == [NoticeKind.EXPIRED, NoticeKind.COVER]
    await check(house, [rfq_id])

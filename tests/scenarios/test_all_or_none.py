"""The whole block or nothing: firm quotes together, or one last look alone."""

from always_true import check
from house import BLOCK, MID, House, takes, terms

from dealers.scripted_trader import Refuses
from rfq.domain.rfq import RfqStatus


async def test_two_firm_quotes_that_are_enough_together(house: House) -> None:
    house.offers("alpha", MID + 11, 6000)
    house.offers("bravo", MID + 13, 4000)
    rfq_id = await house.submit(terms(all_or_none=True))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert {f.dealer_id: f.quantity for f in await house.fills(rfq_id)} == {"alpha": 6000, "bravo": 4000}
    await check(house, [rfq_id])


async def test_not_enough_is_nothing(house: House) -> None:
    dealers = [house.offers("alpha", MID + 1, 6000), house.offers("bravo", MID + 3, 3999)]
    rfq_id = await house.submit(terms(all_or_none=True))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.EXPIRED, 0)
    assert not any(takes(dealer) for dealer in dealers)
    await check(house, [rfq_id])


async def test_a_last_look_is_not_joined_with_others(house: House) -> None:
    """One may refuse after the other has confirmed, and leave the desk with a part: the dearer firm quote wins."""
    house.offers("alpha", MID + 1, 5000, last_look_s=1.0)
    house.offers("bravo", MID + 3, 5000, last_look_s=1.0)
    house.offers("charlie", MID + 21, 10_000)
    rfq_id = await house.submit(terms(all_or_none=True))
    await house.until(rfq_id)
    assert [(f.dealer_id, f.price) for f in await house.fills(rfq_id)] == [("charlie", MID + 21)]
    await check(house, [rfq_id])


async def test_a_last_look_alone_and_then_the_firm_ones(house: House) -> None:
    fader = house.offers("alpha", MID + 1, last_look_s=1.0).on_lift(Refuses(0.5))
    house.offers("bravo", MID + 11, 6000)
    house.offers("charlie", MID + 13, 4000)
    rfq_id = await house.submit(terms(all_or_none=True))
    rfq = await house.until(rfq_id)
    assert len(takes(fader)) == 1
    assert (rfq.filled, {f.dealer_id for f in await house.fills(rfq_id)}) == (BLOCK, {"bravo", "charlie"})
    first, *others = await house.lifts(rfq_id)
    assert first.dealer_id == "alpha" and all(x.sent_at > first.sent_at for x in others)
    await check(house, [rfq_id])


async def test_a_last_look_alone_refuses_and_nothing_is_left(house: House) -> None:
    house.offers("alpha", MID + 1, last_look_s=1.0).on_lift(Refuses(0.5))
    part = house.offers("bravo", MID + 11, 6000)
    rfq_id = await house.submit(terms(all_or_none=True))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.EXPIRED, 0) and not takes(part)
    await check(house, [rfq_id])

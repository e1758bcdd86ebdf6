"""A last look is refused: the lots fall to the next best, at its own price."""

from always_true import check
from house import BLOCK, MID, House, booked, takes, told

from dealers.scripted_trader import Refuses
from rfq.domain.events import NoticeKind
from rfq.domain.quote import LiftStatus, QuoteStatus
from rfq.domain.rfq import RfqStatus


async def test_the_next_best_is_lifted_at_its_own_price(house: House) -> None:
    fader = house.offers("alpha", MID + 11, last_look_s=1.0).on_lift(Refuses(0.5))
    second = house.offers("bravo", MID + 15)
    third = house.offers("charlie", MID + 21)

    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    (fill,) = await house.fills(rfq_id)
    assert (fill.dealer_id, fill.price) == ("bravo", MID + 15)
    refused, confirmed = await house.lifts(rfq_id)
    assert (refused.dealer_id, refused.status) == ("alpha", LiftStatus.REFUSED)
    assert confirmed.sent_at > refused.sent_at, "nobody else is lifted for the lots before the refusal"
    assert (await house.quotes(rfq_id))["alpha"].status is QuoteStatus.REFUSED
    (auction,) = await house.reader.auctions(rfq_id)
    assert (auction.best, auction.cover) == (MID + 15, MID + 21), "a refused quote is no cover"
    assert not booked(fader) and len(booked(second)) == 1
    assert told(fader) == [NoticeKind.EXPIRED, NoticeKind.DONE_AWAY]
    assert told(third) == [NoticeKind.EXPIRED, NoticeKind.COVER]
    await check(house, [rfq_id])


async def test_everybody_refuses(house: House) -> None:
    faders = [house.offers(n, MID + 11, last_look_s=1.0).on_lift(Refuses(0.2)) for n in ("alpha", "bravo")]

    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    assert (rfq.status, rfq.filled, rfq.unfilled) == (RfqStatus.EXPIRED, 0, BLOCK)
    assert all(len(takes(fader)) == 1 for fader in faders), "nobody is lifted twice"
    assert all(told(fader) == [NoticeKind.EXPIRED] for fader in faders), "nothing traded: nobody was done away from"
    await check(house, [rfq_id])


async def test_a_quote_that_expired_meanwhile_is_not_next(house: House) -> None:
    house.offers("alpha", MID + 11, last_look_s=5.0).on_lift(Refuses(4.0))
    brief = house.offers("bravo", MID + 13, good_for_s=4.0)
    house.offers("charlie", MID + 17)

    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    (fill,) = await house.fills(rfq_id)
    assert (rfq.filled, fill.dealer_id) == (BLOCK, "charlie")
    assert not takes(brief)
    assert (await house.quotes(rfq_id))["bravo"].status is QuoteStatus.EXPIRED
    await check(house, [rfq_id])

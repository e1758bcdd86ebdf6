"""A dealer's line goes down while it is being lifted; what became of the lift is asked when it is back."""

import pytest
from always_true import check
from house import BLOCK, MID, House, Quotes, booked, offer, takes

from dealers.scripted_trader import Confirms, DropsLine, Refuses
from rfq.domain import events as ev
from rfq.domain.quote import LiftStatus
from rfq.domain.rfq import RfqStatus


@pytest.mark.parametrize("step", [Confirms(0.5), Refuses(0.5)])
async def test_it_comes_back_and_says(house: House, step: Confirms | Refuses) -> None:
    lost = house.offers("alpha", MID + 11).on_lift(DropsLine(0.1, for_s=4.0), step)
    second = house.offers("bravo", MID + 15)

    rfq_id = await house.submit()
    while not takes(lost):
        await house.sleep(0.1)
    await house.sleep(2.0)
    assert (await house.engine.rfq(rfq_id)).reserved == BLOCK and not takes(second)
    rfq = await house.until(rfq_id)

    assert [u.reason for u in await house.events(rfq_id, ev.LiftUnknown)] == ["the line went down"]
    winner = "alpha" if isinstance(step, Confirms) else "bravo"
    assert [f.dealer_id for f in await house.fills(rfq_id)] == [winner]
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert len(booked(lost)) == (winner == "alpha")
    await check(house, [rfq_id])


async def test_a_lift_that_was_on_its_way_is_sent_again(house: House) -> None:
    """The line dies with the lift on it; the dealer is back before its time is up, and confirms what it is resent."""
    lost = house.offers("alpha", MID + 11)
    once: list[None] = []
    deliver = lost.seat._deliver

    def drop_first(generation: int, saying: object) -> None:
        if type(saying).__name__ == "Lifting" and not once:
            once.append(None)
            lost.seat.drop()
            house.loop.call_later(0.5, lost.seat.restore)
        else:
            deliver(generation, saying)  # type: ignore[arg-type]

    lost.seat._deliver = drop_first  # type: ignore[method-assign]
    second = house.offers("bravo", MID + 15)
    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    assert once and not takes(second)
    assert [(f.dealer_id, f.quantity) for f in await house.fills(rfq_id)] == [("alpha", BLOCK)]
    assert rfq.status is RfqStatus.DONE
    await check(house, [rfq_id])


async def test_it_never_comes_back(house: House) -> None:
    house.offers("alpha", MID + 11).on_lift(DropsLine(0.1))
    second = house.offers("bravo", MID + 15)

    rfq_id = await house.submit()
    rfq = await house.needs_person(rfq_id)
    await house.sleep(120.0)
    assert not takes(second) and rfq.reserved == BLOCK, "no other quote is lifted for lots that may be traded"
    (lift,) = await house.lifts(rfq_id)
    assert lift.status is LiftStatus.UNKNOWN

    await house.engine.settle(rfq_id, lift.lift_id, "refused", "they had no record of it", "sue")
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.EXPIRED, 0)
    await check(house, [rfq_id])


async def test_it_comes_back_when_a_person_is_wanted_already(house: House) -> None:
    house.offers("alpha", MID + 11).on_lift(DropsLine(0.1, for_s=60.0), Confirms(0.5))
    second = house.offers("bravo", MID + 15)
    rfq_id = await house.submit()
    await house.needs_person(rfq_id)
    rfq = await house.until(rfq_id, within_s=120.0)

    assert (rfq.status, rfq.filled, rfq.needs_person) == (RfqStatus.DONE, BLOCK, "")
    (word,) = await house.events(rfq_id, ev.PersonSettled)
    assert (word.by, word.evidence) == ("dealer alpha", "answered by itself: confirmed") and not takes(second)
    await check(house, [rfq_id])


async def test_a_dealer_without_a_line_at_the_lift(house: House) -> None:
    """It quotes and is gone before the close: the lift cannot be sent, and nobody knows whether it was seen."""
    house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 11)), DropsLine(2.0, for_s=12.0))
    house.dealer("bravo").on_request()  # Silent: the auction stays open to its deadline.
    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    assert len(await house.events(rfq_id, ev.LiftUnknown)) == 1
    (lift,) = await house.lifts(rfq_id)
    assert lift.status is LiftStatus.REFUSED, "the dealer is back, and has never seen it"
    assert (rfq.status, rfq.filled) == (RfqStatus.EXPIRED, 0)
    await check(house, [rfq_id])


async def test_quotes_go_with_the_line_where_the_dealer_chose_that(house: House) -> None:
    gone = house.dealer("alpha", cancel_on_disconnect=True)
    gone.on_request(Quotes(1.0, offer=offer(MID + 11)), DropsLine(2.0, for_s=1.0))
    house.offers("bravo", MID + 15, after_s=5.0)
    rfq_id = await house.submit()
    await house.until(rfq_id)

    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["bravo"]
    assert len(await house.events(rfq_id, ev.QuoteWithdrawn)) == 1
    await check(house, [rfq_id])



"""A dealer confirms more than was lifted: what was lifted is a fill, the excess a break that stops the RFQ."""

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, booked, takes, terms

from dealers.scripted_trader import Confirms, Refuses
from rfq.domain import events as ev
from rfq.domain.errors import WrongState
from rfq.domain.quote import LiftStatus
from rfq.domain.rfq import RfqStatus
from rfq.domain.values import Quantity


async def test_a_break_stops_everything_until_a_person_settles_it(house: House) -> None:
    over = house.offers("alpha", MID + 1, 6000).on_lift(Confirms(0.1, Quantity(7000)))

    rfq_id = await house.submit(terms(residual=HOUR))
    rfq = await house.needs_person(rfq_id)
    await house.sleep(10.0)
    rfq = await house.engine.rfq(rfq_id)

    assert (rfq.filled, rfq.reserved, rfq.working, rfq.unfilled) == (6000, 0, 0, 4000)
    assert rfq.stopped and rfq.needs_person == "break: alpha filled more than asked"
    assert not house.lit.orders and not await house.events(rfq_id, ev.ParentCreated), "nothing new is done"
    (found,) = await house.events(rfq_id, ev.BreakFound)
    assert found.excess == 1000
    assert [b.quantity for b in booked(over)] == [6000], "the dealer is told of the trade that was asked for"

    await house.engine.settle(rfq_id, None, None, "dealer busted 1,000 lots", "sue")
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled, rfq.unfilled) == (RfqStatus.DONE, BLOCK, 0)
    await check(house, [rfq_id])


async def test_a_break_survives_a_word_on_another_lift(house: House) -> None:
    """One winner is silent, the other over-confirms: settling the lift does not settle the break."""
    house.offers("alpha", MID + 1, 4000).on_lift()
    house.offers("bravo", MID + 3, 6000).on_lift(Confirms(0.1, Quantity(6500)))
    third = house.offers("charlie", MID + 5)

    rfq_id = await house.submit()
    await house.sleep(30.0)
    (unknown,) = [x for x in await house.lifts(rfq_id) if x.status is LiftStatus.UNKNOWN]
    await house.engine.settle(rfq_id, unknown.lift_id, "refused", "phoned", "sue")
    await house.sleep(30.0)
    rfq = await house.engine.rfq(rfq_id)
    assert rfq.stopped and rfq.needs_person and not rfq.is_over
    (word,) = await house.events(rfq_id, ev.PersonSettled)
    assert (word.lift_id, word.evidence) == (unknown.lift_id, "phoned"), "the evidence is on record all the same"

    await house.engine.settle(rfq_id, None, None, "bravo busted the excess", "sue")
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled, rfq.unfilled) == (RfqStatus.DONE, 6000, 4000)
    assert not takes(third), "nothing was lifted after the break"
    await check(house, [rfq_id], settled_by_hand=frozenset({unknown.lift_id}))


async def test_a_stopped_request_is_not_picked_from(house: House) -> None:
    house.offers("alpha", MID + 1, 6000).on_lift(Confirms(0.1, Quantity(6500)))
    house.offers("bravo", MID + 3, 6000).on_lift(Refuses(0.1))
    rfq_id = await house.submit()
    await house.needs_person(rfq_id)
    with pytest.raises(WrongState):
        await house.engine.award(rfq_id, [], "desk-a")
    await house.engine.settle(rfq_id, None, None, "busted", "sue")
    await house.until(rfq_id)
    await check(house, [rfq_id])


async def test_fewer_lots_than_lifted_give_the_rest_back(house: House) -> None:
    house.offers("alpha", MID + 1).on_lift(Confirms(0.1, Quantity(7000)))
    house.offers("bravo", MID + 3)
    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    assert {f.dealer_id: f.quantity for f in await house.fills(rfq_id)} == {"alpha": 7000, "bravo": 3000}
    assert (rfq.filled, rfq.needs_person) == (BLOCK, "")
    await check(house, [rfq_id])


async def test_saying_it_again_is_harmless_and_the_opposite_is_refused(house: House) -> None:
    twice = house.offers("alpha", MID + 1, 6000)
    house.offers("bravo", MID + 3, 4000).on_lift(Confirms(1.9))
    rfq_id = await house.submit()
    while not takes(twice):
        await house.sleep(0.1)
    await house.sleep(0.5)
    (take,) = takes(twice)
    assert (await house.engine.rfq(rfq_id)).filled == 6000
    twice.seat.confirm(take.lift_id)
    assert not twice.corrections
    twice.seat._lifts._answers.clear()
    twice.seat.refuse(take.lift_id, "changed my mind")
    assert "is confirmed: cannot be refused" in twice.corrections[0]
    twice.seat._lifts._answers.clear()
    twice.seat.confirm(take.lift_id)  # The world remembers what stands.
    rfq = await house.until(rfq_id)

    assert (rfq.filled, len(booked(twice))) == (BLOCK, 1)
    await check(house, [rfq_id])

"""A firm dealer does not answer a lift: unknown, its lots reserved, until it says, or a person does."""

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, takes, terms, told

from dealers.scripted_trader import Confirms, Refuses, ScriptedTrader
from rfq.domain import events as ev
from rfq.domain.errors import BadInput, WrongState
from rfq.domain.quote import LiftStatus
from rfq.domain.rfq import Rfq, RfqStatus
from rfq.domain.values import Quantity, RfqId
from rfq.ports import LiftAnswered


def remembers(trader: ScriptedTrader, answer: str) -> None:
    """The dealer has answered its lift, and the answer was lost on the way."""
    (take,) = takes(trader)
    trader.seat._lifts.answer(take.lift_id, LiftAnswered(take.lift_id, answer))  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", ["confirmed", "refused"])
async def test_the_status_request_finds_out(house: House, answer: str) -> None:
    silent = house.offers("alpha", MID + 11).on_lift()
    second = house.offers("bravo", MID + 15)

    rfq_id = await house.submit()
    await house.until(rfq_id, "awaiting_award")
    while not takes(silent):
        await house.sleep(0.1)
    remembers(silent, answer)
    await house.sleep(1.0)
    assert not takes(second), "nothing is lifted for reserved lots"
    rfq = await house.until(rfq_id)

    (fill,) = await house.fills(rfq_id)
    assert (rfq.status, fill.dealer_id) == (RfqStatus.DONE, "alpha" if answer == "confirmed" else "bravo")
    assert [u.reason for u in await house.events(rfq_id, ev.LiftUnknown)] == ["no answer in time"]
    assert not rfq.needs_person
    await check(house, [rfq_id])


async def test_a_lift_that_was_never_seen_is_free_again(house: House) -> None:
    deaf = house.offers("alpha", MID + 11)
    deaf.seat._on_lift = lambda lifting: None  # type: ignore[method-assign]
    house.offers("bravo", MID + 15)

    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    lost, won = await house.lifts(rfq_id)
    assert (lost.dealer_id, lost.status, lost.reason) == ("alpha", LiftStatus.REFUSED, "unknown")
    assert (won.dealer_id, rfq.filled) == ("bravo", BLOCK)
    await check(house, [rfq_id])


async def test_an_answer_after_its_time_still_counts(house: House) -> None:
    house.offers("alpha", MID + 11).on_lift(Confirms(6.0))
    second = house.offers("bravo", MID + 15)

    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert len(await house.events(rfq_id, ev.LiftUnknown)) == 1 and not takes(second)
    await check(house, [rfq_id])


async def needs_a_person(house: House) -> tuple[RfqId, Rfq]:
    """12,000 lots: alpha has 4,000 and is silent, bravo refuses its 3,000, charlie has 3,000; 5,000 are left."""
    house.offers("alpha", MID + 1, 4000).on_lift()
    house.offers("bravo", MID + 3, 3000, last_look_s=1.0).on_lift(Refuses(0.5))
    house.offers("charlie", MID + 5, 3000)
    rfq_id = await house.submit(terms(quantity=12_000, residual=HOUR))
    return rfq_id, await house.needs_person(rfq_id)


@pytest.mark.parametrize("answer", ["confirmed", "refused"])
async def test_past_its_limit_a_person_settles_while_other_lots_go_on(house: House, answer: str) -> None:
    rfq_id, rfq = await needs_a_person(house)
    assert rfq.needs_person == "alpha does not say what became of a lift"
    assert rfq.reserved == 4000
    (unknown,) = [x for x in await house.lifts(rfq_id) if x.status is LiftStatus.UNKNOWN]

    await house.sleep(90.0)  # The hour of the market is over: charlie's lots and the residual are done.
    rfq = await house.engine.rfq(rfq_id)
    assert (rfq.filled, rfq.reserved, rfq.working, rfq.unfilled) == (8000, 4000, 0, 0)
    assert not rfq.is_over, "it waits for the person"
    assert told(house.dealers["alpha"]) == [], "one that may have traded is not told that it is over"
    assert told(house.dealers["bravo"]) == [ev.NoticeKind.EXPIRED]

    with pytest.raises(BadInput, match="evidence"):
        await house.engine.settle(rfq_id, unknown.lift_id, answer, " ", "sue")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="lift_id"):
        await house.engine.settle(rfq_id, None, None, "a guess", "sue")
    await house.engine.settle(rfq_id, unknown.lift_id, answer, "phoned the dealer", "sue")  # type: ignore[arg-type]
    with pytest.raises(WrongState):
        await house.engine.settle(rfq_id, unknown.lift_id, answer, "again", "sue")  # type: ignore[arg-type]
    rfq = await house.until(rfq_id)

    expected = (12_000, 0) if answer == "confirmed" else (8000, 4000)
    assert (rfq.status, rfq.filled, rfq.unfilled) == (RfqStatus.DONE, *expected)
    (settled,) = await house.events(rfq_id, ev.PersonSettled)
    assert (settled.by, settled.evidence) == ("sue", "phoned the dealer")
    await check(house, [rfq_id], settled_by_hand=frozenset({unknown.lift_id}))


async def test_lots_settled_as_refused_in_time_are_worked(house: House) -> None:
    rfq_id, _ = await needs_a_person(house)
    (unknown,) = [x for x in await house.lifts(rfq_id) if x.status is LiftStatus.UNKNOWN]
    await house.engine.settle(rfq_id, unknown.lift_id, "refused", "phoned the dealer", "sue")
    rfq = await house.until(rfq_id)

    assert (rfq.filled, rfq.unfilled) == (12_000, 0)
    assert [p.order.quantity for p in await house.events(rfq_id, ev.ParentCreated)] == [5000, 4000]
    await check(house, [rfq_id], settled_by_hand=frozenset({unknown.lift_id}))


async def test_a_person_may_settle_part_of_a_lift(house: House) -> None:
    house.offers("alpha", MID + 1).on_lift()
    rfq_id = await house.submit()
    await house.needs_person(rfq_id)
    (unknown,) = await house.lifts(rfq_id)
    await house.engine.settle(rfq_id, unknown.lift_id, "confirmed", "their ticket", "sue", Quantity(7000))
    rfq = await house.until(rfq_id)

    assert (rfq.status, rfq.filled, rfq.unfilled) == (RfqStatus.DONE, 7000, 3000)
    await check(house, [rfq_id], settled_by_hand=frozenset({unknown.lift_id}))


async def test_a_dealer_that_speaks_up_at_last_needs_no_person(house: House) -> None:
    house.offers("alpha", MID + 11).on_lift(Confirms(120.0))
    rfq_id = await house.submit()
    await house.needs_person(rfq_id)
    rfq = await house.until(rfq_id, within_s=300.0)

    assert (rfq.status, rfq.filled, rfq.needs_person) == (RfqStatus.DONE, BLOCK, "")
    await check(house, [rfq_id])


async def test_nobody_settles_what_needs_nobody(house: House) -> None:
    house.offers("alpha", MID + 11, after_s=5.0)
    rfq_id = await house.submit()
    with pytest.raises(WrongState):
        await house.engine.settle(rfq_id, None, None, "evidence", "sue")
    await house.until(rfq_id)

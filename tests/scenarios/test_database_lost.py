"""The database goes away and comes back: nothing acknowledged is lost, nothing lifted unrecorded, the block goes on."""

from collections.abc import Awaitable, Sequence
from typing import Any

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, Quotes, booked, offer, takes, terms

from dealers.scripted_trader import Confirms
from rfq.domain import events as ev
from rfq.domain.errors import NoNewRisk, StoreUnavailable
from rfq.domain.rfq import RfqStatus
from rfq.ports import LiftAnswered, StreamId


@pytest.mark.parametrize("after_s", [0.0, 0.5, 2.2, 20.0])
async def test_every_connection_dies(house: House, after_s: float) -> None:
    """While asking, quoting, lifting, working."""
    house.offers("alpha", MID + 1, 4000, after_s=1.0).on_lift(Confirms(0.5))
    house.offers("bravo", MID + 3, 3000, after_s=2.0).on_lift(Confirms(0.8))
    rfq_id = await house.submit(terms(residual=HOUR))
    if after_s:
        await house.sleep(after_s)
    await house.kill_connections()
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert all(len(takes(x)) == len(booked(x)) == 1 for x in house.dealers.values())
    await check(house, [rfq_id])


async def test_again_and_again(house: House) -> None:
    house.offers("alpha", MID + 1, 4000, after_s=5.0)
    rfq_id = await house.submit(terms(residual=HOUR))
    for _ in range(8):
        await house.sleep(4.0)
        await house.kill_connections()
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    await check(house, [rfq_id])


@pytest.mark.parametrize("at_s", [0.5, 2.5, 3.5, 20.0], ids=["auction", "before the close", "lifting", "working"])
async def test_away_for_a_minute(house: House, at_s: float) -> None:
    """Longer than the log rides out: the story is interrupted, and taken up from the record when it is back."""
    winner = house.offers("alpha", MID + 1, 6000, after_s=3.0).on_lift(Confirms(1.0))
    house.offers("bravo", MID + 401, 3000, after_s=1.0)
    rfq_id = await house.submit(terms(residual=HOUR.but(horizon_s=7200.0)))
    await house.sleep(at_s)
    house.outage.away = True
    await house.sleep(60.0)
    seen = [t.lift_id for t in takes(winner)]
    assert seen == [] if at_s < 3 else len(seen) == 1
    with pytest.raises((StoreUnavailable, NoNewRisk)):
        await house.submit(key="key-2")
    house.outage.away = False
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert len(takes(winner)) <= 1
    won = sum(f.quantity for f in await house.fills(rfq_id) if f.dealer_id)
    assert won == sum(b.quantity for x in house.dealers.values() for b in booked(x))
    await check(house, [rfq_id])


async def test_a_cancel_while_it_is_away_holds_when_it_is_back(house: House) -> None:
    trader = house.dealer("alpha").on_request(Quotes(3.0, offer=offer(MID + 1)))
    house.dealer("bravo")
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.sleep(1.0)
    house.outage.away = True
    with pytest.raises(StoreUnavailable):
        await house.engine.cancel(rfq_id, "desk-a")
    await house.sleep(5.0)
    house.outage.away = False
    rfq = await house.until(rfq_id)
    assert rfq.status is RfqStatus.CANCELLED and rfq.filled == 0 and not takes(trader)
    assert [c.by for c in await house.events(rfq_id, ev.CancelRequested)] == ["desk-a"]
    await check(house, [rfq_id])


async def test_an_unknown_lift_is_asked_about_again_when_it_is_back(house: House) -> None:
    """The dealer's answer was lost, a person is wanted, and the story is taken up anew: the dealer is asked at once."""
    silent = house.offers("alpha", MID + 11).on_lift()
    rfq_id = await house.submit()
    await house.needs_person(rfq_id)
    (take,) = takes(silent)
    silent.seat._lifts.answer(take.lift_id, LiftAnswered(take.lift_id, "confirmed"))
    await house.sleep(30.0)
    assert not (await house.engine.rfq(rfq_id)).is_over, "nobody asks for ever"
    house.outage.away = True
    with pytest.raises(StoreUnavailable):
        await house.engine.settle(rfq_id, take.lift_id, "refused", "hearsay", "sue")
    house.outage.away = False
    rfq = await house.until(rfq_id, within_s=30.0)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK), "what was not recorded was not said"
    await check(house, [rfq_id])


async def test_a_trade_that_was_the_last_thing_recorded_is_booked_when_it_is_back(house: House) -> None:
    winner = house.offers("alpha", MID + 11)
    append = house.outage.append

    def last(stream: StreamId, events: Sequence[ev.Stamped], *rest: Any, **more: Any) -> Awaitable[None]:
        written = append(stream, events, *rest, **more)
        if any(isinstance(s.event, ev.LiftConfirmed) for s in events):
            house.outage.away = True
            house.loop.call_later(5.0, setattr, house.outage, "away", False)
        return written

    house.outage.append = last  # type: ignore[method-assign]
    rfq_id = await house.submit()
    await house.sleep(4.0)
    assert not booked(winner), "not told of what is not known to be recorded"
    rfq = await house.until(rfq_id)
    await house.sleep(1.0)
    assert (rfq.status, len(booked(winner)), len(takes(winner))) == (RfqStatus.DONE, 1, 1)
    await check(house, [rfq_id])


async def test_children_are_taken_out_of_the_market_while_nothing_can_be_recorded(house: House) -> None:
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.until(rfq_id, "working")
    house.lit.liquid = False
    await house.sleep(10.0)
    assert house.lit.live
    house.outage.away = True
    await house.sleep(10.0)
    assert not house.lit.live and not house.dark.live
    house.outage.away, house.lit.liquid = False, True
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    await check(house, [rfq_id])

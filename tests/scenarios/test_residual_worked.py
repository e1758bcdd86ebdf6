"""What the dealers do not take is worked: to completion, partly, in the dark, through a halt."""

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, terms
from order_floor import ASK

from rfq.domain import events as ev
from rfq.domain.errors import NotFound
from rfq.domain.fill import Where
from rfq.domain.rfq import RfqStatus, Urgency
from rfq.domain.values import ChildId, Quantity


async def test_to_completion(house: House) -> None:
    house.offers("alpha", MID + 1, 6000)
    rfq_id = await house.submit(terms(residual=HOUR))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.reason, rfq.filled) == (RfqStatus.DONE, "filled", BLOCK)
    worked = [f for f in await house.fills(rfq_id) if f.where is Where.LIT]
    assert sum(f.quantity for f in worked) == 4000 and len(worked) > 5, "in slices"
    (parent,) = await house.events(rfq_id, ev.ParentCreated)
    assert parent.order.quantity == 4000 and parent.order.horizon_s <= HOUR.horizon_s
    assert all(f.mid_at_fill is not None for f in worked)
    await check(house, [rfq_id])


async def test_partly_when_participation_is_small(house: House) -> None:
    """A tenth of a thin market is not enough: what is left at the end of the horizon is given back."""
    house.market.pace = 1.0
    rfq_id = await house.submit(terms(residual=HOUR.but(max_participation=0.1)))
    rfq = await house.until(rfq_id)
    assert rfq.status is RfqStatus.DONE and rfq.reason == "done with lots left unfilled"
    assert 0 < rfq.filled <= 0.1 * (house.market.volume + 1) and rfq.filled + rfq.unfilled == BLOCK
    await check(house, [rfq_id])


async def test_in_the_dark(house: House) -> None:
    """The dark pool fills what rests there, at the mid."""
    house.dark.on_send = lambda order: house.loop.call_soon(fill_half, house, order.child_id)
    rfq_id = await house.submit(terms(residual=HOUR.but(urgency=Urgency.LOW)))
    rfq = await house.until(rfq_id)
    fills = await house.fills(rfq_id)
    dark = [f for f in fills if f.where is Where.DARK]
    assert dark and all(f.price == MID for f in dark)
    assert rfq.filled == BLOCK == sum(f.quantity for f in fills)
    assert {"lit", "dark"} == {f.venue for f in fills}
    await check(house, [rfq_id])


def fill_half(house: House, child_id: str) -> None:
    order = house.dark.orders[child_id]  # type: ignore[index]
    if order.child_id in house.dark.live and order.quantity > 1:
        house.dark.fill(order.child_id, order.quantity // 2, MID)


async def test_only_where_the_desk_wants_it(house: House) -> None:
    rfq_id = await house.submit(terms(residual=HOUR.but(venues=("lit",))))
    await house.until(rfq_id)
    assert not house.dark.orders and house.lit.orders


async def test_the_market_halts_and_goes_on(house: House) -> None:
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.until(rfq_id, "working")
    await house.sleep(15.0)
    house.market.halted = True
    await house.sleep(2.0)
    stood = (await house.engine.rfq(rfq_id)).filled
    await house.sleep(15.0)
    assert (await house.engine.rfq(rfq_id)).filled == stood and not house.lit.live
    house.market.halted = False
    rfq = await house.until(rfq_id)
    assert 0 < stood < BLOCK == rfq.filled
    paused = await house.events(rfq_id, ev.ParentPaused, ev.ParentResumed)
    assert [type(e).__name__ for e in paused] == ["ParentPaused", "ParentResumed"] and paused[0].reason == "halted"
    await check(house, [rfq_id])


async def test_the_split_weighs_quotes_and_working_from_the_mid_that_is_there(house: House) -> None:
    """The market has moved 50 bps since the request came in: a quote a little above the new mid is still cheap."""

    def move() -> None:
        house.market.bid, house.market.ask = ASK + 90, ASK + 100  # type: ignore[assignment]

    house.offers("alpha", ASK + 100, after_s=3.0)
    house.dealer("bravo")
    rfq_id = await house.submit(terms(residual=HOUR))
    house.loop.call_later(2.0, move)
    rfq = await house.until(rfq_id)
    at_quotes = sum(f.quantity for f in await house.fills(rfq_id) if f.dealer_id)
    assert at_quotes > BLOCK // 2, "leaving it to the market would cost the same move, and impact beside"
    (award,) = (await house.reader.awards(rfq_id))[:1]
    assert award.expected_quote_bps > 25 and rfq.filled == BLOCK
    await check(house, [rfq_id])


async def test_a_late_fill_after_the_end_is_recorded(house: House) -> None:
    """A venue reports a fill of a cancelled child when everything is over: a fact, and the lots are there."""
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.until(rfq_id, "working")
    house.lit.liquid = False
    await house.sleep(15.0)
    await house.engine.cancel(rfq_id, "desk-a")
    rfq = await house.until(rfq_id)
    resting = [o for o in house.lit.orders.values() if house.lit.filled[o.child_id] < o.quantity]
    house.lit.fill(resting[0].child_id, 7)
    await house.sleep(1.0)
    after = await house.reader.rfq(rfq_id)
    assert after is not None and (after.status, after.filled) == (RfqStatus.CANCELLED, rfq.filled + 7)
    await check(house, [rfq_id])


async def test_a_venue_that_fills_too_much_stops_the_request(house: House) -> None:
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.until(rfq_id, "working")
    house.lit.liquid = False
    await house.sleep(10.0)
    order = next(o for o in house.lit.resting())
    house.lit.fill(order.child_id, order.quantity + 300)
    rfq = await house.needs_person(rfq_id, within_s=5.0)
    await house.sleep(5.0)
    assert rfq.stopped and not house.lit.live and not house.dark.live
    (found,) = await house.events(rfq_id, ev.BreakFound)
    assert found.excess == 300
    house.lit.liquid = True
    await house.engine.settle(rfq_id, None, None, "busted with the venue", "sue")
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    await check(house, [rfq_id])


async def test_a_word_on_a_child_settles_no_lift(house: House) -> None:
    """A lift is unknown and a venue will not say what became of a child: each wants a person of its own."""
    house.offers("alpha", MID + 1, 4000).on_lift()
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.until(rfq_id, "working")
    house.lit.liquid = False
    await house.sleep(20.0)
    house.lit.mute = True
    while "child" not in (await house.engine.rfq(rfq_id)).needs_person:
        await house.sleep(1.0)
    for row in await house.reader.orders(rfq_id):
        if row["kind"] == "child" and row["status"] not in ("filled", "cancelled", "rejected", "expired"):
            child_id = ChildId(str(row["child_id"]))
            done = Quantity(house.lit.filled[child_id])
            with pytest.raises(NotFound):
                await house.engine.settle_order(rfq_id, ChildId("another's"), done, None, "their log", "sue")
            await house.engine.settle_order(rfq_id, child_id, done, None, "their log", "sue")
    rfq = await house.engine.rfq(rfq_id)
    assert rfq.needs_person and rfq.reserved == 4000, "the lift still wants one"
    house.lit.mute, house.lit.liquid = False, True
    (lift,) = await house.lifts(rfq_id)
    await house.engine.settle(rfq_id, lift.lift_id, "refused", "phoned", "sue")
    rfq = await house.until(rfq_id)
    assert rfq.status is RfqStatus.DONE
    await check(house, [rfq_id], settled_by_hand=frozenset({lift.lift_id}))


async def test_a_venue_that_will_not_say_needs_a_person(house: House) -> None:
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.until(rfq_id, "working")
    house.lit.liquid = False
    await house.sleep(15.0)
    house.lit.mute = True
    rfq = await house.needs_person(rfq_id)
    assert "lit does not say what became of child" in rfq.needs_person and rfq.working > 0
    house.lit.mute = False
    await house.engine.settle(rfq_id, None, None, "the venue is back", "sue")
    rfq = await house.until(rfq_id)
    assert rfq.status is RfqStatus.DONE
    await check(house, [rfq_id])

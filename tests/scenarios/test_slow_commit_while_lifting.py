"""The record of a lift takes longer than a dealer has to answer one: nobody is silent who was not yet asked."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from always_true import check
from house import BLOCK, MID, House, takes, terms

from rfq.domain import events as ev
from rfq.domain.quote import LiftStatus
from rfq.domain.rfq import AwardMode, RfqStatus
from rfq.domain.values import Quantity
from rfq.engine.commands import Pick

SLOW_S = 6.0


def slow_to_record_lifts(house: House) -> None:
    at_once = house.outage.append

    def append(stream: Any, events: Any, *rest: Any) -> Awaitable[None]:
        written = at_once(stream, events, *rest)
        if not any(isinstance(stamped.event, ev.QuoteLifted) for stamped in events):
            return written

        async def later() -> None:
            await written
            await asyncio.sleep(SLOW_S)

        return asyncio.ensure_future(later())

    house.outage.append = append  # type: ignore[method-assign]


async def test_a_pick_is_lifted_however_long_its_record_took(house: House) -> None:
    slow_to_record_lifts(house)
    alpha = house.offers("alpha", MID + 11)
    rfq_id = await house.submit(terms(award=AwardMode.MANUAL))
    await house.until(rfq_id, "awaiting_award")
    quote = (await house.quotes(rfq_id))["alpha"]
    await house.engine.award(rfq_id, [Pick(quote.quote_id, Quantity(BLOCK))], "desk-a")
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled, len(takes(alpha))) == (RfqStatus.DONE, BLOCK, 1)
    assert not await house.events(rfq_id, ev.LiftUnknown)
    await check(house, [rfq_id])


async def test_a_line_that_bounces_meanwhile_costs_the_dealer_nothing(house: House) -> None:
    slow_to_record_lifts(house)
    best, second = house.offers("alpha", MID + 11), house.offers("bravo", MID + 15)
    rfq_id = await house.submit()
    await house.sleep(3.0)
    best.seat.drop()
    await house.sleep(1.0)
    best.seat.restore()
    await house.until(rfq_id)
    assert (len(takes(best)), len(takes(second))) == (1, 0)
    await check(house, [rfq_id])


async def test_a_quote_that_expires_meanwhile_is_not_lifted(house: House) -> None:
    slow_to_record_lifts(house)
    brief, second = house.offers("alpha", MID + 11, good_for_s=4.0), house.offers("bravo", MID + 15)
    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)
    assert (len(takes(brief)), len(takes(second)), rfq.filled) == (0, 1, BLOCK)
    (never,) = [lift for lift in await house.reader.lifts(rfq_id) if lift.status is LiftStatus.REFUSED]
    assert never.reason == "never sent: the quote had expired"
    await check(house, [rfq_id])

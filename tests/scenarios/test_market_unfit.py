"""A halted or stale market: nothing is accepted, asked, lifted or picked against it."""

import pytest
from always_true import check
from house import BLOCK, MID, House, takes, terms

from dealers.seat import Ask
from rfq.domain.errors import MarketUnfit
from rfq.domain.rfq import AwardMode, RfqStatus
from rfq.domain.values import Quantity
from rfq.engine.commands import Pick


async def test_nobody_is_asked_in_a_market_that_halted_meanwhile(house: House) -> None:
    alpha = house.offers("alpha", 20_000)
    rfq_id = await house.submit()
    house.market.halted = True
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.reason, rfq.unfilled) == (RfqStatus.REJECTED, "QDI is halted", rfq.terms.leg.quantity)
    assert not [h for h in alpha.heard if isinstance(h, Ask)]
    await check(house, [rfq_id])


async def test_an_unfit_market_takes_no_request(house: House) -> None:
    house.market.halted = True
    with pytest.raises(MarketUnfit, match="halted"):
        await house.submit()
    house.market.halted = False
    house.market.behind_s = 31.0
    with pytest.raises(MarketUnfit, match="last seen 31"):
        await house.submit(key="key-2")


async def test_nothing_is_lifted_while_it_is_halted(house: House) -> None:
    alpha = house.offers("alpha", MID + 11)
    rfq_id = await house.submit()
    await house.sleep(0.5)
    house.market.halted = True
    await house.sleep(10.0)
    assert not takes(alpha) and (await house.engine.rfq(rfq_id)).status is RfqStatus.AWAITING_AWARD
    house.market.halted = False
    rfq = await house.until(rfq_id)
    assert (rfq.status, len(takes(alpha))) == (RfqStatus.DONE, 1)
    await check(house, [rfq_id])


async def test_halted_until_the_quotes_are_gone(house: House) -> None:
    alpha = house.offers("alpha", MID + 11, good_for_s=8.0)
    rfq_id = await house.submit()
    await house.sleep(0.5)
    house.market.halted = True
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.EXPIRED, 0) and not takes(alpha)
    await check(house, [rfq_id])


async def test_a_pick_is_refused_while_it_is_halted(house: House) -> None:
    house.offers("alpha", MID + 11)
    rfq_id = await house.submit(terms(award=AwardMode.MANUAL))
    await house.until(rfq_id, "awaiting_award")
    quote = (await house.quotes(rfq_id))["alpha"]
    house.market.halted = True
    with pytest.raises(MarketUnfit):
        await house.engine.award(rfq_id, [Pick(quote.quote_id, Quantity(BLOCK))], "desk-a")
    house.market.halted = False
    await house.engine.award(rfq_id, [Pick(quote.quote_id, Quantity(BLOCK))], "desk-a")
    assert (await house.until(rfq_id)).filled == BLOCK

"""The market halts between the moment a request is accepted and the moment dealers would be asked: nobody is asked."""

import pytest
from always_true import check
from house import House

from dealers.seat import Ask
from rfq.domain.errors import MarketUnfit
from rfq.domain.rfq import RfqStatus


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

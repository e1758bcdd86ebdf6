"""The desk's limit price: nobody learns it, and nothing trades beyond it, at quotes or at venues."""

from always_true import check
from house import BLOCK, HOUR, MID, House, Quotes, asks, offer, terms
from order_floor import ASK

from rfq.domain.quote import QuoteStatus
from rfq.domain.rfq import RequestSide, RfqStatus
from rfq.domain.values import Price


async def test_quotes_beyond_it_do_not_win_and_nobody_is_told_why(house: House) -> None:
    limit = MID + 13
    beyond = house.offers("alpha", MID + 15, 10_000)
    at_limit = house.offers("bravo", limit, 4000)
    rfq_id = await house.submit(terms(limit_price=limit))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, 4000)
    assert (await house.quotes(rfq_id))["alpha"].status is QuoteStatus.LOST
    for trader in (beyond, at_limit):
        assert not any(str(int(limit)) in repr(ask) for ask in asks(trader))
    await check(house, [rfq_id])


async def test_a_seller_s_limit_is_a_floor(house: House) -> None:
    limit = MID - 13
    house.dealer("alpha").on_request(Quotes(1.0, bid=offer(MID - 15)))
    house.dealer("bravo").on_request(Quotes(1.0, bid=offer(MID - 11)))
    rfq_id = await house.submit(terms(RequestSide.SELL, limit_price=limit))
    await house.until(rfq_id)
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["bravo"]
    await check(house, [rfq_id])


async def test_all_quotes_beyond_it(house: House) -> None:
    house.offers("alpha", MID + 15)
    rfq_id = await house.submit(terms(limit_price=MID + 13))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.EXPIRED, 0)
    await check(house, [rfq_id])


async def test_the_residual_does_not_trade_beyond_it(house: House) -> None:
    """The market runs away past the limit: what cannot be had within it stays unfilled."""
    rfq_id = await house.submit(terms(limit_price=ASK, residual=HOUR))
    await house.until(rfq_id, "working")
    await house.sleep(20.0)
    before = (await house.engine.rfq(rfq_id)).filled
    house.market.bid, house.market.ask = Price(ASK + 10), Price(ASK + 20)
    rfq = await house.until(rfq_id)
    assert 0 < before == rfq.filled < BLOCK
    assert rfq.status is RfqStatus.DONE and rfq.unfilled == BLOCK - before
    await check(house, [rfq_id])

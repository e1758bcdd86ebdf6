"""Nobody can be asked, or nobody wants to: the request expires, or goes to the market alone."""

from always_true import check
from house import BLOCK, HOUR, MID, House, asks, terms

from dealers.scripted_trader import Declines
from rfq.domain.quote import RequestStatus
from rfq.domain.rfq import RfqStatus
from rfq.domain.values import DealerId


async def test_nobody_reachable(house: House) -> None:
    gone = house.offers("alpha", MID + 11)
    gone.seat.drop()
    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.reason) == (RfqStatus.EXPIRED, "no dealer could be asked")
    gone.seat.restore()
    await house.sleep(1.0)
    assert not gone.heard
    await check(house, [rfq_id])


async def test_nobody_reachable_and_a_residual(house: House) -> None:
    rfq_id = await house.submit(terms(residual=HOUR))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert not await house.reader.auctions(rfq_id)
    await check(house, [rfq_id])


async def test_nobody_reachable_and_a_minimum_at_quotes(house: House) -> None:
    rfq_id = await house.submit(terms(residual=HOUR, min_fill=1))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.EXPIRED, 0) and not house.lit.orders
    await check(house, [rfq_id])


async def test_everybody_excluded(house: House) -> None:
    shut_out = house.offers("alpha", MID + 11)
    rfq_id = await house.submit(terms(exclude=(DealerId("alpha"),)))
    rfq = await house.until(rfq_id)
    assert rfq.status is RfqStatus.EXPIRED and not asks(shut_out)


async def test_everybody_declines(house: House) -> None:
    for name in ("alpha", "bravo"):
        house.dealer(name).on_request(Declines(1.0, "no inventory"))
    rfq_id = await house.submit()
    rfq = await house.until(rfq_id, within_s=5.0)
    assert (rfq.status, rfq.reason) == (RfqStatus.EXPIRED, "no quote was traded")
    requests = await house.reader.requests(rfq_id)
    assert {(r.status, r.reason) for r in requests} == {(RequestStatus.DECLINED, "no inventory")}
    await check(house, [rfq_id])


async def test_everybody_is_silent_and_the_residual_takes_it_all(house: House) -> None:
    house.dealer("alpha")
    rfq_id = await house.submit(terms(residual=HOUR))
    rfq = await house.until(rfq_id)
    (auction,) = await house.reader.auctions(rfq_id)
    assert auction.closed_at == auction.deadline
    assert rfq.filled == BLOCK
    assert [r.status for r in await house.reader.requests(rfq_id)] == [RequestStatus.SILENT]
    await check(house, [rfq_id])


async def test_fewer_than_the_desk_insists_on(house: House) -> None:
    alpha, bravo = house.offers("alpha", MID + 11), house.offers("bravo", MID + 11)
    rfq_id = await house.submit(terms(min_dealers=3))
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.reason) == (RfqStatus.EXPIRED, "only 2 of at least 3 dealers could be asked")
    assert not asks(alpha) and not asks(bravo)

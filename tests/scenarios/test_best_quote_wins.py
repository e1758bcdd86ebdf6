"""Three dealers quote, the best one wins the block, everyone is told what they should be."""

from always_true import check
from house import BLOCK, MID, House, booked, told

from rfq.domain.events import NoticeKind
from rfq.domain.quote import QuoteStatus
from rfq.domain.rfq import RfqStatus


async def test_best_quote_wins(house: House) -> None:
    house.offers("alpha", MID + 21)
    best = house.offers("bravo", MID + 11)
    second = house.offers("charlie", MID + 15)

    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)

    assert (rfq.status, rfq.filled, rfq.unfilled) == (RfqStatus.DONE, BLOCK, 0)
    quotes = await house.quotes(rfq_id)
    assert quotes["bravo"].status is QuoteStatus.CONFIRMED
    assert quotes["alpha"].status is quotes["charlie"].status is QuoteStatus.LOST
    (auction,) = await house.reader.auctions(rfq_id)
    assert (auction.best, auction.cover) == (MID + 11, MID + 15)
    (mine,) = booked(best)
    assert (mine.price, mine.quantity) == (MID + 11, BLOCK)
    assert told(second) == [NoticeKind.EXPIRED, NoticeKind.COVER]
    assert told(best) == []
    await check(house, [rfq_id])

"""A two-way request hides the desk's side: dealers quote both, and see neither intent nor limit."""

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, Quotes, asks, offer, takes, terms

from rfq.domain.errors import BadInput, WrongState
from rfq.domain.rfq import AwardMode, RequestSide, RfqStatus
from rfq.domain.values import Quantity, QuoteId, Side
from rfq.engine.commands import Pick


def both(house: House, name: str, bid: int, ask: int) -> None:
    house.dealer(name).on_request(Quotes(1.0, bid=offer(bid), offer=offer(ask)))


@pytest.mark.parametrize(("side", "winner", "price"), [(Side.BUY, "alpha", MID + 5), (Side.SELL, "bravo", MID - 3)])
async def test_hidden_intent_awarded_automatically(house: House, side: Side, winner: str, price: int) -> None:
    both(house, "alpha", MID - 9, MID + 5)
    both(house, "bravo", MID - 3, MID + 11)
    rfq_id = await house.submit(terms(RequestSide.TWO_WAY, intent=side))
    rfq = await house.until(rfq_id)
    (fill,) = await house.fills(rfq_id)
    assert (fill.side, fill.dealer_id, fill.price, rfq.filled) == (side, winner, price, BLOCK)
    for trader in house.dealers.values():
        (ask,) = asks(trader)
        assert ask.side is RequestSide.TWO_WAY
        shown = {name: getattr(ask, name) for name in ask.__struct_fields__}
        assert side not in shown.values(), "the side shows only in a lift"
    assert len(takes(house.dealers[winner])) == 1
    await check(house, [rfq_id])


async def test_one_sided_answers_are_not_taken(house: House) -> None:
    """An offer alone would be fine for a buyer: taking it would say who is one."""
    one = house.offers("alpha", MID + 1)
    both(house, "bravo", MID - 9, MID + 5)
    rfq_id = await house.submit(terms(RequestSide.TWO_WAY, intent=Side.BUY))
    await house.until(rfq_id)
    assert "bid and offer" in one.corrections[0]
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["bravo"]


async def test_without_intent_the_desk_picks_a_side_by_hand(house: House) -> None:
    both(house, "alpha", MID - 9, MID + 5)
    both(house, "bravo", MID - 3, MID + 11)
    rfq_id = await house.submit(terms(RequestSide.TWO_WAY, award=AwardMode.MANUAL))
    await house.until(rfq_id, "awaiting_award")
    quotes = await house.quotes(rfq_id)
    alpha, bravo = quotes["alpha"].quote_id, quotes["bravo"].quote_id
    with pytest.raises(BadInput, match="side"):
        await house.engine.award(rfq_id, [Pick(bravo, Quantity(4000))], "desk-a")
    with pytest.raises(BadInput, match="side"):
        sold, bought = Pick(bravo, Quantity(4000), side=Side.SELL), Pick(alpha, Quantity(100), side=Side.BUY)
        await house.engine.award(rfq_id, [sold, bought], "desk-a")
    award = await house.engine.award(rfq_id, [Pick(bravo, Quantity(4000), side=Side.SELL)], "desk-a")
    assert award.side is Side.SELL
    rfq = await house.until(rfq_id)
    (fill,) = await house.fills(rfq_id)
    assert (fill.dealer_id, fill.side, fill.price, fill.quantity) == ("bravo", Side.SELL, MID - 3, 4000)
    assert (rfq.status, rfq.side, rfq.unfilled) == (RfqStatus.DONE, Side.SELL, 6000)
    await check(house, [rfq_id])


async def test_without_intent_and_without_a_pick_nothing_is_worked(house: House) -> None:
    both(house, "alpha", MID - 9, MID + 5)
    rfq_id = await house.submit(terms(RequestSide.TWO_WAY, award=AwardMode.MANUAL, award_window_s=5.0, residual=HOUR))
    rfq = await house.until(rfq_id)
    assert rfq.filled == 0 and rfq.side is None and not house.lit.orders
    with pytest.raises(WrongState):
        await house.engine.award(rfq_id, [Pick(QuoteId("x"), Quantity(1))], "desk-a")
    await check(house, [rfq_id])

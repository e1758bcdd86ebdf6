"""A quote may be bettered, worsened or taken back until the close, and stands after it."""

import pytest
from always_true import check
from house import BLOCK, MID, House, Quotes, offer, terms

from dealers.scripted_trader import Declines, Withdraws
from rfq.domain import events as ev
from rfq.domain.quote import QuoteStatus, RequestStatus
from rfq.domain.rfq import AwardMode


async def test_the_last_revision_is_what_is_lifted(house: House) -> None:
    house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 21)), Quotes(3.0, offer=offer(MID + 11)))
    house.offers("bravo", MID + 15, after_s=5.0)
    rfq_id = await house.submit()
    await house.until(rfq_id)
    (lift,) = await house.lifts(rfq_id)
    assert (lift.dealer_id, lift.revision, lift.price) == ("alpha", 2, MID + 11)
    await check(house, [rfq_id])


async def test_a_dealer_may_worsen_its_quote(house: House) -> None:
    house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 11)), Quotes(3.0, offer=offer(MID + 21)))
    house.offers("bravo", MID + 15, after_s=5.0)
    rfq_id = await house.submit()
    await house.until(rfq_id)
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["bravo"]
    await check(house, [rfq_id])


async def test_a_withdrawn_quote_is_gone_and_a_new_one_may_follow(house: House) -> None:
    house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 11)), Withdraws(2.0))
    house.dealer("bravo").on_request(
        Quotes(1.0, offer=offer(MID + 13)), Withdraws(2.0), Quotes(3.0, offer=offer(MID + 17), quote_id="q2")
    )
    house.offers("charlie", MID + 19, after_s=5.0)
    rfq_id = await house.submit()
    await house.until(rfq_id)
    assert [(f.dealer_id, f.price) for f in await house.fills(rfq_id)] == [("bravo", MID + 17)]
    states = {q.quote_id.split("/")[1] + q.dealer_id: q.status for q in await house.reader.quotes(rfq_id)}
    assert states["q1alpha"] is states["q1bravo"] is QuoteStatus.WITHDRAWN
    await check(house, [rfq_id])


async def test_a_withdrawal_after_the_close_is_refused(house: House) -> None:
    held = house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 11)), Withdraws(3.0))
    rfq_id = await house.submit(terms(award=AwardMode.MANUAL, award_window_s=20.0))
    await house.until(rfq_id, "awaiting_award")
    await house.sleep(5.0)
    assert "is closed: cannot be withdrawn" in held.corrections[0]
    assert (await house.quotes(rfq_id))["alpha"].status is QuoteStatus.LIVE, "it stands until it expires"
    await house.until(rfq_id)
    await check(house, [rfq_id])


@pytest.mark.parametrize(
    ("step", "rule"),
    [
        pytest.param(Quotes(2.0, offer=offer(MID + 10)), "tick", id="off the tick"),
        pytest.param(Quotes(2.0, bid=offer(MID + 1)), "offer", id="the wrong side"),
        pytest.param(Quotes(2.0, offer=offer(MID + 1), good_for_s=-1.0), "future", id="expired already"),
        pytest.param(Quotes(2.0, offer=offer(MID + 1), quote_id="q2"), "revised", id="a second quote"),
        pytest.param(Quotes(2.0, offer=offer(MID + 1), quote_id="other/q"), "", id="a strange id"),
    ],
)
async def test_what_breaks_a_rule_is_said_and_leaves_the_quote_that_stands(
    house: House, step: Quotes, rule: str
) -> None:
    clumsy = house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 11)), step)
    house.offers("bravo", MID + 15, after_s=5.0)
    rfq_id = await house.submit()
    await house.until(rfq_id)
    assert len(clumsy.corrections) == 1 and rule in clumsy.corrections[0]
    assert [(f.dealer_id, f.price) for f in await house.fills(rfq_id)] == [("alpha", MID + 11)]
    await check(house, [rfq_id])


async def test_a_decline_takes_the_quote_back_and_may_be_thought_better_of(house: House) -> None:
    house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 1)), Declines(2.0, "no inventory"))
    changed = Declines(1.0), Quotes(4.0, offer=offer(MID + 15))
    house.dealer("bravo").on_request(*changed)
    house.offers("charlie", MID + 19, after_s=6.0)
    rfq_id = await house.submit()
    rfq = await house.until(rfq_id)
    assert [(f.dealer_id, f.quantity) for f in await house.fills(rfq_id)] == [("bravo", BLOCK)]
    (request,) = [r for r in await house.reader.requests(rfq_id) if r.dealer_id == "alpha"]
    assert (request.status, request.reason) == (RequestStatus.DECLINED, "no inventory")
    assert len(await house.events(rfq_id, ev.RequestDeclined)) == 2 and rfq.filled == BLOCK
    await check(house, [rfq_id])

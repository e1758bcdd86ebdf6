"""The desk picks quotes and quantities itself, while they last."""

from typing import Any

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, Quotes, offer, takes, terms

from dealers.scripted_trader import Refuses
from rfq.domain.errors import BadInput, NotFound, SottoError, WrongState
from rfq.domain.fill import Where
from rfq.domain.quote import QuoteStatus
from rfq.domain.rfq import AwardMode, RfqStatus
from rfq.domain.values import Quantity, QuoteId, RfqId
from rfq.engine.commands import Pick


async def open_for_picks(house: House, **more: Any) -> tuple[RfqId, dict[str, QuoteId]]:
    rfq_id = await house.submit(terms(award=AwardMode.MANUAL, **more))
    await house.until(rfq_id, "awaiting_award")
    return rfq_id, {name: q.quote_id for name, q in (await house.quotes(rfq_id)).items()}


async def test_part_of_it_and_the_residual_is_worked(house: House) -> None:
    house.offers("alpha", MID + 11)
    dearer = house.offers("bravo", MID + 21)
    rfq_id, quotes = await open_for_picks(house, residual=HOUR)
    award = await house.engine.award(rfq_id, [Pick(quotes["bravo"], Quantity(3000))], "desk-a")
    assert (award.by, award.lots, award.residual) == ("desk-a", 3000, 7000)
    await house.until(rfq_id, "working", within_s=1.0)  # The desk has had what it picked: no window is waited out.
    rfq = await house.until(rfq_id)

    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert sum(f.quantity for f in await house.fills(rfq_id) if f.where is Where.LIT) == 7000
    assert [t.quantity for t in takes(dearer)] == [3000], "the desk's pick, though it is not the best"
    assert not takes(house.dealers["alpha"])
    await check(house, [rfq_id])


async def test_a_refused_pick_may_be_picked_again_elsewhere(house: House) -> None:
    house.offers("alpha", MID + 11, last_look_s=1.0).on_lift(Refuses(0.5))
    second = house.offers("bravo", MID + 15)
    rfq_id, quotes = await open_for_picks(house)
    await house.engine.award(rfq_id, [Pick(quotes["alpha"], Quantity(BLOCK))], "desk-a")
    with pytest.raises(WrongState, match="already lifting"):
        await house.engine.award(rfq_id, [Pick(quotes["bravo"], Quantity(BLOCK))], "desk-a")
    await house.sleep(2.0)
    assert not takes(second), "nobody is picked for the desk"
    with pytest.raises(WrongState, match="refused"):
        await house.engine.award(rfq_id, [Pick(quotes["alpha"], Quantity(BLOCK))], "desk-a")
    await house.engine.award(rfq_id, [Pick(quotes["bravo"], Quantity(BLOCK))], "desk-a")
    rfq = await house.until(rfq_id)
    assert (rfq.filled, len(await house.reader.awards(rfq_id))) == (BLOCK, 2)
    await check(house, [rfq_id])


@pytest.mark.parametrize("residual", [None, HOUR])
async def test_the_window_closes(house: House, residual: Any) -> None:
    house.offers("alpha", MID + 11)
    rfq_id, quotes = await open_for_picks(house, award_window_s=5.0, residual=residual)
    await house.until(rfq_id, "working", "expired")
    with pytest.raises(WrongState):
        await house.engine.award(rfq_id, [Pick(quotes["alpha"], Quantity(BLOCK))], "desk-a")
    rfq = await house.until(rfq_id)
    ends = (RfqStatus.DONE, BLOCK) if residual else (RfqStatus.EXPIRED, 0)
    assert (rfq.status, rfq.filled) == ends
    assert (await house.quotes(rfq_id))["alpha"].status is QuoteStatus.LOST
    (auction,) = await house.reader.auctions(rfq_id)
    assert auction.closed_at is not None
    await check(house, [rfq_id])


async def test_an_expired_quote_cannot_be_picked(house: House) -> None:
    house.offers("alpha", MID + 11, good_for_s=3.0)
    house.offers("bravo", MID + 15)
    rfq_id, quotes = await open_for_picks(house)
    await house.sleep(4.0)
    with pytest.raises(WrongState, match="expired"):
        await house.engine.award(rfq_id, [Pick(quotes["alpha"], Quantity(BLOCK))], "desk-a")
    await house.engine.award(rfq_id, [Pick(quotes["bravo"], Quantity(BLOCK))], "desk-a")
    rfq = await house.until(rfq_id)
    assert rfq.filled == BLOCK and (await house.quotes(rfq_id))["alpha"].status is QuoteStatus.EXPIRED
    await check(house, [rfq_id])


async def test_when_every_quote_has_expired_nobody_waits_for_the_desk(house: House) -> None:
    house.offers("alpha", MID + 11, good_for_s=3.0)
    rfq_id, _ = await open_for_picks(house, award_window_s=3000.0)
    rfq = await house.until(rfq_id, within_s=10.0)
    assert rfq.status is RfqStatus.EXPIRED
    await check(house, [rfq_id])


async def test_an_old_revision_is_not_picked_by_mistake(house: House) -> None:
    house.dealer("alpha").on_request(Quotes(1.0, offer=offer(MID + 11)), Quotes(2.0, offer=offer(MID + 21)))
    house.offers("bravo", MID + 15, after_s=3.0)
    rfq_id, quotes = await open_for_picks(house)
    with pytest.raises(BadInput, match="revision"):
        await house.engine.award(rfq_id, [Pick(quotes["alpha"], Quantity(BLOCK), revision=1)], "desk-a")
    await house.engine.award(rfq_id, [Pick(quotes["alpha"], Quantity(BLOCK), revision=2)], "desk-a")
    await house.until(rfq_id)
    (fill,) = await house.fills(rfq_id)
    assert fill.price == MID + 21
    await check(house, [rfq_id])


async def test_picks_that_break_a_rule_change_nothing(house: House) -> None:
    house.offers("alpha", MID + 11, 6000, minimum=2000)
    house.offers("bravo", MID + 15, 6000)
    rfq_id, quotes = await open_for_picks(house, min_fill=4000)
    alpha, bravo = quotes["alpha"], quotes["bravo"]
    wrong: list[tuple[list[Pick], type[SottoError], str]] = [
        ([], BadInput, "at least one"),
        ([Pick(QuoteId("nobody"), Quantity(1))], NotFound, "nobody"),
        ([Pick(alpha, Quantity(1999)), Pick(bravo, Quantity(5000))], BadInput, r"picks\[0\]"),
        ([Pick(alpha, Quantity(5000)), Pick(bravo, Quantity(6001))], BadInput, r"picks\[1\]"),
        ([Pick(alpha, Quantity(6000)), Pick(bravo, Quantity(4001))], BadInput, "unfilled"),
        ([Pick(alpha, Quantity(3000)), Pick(alpha, Quantity(3000))], BadInput, "twice"),
        ([Pick(alpha, Quantity(3999))], BadInput, "minimum fill"),
        ([Pick(alpha, Quantity(-1))], BadInput, "lots"),
    ]
    for picks, error, words in wrong:
        with pytest.raises(error, match=words):
            await house.engine.award(rfq_id, picks, "desk-a")
    assert not await house.reader.awards(rfq_id) and not await house.lifts(rfq_id)
    await house.engine.award(rfq_id, [Pick(alpha, Quantity(4000)), Pick(bravo, Quantity(6000))], "desk-a")
    rfq = await house.until(rfq_id)
    assert rfq.filled == BLOCK
    await check(house, [rfq_id])


async def test_an_automatic_award_is_nobody_s_to_make(house: House) -> None:
    house.offers("alpha", MID + 11, last_look_s=2.0).on_lift()
    rfq_id = await house.submit()
    await house.until(rfq_id, "awaiting_award")
    with pytest.raises(WrongState, match="automatically"):
        await house.engine.award(rfq_id, [], "desk-a")


async def test_a_pick_beyond_the_desk_s_own_terms_is_refused(house: House) -> None:
    house.offers("alpha", MID + 31)
    house.offers("bravo", MID + 11, 4000)
    house.offers("charlie", MID + 13, 4000)
    rfq_id = await house.submit(terms(award=AwardMode.MANUAL, limit_price=MID + 15, max_winners=1))
    await house.until(rfq_id, "awaiting_award")
    quotes = await house.quotes(rfq_id)
    pick = {name: Pick(quote.quote_id, Quantity(4000)) for name, quote in quotes.items()}
    with pytest.raises(BadInput, match="limit price"):
        await house.engine.award(rfq_id, [pick["alpha"]], "desk-a")
    with pytest.raises(BadInput, match="more than 1"):
        await house.engine.award(rfq_id, [pick["bravo"], pick["charlie"]], "desk-a")
    await house.engine.award(rfq_id, [pick["bravo"]], "desk-a")
    assert (await house.until(rfq_id)).filled == 4000

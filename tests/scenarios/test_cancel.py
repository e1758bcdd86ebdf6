"""A cancel does what a desk expects at every stage, and says what is done and cannot be undone."""

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, asks, takes, terms, told

from dealers.scripted_trader import Confirms
from rfq.domain import events as ev
from rfq.domain.errors import NotFound, WrongState
from rfq.domain.events import NoticeKind
from rfq.domain.rfq import AwardMode, RfqStatus
from rfq.domain.values import Quantity, RfqId
from rfq.engine.commands import Pick


async def test_before_anyone_was_asked(house: House) -> None:
    idle = house.offers("alpha", MID + 11)
    rfq_id = await house.submit()
    answer = await house.engine.cancel(rfq_id, "desk-a")
    assert answer.done == answer.pending == ()
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled, rfq.unfilled) == (RfqStatus.CANCELLED, 0, BLOCK)
    assert not asks(idle), "nobody learns of it"
    await check(house, [rfq_id])


async def test_while_the_auction_is_open(house: House) -> None:
    quoted, silent = house.offers("alpha", MID + 11), house.dealer("bravo")
    rfq_id = await house.submit()
    await house.sleep(3.0)
    answer = await house.engine.cancel(rfq_id, "desk-a")
    assert answer.done == answer.pending == () and answer.rfq.cancelling
    rfq = await house.until(rfq_id, within_s=1.0)
    assert (rfq.status, rfq.reason) == (RfqStatus.CANCELLED, "cancelled by the desk")
    assert not takes(quoted)
    assert told(quoted) == [NoticeKind.EXPIRED]
    assert told(silent)[0] == "withdrawn", "whoever may still be pricing is told at once"
    await check(house, [rfq_id])


async def test_while_lifting_what_is_confirmed_stands_and_no_more_is_lifted(house: House) -> None:
    house.offers("alpha", MID + 1, 4000).on_lift(Confirms(0.2))
    house.offers("bravo", MID + 3, 3000).on_lift(Confirms(1.5))
    third = house.offers("charlie", MID + 5, 2000)
    rfq_id = await house.submit(terms(max_winners=2, residual=HOUR))
    await house.until(rfq_id, "awaiting_award")
    await house.sleep(0.5)
    answer = await house.engine.cancel(rfq_id, "desk-a")
    rfq = await house.until(rfq_id)

    won = {f.dealer_id for f in await house.fills(rfq_id)}
    assert len(answer.done) == 1 and len(answer.pending) == 1 and len(won) == 2
    assert answer.done == ("4000 at 99.98 with alpha",)
    assert answer.pending == ("3000 lifted from bravo: sent",)
    assert rfq.status is RfqStatus.CANCELLED and rfq.filled + rfq.unfilled == BLOCK
    assert not house.lit.orders, "nothing is worked"
    assert not takes(third)
    await check(house, [rfq_id])


async def test_while_working(house: House) -> None:
    house.offers("alpha", MID + 1, 4000)
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.until(rfq_id, "working")
    await house.sleep(20.0)
    answer = await house.engine.cancel(rfq_id, "desk-a")
    assert any("with alpha" in done for done in answer.done) and any("with lit" in done for done in answer.done)
    rfq = await house.until(rfq_id, within_s=5.0)
    assert rfq.status is RfqStatus.CANCELLED
    assert 4000 < rfq.filled < BLOCK and rfq.filled + rfq.unfilled == BLOCK
    assert not house.lit.live and not house.dark.live, "every child is out of the market"
    await check(house, [rfq_id])


async def test_twice_is_once(house: House) -> None:
    house.dealer("alpha")
    rfq_id = await house.submit()
    await house.sleep(1.0)
    await house.engine.cancel(rfq_id, "desk-a")
    await house.engine.cancel(rfq_id, "desk-a")
    await house.until(rfq_id)
    assert len(await house.events(rfq_id, ev.CancelRequested)) == 1


async def test_after_it_is_over(house: House) -> None:
    house.offers("alpha", MID + 11)
    rfq_id = await house.submit()
    await house.until(rfq_id)
    await house.sleep(1.0)
    with pytest.raises(WrongState) as refused:
        await house.engine.cancel(rfq_id, "desk-a")
    assert refused.value.state == "done"
    with pytest.raises(NotFound):
        await house.engine.cancel(RfqId("rfq-nobody"), "desk-a")


async def test_while_the_desk_may_pick(house: House) -> None:
    house.offers("alpha", MID + 11)
    rfq_id = await house.submit(terms(award=AwardMode.MANUAL, award_window_s=600.0))
    await house.until(rfq_id, "awaiting_award")
    quote = (await house.quotes(rfq_id))["alpha"]
    await house.engine.cancel(rfq_id, "desk-a")
    with pytest.raises(WrongState):
        await house.engine.award(rfq_id, [Pick(quote.quote_id, Quantity(1))], "desk-a")
    rfq = await house.until(rfq_id, within_s=1.0)
    assert rfq.status is RfqStatus.CANCELLED
    await check(house, [rfq_id])


async def test_a_cancel_that_comes_after_the_last_lot(house: House) -> None:
    """The lift was in flight and is confirmed in full: the block is done, whatever was asked meanwhile."""
    house.offers("alpha", MID + 11).on_lift(Confirms(1.0))
    rfq_id = await house.submit()
    await house.until(rfq_id, "awaiting_award")
    answer = await house.engine.cancel(rfq_id, "desk-a")
    assert len(answer.pending) == 1
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled, rfq.cancelling) == (RfqStatus.DONE, BLOCK, True)
    await check(house, [rfq_id])


async def test_a_cancel_at_the_very_moment_of_asking_and_of_lifting(house: House) -> None:
    """It comes while the request, and then the lift, is being recorded: neither goes out."""
    trader = house.offers("alpha", MID + 11)
    append = house.parts.store.append
    on: list[type] = [ev.DealersAsked]

    def cancel_on(stream, events, *rest, **more):  # type: ignore[no-untyped-def]
        if any(isinstance(s.event, on[0]) for s in events):
            for s in house.engine.stories.live.values():
                house.loop.call_soon(s.journal.note, ev.CancelRequested("desk-a"))
        return append(stream, events, *rest, **more)

    house.parts.store.append = cancel_on  # type: ignore[method-assign]
    first = await house.submit()
    rfq = await house.until(first)
    assert rfq.status is RfqStatus.CANCELLED and not trader.heard
    on[0] = ev.AwardDecided
    second = await house.submit(key="key-2")
    rfq = await house.until(second)
    assert rfq.status is RfqStatus.CANCELLED and not takes(trader)
    assert "never sent" in (await house.lifts(second))[0].reason
    await check(house, [first, second])

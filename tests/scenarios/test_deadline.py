"""The deadline: what is stamped at it counts, what is stamped after it never wins, and slowness of ours is nobody's."""

import asyncio
from datetime import timedelta

import asyncpg
from always_true import check
from house import BLOCK, MID, House, Quotes, asks, offer
from virtual_time import real_time

from rfq.domain import events as ev
from rfq.domain.quote import QuoteStatus
from rfq.domain.rfq import RfqStatus


async def test_a_late_quote_is_recorded_and_never_wins(house: House) -> None:
    late = house.offers("alpha", MID + 1, after_s=10.001)
    house.offers("bravo", MID + 15, last_look_s=3.0, after_s=2.0).on_lift()  # Keeps the auction from being over.
    rfq_id = await house.submit()
    await house.needs_person(rfq_id)
    quotes = await house.quotes(rfq_id)
    assert quotes["alpha"].status is QuoteStatus.LATE
    assert "is closed" in late.corrections[0]
    (lift,) = await house.lifts(rfq_id)
    await house.engine.settle(rfq_id, lift.lift_id, "refused", "phoned", "sue")
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.EXPIRED, 0), "not even when nothing else is left"
    await check(house, [rfq_id])


async def test_late_quotes_are_not_recorded_without_end(house: House) -> None:
    many = [Quotes(10.5 + i / 100, offer=offer(MID + 1), quote_id=f"q{i}") for i in range(40)]
    late = house.dealer("alpha").on_request(*many)
    house.offers("bravo", MID + 15, last_look_s=5.0, after_s=2.0).on_lift()
    rfq_id = await house.submit()
    await house.needs_person(rfq_id)
    assert len(late.corrections) == 40
    assert 0 < len(await house.events(rfq_id, ev.QuoteCameLate)) <= 10


async def test_a_quote_stamped_exactly_at_the_deadline_counts(house: House) -> None:
    exact = house.offers("alpha", MID + 1, after_s=10.0)
    house.offers("bravo", MID + 15)
    rfq_id = await house.submit()
    await house.until(rfq_id)
    quote, request = (await house.quotes(rfq_id))["alpha"], asks(exact)[0]
    assert quote.received_at == request.deadline
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["alpha"]
    await check(house, [rfq_id])


async def test_many_quotes_at_the_deadline_all_count(house: House) -> None:
    for i in range(6):
        house.offers(f"dealer-{i}", MID + 21 - 2 * i, after_s=10.0)
    house.dealer("silent")
    rfq_id = await house.submit()
    await house.until(rfq_id)
    quotes = await house.quotes(rfq_id)
    assert len(quotes) == 6 and QuoteStatus.LATE not in {q.status for q in quotes.values()}
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["dealer-5"]


async def test_the_auction_closes_early_when_everybody_has_answered(house: House) -> None:
    house.offers("alpha", MID + 11, after_s=1.0)
    house.offers("bravo", MID + 15, after_s=2.0)
    rfq_id = await house.submit()
    await house.until(rfq_id)
    (auction,) = await house.reader.auctions(rfq_id)
    assert auction.closed_at == auction.opened_at + timedelta(seconds=2.0) < auction.deadline


async def test_a_slow_commit_expires_no_quote_and_loses_none(house: House) -> None:
    """The log is locked for a real half second around the close, with quotes good for fractions of one after it."""
    house.offers("alpha", MID + 11, after_s=9.9, good_for_s=0.3)
    house.offers("bravo", MID + 13, after_s=9.99, good_for_s=0.3)
    house.dealer("charlie")  # Silent.
    rfq_id = await house.submit()
    await house.sleep(9.95)
    with house.loop.in_flight("lock"), real_time():
        connection = await asyncpg.connect(house.url)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE events IN EXCLUSIVE MODE")
    unlock = asyncio.create_task(_unlock(connection, transaction))
    rfq = await house.until(rfq_id)
    await unlock
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["alpha"]
    assert {q.dealer_id for q in await house.reader.quotes(rfq_id)} == {"alpha", "bravo"}
    await check(house, [rfq_id])


async def _unlock(connection: asyncpg.Connection, transaction: asyncpg.transaction.Transaction) -> None:
    """Half a real second from now; the virtual clock may go on to wherever a commit holds it."""
    with real_time():
        await asyncio.sleep(0.5)
        await transaction.rollback()
        await connection.close()

"""Two engines on one database: an RFQ has one owner, a dead owner's is taken over, and a zombie cannot lift."""

import asyncio

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, World, takes, terms

from rfq.domain import events as ev
from rfq.domain.errors import LeaseLost, NoNewRisk
from rfq.domain.rfq import RfqStatus


def owners(rfq_id: str, *houses: House) -> list[str]:
    return [h.holder for h in houses if rfq_id in h.engine.stories.live]


def fall_asleep(house: House) -> None:
    """It does not renew any more, and its session with the database is cut; all else in it goes on."""
    (keeper,) = [t for t in house.engine.stories.tasks if "_keep" in repr(t.get_coro())]
    keeper.cancel()
    assert house._store._leases._session is not None
    house._store._leases._session.terminate()


async def taken_over(rfq_id: str, by: House, within_s: float = 10.0) -> None:
    give_up = by.loop.time() + within_s
    while not owners(rfq_id, by):
        assert by.loop.time() < give_up, f"{by.holder} does not take {rfq_id} over"
        with by.loop.in_flight("the server notices"):
            await asyncio.to_thread(lambda: None)
        await by.sleep(0.1)


async def test_never_both(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as a, House.open(database_url, world, holder="engine-b", seed=2) as b:
        world.dealers.clear()
        a.offers("alpha", MID + 11, after_s=9.0)
        a.dealer("bravo")
        mine = await a.submit(key="a")
        b.dealer("charlie")
        theirs = await b.submit(key="b")
        for _ in range(40):
            await a.sleep(0.25)
            assert owners(mine, a, b) in (["engine-a"], []) and owners(theirs, a, b) in (["engine-b"], [])
        with pytest.raises(LeaseLost):
            await b.engine.cancel(await a.submit(terms(quote_window_s=60.0), key="c"), "desk-a")
        assert (await b.engine.rfq(mine)).rfq_id == mine, "anybody may read"
        await a.until(mine)
        await b.until(theirs)
        await check(a, [mine, theirs])


async def test_a_dead_owner_s_block_is_taken_over(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as a, House.open(database_url, world, holder="engine-b", seed=2) as b:
        a.offers("alpha", MID + 1, 6000, after_s=5.0)
        a.offers("bravo", MID + 3, 1000, after_s=1.0)
        rfq_id = await a.submit(terms(residual=HOUR))
        await a.sleep(2.0)
        await a.crash()
        world.reconnect(b.gateway)
        await taken_over(rfq_id, b)
        rfq = await b.until(rfq_id)
        assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
        assert {f.dealer_id for f in await b.fills(rfq_id) if f.dealer_id} == {"alpha", "bravo"}
        await check(b, [rfq_id])


async def test_a_zombie_does_not_lift(database_url: str, world: World) -> None:
    """It holds the quotes and the dealer's line, and means to lift at the close; the log does not take its lift."""
    async with House.open(database_url, world) as a, House.open(database_url, world, holder="engine-b", seed=2) as b:
        trader = a.offers("alpha", MID + 11, after_s=1.0)
        a.dealer("bravo")
        rfq_id = await a.submit()
        await a.sleep(2.0)
        fall_asleep(a)
        await taken_over(rfq_id, b)
        assert owners(rfq_id, a, b) == ["engine-a", "engine-b"], "the zombie does not know yet"
        await a.sleep(9.0)
        assert owners(rfq_id, a, b) == ["engine-b"]
        assert not takes(trader), "no lift of the zombie's has reached the dealer"
        lifted = await b.events(rfq_id, ev.QuoteLifted)
        assert len(lifted) == 1, "its successor's, which waits for the dealer to dial in"
        world.reconnect(b.gateway)
        rfq = await b.until(rfq_id)
        assert rfq.filled == 0 and not takes(trader)
        await check(b, [rfq_id])


async def test_a_zombie_sends_no_more_children(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as a, House.open(database_url, world, holder="engine-b", seed=2) as b:
        rfq_id = await a.submit(terms(residual=HOUR))
        await a.until(rfq_id, "working")
        await a.sleep(10.0)
        fall_asleep(a)
        await taken_over(rfq_id, b)
        rfq = await b.until(rfq_id)
        assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
        assert sum(world.filled_at_venues().values()) == BLOCK, "nothing was sent twice"
        await check(b, [rfq_id])


async def test_a_cancel_asked_of_the_wrong_one_is_not_lost_in_silence(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as a, House.open(database_url, world, holder="engine-b", seed=2) as b:
        a.dealer("alpha")
        rfq_id = await a.submit()
        with pytest.raises(LeaseLost, match="another engine"):
            await b.engine.cancel(rfq_id, "desk-a")
        await a.engine.cancel(rfq_id, "desk-a")
        rfq = await a.until(rfq_id)
        assert rfq.status is RfqStatus.CANCELLED


async def test_the_kill_switch_thrown_at_one_holds_at_the_other(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as a, House.open(database_url, world, holder="engine-b", seed=2) as b:
        rfq_id = await b.submit(terms(residual=HOUR))
        await b.until(rfq_id, "working")
        await a.engine.kill("olga", "drill")
        assert (await b.until(rfq_id, within_s=60.0)).status is RfqStatus.CANCELLED
        with pytest.raises(NoNewRisk):
            await b.submit(key="another")
        await a.engine.release("olga")
        await b.sleep(10.0)
        await b.submit(key="later")

"""The kill switch: everything live is cancelled at once, nothing new begins, across restarts, until it is released."""

import asyncio

import pytest
from always_true import check
from house import HOUR, MID, House, World, asks, takes, terms

from dealers.scripted_trader import Confirms
from rfq.domain import events as ev
from rfq.domain.errors import NoNewRisk, SottoError, StoreUnavailable
from rfq.domain.rfq import AwardMode, RfqStatus
from rfq.domain.values import Quantity
from rfq.engine.commands import Pick


async def test_in_the_middle_of_everything(house: House) -> None:
    house.offers("alpha", MID + 1, 4000).on_lift(Confirms(0.1))
    asking = terms(residual=HOUR)
    working = await house.submit(asking, key="working")
    await house.until(working, "working")
    await house.sleep(5.0)
    picking = await house.submit(terms(award=AwardMode.MANUAL), key="picking")
    await house.until(picking, "awaiting_award")
    house.dealer("bravo")  # From now on somebody is silent: auctions stay open.
    auctioning = await house.submit(asking, key="auctioning")
    await house.sleep(2.0)
    quote = (await house.quotes(picking))["alpha"]

    await house.engine.kill("olga", "drill")
    for rfq_id in (working, picking, auctioning):
        rfq = await house.until(rfq_id, within_s=5.0)
        assert rfq.status is RfqStatus.CANCELLED
        assert any("olga" in c.by for c in await house.events(rfq_id, ev.CancelRequested))
    assert not house.lit.live and not house.dark.live
    lifted = len(takes(house.dealers["alpha"]))
    with pytest.raises(NoNewRisk, match="drill"):
        await house.submit(key="another")
    with pytest.raises(NoNewRisk):
        await house.engine.award(picking, [Pick(quote.quote_id, Quantity(1))], "desk-a")
    assert len(takes(house.dealers["alpha"])) == lifted
    await check(house, [working, picking, auctioning])

    await house.engine.release("olga")
    house.dealers["bravo"].seat.drop()
    rfq = await house.until(await house.submit(key="another"))
    assert rfq.status is RfqStatus.DONE


async def test_it_holds_over_a_restart(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        house.offers("alpha", MID + 11)
        await house.engine.kill("olga", "drill")
    async with House.open(database_url, world, holder="engine-b") as house:
        assert house.engine.killed == "drill (olga)"
        with pytest.raises(NoNewRisk):
            await house.submit()
        await house.engine.release("olga")
    async with House.open(database_url, world, holder="engine-c") as house:
        rfq = await house.until(await house.submit())
        assert rfq.status is RfqStatus.DONE


async def test_what_was_open_when_it_was_thrown_does_not_go_on_after_a_crash(database_url: str, world: World) -> None:
    """The switch is recorded, and the process dies before the cancels are: they are made up for."""
    async with House.open(database_url, world) as house:
        house.dealer("alpha")
        rfq_id = await house.submit(terms(quote_window_s=60.0))
        await house.sleep(1.0)
        house.engine.stories.live.clear()
        await house.engine.kill("olga", "drill")
        await house.crash()
    async with House.open(database_url, world, holder="engine-b") as house:
        rfq = await house.until(rfq_id, within_s=5.0)
        assert rfq.status is RfqStatus.CANCELLED
        await check(house, [rfq_id])


async def test_it_acts_while_the_database_is_away(house: House) -> None:
    trader = house.offers("alpha", MID + 11, after_s=5.0)
    house.dealer("bravo")
    rfq_id = await house.submit()
    await house.sleep(1.0)
    append = house.parts.store.append
    away = StoreAway()
    house.parts.store.append = away  # type: ignore[method-assign]
    with pytest.raises(SottoError):
        await house.engine.cancel(rfq_id, "desk-a")
    await house.engine.kill("olga", "database trouble")
    house.parts.store.append = append  # type: ignore[method-assign]
    rfq = await house.until(rfq_id)
    assert rfq.status is RfqStatus.CANCELLED and not takes(trader)
    assert len(asks(trader)) == 1
    await check(house, [rfq_id])


class StoreAway:
    """An append that fails at once."""

    def __call__(self, *_: object, **__: object) -> "asyncio.Future[None]":


        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(StoreUnavailable("away"))
        return failed



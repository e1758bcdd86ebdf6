"""The process is killed after every single commit of a block's life, and another goes on from the record."""

import asyncio
import itertools
import os

import pytest
from always_true import check
from house import HOUR, MID, House, World, booked, takes, terms

from dealers.scripted_trader import Refuses
from rfq.domain import events as ev
from rfq.domain.quote import LiftStatus
from rfq.domain.rfq import AwardMode, RfqStatus, RfqTerms
from rfq.domain.values import Quantity, RfqId
from rfq.engine.commands import Pick
from rfq.ports import StreamId

BLOCK = 12_000
SHORT = HOUR.but(horizon_s=180.0)
"""Three minutes of the market: three decisions, so that there are few enough commits to die after each."""

SHARES = 5
BOTH_WAYS = os.environ.get("SOTTO_EVERY_CRASH") == "1"
"""Die at every commit in both ways; otherwise in one, by turns."""


def block() -> RfqTerms:
    """Three winners, one of whom refuses, a loser, and a residual."""
    return terms(quantity=BLOCK, residual=SHORT)


def panel(house: House) -> None:
    house.offers("alpha", MID + 1, 4000, after_s=1.0)
    house.offers("bravo", MID + 3, 3000, after_s=1.5, last_look_s=1.0).on_lift(Refuses(0.4))
    house.offers("charlie", MID + 5, 3000, after_s=2.0, last_look_s=2.0)
    house.offers("delta", MID + 201, 3000, after_s=2.5)


async def settle_what_is_asked(house: House, rfq_id: RfqId) -> frozenset[str]:
    """A person who believes the dealer: whatever it holds to have confirmed is confirmed."""
    by_hand: set[str] = set()
    for _ in range(2000):
        rfq = await house.engine.rfq(rfq_id)
        if rfq.is_over:
            return frozenset(by_hand)
        if rfq.needs_person:
            for lift in await house.lifts(rfq_id):
                if lift.status is LiftStatus.UNKNOWN:
                    lots = house.world.confirmed_by_dealers().get(lift.lift_id)
                    answer = "confirmed" if lots else "refused"
                    quantity = Quantity(lots) if lots else None
                    await house.engine.settle(rfq_id, lift.lift_id, answer, "phoned", "sue", quantity)
                    by_hand.add(lift.lift_id)
        await house.sleep(0.5)
    raise AssertionError(f"{rfq_id} neither ends nor says that it needs a person: {await house.engine.rfq(rfq_id)}")




async def die_after(url: str, world: World, commit: int, acknowledged: bool) -> bool:
    """One life cut short, and the next one's story checked to its end. False if the life had fewer commits."""
    name, seed = f"{commit}-{acknowledged}", 4 * commit + 2 * acknowledged  # Ids are never used twice.
    async with House.open(url, world, holder=f"first-{name}", seed=seed, cut=(commit, acknowledged)) as house:
        if not world.dealers:
            panel(house)
        for trader in world.dealers.values():
            trader._requests[:] = [trader._requests[0]]
        assert house.cut_store is not None
        create = house.loop.create_task(house.submit(block(), key=name))
        reached = house.loop.create_task(house.cut_store.cut.wait())
        await asyncio.wait([reached], timeout=600.0)
        if not reached.done():
            rfq = await house.engine.rfq(create.result())
            assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
            return False
        # Whoever was told of the last commit may act on it, until the next one that never comes.
        await house.sleep(3.0 if acknowledged else 0.0)
        await house.crash()
        create.cancel()
    lifted_before = {lift_id for x in world.dealers.values() for lift_id in [t.lift_id for t in takes(x)]}
    async with House.open(url, world, holder=f"second-{name}", seed=seed + 1) as house:
        rfq_id = await house.submit(block(), key=name)
        before = {lift.lift_id: lift for lift in await house.lifts(rfq_id)}
        by_hand = await settle_what_is_asked(house, rfq_id)
        await check(house, [rfq_id], settled_by_hand=by_hand)  # type: ignore[arg-type]
        lifts = await house.lifts(rfq_id)
        theirs = {lift.lift_id for lift in lifts} & lifted_before
        assert theirs <= set(before), "a dealer had seen a lift that is not on record"
        for lift in lifts:
            if lift.lift_id not in before:
                had = sum(x.quantity for x in before.values() if x.status is not LiftStatus.REFUSED)
                assert lift.quantity <= BLOCK - had, "a second lift for the same lots"
        for trader in world.dealers.values():
            assert len({b.lift_id for b in booked(trader)}) == len(booked(trader))
        await house.sleep(2.0)
        confirmed = {lift.lift_id for lift in lifts if lift.status is LiftStatus.CONFIRMED}
        assert confirmed <= {b.lift_id for x in world.dealers.values() for b in booked(x)}, "a trade nobody booked"
        events = await house.store.load(StreamId("rfq", rfq_id))
        assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    return True


@pytest.mark.parametrize("share", range(SHARES))
async def test_after_every_commit(database_url: str, world: World, share: int) -> None:
    """Each share takes every so-many-eth commit; odd ones die at the commit, even ones before the next, or both do."""
    for commit in itertools.count(share + 1, SHARES):
        ways = (False, True) if BOTH_WAYS else (commit % 2 == 0,)
        if not all([await die_after(database_url, world, commit, way) for way in ways]):
            assert commit > 30, "too few commits for a life of this kind"
            return


async def test_an_open_auction_goes_on_to_its_deadline(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        house.offers("alpha", MID + 11, after_s=1.0)
        house.offers("bravo", MID + 3, after_s=6.0)
        rfq_id = await house.submit()
        await house.sleep(3.0)
        await house.crash()
    async with House.open(database_url, world, holder="engine-b", seed=2) as house:
        await house.sleep(1.0)
        assert (await house.engine.rfq(rfq_id)).status is RfqStatus.AUCTIONING
        rfq = await house.until(rfq_id)
        assert [f.dealer_id for f in await house.fills(rfq_id)] == ["bravo"], "it quoted to the second house"
        assert len(await house.events(rfq_id, ev.DealersAsked)) == 1 and rfq.status is RfqStatus.DONE
        await check(house, [rfq_id])


async def test_a_deadline_that_passed_meanwhile_closes_on_what_was_in(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        house.offers("alpha", MID + 11, after_s=1.0)
        house.offers("bravo", MID + 3, after_s=6.0)
        rfq_id = await house.submit()
        await house.sleep(3.0)
        await house.crash()
    await house.sleep(20.0)
    async with House.open(database_url, world, holder="engine-b", seed=2) as house:
        rfq = await house.until(rfq_id, within_s=1.0)
        assert [f.dealer_id for f in await house.fills(rfq_id)] == ["alpha"] and rfq.filled == 10_000
        await check(house, [rfq_id])


async def test_received_long_ago_and_nobody_asked(database_url: str, world: World) -> None:
    async with House.open(database_url, world, cut=(1, False)) as house:
        idle = house.offers("alpha", MID + 11)
        create = house.loop.create_task(house.submit(key="k"))
        assert house.cut_store is not None
        await house.cut_store.cut.wait()
        await house.crash()
        create.cancel()
    await house.sleep(60.0)
    async with House.open(database_url, world, holder="engine-b", seed=2) as house:
        rfq = await house.until(await house.submit(key="k"))
        assert (rfq.status, rfq.reason) == (RfqStatus.EXPIRED, "interrupted before anyone was asked")
        assert not idle.heard
        await check(house, [rfq.rfq_id])


async def test_a_desk_goes_on_picking_after_a_crash(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        house.offers("alpha", MID + 11)
        rfq_id = await house.submit(terms(award=AwardMode.MANUAL, award_window_s=30.0))
        await house.until(rfq_id, "awaiting_award")
        await house.crash()
    async with House.open(database_url, world, holder="engine-b", seed=2) as house:
        quote = (await house.quotes(rfq_id))["alpha"]
        await house.engine.award(rfq_id, [Pick(quote.quote_id, Quantity(10_000))], "desk-a")
        rfq = await house.until(rfq_id)
        assert (rfq.status, rfq.filled) == (RfqStatus.DONE, 10_000)
        await check(house, [rfq_id])


async def test_what_needs_a_person_still_does_after_a_restart(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        house.offers("alpha", MID + 11).on_lift()
        rfq_id = await house.submit()
        await house.needs_person(rfq_id)
    async with House.open(database_url, world, holder="engine-b", seed=2) as house:
        rfq = await house.engine.rfq(rfq_id)
        assert rfq.needs_person and rfq.reserved == 10_000
        (lift,) = await house.lifts(rfq_id)
        await house.engine.settle(rfq_id, lift.lift_id, "refused", "phoned", "sue")
        await house.until(rfq_id)
        await check(house, [rfq_id])


async def test_three_crashes_while_working(database_url: str, world: World) -> None:
    rfq_id = None
    for i in range(3):
        async with House.open(database_url, world, holder=f"engine-{i}", seed=i) as house:
            rfq_id = rfq_id or await house.submit(terms(residual=HOUR))
            await house.until(rfq_id, "working")
            await house.sleep(12.0)
            await house.crash()
        resting = house.lit.resting()
        if resting:  # The market goes on while nobody is there.
            house.lit.fill(resting[0].child_id, 1)
    assert rfq_id is not None
    async with House.open(database_url, world, holder="engine-last", seed=9) as house:
        rfq = await house.until(rfq_id)
        assert (rfq.status, rfq.filled) == (RfqStatus.DONE, 10_000)
        await check(house, [rfq_id])


async def test_the_engine_s_own_mistake_sets_the_request_aside(house: House) -> None:
    """A bug in the story: the RFQ says that it needs a person, and goes on when one has looked."""
    house.offers("alpha", MID + 11)
    tell = house.gateway.tell

    async def fail(notices: object) -> None:
        raise RuntimeError("a bug")

    house.gateway.tell = fail  # type: ignore[method-assign,assignment]
    house.offers("bravo", MID + 15)
    rfq_id = await house.submit()
    rfq = await house.needs_person(rfq_id)
    assert rfq.needs_person == "internal error: a bug" and not rfq.is_over
    house.gateway.tell = tell  # type: ignore[method-assign]
    await house.engine.settle(rfq_id, None, None, "deployed a fix", "sue")
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.filled) == (RfqStatus.DONE, 10_000)
    await check(house, [rfq_id])

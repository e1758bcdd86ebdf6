"""What a desk may do, and that one Idempotency-Key creates one RFQ, whoever asks and however often."""

import asyncio
from decimal import Decimal

import pytest
from house import DESK, MID, House, World, asks, terms
from order_floor import INSTRUMENT

from rfq.domain.errors import BadInput, KeyReused, LimitBreached, MarketUnfit
from rfq.domain.limits import DeskLimits
from rfq.domain.rfq import ResidualTerms
from rfq.domain.values import DeskId, Symbol


async def test_limits_are_named_and_survive_a_restart(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        house.dealer("alpha")
        limits = DeskLimits(largest_block=Decimal(500_000), open_rfqs=2, largest_share_of_adv=0.004)
        await house.engine.set_limits(DESK, limits, "sue")
        with pytest.raises(LimitBreached) as breached:
            await house.submit(terms(quantity=8001))
        assert breached.value.limit == "largest_block" or breached.value.limit == "largest_share_of_adv"
        await house.submit(terms(quantity=4000), key="key-1")
    async with House.open(database_url, world, holder="engine-b") as house:
        assert await house.engine.limits(DESK) == limits
        with pytest.raises(LimitBreached, match="largest_block"):
            await house.submit(terms(quantity=5100), key="key-2")
        await house.submit(terms(quantity=4000), key="key-2")
        with pytest.raises(LimitBreached, match="open_rfqs"):
            await house.submit(terms(quantity=4000), key="key-3")
        await house.submit(terms(quantity=4000), key="key-3", desk="desk-b")


async def test_a_share_of_volume(house: House) -> None:
    too_much = int(0.5 * INSTRUMENT.adv) + 1
    await house.engine.set_limits(DESK, DeskLimits(largest_block=Decimal(10**12)), "sue")
    with pytest.raises(LimitBreached, match="adv"):
        await house.submit(terms(quantity=too_much))
    assert (await house.until(await house.submit(terms(quantity=too_much - 1)))).is_over


async def test_a_burst_does_not_pass_the_limit(house: House) -> None:
    house.dealer("alpha")
    await house.engine.set_limits(DESK, DeskLimits(open_rfqs=3), "sue")
    tries = [house.submit(key=f"key-{i}") for i in range(8)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(a, str) for a in answers) == 3
    assert all(isinstance(a, LimitBreached) for a in answers if not isinstance(a, str))
    assert await house.reader.open_count(DESK) == 3


async def test_the_same_key_at_the_same_moment(house: House) -> None:
    trader = house.offers("alpha", MID + 11)
    answers = await asyncio.gather(
        *(house.engine.submit(DESK, terms(), idempotency_key="k", body_digest="d") for _ in range(5))
    )
    assert len({rfq.rfq_id for rfq, _ in answers}) == 1
    assert sorted(created for _, created in answers) == [False] * 4 + [True]
    await house.until(answers[0][0].rfq_id)
    assert len(asks(trader)) == 1


async def test_the_same_key_with_another_body_and_from_another_desk(house: House) -> None:
    first = await house.submit(key="k")
    with pytest.raises(KeyReused):
        await house.engine.submit(DESK, terms(), idempotency_key="k", body_digest="another")
    other = await house.submit(key="k", desk="desk-b")
    assert other != first
    await house.until(first)
    again, created = await house.engine.submit(DESK, terms(), idempotency_key="k", body_digest="digest")
    assert (again.rfq_id, again.is_over, created) == (first, True, False)


async def test_the_same_key_after_a_crash(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        first = await house.submit(key="k")
        await house.crash()
    async with House.open(database_url, world, holder="engine-b", seed=2) as house:
        assert await house.submit(key="k") == first
        await house.until(first)


async def test_the_same_key_at_two_engines_at_the_same_moment(database_url: str, world: World) -> None:
    async with (
        House.open(database_url, world) as a,
        House.open(database_url, world, holder="engine-b", seed=2) as b,
    ):
        answers = await asyncio.gather(
            *(h.engine.submit(DESK, terms(), idempotency_key="k", body_digest="d") for h in (a, b))
        )
        assert len({rfq.rfq_id for rfq, _ in answers}) == 1
        assert sorted(created for _, created in answers) == [False, True]


async def test_a_market_that_is_not_fit(house: House) -> None:
    house.market.halted = True
    with pytest.raises(MarketUnfit, match="halted"):
        await house.submit()
    house.market.halted, house.market.behind_s = False, 31.0
    with pytest.raises(MarketUnfit, match="last seen"):
        await house.submit()
    house.market.behind_s, house.market.ask = 0.0, None
    with pytest.raises(MarketUnfit, match="two-sided"):
        await house.submit()


async def test_what_cannot_be_asked_for(house: House) -> None:
    with pytest.raises(BadInput, match="limit_price"):
        await house.submit(terms(limit_price=MID))
    with pytest.raises(BadInput, match="venues"):
        await house.submit(terms(residual=ResidualTerms(600.0, venues=("moon",))))
    strange = terms()
    with pytest.raises(BadInput, match="symbol"):
        await house.submit(strange.but(legs=(strange.leg.but(symbol=Symbol("NONE")),)))
    assert (await house.reader.rfqs(DeskId(DESK), None, None, 10))[0] == []

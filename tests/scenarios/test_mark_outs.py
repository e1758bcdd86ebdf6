"""Where the market went after every request and fill: taken when due, after the end, across restarts, or missing."""

from datetime import datetime, timedelta

from house import HOUR, MID, House, World, terms

from rfq.domain.fill import MARK_OUT_HORIZONS_S, MarkOut
from rfq.domain.values import Price, RfqId, Symbol


async def by_subject(house: House, rfq_id: RfqId) -> dict[str, list[MarkOut]]:
    await house.sleep(0.001)
    found: dict[str, list[MarkOut]] = {}
    for mark in await house.reader.mark_outs(rfq_id):
        found.setdefault(mark.subject, []).append(mark)
    return found


async def complete(house: House, rfq_id: RfqId) -> dict[str, list[MarkOut]]:
    """Mark-outs of every request and fill, each at every horizon, exactly when it was due."""
    marks = await by_subject(house, rfq_id)
    begun = {r.request_id: (r.market_asked_at, r.mid_at_ask) for r in await house.reader.requests(rfq_id)}
    begun |= {f.fill_id: (f.market_filled_at, f.mid_at_fill) for f in await house.fills(rfq_id)}  # type: ignore[dict-item]
    assert set(marks) == set(begun)
    for subject, (at, reference) in begun.items():
        assert [m.horizon_s for m in marks[subject]] == list(MARK_OUT_HORIZONS_S)
        assert [m.due_at for m in marks[subject]] == [at + timedelta(seconds=h) for h in MARK_OUT_HORIZONS_S]
        assert {m.reference for m in marks[subject]} == {reference}
    return marks


async def test_after_the_request_is_over(house: House) -> None:
    house.offers("alpha", MID + 11)
    house.offers("bravo", MID + 15)
    rfq_id = await house.submit()

    def move() -> None:
        house.market.bid, house.market.ask = Price(MID + 95), Price(MID + 105)

    house.loop.call_later(1.01, move)  # Just after the trade, which is had at one second.
    await house.until(rfq_id)
    assert sum(map(len, (await by_subject(house, rfq_id)).values())) < 15
    await house.sleep(40.0)
    marks = await complete(house, rfq_id)
    (fill,) = await house.fills(rfq_id)
    assert [m.mid for m in marks[fill.fill_id]] == [MID + 100] * 5, "the market moved after the fill"
    (request,) = [r for r in await house.reader.requests(rfq_id) if r.dealer_id == "bravo"]
    assert [m.mid for m in marks[request.request_id]] == [MID] + [MID + 100] * 4, "and a second after the request"


async def test_of_every_child_s_fills_and_of_what_did_not_trade(house: House) -> None:
    rfq_id = await house.submit(terms(residual=HOUR))
    await house.until(rfq_id)
    house.offers("alpha", MID + 11)
    untraded = await house.submit(terms(limit_price=MID + 1), key="key-2")
    await house.until(untraded)
    await house.sleep(40.0)
    assert len(await complete(house, rfq_id)) == len(await house.fills(rfq_id)) > 5
    assert len(await complete(house, untraded)) == 1


async def test_a_market_without_a_mid_is_stored_as_missing(house: House) -> None:
    house.offers("alpha", MID + 11)
    rfq_id = await house.submit()
    house.loop.call_later(1.5, setattr, house.market, "ask", None)  # The trade is had at 1 s; then 60 to one.
    house.loop.call_later(8.0, setattr, house.market, "ask", house.market.ask)
    await house.until(rfq_id)
    await house.sleep(50.0)
    (fill,) = await house.fills(rfq_id)
    marks = (await complete(house, rfq_id))[fill.fill_id]
    assert [m.mid is None for m in marks] == [False, False, True, True, False]
    assert all(m.control_bps is None for m in marks if m.mid is None)


async def test_across_a_restart(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        house.offers("alpha", MID + 11)
        rfq_id = await house.submit()
        await house.until(rfq_id)
        await house.sleep(3.0)
        done = sum(map(len, (await by_subject(house, rfq_id)).values()))
        assert 0 < done < 10
        await house.crash()
    await world.clock.sleep_until(world.clock.now() + timedelta(seconds=4))
    async with House.open(database_url, world, holder="engine-b", seed=2) as house:
        await house.sleep(40.0)
        await complete(house, rfq_id)


async def test_what_is_not_known_any_more_after_a_long_weekend_is_missing(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as house:
        house.offers("alpha", MID + 11)
        rfq_id = await house.submit()
        await house.until(rfq_id)
        await house.sleep(0.5)
        await house.crash()
    await world.clock.sleep_until(world.clock.now() + timedelta(hours=1))  # Sixty of the market.
    forgetful(world)
    async with House.open(database_url, world, holder="engine-b", seed=2) as house:
        await house.sleep(5.0)
        marks = await complete(house, rfq_id)
        assert {m.mid is None for ms in marks.values() for m in ms if m.horizon_s >= 300} == {True}
        assert any(m.mid == MID for ms in marks.values() for m in ms)


async def test_those_of_an_owner_that_died_are_taken_by_its_successor(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as a, House.open(database_url, world, holder="engine-b", seed=2) as b:
        a.dealer("alpha")
        rfq_id = await a.submit(terms(quote_window_s=30.0))
        await a.sleep(0.5)
        await a.crash()
        world.reconnect(b.gateway)
        await b.until(rfq_id)
        await b.sleep(60.0)
        assert len(await complete(b, rfq_id)) == 1


async def test_the_store_s_absence_only_delays_them(house: House) -> None:
    house.offers("alpha", MID + 11)
    rfq_id = await house.submit()
    await house.until(rfq_id)
    house.engine.mark_outs._store = house.outage  # type: ignore[assignment]
    house.outage.away = True
    await house.sleep(20.0)
    before = sum(map(len, (await by_subject(house, rfq_id)).values()))
    house.outage.away = False
    await house.sleep(40.0)
    assert before < 6
    await complete(house, rfq_id)


def forgetful(world: World) -> None:
    """A market that keeps its mids for an hour."""
    mid_at = world.market.mid_at

    async def lately(symbol: Symbol, at: datetime) -> Price | None:
        if at < world.market_clock.now() - timedelta(hours=1):
            return None
        return await mid_at(symbol, at)

    world.market.mid_at = lately  # type: ignore[method-assign]

"""The market's clock: faster than the session's, except while an auction is on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from lit_router.market.clock import AcceleratedMarketClock
from rfq.domain.errors import BadInput

ANCHOR = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


class Elapsed:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def since(clock: AcceleratedMarketClock) -> float:
    return (clock.now() - ANCHOR).total_seconds()


def test_runs_at_its_speed_and_at_one_while_any_auction_is_on() -> None:
    elapsed = Elapsed()
    clock = AcceleratedMarketClock(anchor=ANCHOR, speed=60.0, elapsed_s=elapsed)
    elapsed.s += 2
    assert since(clock) == 120
    with clock.real_time():
        elapsed.s += 3
        assert since(clock) == 123
        with clock.real_time():
            elapsed.s += 1
        elapsed.s += 1
        assert (since(clock), clock.rate) == (125, 1.0)
    elapsed.s += 1
    assert (since(clock), clock.rate) == (185, 60.0)


def test_an_auction_that_fails_gives_the_speed_back() -> None:
    clock = AcceleratedMarketClock(anchor=ANCHOR, speed=10.0, elapsed_s=Elapsed())
    with pytest.raises(ValueError), clock.real_time():
        raise ValueError
    assert clock.rate == 10.0


async def test_sleepers_follow_a_change_of_rate_in_both_directions() -> None:
    clock = AcceleratedMarketClock(anchor=ANCHOR, speed=100.0)
    with clock.real_time():
        sleeping = asyncio.create_task(clock.sleep_until(clock.now() + timedelta(seconds=20)))
        await asyncio.sleep(0.05)
        assert not sleeping.done()
    async with asyncio.timeout(5):
        await sleeping
    sleeping = asyncio.create_task(clock.sleep_until(clock.now() + timedelta(seconds=20)))
    await asyncio.sleep(0)
    with clock.real_time():
        await asyncio.sleep(0.4)
        assert not sleeping.done()
    await sleeping


async def test_a_time_that_has_passed_is_not_waited_for() -> None:
    clock = AcceleratedMarketClock(anchor=ANCHOR)
    await clock.sleep_until(ANCHOR - timedelta(days=1))


def test_speed_must_be_positive() -> None:
    with pytest.raises(BadInput):
        AcceleratedMarketClock(anchor=ANCHOR, speed=0.0)

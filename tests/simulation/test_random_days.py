"""Seeded random days: whatever dealers, people and machines do, what must always be true is true at the end.

SOTTO_DAYS runs that many days instead of a few; SOTTO_FIRST_DAY says from which seed.
"""

import os

import pytest
from random_day import Day
from virtual_time import VirtualClock, VirtualMarketClock
from world import World

FIRST = int(os.environ.get("SOTTO_FIRST_DAY", "1"))
DAYS = int(os.environ.get("SOTTO_DAYS", "4"))


@pytest.mark.virtual_time
@pytest.mark.parametrize("seed", range(FIRST, FIRST + DAYS))
async def test_a_random_day(
    seed: int, database_url: str, clock: VirtualClock, market_clock: VirtualMarketClock
) -> None:
    world = World(clock, market_clock)
    told = await Day(database_url, world, seed).run()
    await world.close()
    assert len(told.rfqs) == 10 and told.at_quotes and told.at_venues + told.refused + told.unknown
    print(
        f"seed {seed}: {told.crashes} crashes, {told.outages} outages, {told.cancels} cancels, {told.unknown} unknown,"
        f" {told.refused} refused, {told.breaks} breaks, {len(told.settled)} settled, "
        f"{told.at_quotes}+{told.at_venues} fills, {[r.status.value for r in told.rfqs.values()]}"
    )

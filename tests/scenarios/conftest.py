"""Every story gets a whole house on a database of its own, on virtual time."""

from collections.abc import AsyncIterator

import pytest
from house import House, World
from virtual_time import VirtualClock, VirtualMarketClock


@pytest.fixture
async def world(clock: VirtualClock, market_clock: VirtualMarketClock) -> AsyncIterator[World]:
    world = World(clock, market_clock)
    yield world
    await world.close()


@pytest.fixture
async def house(database_url: str, world: World) -> AsyncIterator[House]:
    async with House.open(database_url, world) as house:
        yield house

"""Every story gets a whole house on a database of its own, on virtual time."""

from collections.abc import AsyncIterator

import pytest
from house import House
from virtual_time import VirtualClock, VirtualMarketClock


@pytest.fixture
async def house(
    empty_database_url: str, clock: VirtualClock, market_clock: VirtualMarketClock
) -> AsyncIterator[House]:
    async with House.open(empty_database_url, clock, market_clock) as house:
        yield house

"""Fixtures of several files here."""

import pytest
from order_stage import Stage
from virtual_time import SeededIds, VirtualClock, VirtualMarketClock


@pytest.fixture
async def stage(clock: VirtualClock, market_clock: VirtualMarketClock, ids: SeededIds) -> Stage:
    """A router over a lit venue and a pool, both run by hand."""
    return Stage(clock, market_clock, ids)

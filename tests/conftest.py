"""Fixtures of every suite: virtual time, a real PostgreSQL, the recorded data."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from virtual_time import VirtualTimeLoop

SCENARIOS = Path(__file__).parent / "scenarios"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: run on an event loop whose time jumps when nothing is in flight")
    config.addinivalue_line("markers", "real_time: a scenario that keeps the ordinary event loop")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    """Scenarios, and what is marked `virtual_time`, run on virtual time; everything else on asyncio's own loop."""
    told = item.get_closest_marker("virtual_time") or SCENARIOS in item.path.parents
    if not told or item.get_closest_marker("real_time"):
        return None
    return {"virtual_time": VirtualTimeLoop}

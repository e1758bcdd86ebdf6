"""A story's deadlines, on both event loops: however near, each is kept, and none is missed for a coarse timer."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvloop

from rfq.clocks import SystemClock
from rfq.engine.sourcing import Sourcing


def story() -> Sourcing:
    """As much of one as waiting takes."""
    s: Any = object.__new__(Sourcing)
    s.changed, s.journal = asyncio.Event(), SimpleNamespace(broken=None)
    s.parts = SimpleNamespace(clock=SystemClock())
    return cast(Sourcing, s)


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_deadline_is_kept_however_near_it_is(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def wait() -> None:
        s = story()
        for microseconds in range(0, 4_000, 13):
            deadline = s.now() + timedelta(microseconds=microseconds)
            assert not await asyncio.wait_for(s.until(lambda: False, deadline), 2.0)
            assert s.now() >= deadline

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(wait())

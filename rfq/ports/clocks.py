"""Time and ids, passed in: two clocks and a source of ids."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The session clock: UTC, never accelerated. Deadlines, expiries and last looks run on it."""

    def now(self) -> datetime: ...

    async def sleep_until(self, at: datetime) -> None:
        """Returns at once if `at` has passed."""
        ...


class MarketClock(Protocol):
    """The market's clock: horizons, schedules, mark-outs. In simulation it may run faster than the session's."""

    def now(self) -> datetime: ...

    async def sleep_until(self, at: datetime) -> None: ...

    def real_time(self) -> AbstractContextManager[None]:
        """While any such context is open the market clock runs at 1x: an auction is on."""
        ...


class IdSource(Protocol):
    def new(self, noun: str) -> str:
        """A fresh id, unguessable in production and repeatable under a seed: '<noun>-<random>'."""
        ...

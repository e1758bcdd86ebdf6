"""The simulated market's clock: session time, accelerated, and real time while an auction is on."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from rfq.domain.errors import BadInput


class AcceleratedMarketClock:
    """Market time = anchor + elapsed session seconds x speed, at 1x while any `real_time` is open.

    Thread-safe: the exchange's thread and the service's loop read the same clock. Market time never goes back.
    """

    def __init__(
        self, *, anchor: datetime, speed: float = 1.0, elapsed_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`anchor` is the market time at which it starts; `speed` in market seconds per second. Raises BadInput."""
        if not speed > 0:
            raise BadInput("speed", speed, "must be positive")
        self.speed = speed
        self._elapsed_s = elapsed_s
        self._lock = threading.Lock()
        self._market, self._since = anchor, elapsed_s()
        self._open = 0
        self._bound: datetime | None = None
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def rate(self) -> float:
        """Market seconds per second at present."""
        return 1.0 if self._open else self.speed

    def now(self) -> datetime:
        with self._lock:
            return self._now()

    def _now(self) -> datetime:
        elapsed_s = self._elapsed_s()
        now = self._market + timedelta(seconds=(elapsed_s - self._since) * self.rate)
        if self._bound is not None and now > self._bound:
            # The market has not been played so far: its time stands still until it has.
            now = max(self._market, self._bound)
            self._market, self._since = now, elapsed_s
        return now

    def keep_within(self, bound: datetime) -> None:
        """Market time does not pass `bound` until this is called again: it never outruns what plays the market."""
        with self._lock:
            self._market, self._since = self._now(), self._elapsed_s()
            self._bound = bound

    async def sleep_until(self, at: datetime) -> None:
        """Returns once market time has reached `at`; a change of rate on the way is followed."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.add(waiter)
        try:
            while (left_s := (at - self.now()).total_seconds()) > 0:
                waiter[1].clear()
                try:
                    async with asyncio.timeout(left_s / self.rate):
                        await waiter[1].wait()
                except TimeoutError:
                    continue
        finally:
            with self._lock:
                self._waiting.discard(waiter)

    @contextmanager
    def real_time(self) -> Iterator[None]:
        self._rebase(+1)
        try:
            yield
        finally:
            self._rebase(-1)

    def _rebase(self, change: int) -> None:
        with self._lock:
            before = self.rate
            self._market, self._since = self._now(), self._elapsed_s()
            self._open += change
            # Nobody is woken for an auction more or less beside others: the rate stays what it is.
            waiting = list(self._waiting) if self.rate != before else []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

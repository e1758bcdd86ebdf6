"""Virtual time for tests: hours of waiting in milliseconds, on a loop that still does real I/O.

Time stands still while anything real is in flight (a store call, a socket call, a worker thread) and jumps to the next
timer only when nothing is ready and nothing is in flight. A slow commit can therefore never expire a deadline.
"""

import asyncio
import contextlib
import functools
import heapq
import inspect
import itertools
import random
import selectors
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
"""A Monday, at the open of New York: where both clocks of a test begin unless told otherwise."""

_real_time: ContextVar[bool] = ContextVar("real_time", default=False)


class Stalled(AssertionError):
    """Real seconds went by with nothing to run: a deadlock, or a real call that does not come back."""


class _Selector(selectors.DefaultSelector):
    """Asks the loop before it waits."""

    wait: Callable[[float | None], list[Any]]

    def select(self, timeout: float | None = None) -> list[Any]:
        return self.wait(timeout)

    def poll(self, timeout: float | None) -> list[Any]:
        return super().select(timeout)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is virtual, in seconds from 0.

    `in_flight(name)` declares real work; `Counted` does it for a whole adapter; worker threads count by themselves.
    Timers set inside a counted call are the adapter's own business (back-off, statement time-outs) and run on real
    time. Raises Stalled, naming what is in flight, after `patience_s` real seconds in which time did not move and no
    counted call came back, and in any case after `lifetime_s` real seconds.
    """

    def __init__(self, patience_s: float = 20.0, lifetime_s: float = 60.0) -> None:
        # Set first: the base class asks for the time while it is being made.
        self._now = 0.0
        self._chosen = _Selector()
        self._chosen.wait = self._wait
        self._patience_s = patience_s
        self._lifetime_s = lifetime_s
        self._began = self._moved = time.monotonic()
        self._in_flight: Counter[str] = Counter()
        self._real_timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._tie = itertools.count()
        super().__init__(self._chosen)

    def time(self) -> float:
        return self._now

    @property
    def calls_in_flight(self) -> tuple[str, ...]:
        """Names of what time is waiting for."""
        return tuple(sorted(self._in_flight.elements()))

    @contextlib.contextmanager
    def in_flight(self, name: str) -> Iterator[None]:
        """Time stands still until this is left."""
        self.launch(name)
        try:
            yield
        finally:
            self.land(name)

    def launch(self, name: str) -> None:
        self._in_flight[name] += 1

    def land(self, name: str) -> None:
        self._in_flight[name] -= 1
        if self._in_flight[name] < 0:
            raise AssertionError(f"{name} landed more often than it was launched")
        self._moved = time.monotonic()
        self._in_flight += Counter()  # Drops what is at zero.

    def until_done(self, name: str, future: "asyncio.Future[T]") -> "asyncio.Future[T]":
        """Counts `future` as in flight until it is done."""
        if not future.done():
            self.launch(name)
            future.add_done_callback(lambda _: self.land(name))
        return future

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        return self.until_done(f"thread {getattr(func, '__qualname__', func)}", cast("asyncio.Future[T]", future))

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if not (context.get(_real_time, False) if context is not None else _real_time.get()):
            return super().call_at(when, callback, *args, context=context)
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        due = time.monotonic() + max(0.0, when - self._now)
        heapq.heappush(self._real_timers, (due, next(self._tie), handle))
        return handle

    # --- the one decision: wait really, or jump ----------------------------------------------------------------

    def _wait(self, timeout: float | None) -> list[Any]:
        """Called when the loop is about to sleep: `timeout` 0 if callbacks are ready, None if no timer is set."""
        ready = self._chosen.poll(0)
        if self._ring_real_timers() or ready or timeout == 0:
            self._left_to_wait()
            return ready
        if timeout is not None and not self._in_flight:
            self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[attr-defined]
            self._left_to_wait()
            self._moved = time.monotonic()
            return []
        while not ready:
            left = self._left_to_wait()
            if self._real_timers:
                left = min(left, max(0.0, self._real_timers[0][0] - time.monotonic()))
            ready = self._chosen.poll(left)
            if self._ring_real_timers():
                break
        return ready

    def _left_to_wait(self) -> float:
        """Real seconds until we give up; raises Stalled when there are none."""
        now = time.monotonic()
        left = min(self._moved + self._patience_s, self._began + self._lifetime_s) - now
        if left <= 0:
            what = ", ".join(self.calls_in_flight) or "nothing"
            self._moved = self._began = now  # So that what is cancelled now has time to end.
            raise Stalled(f"no progress at {self._now} virtual seconds; in flight: {what}")
        return left

    def _ring_real_timers(self) -> bool:
        """Moves the real timers that are due to the ready queue."""
        rang = False
        while self._real_timers and (
            self._real_timers[0][2].cancelled() or self._real_timers[0][0] <= time.monotonic()
        ):
            handle = heapq.heappop(self._real_timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)  # type: ignore[attr-defined]
                rang = True
        return rang


@contextlib.contextmanager
def real_time() -> Iterator[None]:
    """Timers set in here, and by tasks begun in here, run on real time: for making an adapter with tasks of its own."""
    token = _real_time.set(True)
    try:
        yield
    finally:
        _real_time.reset(token)


class Counted(Generic[T]):
    """A proxy of an adapter that does real I/O: every awaitable it hands out is in flight until it is done.

    For stores and sockets only. What lives on virtual time (in-process dealers, the router) must not be wrapped: the
    timers it sets in a call would be real. `counted(adapter, loop)` is the same, typed as the adapter.
    """

    def __init__(self, adapter: T, loop: VirtualTimeLoop) -> None:
        self._adapter, self._loop = adapter, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._adapter, name)
        if not callable(value):
            return value
        label = f"{type(self._adapter).__name__}.{name}"

        @functools.wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            with real_time():
                result = value(*args, **kwargs)
            return self._count(label, result)

        return call

    def _count(self, label: str, result: Any) -> Any:
        if isinstance(result, asyncio.Future):
            return self._loop.until_done(label, result)
        if inspect.iscoroutine(result):
            return self._awaited(label, result)
        if inspect.isasyncgen(result):
            return self._iterated(label, result)
        if inspect.isawaitable(result):
            with real_time():
                return self._loop.until_done(label, asyncio.ensure_future(result))
        return result

    async def _awaited(self, label: str, call: Awaitable[Any]) -> Any:
        with self._loop.in_flight(label), real_time():
            return await call

    async def _iterated(self, label: str, rows: AsyncIterator[Any]) -> AsyncIterator[Any]:
        while True:
            with self._loop.in_flight(label), real_time():
                try:
                    row = await anext(rows)
                except StopAsyncIteration:
                    return
            yield row


def counted(adapter: T, loop: VirtualTimeLoop) -> T:
    """`Counted`, for a caller that wants to see the port's type."""
    return cast(T, Counted(adapter, loop))


class VirtualClock:
    """The Clock port on a virtual loop: UTC, `start` at the loop's 0."""

    def __init__(self, loop: VirtualTimeLoop, start: datetime = START) -> None:
        self._loop, self._start = loop, start

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time())

    async def sleep_until(self, at: datetime) -> None:
        when = (at - self._start).total_seconds()
        if when > self._loop.time():
            await _sleep_until(self._loop, when)


class VirtualMarketClock:
    """The MarketClock port: `speed` market seconds a second, and 1 while any `real_time()` is open."""

    def __init__(self, loop: VirtualTimeLoop, speed: float = 1.0, start: datetime = START) -> None:
        self._loop, self._speed, self._start = loop, speed, start
        self._turned_at, self._market_s = loop.time(), 0.0
        self._held = 0
        self._turned = asyncio.Event()

    @property
    def rate(self) -> float:
        """Market seconds a session second, at this moment."""
        return 1.0 if self._held else self._speed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._market_s + (self._loop.time() - self._turned_at) * self.rate)

    async def sleep_until(self, at: datetime) -> None:
        while (left := (at - self.now()).total_seconds()) > 0:
            # Never less than a microsecond: a shorter timer could round to no time at all, and spin.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(left / self.rate, 1e-6)):
                    await self._turned.wait()

    @contextlib.contextmanager
    def real_time(self) -> Iterator[None]:
        self._turn(+1)
        try:
            yield
        finally:
            self._turn(-1)

    def _turn(self, held: int) -> None:
        self._market_s += (self._loop.time() - self._turned_at) * self.rate
        self._turned_at = self._loop.time()
        self._held += held
        self._turned.set()  # Wakes every sleeper, to work out anew when to wake.
        self._turned = asyncio.Event()


class SeededIds:
    """The IdSource port, repeatable: '<noun>-<12 hex digits>'."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def new(self, noun: str) -> str:
        return f"{noun}-{self._random.getrandbits(48):012x}"


async def _sleep_until(loop: asyncio.AbstractEventLoop, when: float) -> None:
    """Until the loop's `when` exactly, with no sum of floats in between."""
    woken: asyncio.Future[None] = loop.create_future()
    handle = loop.call_at(when, lambda: woken.done() or woken.set_result(None))
    try:
        await woken
    finally:
        handle.cancel()

"""The tests' own clock: it must never lie, or every scenario built on it does."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from virtual_time import (
    START,
    Counted,
    SeededIds,
    Stalled,
    VirtualClock,
    VirtualMarketClock,
    VirtualTimeLoop,
    real_time,
)

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def loop() -> VirtualTimeLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running


class SlowSocket:
    """A real peer in a thread of its own that answers each line after `delay_s` real seconds."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listening.accept()
                with peer, peer.makefile("rb") as lines:
                    for line in lines:
                        time.sleep(self.delay_s)
                        peer.sendall(line.upper())

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(*self._listening.getsockname())

    async def ask(self, line: bytes) -> bytes:
        self._writer.write(line + b"\n")
        return (await self._reader.readline()).strip()

    def close(self) -> None:
        self._writer.close()
        self._listening.close()


@pytest.fixture
async def slow(loop: VirtualTimeLoop) -> AsyncIterator[SlowSocket]:
    peer = SlowSocket(delay_s=0.05)
    with loop.in_flight("connecting"):
        await peer.open()
    yield peer
    peer.close()


async def test_a_300_s_wait_takes_no_time(loop: VirtualTimeLoop) -> None:
    began = time.perf_counter()
    clock = VirtualClock(loop)
    for minute in range(1, 6):
        await clock.sleep_until(START + timedelta(minutes=minute))
        assert clock.now() == START + timedelta(minutes=minute)
    assert time.perf_counter() - began < 0.5


async def test_a_slow_real_reply_never_expires_a_deadline(loop: VirtualTimeLoop, slow: SlowSocket) -> None:
    peer = Counted(slow, loop)
    for _ in range(3):
        async with asyncio.timeout(0.001):  # Fifty times shorter than the reply takes.
            assert await peer.ask(b"quote") == b"QUOTE"
    assert loop.time() == 0


async def test_undeclared_io_does_lose_the_race(loop: VirtualTimeLoop, slow: SlowSocket) -> None:
    """The flaw that counting is there to mend; if this ever passes without counting, the tests above prove nothing."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await slow.ask(b"quote")
    assert loop.time() == 5


async def test_work_begun_by_a_plain_method_counts_too(loop: VirtualTimeLoop, slow: SlowSocket) -> None:
    class Writer:
        def append(self, line: bytes) -> asyncio.Future[bytes]:
            return asyncio.ensure_future(slow.ask(line))

    appended = Counted(Writer(), loop).append(b"row")
    assert loop.calls_in_flight == ("Writer.append",)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()  # This deadline is due, and still waits for the write before it expires.
    assert appended.done() and appended.result() == b"ROW"
    assert loop.calls_in_flight == ()


async def test_rows_read_one_by_one_count(loop: VirtualTimeLoop, slow: SlowSocket) -> None:
    class Reader:
        async def rows(self) -> AsyncIterator[bytes]:
            for line in (b"one", b"two"):
                yield await slow.ask(line)

    async with asyncio.timeout(0.001):
        assert [row async for row in Counted(Reader(), loop).rows()] == [b"ONE", b"TWO"]
    assert loop.calls_in_flight == ()


async def test_a_failing_call_is_no_longer_in_flight(loop: VirtualTimeLoop) -> None:
    class Broken:
        async def commit(self) -> None:
            await asyncio.to_thread(time.sleep, 0.01)
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await Counted(Broken(), loop).commit()
    assert loop.calls_in_flight == ()


async def test_worker_threads_count_by_themselves(loop: VirtualTimeLoop) -> None:
    async with asyncio.timeout(0.001):
        await asyncio.to_thread(time.sleep, 0.05)
    assert loop.time() == 0


async def test_timers_inside_a_counted_call_run_on_real_time(loop: VirtualTimeLoop) -> None:
    class Retrying:
        tries = 0

        async def claim(self) -> int:
            while self.tries < 3:
                self.tries += 1
                await asyncio.sleep(0.01)  # Back-off: would wait forever on a clock that stands still for us.
            return self.tries

        async def hang(self) -> None:
            async with asyncio.timeout(0.02):
                await asyncio.Event().wait()

    retrying = Counted(Retrying(), loop)
    began = time.perf_counter()
    async with asyncio.timeout(0.001):
        assert await retrying.claim() == 3
    assert time.perf_counter() - began >= 0.03
    with pytest.raises(TimeoutError):
        await retrying.hang()
    assert loop.time() == 0


async def test_an_adapters_own_task_can_live_on_real_time(loop: VirtualTimeLoop) -> None:
    flushed = asyncio.Event()

    async def linger() -> None:
        await asyncio.sleep(0.02)
        flushed.set()

    with real_time():
        task = asyncio.create_task(linger())
    async with asyncio.timeout(0.001):
        with loop.in_flight("flush"):
            await flushed.wait()
    await task


async def test_a_cancelled_real_timer_never_fires(loop: VirtualTimeLoop) -> None:
    fired: list[int] = []
    with real_time():
        loop.call_later(0.005, fired.append, 1).cancel()
        loop.call_later(0.01, fired.append, 2)
    await asyncio.to_thread(time.sleep, 0.03)
    await asyncio.sleep(0)
    assert fired == [2]


async def test_time_stands_still_until_the_last_of_many(loop: VirtualTimeLoop, slow: SlowSocket) -> None:
    order: list[str] = []

    async def deadline() -> None:
        await asyncio.sleep(1)
        order.append("deadline")

    async def commit(seconds: float) -> None:
        await asyncio.to_thread(time.sleep, seconds)
        order.append("commit")

    await asyncio.gather(deadline(), commit(0.03), commit(0.01), commit(0.02))
    assert order == ["commit", "commit", "commit", "deadline"]


def stalled(wait: Callable[[VirtualTimeLoop], Awaitable[object]], **limits: float) -> str:
    """What Stalled says of a loop of its own that runs `wait`."""
    other = VirtualTimeLoop(**limits)
    found: list[str] = []

    async def run() -> None:
        await wait(other)

    def on_a_thread() -> None:
        task = other.create_task(run())
        try:
            with pytest.raises(Stalled) as caught:
                other.run_until_complete(task)
            found.append(str(caught.value))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                other.run_until_complete(task)
        finally:
            other.close()

    thread = threading.Thread(target=on_a_thread)
    thread.start()
    thread.join()
    return found[0]


def test_a_call_that_never_returns_is_named() -> None:
    async def wait(loop: VirtualTimeLoop) -> None:
        with loop.in_flight("Store.commit"):
            await asyncio.Event().wait()

    assert "Store.commit" in stalled(wait, patience_s=0.05)


def test_a_call_that_never_returns_is_named_though_its_adapter_stays_busy() -> None:
    async def wait(loop: VirtualTimeLoop) -> None:
        with loop.in_flight("Store.commit"), real_time():
            while True:  # noqa: ASYNC110 - a busy wait is the subject
                await asyncio.sleep(0.001)

    assert "Store.commit" in stalled(wait, patience_s=0.05)


def test_waiting_for_nothing_is_found_out() -> None:
    async def wait(loop: VirtualTimeLoop) -> None:
        await asyncio.Event().wait()

    assert "in flight: nothing" in stalled(wait, patience_s=0.05)


def test_a_story_that_goes_on_for_ever_is_ended() -> None:
    async def wait(loop: VirtualTimeLoop) -> None:
        while True:  # noqa: ASYNC110 - as above
            await asyncio.sleep(3600)

    assert "virtual seconds" in stalled(wait, lifetime_s=0.05)


async def test_the_market_clock_runs_fast_and_slows_to_real_time(loop: VirtualTimeLoop) -> None:
    market = VirtualMarketClock(loop, speed=60)
    woke: list[float] = []

    async def sleeper() -> None:
        await market.sleep_until(START + timedelta(seconds=600))
        woke.append(loop.time())
        assert market.now() == START + timedelta(seconds=600)

    task = asyncio.create_task(sleeper())
    await asyncio.sleep(5)
    assert market.now() == START + timedelta(seconds=300)
    with market.real_time(), market.real_time():
        await asyncio.sleep(30)
        assert market.now() == START + timedelta(seconds=330)
    await asyncio.sleep(1)
    assert market.now() == START + timedelta(seconds=390)
    await task
    assert woke == [pytest.approx(39.5)]


async def test_sleeping_until_the_past_returns_at_once(loop: VirtualTimeLoop) -> None:
    await asyncio.sleep(10)
    await VirtualClock(loop).sleep_until(START)
    await VirtualMarketClock(loop, speed=7).sleep_until(START)
    assert loop.time() == 10


def test_ids_repeat_under_a_seed() -> None:
    first, second, other = SeededIds(1), SeededIds(1), SeededIds(2)
    drawn = [first.new("quote") for _ in range(100)]
    assert drawn == [second.new("quote") for _ in range(100)]
    assert len(set(drawn)) == 100
    assert drawn[0].startswith("quote-") and drawn[0] != other.new("quote")


@pytest.mark.parametrize("asked_first", [True, False])
@pytest.mark.parametrize("late_us", [-1, 0, 1])
async def test_a_reply_at_the_deadline_is_decided_by_its_stamp(
    loop: VirtualTimeLoop, asked_first: bool, late_us: int
) -> None:
    """Whichever of two timers of one instant rings first: arrivals are stamped, drained, and judged by the stamp."""
    clock = VirtualClock(loop)
    deadline = START + timedelta(seconds=5)
    due = deadline + timedelta(microseconds=late_us)
    arrived: asyncio.Queue[datetime] = asyncio.Queue(maxsize=4)

    async def dealer() -> None:
        await clock.sleep_until(due)
        arrived.put_nowait(clock.now())

    async def auction() -> list[datetime]:
        await clock.sleep_until(deadline)
        return [arrived.get_nowait() for _ in range(arrived.qsize())]

    # The loop may run the auction before the dealer of the same instant: then the reply is drained a step later,
    # and its stamp still says that it was in time.
    coroutines = [dealer(), auction()] if asked_first else [auction(), dealer()]
    tasks = [asyncio.create_task(c) for c in coroutines]
    drained = await tasks[asked_first]
    await asyncio.gather(*tasks)
    drained += [arrived.get_nowait() for _ in range(arrived.qsize())]
    assert drained == [due]
    assert (drained[0] <= deadline) is (late_us <= 0)

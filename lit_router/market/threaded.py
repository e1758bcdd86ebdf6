"""A matching core in a thread of its own, with an event loop of its own: it never steps on the service's loop."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from lit_router.market.clock import AcceleratedMarketClock
from lit_router.market.matching_core import MatchingCore
from lit_router.market.running import RunningExchange
from rfq.domain.errors import NotFound, OurFault, PeerGone
from rfq.domain.values import Symbol
from rfq.ports import MarketClock, MarketView

T = TypeVar("T")
_Asked = tuple[Callable[[MatchingCore], Any], "asyncio.Future[Any]"]
LEAD = timedelta(seconds=10)
"""How far an accelerated clock may be ahead of the market that has been played: on a busy machine it slows down."""
MOST_WAITING = 10_000
"""Acts posted and not yet done, before more are refused."""


class ThreadedExchange(RunningExchange):
    """Steps the core to the market clock every few milliseconds, in bounded chunks.

    `guests` are served on the exchange's own loop (its socket server); they get the core, and use it directly.
    """

    def __init__(
        self,
        core: MatchingCore,
        clock: MarketClock,
        *,
        step_s: float = 0.01,
        chunk_s: float = 30.0,
        answer_s: float = 5.0,
        guests: tuple[Callable[["ThreadedExchange", MatchingCore], AbstractAsyncContextManager[object]], ...] = (),
    ) -> None:
        """`step_s`: session seconds between steps; `chunk_s`: most market seconds played at once; `answer_s`: how
        long an answer may take, session seconds."""
        super().__init__(core, clock)
        self._step_s, self._chunk, self._answer_s = step_s, timedelta(seconds=chunk_s), answer_s
        self._guests = guests
        self._views: dict[Symbol, MarketView] = {symbol: core.view(symbol) for symbol in core.symbols()}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._asked: dict[asyncio.AbstractEventLoop, list[_Asked]] = {}
        """Questions of each caller's loop that cross over at the end of its turn."""
        self._waiting = 0
        self._lock = threading.Lock()
        self.fault: BaseException | None = None
        """What stopped the thread, if something did. The views then grow stale."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ThreadedExchange"]:
        """Starts the thread and its guests; raises OurFault if they do not start. Stops them on the way out."""
        ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        thread = threading.Thread(target=self._run, args=(ready,), name="exchange", daemon=True)
        thread.start()
        try:
            await self._wait_until_ready(ready)
            yield self
        finally:
            loop = self._loop
            if loop is not None and thread.is_alive():
                loop.call_soon_threadsafe(self._stop.set)
            await asyncio.to_thread(thread.join, self._answer_s)

    async def _wait_until_ready(self, ready: "concurrent.futures.Future[None]") -> None:
        try:
            async with asyncio.timeout(self._answer_s):
                await asyncio.wrap_future(ready)
        except Exception as reason:
            raise OurFault(f"the exchange did not start: {reason}") from reason

    def _run(self, ready: "concurrent.futures.Future[None]") -> None:
        try:
            asyncio.run(self._main(ready))
        except BaseException as fault:
            self.fault = fault
            if not ready.done():
                ready.set_exception(fault)
        finally:
            self._loop = None

    async def _main(self, ready: "concurrent.futures.Future[None]") -> None:
        async with AsyncExitStack() as stack:
            for guest in self._guests:
                await stack.enter_async_context(guest(self, self._core))
            self._loop = asyncio.get_running_loop()
            ready.set_result(None)
            while not self._stop.is_set():
                if self.fault is not None:
                    raise self.fault
                self._played(self._core, self._chunk)
                if isinstance(self.clock, AcceleratedMarketClock):
                    self.clock.keep_within(self._core.now + LEAD)
                self._views = {symbol: self._core.view(symbol) for symbol in self._views}
                behind = self.clock.now() - self._core.now > self._chunk
                await asyncio.sleep(0 if behind else self._step_s)

    def post(self, act: Callable[[MatchingCore], None]) -> None:
        loop = self._loop
        with self._lock:
            if loop is None or self._waiting >= MOST_WAITING:
                raise PeerGone("the exchange is not running" if loop is None else "the exchange is overloaded")
            self._waiting += 1
        try:
            loop.call_soon_threadsafe(self._act, act)
        except RuntimeError as closed:
            raise PeerGone("the exchange is not running") from closed

    def _act(self, act: Callable[[MatchingCore], None]) -> None:
        with self._lock:
            self._waiting -= 1
        try:
            self._played(self._core, self._chunk)
            act(self._core)
        except Exception as fault:
            self.fault = fault

    async def ask(self, question: Callable[[MatchingCore], T]) -> T:
        """Questions asked in the same turn of the caller's loop cross to the exchange's thread and back together."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        asked = self._asked.setdefault(loop, [])
        asked.append((question, answer))
        if len(asked) == 1:
            loop.call_soon(self._send_questions, loop)
        try:
            async with asyncio.timeout(self._answer_s):
                return await answer
        except TimeoutError:
            raise PeerGone("the exchange does not answer") from None

    def _send_questions(self, loop: asyncio.AbstractEventLoop) -> None:
        asked = self._asked.pop(loop)

        def act(core: MatchingCore) -> None:
            found = [(answer, *_answered(question, core)) for question, answer in asked]
            with contextlib.suppress(RuntimeError):  # Whoever asked has closed its loop since.
                loop.call_soon_threadsafe(_hand_over, found)

        try:
            self.post(act)
        except PeerGone as gone:
            _hand_over([(answer, None, gone) for _, answer in asked])

    def view(self, symbol: Symbol) -> MarketView:
        try:
            return self._views[symbol]
        except KeyError:
            raise NotFound("market", symbol) from None


def _answered(question: Callable[[MatchingCore], Any], core: MatchingCore) -> tuple[object, Exception | None]:
    try:
        return question(core), None
    except Exception as refusal:
        return None, refusal


def _hand_over(found: Sequence[tuple["asyncio.Future[Any]", object, Exception | None]]) -> None:
    for answer, value, refusal in found:
        if answer.done():
            continue  # Nobody waits any more.
        if refusal is None:
            answer.set_result(value)
        else:
            answer.set_exception(refusal)

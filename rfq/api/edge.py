"""What every route works with, in one object made by rfq.app."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from rfq.api.auth import Keys
from rfq.api.ports import Engine, Reachable, ServeDealer
from rfq.api.problems import TooMany
from rfq.api.scoreboard import Scoreboard
from rfq.api.stream import EventStream
from rfq.domain.errors import Inconsistent
from rfq.domain.rfq import Rfq
from rfq.domain.values import Instrument, Symbol
from rfq.metrics import Metrics
from rfq.ports import Clock, HistoryReader, KeyStore, MarketClock, RfqReader
from rfq.settings import Settings

T = TypeVar("T")


BenchmarkSource: TypeAlias = Callable[[Rfq], Awaitable[Mapping[str, float]]]
"""What other ways of trading a block would have cost, in bps of arrival by name."""


async def no_benchmarks(_: Rfq) -> Mapping[str, float]:
    """Where there is no simulated market to work a block on again."""
    return {}


class Edge:
    """The engine and the readers behind HTTP, and the few things held open on its behalf."""

    def __init__(
        self,
        *,
        engine: Engine,
        reader: RfqReader,
        history: HistoryReader,
        keys: KeyStore,
        serve_dealer: ServeDealer,
        reachable: Reachable,
        clock: Clock,
        market_clock: MarketClock,
        instruments: Mapping[Symbol, Instrument],
        settings: Settings,
        metrics: Metrics,
        benchmarks: BenchmarkSource = no_benchmarks,
    ) -> None:
        self.engine = engine
        self.reader = reader
        self.key_store = keys
        self.keys = Keys(keys, clock, settings.key_cache_s, settings.key_grace_s)
        self.serve_dealer = serve_dealer
        self.clock = clock
        self.instruments = instruments
        self.settings = settings
        self.metrics = metrics
        self.benchmarks = benchmarks
        self.scoreboard = Scoreboard(history, keys, reachable, clock, market_clock)
        self._streams: set[EventStream] = set()
        self._carried: set[asyncio.Task[Any]] = set()
        metrics.streams.set_function(lambda: len(self._streams))

    def now(self) -> datetime:
        return self.clock.now()

    def instrument_of(self, rfq: Rfq) -> Instrument:
        """Raises Inconsistent when the directory has lost an instrument that was traded."""
        symbol = rfq.terms.leg.symbol
        found = self.instruments.get(symbol)
        if found is None:
            raise Inconsistent(f"RFQ {rfq.rfq_id} is of {symbol}, which the directory of instruments lacks")
        return found

    async def carry(self, command: Coroutine[Any, Any, T]) -> T:
        """Awaits a command that goes on to its end even if the caller stops waiting or its time is up."""
        task = asyncio.create_task(command)
        self._carried.add(task)
        task.add_done_callback(self._carried_out)
        return await asyncio.shield(task)

    def _carried_out(self, task: "asyncio.Task[Any]") -> None:
        self._carried.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at: whoever waited has been told.

    def stream(self, rfq: Rfq, after: int) -> "HeldStream":
        """Raises TooMany when as many streams are open as may be."""
        if len(self._streams) >= self.settings.event_streams:
            raise TooMany(f"{self.settings.event_streams} event streams are open already")
        beat = self.settings.event_heartbeat_s
        return HeldStream(
            EventStream(self.engine, self.reader, rfq, self.instrument_of(rfq), after, beat), self._streams
        )

    def close_streams(self) -> None:
        """Ends every event stream soon; callers resume at the next start. Call before the server stops."""
        for stream in tuple(self._streams):
            stream.close()


class HeldStream:
    """An event stream that is counted while it runs."""

    def __init__(self, stream: EventStream, held: set[EventStream]) -> None:
        self._stream, self._held = stream, held

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._held.add(self._stream)
        try:
            await self._stream(scope, receive, send)
        finally:
            self._held.discard(self._stream)

"""The DealerPredictor port: history kept fresh, prediction in a worker thread, a bound on how long it may take."""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

import structlog
import xgboost as xgb

from ml.choosing import Chooser, prior_selection
from ml.memory import PanelMemory
from ml.model_process import ModelProcess
from ml.outcomes import SETTLE_S, auctions
from ml.recall import LOOKBACK_S
from ml.widening import holds_of
from rfq.domain.errors import BadInput, OurFault, StoreUnavailable
from rfq.domain.selection import Selection, WaveDecision
from rfq.domain.values import Instrument, RequestId, Symbol
from rfq.ports import Clock, DealerOutcome, HistoryReader, SelectionRequest, WaveRequest

R = TypeVar("R")

log = structlog.get_logger(__name__)

MOST_ROWS = 6_000
"""Newest outcomes kept: what the panel's memory is made of."""
LATE_S = 3_600.0
"""Market seconds after which a stored outcome no longer changes: its lifts and mark-outs are all in."""


class PanelPredictor:
    """Chooses dealers with the models and the stored history."""

    def __init__(
        self,
        chooser: Chooser | ModelProcess,
        history: HistoryReader,
        instruments: Mapping[Symbol, Instrument],
        clock: Clock,
        executor: Executor | None = None,
        refresh_s: float = 60.0,
        deadline_s: float = 2.0,
    ) -> None:
        """A Chooser is called in `executor`, inline (some milliseconds) without one: for tests whose time is virtual.

        A ModelProcess has its own; memories are then made in `executor`.
        """
        self._chooser, self._history, self._instruments = chooser, history, instruments
        self._clock, self._executor = clock, executor
        self._refresh = dt.timedelta(seconds=refresh_s)
        self._deadline_s = deadline_s
        self._rows: dict[RequestId, DealerOutcome] = {}
        self._memory: PanelMemory | None = None
        self._read_at: dt.datetime | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def model_version(self) -> str:
        return self._chooser.version

    async def start(self, market_now: dt.datetime) -> None:
        """Reads history before the first request needs it. Not reading it is logged, and tried again later."""
        await self._fresh_memory(market_now, [])

    async def select(self, request: SelectionRequest) -> Selection:
        """Within `deadline_s`, or by priors with the reason in the notes."""
        notes: list[str] = []
        try:
            async with asyncio.timeout(self._deadline_s):
                memory = await self._fresh_memory(request.at, notes)
                if isinstance(self._chooser, ModelProcess):
                    return await self._chooser.select(request, tuple(notes))
                return await self._run(self._chooser.select, request, memory, tuple(notes))
        except TimeoutError:
            late = f"models took over {self._deadline_s} s: chosen by priors"
        except (xgb.core.XGBoostError, OurFault) as broken:
            late = f"models failed: chosen by priors ({str(broken).splitlines()[0]})"
        log.error("dealers.chosen_by_priors", symbol=request.instrument.symbol, reason=late)
        return prior_selection(request, (*notes, late))

    async def further(self, wave: WaveRequest) -> WaveDecision:
        """See DealerPredictor.further. What quotes in hand are worth by then comes of the history last read."""
        try:
            memory = await self._fresh_memory(wave.request.at, [])
            holds = holds_of(self._rows.values())
            if isinstance(self._chooser, ModelProcess):
                return await self._chooser.further(wave, holds)
            return await self._run(self._chooser.further, wave, memory, holds)
        except (xgb.core.XGBoostError, BadInput, ValueError, ArithmeticError) as broken:
            raise OurFault(f"models failed: {str(broken).splitlines()[0]}") from broken

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _fresh_memory(self, market_now: dt.datetime, notes: list[str]) -> PanelMemory:
        """The first read is waited for; later ones run beside the requests, which use what was last read."""
        due = self._read_at is None or self._clock.now() - self._read_at >= self._refresh
        if due and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read(market_now))
        if self._memory is None and self._reading is not None:
            await asyncio.wait([self._reading])
        done = self._reading
        if done is not None and done.done() and not done.cancelled() and (broken := done.exception()):
            self._reading = None
            log.error("dealers.history_unread", reason=repr(broken))
        if self._memory is None:
            notes.append("history could not be read: every dealer is new")
            return PanelMemory()
        return self._memory

    async def _read(self, market_now: dt.datetime) -> None:
        """Adds what is new, and reads again what was still open to change when it was last read."""
        since = market_now - dt.timedelta(seconds=LOOKBACK_S)
        if self._rows:
            since = max(since, next(reversed(self._rows.values())).market_at - dt.timedelta(seconds=LATE_S))
        rows = dict(self._rows)
        try:
            async for row in self._history.outcomes(since, MOST_ROWS):
                rows[row.request_id] = row
        except StoreUnavailable as away:
            log.warning("dealers.history_unread", reason=str(away))
            return
        while len(rows) > MOST_ROWS:
            del rows[next(iter(rows))]
        self._rows = rows
        self._memory = await self._run(self._remember, list(rows.values()), market_now)
        if isinstance(self._chooser, ModelProcess):
            self._chooser.remember(self._memory)
        self._read_at = self._clock.now()

    def _remember(self, rows: list[DealerOutcome], market_now: dt.datetime) -> PanelMemory:
        """What was not settled when it was read would later pass for a dealer that did not answer."""
        settled = market_now - dt.timedelta(seconds=SETTLE_S)
        return PanelMemory.of(o for o in auctions(rows, self._instruments) if o.facts.at <= settled)

    async def _run(self, work: Callable[..., R], *values: object) -> R:
        if self._executor is None:
            return work(*values)
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *values)

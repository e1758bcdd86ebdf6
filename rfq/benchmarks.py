"""TWAP and VWAP on the same market path: a block's simulated market is kept as it was at arrival, and worked anew."""

import asyncio
import math
import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from typing import Any

import structlog

from lit_router.market.counterfactual import work_alone
from lit_router.market.matching_core import MatchingCore
from lit_router.market.threaded import ThreadedExchange
from lit_router.venues.lit import LIT_FEES
from rfq.domain import events as ev
from rfq.domain.errors import SottoError
from rfq.domain.rfq import Rfq
from rfq.domain.values import RfqId, Symbol
from rfq.ports import Clock, ControlStore, MarketClock, StreamId

log = structlog.get_logger()

MOST_KEPT = 16
"""Markets kept for blocks that are still alive; the oldest goes, and its block is reported without benchmarks."""
LONGEST_S = 300.0
"""Session seconds that the blocks waiting to be worked anew may take; then there is no benchmark."""
SHORTEST_S = 600.0
"""Horizon below which no benchmark is worked: it would be a handful of orders."""


class Benchmarks:
    """Works the whole quantity by market orders on twins of the market at arrival, in a process of its own.

    Nobody leaks and nobody hedges on the twins: they are what the desk would have paid working everything alone.
    """

    def __init__(
        self, exchange: ThreadedExchange, store: ControlStore, clock: Clock, market_clock: MarketClock
    ) -> None:
        self._exchange, self._store = exchange, store
        self._clock, self._market_clock = clock, market_clock
        self._kept: OrderedDict[RfqId, MatchingCore] = OrderedDict()
        self._blocks: dict[RfqId, ev.RfqReceived] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker: Executor | None = None
        self._working = 0

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)

    def observe(self, rfq_id: RfqId, stamped: ev.Stamped) -> None:
        """To be told of every event: keeps the market at arrival, works the benchmarks when the block is over."""
        match stamped.event:
            case ev.RfqReceived(terms=terms) if terms.residual and terms.residual.horizon_s >= SHORTEST_S:
                if terms.leg.desk_side is not None:
                    self._blocks[rfq_id] = stamped.event
                    self._soon(self._keep(rfq_id, terms.leg.symbol))
            case ev.RfqDone() | ev.RfqCancelled() | ev.RfqExpired():
                if (received := self._blocks.pop(rfq_id, None)) is not None:
                    self._soon(self._work(received))
            case _:
                pass

    async def of(self, rfq: Rfq) -> dict[str, float]:
        """Cost in bps of arrival by benchmark name; empty if there is none (yet)."""
        history = await self._store.history(_stream(rfq.rfq_id))
        found = [s.event for s in history if isinstance(s.event, ev.BenchmarksWorked)]
        return dict(found[-1].cost_bps) if found else {}

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, rfq_id: RfqId, symbol: Symbol) -> None:
        def fork(core: MatchingCore) -> MatchingCore:
            return core.fork("twin", (symbol,))

        try:
            self._kept[rfq_id] = await self._exchange.ask(fork)
        except SottoError as error:
            log.warning("no benchmark", rfq_id=rfq_id, why=str(error))
        while len(self._kept) > MOST_KEPT:
            gone, _ = self._kept.popitem(last=False)
            self._blocks.pop(gone, None)

    async def _work(self, received: ev.RfqReceived) -> None:
        twin = self._kept.pop(received.rfq_id, None)
        if twin is None:
            return
        if self._working >= MOST_KEPT:
            log.warning("no benchmark", rfq_id=received.rfq_id, why="too many are being worked")
            return
        if self._worker is None:
            self._worker = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent)
        self._working += 1
        try:
            working = asyncio.get_running_loop().run_in_executor(self._worker, cost_alone, twin, received)
            costs = await asyncio.wait_for(working, LONGEST_S)
        except (TimeoutError, BrokenProcessPool) as error:
            log.warning("no benchmark", rfq_id=received.rfq_id, why=repr(error))
            self._worker.shutdown(wait=False, cancel_futures=True)
            self._worker = None  # Another is started for the next block.
            return
        finally:
            self._working -= 1
        event = ev.BenchmarksWorked(tuple(sorted(costs.items())))
        try:
            await self._store.record(_stream(received.rfq_id), event, self._clock.now(), self._market_clock.now())
        except SottoError as error:
            log.warning("benchmark not recorded", rfq_id=received.rfq_id, error=str(error))


def end_with_parent() -> None:
    """For a worker process: it ends when the process that started it does, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def cost_alone(twin: MatchingCore, received: ev.RfqReceived) -> dict[str, float]:
    """Cost in bps of arrival of the whole block by TWAP and by VWAP with market orders, each on its own twin.

    TWAP trades evenly; VWAP in proportion to the volume that the market would have had without the block, as if that
    had been known.
    """
    terms = received.terms
    leg, side, residual = terms.leg, terms.leg.desk_side, terms.residual
    assert side is not None and residual is not None
    horizon_s = residual.horizon_s
    found: dict[str, float] = {}
    for name, due in (("twap", lambda s: s / horizon_s), ("vwap", volume_share(twin, leg.symbol, horizon_s))):
        worked = work_alone(twin.fork(name), leg.symbol, side, leg.quantity, horizon_s, due)
        cost = worked.cost_bps(side, received.arrival.mid, LIT_FEES.take_bps)
        if cost is not None:
            found[name] = cost
    return found


def volume_share(market: MatchingCore, symbol: Symbol, horizon_s: float) -> Callable[[float], float]:
    """Seconds from now -> share of the horizon's volume that comes by then, on a twin that nobody touches."""
    untouched = market.fork("untouched")
    minutes = [min(horizon_s, 60.0 * i) for i in range(math.ceil(horizon_s / 60.0) + 1)]
    volumes: list[int] = []
    for elapsed_s in minutes:
        untouched.advance_to(market.now + timedelta(seconds=elapsed_s))
        volumes.append(untouched.view(symbol).volume)
    first, total = volumes[0], max(1, volumes[-1] - volumes[0])

    def share(elapsed_s: float) -> float:
        return (volumes[min(len(volumes) - 1, math.ceil(elapsed_s / 60.0))] - first) / total

    return share


def _stream(rfq_id: RfqId) -> StreamId:
    return StreamId("benchmark", rfq_id)

"""A matching core in motion: something steps it to the market clock, and others may act on it and look at it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from math import log
from typing import TypeVar

from lit_router.market.matching_core import MatchingCore
from rfq.domain.errors import NotFound
from rfq.domain.values import Price, Symbol
from rfq.ports import MarketClock, MarketView

T = TypeVar("T")


class RunningExchange(ABC):
    """The core is touched only through `post` and `ask`. Serves as the MarketData port."""

    def __init__(self, core: MatchingCore, clock: MarketClock) -> None:
        self._core, self.clock = core, clock

    @abstractmethod
    def post(self, act: Callable[[MatchingCore], None]) -> None:
        """Acts on the core soon, in the order of calls, never waiting. Raises PeerGone if it does not run."""

    @abstractmethod
    async def ask(self, question: Callable[[MatchingCore], T]) -> T:
        """An answer from the core, played up to about now. Raises what the question raises, and PeerGone."""

    @abstractmethod
    def view(self, symbol: Symbol) -> MarketView:
        """The latest top of book, without waiting. Raises NotFound."""

    async def mid_at(self, symbol: Symbol, at: datetime) -> Price | None:
        """The mid that stood at market time `at`; None if it is not known. Raises NotFound, PeerGone."""
        return await self.ask(lambda core: core.mid_at(symbol, at))

    async def control_bps(self, symbol: Symbol, since: datetime, until: datetime) -> float | None:
        """Mean log return of the other instruments' mids, bps; None if none of them has both mids."""
        return await self.ask(lambda core: _mean_move_bps(core, symbol, since, until))

    def _played(self, core: MatchingCore, most: timedelta) -> None:
        """Steps the core towards now, by at most `most` of market time."""
        core.advance_to(min(self.clock.now(), core.now + most))


def _mean_move_bps(core: MatchingCore, symbol: Symbol, since: datetime, until: datetime) -> float | None:
    moves: list[float] = []
    for other in core.symbols():
        first, last = core.mid_at(other, since), core.mid_at(other, until)
        if other != symbol and first is not None and last is not None:
            moves.append(log(last / first) * 1e4)
    return sum(moves) / len(moves) if moves else None


class InlineExchange(RunningExchange):
    """Runs on the caller's own event loop: for virtual time and for studies, where nothing else waits for it."""

    def __init__(self, core: MatchingCore, clock: MarketClock, *, step_s: float = 1.0) -> None:
        """`step_s`: market seconds between steps, when nobody acts."""
        super().__init__(core, clock)
        self._step = timedelta(seconds=step_s)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["InlineExchange"]:
        """Steps the core while the context is open."""
        stepping = asyncio.create_task(self._keep_stepping())
        try:
            yield self
        finally:
            stepping.cancel()

    async def _keep_stepping(self) -> None:
        while True:
            self._core.advance_to(self.clock.now())
            await self.clock.sleep_until(self.clock.now() + self._step)

    def post(self, act: Callable[[MatchingCore], None]) -> None:
        self._core.advance_to(self.clock.now())
        act(self._core)

    async def ask(self, question: Callable[[MatchingCore], T]) -> T:
        self._core.advance_to(self.clock.now())
        return question(self._core)

    def view(self, symbol: Symbol) -> MarketView:
        if symbol not in self._core.symbols():
            raise NotFound("market", symbol)
        self._core.advance_to(self.clock.now())
        return self._core.view(symbol)

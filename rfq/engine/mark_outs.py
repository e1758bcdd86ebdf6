"""Where the market went after every request and every fill: taken when due, on the market's clock, for the models."""

import asyncio
import contextlib
import heapq
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from rfq.domain import events as ev
from rfq.domain.errors import NotFound, SottoError
from rfq.domain.fill import MARK_OUT_HORIZONS_S, MarkOut
from rfq.domain.values import Price, RfqId, Symbol
from rfq.engine.sourcing import log
from rfq.ports import Clock, MarketClock, MarketData, RfqStore, StreamId

RESTORED = timedelta(days=7)
"""Market time for which unfinished mark-outs are looked up after a restart: a long weekend and more."""

BEAT_S = 0.2
"""Session seconds between takings: those that fall due meanwhile are taken, asked for and written together."""

MOST_WAITING = 200_000
"""Groups waiting at one time. At that, `full` says that no new RFQ should be taken."""


class Group(msgspec.Struct):
    """Requests or fills of one RFQ that share one moment, and so all their due times."""

    rfq_id: RfqId
    symbol: Symbol
    at: datetime
    subjects: tuple[tuple[str, Price], ...]
    horizons_s: tuple[float, ...] = MARK_OUT_HORIZONS_S


class MarkOuts:
    """Goes on after an RFQ is done, and across restarts: what is then overdue and unknown is stored as missing."""

    def __init__(self, store: RfqStore, market: MarketData, clock: Clock, market_clock: MarketClock) -> None:
        self._store, self._market, self._clock, self._market_clock = store, market, clock, market_clock
        self._due: list[tuple[datetime, int, Group]] = []
        self._count = 0
        self._ends: dict[RfqId, int] = {}
        self._groups_of: dict[RfqId, int] = {}
        self._wake = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._due) >= MOST_WAITING

    def begin(self, rfq_id: RfqId) -> None:
        """An RFQ just received: its stream of mark-outs is empty and need not be looked up."""
        self._ends[rfq_id] = 0

    def add(self, rfq_id: RfqId, symbol: Symbol, at: datetime, subjects: Sequence[tuple[str, Price]]) -> None:
        """Follows these subjects from market time `at`, measured from their reference prices."""
        if subjects:
            self._push(Group(rfq_id, symbol, at, tuple(subjects)))

    async def restore(self, only: Collection[RfqId] | None = None) -> None:
        """Takes up what other processes left unfinished; `only` of these RFQs, and of none that is followed already.

        What is overdue by so much that its mid is not known any more is stored as missing.
        """
        followed = set(self._groups_of)
        for left in await self._store.unmarked(self._market_clock.now() - RESTORED):
            if left.rfq_id in followed or (only is not None and left.rfq_id not in only):
                continue
            subject = ((left.subject, left.reference),)
            self._push(Group(left.rfq_id, left.symbol, left.at, subject, left.missing_s))

    async def run(self) -> None:
        """Until cancelled. A failing store only delays: the mid is asked for again by its time."""
        while True:
            if not self._due:
                self._wake.clear()
                await self._wake.wait()
            now = self._market_clock.now()
            soonest = self._due[0][0]
            if soonest > now:
                # Nothing new can be due within a second: the shortest horizon is one.
                await self._market_clock.sleep_until(min(soonest, now + timedelta(seconds=1)))
                continue
            ready: list[Group] = []
            while self._due and self._due[0][0] <= now and len(ready) < 500:
                ready.append(heapq.heappop(self._due)[2])
            pause_s = BEAT_S if await self._take(ready) else 1.0
            await self._clock.sleep_until(self._clock.now() + timedelta(seconds=pause_s))

    async def _take(self, groups: Sequence[Group]) -> bool:
        """False if some could not be stored: they are due again."""
        writes: list[tuple[Group, asyncio.Future[None]]] = []
        taken = True
        # Asked for all together: the market answers them in one go.
        found = await asyncio.gather(*map(self._marks, groups), return_exceptions=True)
        for group, marks in zip(groups, found, strict=True):
            try:
                if isinstance(marks, BaseException):
                    raise marks
                writes.append((group, await self._append(group.rfq_id, marks)))
            except SottoError as error:
                self._again(group, error)
                taken = False
        for group, write in writes:
            try:
                await write
            except SottoError as error:
                self._again(group, error)
                taken = False
                continue
            rest = group.horizons_s[1:]
            self._groups_of[group.rfq_id] -= 1
            if rest:
                group.horizons_s = rest
                self._push(group)
            elif not self._groups_of[group.rfq_id]:
                del self._groups_of[group.rfq_id]
                self._ends.pop(group.rfq_id, None)
        return taken

    def _again(self, group: Group, error: SottoError) -> None:
        log.warning("mark-outs delayed", rfq_id=group.rfq_id, error=str(error))
        self._ends.pop(group.rfq_id, None)
        self._groups_of[group.rfq_id] -= 1
        self._push(group)

    async def _marks(self, group: Group) -> tuple[MarkOut, ...]:
        horizon = group.horizons_s[0]
        due = group.at + timedelta(seconds=horizon)
        mid, control = None, None
        with contextlib.suppress(NotFound):  # No feed of it here: missing, as when the mid is not known.
            if (mid := await self._market.mid_at(group.symbol, due)) is not None:
                control = await self._market.control_bps(group.symbol, group.at, due)
        return tuple(
            MarkOut(subject, group.rfq_id, horizon, due, reference, mid, control)
            for subject, reference in group.subjects
        )

    async def _append(self, rfq_id: RfqId, marks: tuple[MarkOut, ...]) -> asyncio.Future[None]:
        stream = StreamId("markout", rfq_id)
        if rfq_id not in self._ends:
            self._ends[rfq_id] = len(await self._store.load(stream))
        self._ends[rfq_id] += 1
        event = ev.MarkOutsTaken(marks)
        stamped = ev.Stamped(self._ends[rfq_id], event, self._clock.now(), self._market_clock.now())
        return asyncio.ensure_future(self._store.append(stream, [stamped], marks, None))

    def _push(self, group: Group) -> None:
        self._count += 1
        self._groups_of[group.rfq_id] = self._groups_of.get(group.rfq_id, 0) + 1
        due = group.at + timedelta(seconds=group.horizons_s[0])
        heapq.heappush(self._due, (due, self._count, group))
        self._wake.set()

"""The pen of one RFQ: stamps events, folds them into the block, and hands them to the store in order."""

import asyncio
from collections.abc import Callable, Sequence

from rfq.domain.block import Block
from rfq.domain.events import AnyEvent, BreakFound, OrderEvent, Stamped
from rfq.ports import Clock, Idempotency, Lease, MarketClock, RfqStore, StreamId


class Journal:
    """Folds first, so that an event the block does not allow is never written; then queues it for the store.

    Folding and queueing happen in one step of the event loop: the order of the block is the order of the stream. When
    a write fails, what is in memory is ahead of what is recorded: the journal is `broken`, every later write raises
    the same error, and the block must be loaded anew. It is also the OrderStore of the RFQ's parents.
    """

    def __init__(
        self,
        block: Block,
        stream: StreamId,
        lease: Lease,
        store: RfqStore,
        clock: Clock,
        market_clock: MarketClock,
        on_folded: Callable[[Sequence[Stamped]], None],
        on_durable: Callable[[], None],
    ) -> None:
        self.block, self.stream, self.lease = block, stream, lease
        self._store, self._clock, self._market_clock = store, clock, market_clock
        self._on_folded, self._on_durable = on_folded, on_durable
        self._last: asyncio.Future[None] | None = None
        self.broken: BaseException | None = None

    def note(self, *events: AnyEvent, created_by: Idempotency | None = None) -> None:
        """Folds events now; they become durable with, or before, the next `record`. Raises what the fold raises."""
        self._queue(events, (), created_by)

    async def write(self, *events: AnyEvent, created_by: Idempotency | None = None) -> None:
        """Folds events and returns once they, and all before them, are durable."""
        self._queue(events, (), created_by)
        await self.flush()

    def record_soon(self, events: Sequence[OrderEvent | BreakFound], touched: Sequence[object]) -> None:
        self._queue(events, touched, None)

    async def record(self, events: Sequence[OrderEvent | BreakFound], touched: Sequence[object]) -> None:
        self._queue(events, touched, None)
        await self.flush()

    async def flush(self) -> None:
        """Returns once everything noted so far is durable. Raises StoreUnavailable, StreamConflict or LeaseLost."""
        if self.broken is not None:
            raise self.broken
        if self._last is not None:
            await asyncio.shield(self._last)

    def _queue(self, events: Sequence[AnyEvent], order_nouns: Sequence[object], created_by: Idempotency | None) -> None:
        if self.broken is not None:
            raise self.broken
        session_at, market_at = self._clock.now(), self._market_clock.now()
        stamped: list[Stamped] = []
        touched: list[object] = []
        try:
            for event in events:
                one = Stamped(self.block.sequence + 1, event, session_at, market_at)
                touched.extend(self.block.apply(one))
                stamped.append(one)
        except Exception as error:
            if stamped:  # Part of a group is folded and must not be half recorded: load anew.
                self.broken = error
            raise
        waiting = self._store.append(self.stream, stamped, [*touched, *order_nouns], self.lease, created_by)
        self._last = asyncio.ensure_future(waiting)
        self._last.add_done_callback(self._settled)
        self._on_folded(stamped)

    def _settled(self, write: asyncio.Future[None]) -> None:
        if write.cancelled():
            self.broken = self.broken or asyncio.CancelledError()
        elif (error := write.exception()) is not None:
            self.broken = self.broken or error
        self._on_durable()

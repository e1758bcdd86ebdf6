"""The store of RFQs: leases, the log, and what is left to do. Implements rfq.ports.RfqStore."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Self
from weakref import WeakValueDictionary

from sqlalchemy import func, select, text
from sqlmodel import col

from db.database import Database, store_faults
from db.event_log import EventLog
from db.leases import Leases
from db.tables import EventRow, RfqRow
from rfq.domain import events as ev
from rfq.domain.errors import Inconsistent, StoreUnavailable, StreamConflict
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.rfq import OVER
from rfq.domain.values import Price, RfqId, Symbol
from rfq.ports import Idempotency, Lease, StreamId, Unmarked

_UNMARKED = text("""
WITH subject AS (
  SELECT request_id AS subject, rfq_id, symbol, market_asked_at AS at, reference
  FROM requests WHERE market_asked_at >= :since
  UNION ALL
  SELECT fill_id, rfq_id, symbol, market_filled_at, reference
  FROM fills WHERE market_filled_at >= :since
), marked AS (
  SELECT subject.*, (SELECT coalesce(array_agg(m.horizon_ms), '{}') FROM mark_outs m
                     WHERE m.rfq_id = subject.rfq_id AND m.subject = subject.subject) AS had
  FROM subject
)
SELECT * FROM marked WHERE cardinality(had) < :horizons ORDER BY at, subject""")
"""Requests and fills since a market time that lack mark-outs, with the horizons they have."""


class PostgresRfqStore:
    """One process's store. `async with PostgresRfqStore.open(...)` runs its writer beside the caller."""

    def __init__(self, database: Database, leases: Leases, log: EventLog, writer: "asyncio.Task[None]") -> None:
        self._database, self._leases, self._log = database, leases, log
        self.writer = writer
        """Runs as long as the store is open. If it ends before, with an error, nothing can be written any more."""
        self._turns: WeakValueDictionary[StreamId, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database: Database,
        holder: str,
        *,
        lease_s: float = 6.0,
        observe: Callable[[int, float], None] | None = None,
    ) -> AsyncIterator[Self]:
        """`holder` is unique to this process; `observe` is told the size and seconds of each batch written.

        At the end what is queued is written, for at most two seconds, and every lease is free.
        """
        log, leases = EventLog(database, observe=observe), Leases(database, holder, lease_s=lease_s)
        await leases.renew()
        writer = asyncio.create_task(log.run(), name="event log writer")
        try:
            yield cls(database, leases, log, writer)
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(log.drained(), 2.0)
            leases.close()
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer

    def first_lease(self, rfq_id: RfqId) -> Lease:
        return self._leases.first(rfq_id)

    async def claim(self, rfq_id: RfqId) -> Lease:
        lease = await self._leases.claim(rfq_id)
        self._log.forget(StreamId("rfq", rfq_id))
        return lease

    async def renew(self) -> None:
        await self._leases.renew()

    async def release(self, lease: Lease) -> None:
        await self._leases.release(lease)

    def append(
        self,
        stream: StreamId,
        events: Sequence[ev.Stamped],
        touched: Sequence[object],
        lease: Lease | None,
        created_by: Idempotency | None = None,
    ) -> Awaitable[None]:
        return self._log.append(stream, events, touched, lease, created_by)

    async def load(self, stream: StreamId) -> list[ev.Stamped]:
        """The stream's events from the first. A stream without leases may be written again after this."""
        if stream.kind != "rfq":
            self._log.forget(stream)
        return await read_stream(self._database, stream)

    async def append_next(
        self, stream: StreamId, event: ev.AnyEvent, session_at: datetime, market_at: datetime
    ) -> None:
        """Adds one event at the end of a stream that needs no lease, wherever that is by now. Durable on return.

        Raises StoreUnavailable, also after losing the race for the end to other processes for ten seconds.
        """
        turn = self._turns.setdefault(stream, asyncio.Lock())
        with store_faults():
            async with asyncio.timeout(10.0), turn:
                while True:
                    end = self._log.end(stream)
                    if end is None:
                        end = await self._end(stream)
                    try:
                        await self.append(stream, [ev.Stamped(end + 1, event, session_at, market_at)], (), None)
                        return
                    except StreamConflict:  # Another process was faster.
                        self._log.forget(stream)
                    except StoreUnavailable:
                        self._log.forget(stream)
                        raise

    async def _end(self, stream: StreamId) -> int:
        query = select(func.max(col(EventRow.sequence)))
        query = query.where(col(EventRow.stream_kind) == stream.kind, col(EventRow.stream_name) == stream.name)
        async with self._database.reading() as session:
            return (await session.execute(query)).scalar_one() or 0

    async def unfinished(self) -> list[RfqId]:
        async with self._database.reading() as session:
            query = select(col(RfqRow.rfq_id)).where(col(RfqRow.status).not_in([s.value for s in OVER]))
            found = await session.execute(query.order_by(col(RfqRow.received_at), col(RfqRow.rfq_id)))
            return [RfqId(rfq_id) for rfq_id in found.scalars()]

    async def unmarked(self, since: datetime) -> list[Unmarked]:
        horizons = len(MARK_OUT_HORIZONS_S)
        async with self._database.reading() as session:
            found = await session.execute(_UNMARKED, {"since": since, "horizons": horizons})
            return [
                Unmarked(
                    subject=row.subject,
                    rfq_id=RfqId(row.rfq_id),
                    symbol=Symbol(row.symbol),
                    at=row.at,
                    reference=Price(row.reference),
                    missing_s=tuple(s for s in MARK_OUT_HORIZONS_S if round(s * 1000) not in row.had),
                )
                for row in found
            ]


async def read_stream(
    database: Database, stream: StreamId, after: int = 0, limit: int | None = None
) -> list[ev.Stamped]:
    """Events of a stream with a sequence above `after`, at most `limit`. Raises StoreUnavailable, Inconsistent."""
    columns = (EventRow.sequence, EventRow.schema_version, EventRow.payload, EventRow.session_at, EventRow.market_at)
    query = (
        select(*map(col, columns))
        .where(col(EventRow.stream_kind) == stream.kind, col(EventRow.stream_name) == stream.name)
        .where(col(EventRow.sequence) > after)
        .order_by(col(EventRow.sequence))
        .limit(limit)
    )
    async with database.reading() as session:
        found = (await session.execute(query)).all()
    return [stamped(*row) for row in found]


def stamped(
    sequence: int, schema_version: int, payload: bytes, session_at: datetime, market_at: datetime
) -> ev.Stamped:
    """An event of the log. Raises Inconsistent for one that this version cannot read."""
    if schema_version != ev.SCHEMA_VERSION:
        raise Inconsistent(f"event {sequence} has schema version {schema_version}, we read {ev.SCHEMA_VERSION}")
    return ev.Stamped(sequence, ev.from_bytes(payload), session_at, market_at)

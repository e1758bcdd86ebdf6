"""Streams beside the RFQs: the kill switch, the desks' limits, models. Implements rfq.ports.ControlStore."""

from datetime import datetime

from db.rfq_store import PostgresRfqStore
from rfq.domain.events import AnyEvent, Stamped
from rfq.ports import StreamId


class PostgresControlStore:
    def __init__(self, store: PostgresRfqStore) -> None:
        self._store = store

    async def record(self, stream: StreamId, event: AnyEvent, session_at: datetime, market_at: datetime) -> None:
        """Durable on return. Raises StoreUnavailable."""
        await self._store.append_next(stream, event, session_at, market_at)

    async def history(self, stream: StreamId) -> list[Stamped]:
        return await self._store.load(stream)

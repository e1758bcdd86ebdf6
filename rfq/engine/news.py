"""News of RFQs: who wants to hear that more of one became durable."""

import asyncio
import contextlib
from collections.abc import Iterator

from rfq.domain.values import RfqId


class News:
    """Says that there is news, never what: whoever is woken reads the record."""

    def __init__(self) -> None:
        self._listeners: dict[RfqId, set[asyncio.Event]] = {}

    @contextlib.contextmanager
    def of(self, rfq_id: RfqId) -> Iterator[asyncio.Event]:
        """An event set whenever more of this RFQ became durable. Clear it, read, then wait for it again."""
        mine = asyncio.Event()
        self._listeners.setdefault(rfq_id, set()).add(mine)
        try:
            yield mine
        finally:
            listeners = self._listeners[rfq_id]
            listeners.discard(mine)
            if not listeners:
                del self._listeners[rfq_id]

    def wake(self, rfq_id: RfqId) -> None:
        for listener in self._listeners.get(rfq_id, ()):
            listener.set()

"""Server-sent events of one RFQ: every durable fact once, in order, from where the caller left off."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from rfq.api import events, render
from rfq.api.ports import Engine
from rfq.domain import events as ev
from rfq.domain.errors import SottoError
from rfq.domain.rfq import Rfq
from rfq.domain.values import AuctionId, Instrument
from rfq.logs import logger
from rfq.ports import RfqReader

BATCH = 200
SEND_S = 10.0
HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
HEARTBEAT = b": still here\n\n"
END = b"event: end\ndata: {}\n\n"
"""Sent without an id when the RFQ is over and all was told. Asking again after it is answered 204."""

log = logger("rfq.api")
_encode = msgspec.json.Encoder().encode


class EventStream:
    """An ASGI answer. It ends when the RFQ is over and drained, or when the caller leaves or stops reading.

    `rfq` is as recorded, not as in memory: that it is over must not be known before its last event can be read.
    """

    def __init__(
        self, engine: Engine, reader: RfqReader, rfq: Rfq, instrument: Instrument, after: int, heartbeat_s: float
    ) -> None:
        self._engine, self._reader = engine, reader
        self._rfq_id, self._instrument = rfq.rfq_id, instrument
        self._after, self._heartbeat_s = after, heartbeat_s
        self._over = rfq.is_over
        self._closed: set[AuctionId] = set()
        self._left = False
        self._wake: asyncio.Event | None = None

    def close(self) -> None:
        """Ends the stream soon, without saying that the RFQ is over: the caller resumes elsewhere or later."""
        self._left = True
        if self._wake is not None:
            self._wake.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        watching = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEAD})
            with self._engine.changes(self._rfq_id) as self._wake:
                try:
                    await self._tell(self._wake, send)
                except SottoError as error:
                    log.warning("event stream cut short", rfq_id=self._rfq_id, error=str(error))
            await self._send(send, b"", last=True)
        except TimeoutError:
            log.info("event stream given up: its reader is too slow", rfq_id=self._rfq_id)
        finally:
            watching.cancel()

    async def _tell(self, wake: asyncio.Event, send: Any) -> None:
        while not self._left:
            wake.clear()
            found = await self._reader.events(self._rfq_id, self._after, BATCH)
            if found:
                await self._send(send, await self._written(found))
                self._after = found[-1].sequence
                self._over = self._over or any(events.is_last(s.event) for s in found)
            elif self._over:
                await self._send(send, END)
                return
            else:
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await wake.wait()
                except TimeoutError:
                    await self._send(send, HEARTBEAT)

    async def _written(self, found: Iterable[ev.Stamped]) -> bytes:
        found = list(found)
        self._closed.update(s.event.auction_id for s in found if isinstance(s.event, ev.AuctionClosed))
        quoted = {q.auction_id for s in found if (q := events.quote_in(s.event)) is not None}
        if quoted - self._closed:
            self._closed |= render.closed(await self._reader.auctions(self._rfq_id))
        sealed = quoted - self._closed
        return b"".join(_frame(s, self._instrument, sealed) for s in found)

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.close()

    @staticmethod
    async def _send(send: Any, body: bytes, last: bool = False) -> None:
        """Raises TimeoutError when the caller has stopped reading."""
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.body", "body": body, "more_body": not last})


def _frame(stamped: ev.Stamped, instrument: Instrument, sealed: set[AuctionId]) -> bytes:
    told = events.event(stamped, instrument, sealed)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (told.sequence, told.event.encode(), _encode(told))

"""Both ends of the dealer protocol for its tests: a gateway on a socket, and a line that speaks frame by frame."""

import asyncio
import contextlib
import json

import msgspec
from dealer_bench import D1, INSTRUMENTS, Inbox, Ledger, WallClock, request
from virtual_time import SeededIds
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from dealers.gateway import WireGateway
from dealers.line import LineBounds
from dealers.listener import listen
from dealers.session import SessionBounds
from dealers.wire import JSON
from rfq.domain.events import Notice, NoticeKind
from rfq.domain.values import RequestId

LOGON = {"type": "logon", "version": 1}
QUOTE = {
    "type": "quote",
    "request_id": "request-1",
    "quote_id": "q1",
    "offer": {"price": "100.05", "quantity": "3000"},
    "valid_for_s": 30,
}
KEYS = {"key-D01": D1}


class Bench:
    """A gateway on a socket, with the engine's end at hand."""

    def __init__(self, **bounds) -> None:
        self.clock, self.inbox, self.ledger = WallClock(), Inbox(), Ledger()
        line = {k: v for k, v in bounds.items() if k in LineBounds.__struct_fields__}
        session = {k: v for k, v in bounds.items() if k in SessionBounds.__struct_fields__}
        self.gateway = WireGateway(
            clock=self.clock,
            ids=SeededIds(),
            instruments=INSTRUMENTS,
            ledger=self.ledger,
            bounds=LineBounds(**line),
            session_bounds=SessionBounds(**session),
        )
        self.gateway.attach(self.inbox)
        self.url = ""

    def request(self, name: str = "request-1", **changes):
        return request(name, self.clock.now(), **changes)

    def notice(self, n: int) -> Notice:
        return Notice(RequestId(f"request-{n}"), D1, NoticeKind.EXPIRED)


@contextlib.asynccontextmanager
async def bench(**bounds):
    made = Bench(**bounds)
    async with made.gateway, listen(made.gateway, KEYS.get) as made.url:
        yield made


class Line:
    """The dealer's end, frame by frame."""

    def __init__(self, socket, encode, decode) -> None:
        self.socket, self._encode, self._decode = socket, encode, decode

    async def say(self, *messages: dict) -> None:
        for message in messages:
            await self.socket.send(self._encode(message))

    async def hear(self, kind: str | None = None) -> dict:
        """The next message, or the next of a kind."""
        async with asyncio.timeout(5):
            while True:
                message = self._decode(await self.socket.recv())
                if kind is None or message["type"] == kind:
                    return message

    async def closed(self) -> int:
        """The close code, once the server has closed."""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
            await self.socket.wait_closed()
        return self.socket.close_code


@contextlib.asynccontextmanager
async def line(on: Bench, logon: dict | None = LOGON, subprotocol: str = JSON, key: str = "key-D01"):
    headers = {"Authorization": f"Bearer {key}"}
    async with connect(
        on.url, additional_headers=headers, subprotocols=[Subprotocol(subprotocol)], proxy=None
    ) as socket:
        if subprotocol == JSON:
            end = Line(socket, json.dumps, json.loads)
        else:
            end = Line(socket, msgspec.msgpack.encode, msgspec.msgpack.decode)
        if logon is not None:
            await end.say(logon)
        yield end

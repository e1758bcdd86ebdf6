"""A WebSocket and an HTTP client that cost next to nothing, so that a bench measures the other end.

Both are asyncio protocols that know only what a bench meets: unfragmented frames, keep-alive answers with a length.
They speak the real protocols; what they do not expect, they raise.
"""

import asyncio
import base64
import os
from collections import deque
from collections.abc import Callable

from rfq.domain.errors import OurFault, PeerGone

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class LeanSocket(asyncio.Protocol):
    """One WebSocket (RFC 6455), client's end. `on_frame` is called with the payload of every frame of data."""

    def __init__(self, on_frame: Callable[["LeanSocket", bytes], None]) -> None:
        self._on_frame = on_frame
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: str = ""
        """Why the line is down; empty while it is up."""
        self.sent = self.received = self.bytes_received = 0

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        on_frame: Callable[["LeanSocket", bytes], None],
        *,
        path: str = "/",
        key: str = "",
        subprotocol: str = "",
        within_s: float = 10.0,
    ) -> "LeanSocket":
        """Raises PeerGone when the upgrade is refused, with the answer's first line."""
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: cls(on_frame), host, port)
        lines = [
            *(f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket", "Connection: Upgrade"),
            *("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"),
        ]
        if key:
            lines.append(f"Authorization: Bearer {key}")
        if subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        line._write(("\r\n".join(lines) + "\r\n\r\n").encode())
        async with asyncio.timeout(within_s):
            await line.opened
        return line

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """Masked, as a client's frames must be, with a mask of zeros: no time goes into it."""
        size = len(payload)
        length = (0x80 | size,) if size < 126 else (0xFE, size >> 8, size & 255)
        head = bytes((0x80 | opcode, *length))
        self._write(head + b"\0\0\0\0" + payload)
        self.sent += 1

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self.closed or f"connection lost: {exc}"
        if not self.opened.done():
            self.opened.set_exception(PeerGone(self.closed))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        if not self.opened.done():
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = buffer
                return
            status = buffer[: buffer.find(b"\r\n")].decode("latin-1")
            if " 101 " not in status:
                self.opened.set_exception(PeerGone(f"the upgrade was refused: {status}"))
                return
            self.opened.set_result(None)
            at = end + 4
        while (found := _frame(buffer, at)) is not None:
            opcode, payload, at = found
            if opcode in (BINARY, TEXT):
                self.received += 1
                self.bytes_received += len(payload)
                self._on_frame(self, payload)
            elif opcode == PING:
                self._write(bytes((0x80 | PONG, 0x80 | len(payload))) + b"\0\0\0\0" + payload)
            elif opcode == CLOSE:
                self.closed = payload[2:].decode("utf-8", "replace") or "closed"
                self.close()
        self._buffer = buffer[at:]

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


def _frame(buffer: bytes, at: int) -> tuple[int, bytes, int] | None:
    """Opcode, payload and where the next frame begins; None if the frame is not whole yet."""
    if len(buffer) < at + 2:
        return None
    first, size = buffer[at], buffer[at + 1]
    if not first & 0x80 or size & 0x80:
        raise OurFault("a fragmented or masked frame: the bench's client does not know them")
    start = at + 2
    if size == 126:
        start, size = at + 4, int.from_bytes(buffer[at + 2 : at + 4], "big")
    elif size == 127:
        start, size = at + 10, int.from_bytes(buffer[at + 2 : at + 10], "big")
    end = start + size
    if len(buffer) < end:
        return None
    return first & 0x0F, buffer[start:end], end


class LeanHttp(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection: one request at a time, answers with a Content-Length."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: deque[asyncio.Future[tuple[int, bytes]]] = deque()
        self._transport: asyncio.Transport | None = None
        self.closed = False
        """The server ends connections that are idle for some seconds."""

    @classmethod
    async def connect(cls, host: str, port: int) -> "LeanHttp":
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    def request(self, head: bytes, body: bytes = b"") -> "asyncio.Future[tuple[int, bytes]]":
        """Sends at once; the answer's status and body. `head`: request line and headers, each ended by CRLF."""
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        assert self._transport is not None
        self._transport.write(b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body))
        return answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(PeerGone(f"the connection was lost: {exc}"))
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            if at < 0:
                raise OurFault("an answer without Content-Length: the bench's client does not know them")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0])
            whole = end + 4 + size
            if len(self._buffer) < whole:
                return
            body, status = self._buffer[end + 4 : whole], int(head.split(b" ", 2)[1])
            self._buffer = self._buffer[whole:]
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result((status, body))

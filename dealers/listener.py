"""A gateway on a socket of its own, without the HTTP service: for checking clients, for tests and for benches."""

import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from dealers import wire
from dealers.codec import MAX_FRAME
from dealers.gateway import WireGateway
from rfq.domain.errors import PeerGone
from rfq.domain.values import DealerId


class SocketConnection:
    """The websockets library's connection as a dealers.session.Connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    @property
    def subprotocol(self) -> str | None:
        return self.socket.subprotocol

    async def recv(self) -> str | bytes:
        try:
            return await self.socket.recv()
        except ConnectionClosed as closed:
            raise PeerGone(str(closed)) from None

    async def send(self, frame: str | bytes, /) -> None:
        try:
            await self.socket.send(frame)
        except ConnectionClosed as closed:
            raise PeerGone(str(closed)) from None

    async def close(self, code: int, reason: str) -> None:
        await self.socket.close(code, reason)

    def cut(self) -> None:
        """Drops the line without a word, as a network does."""
        self.socket.transport.abort()


@contextlib.asynccontextmanager
async def listen(
    gateway: WireGateway,
    who: Callable[[str], DealerId | None],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    wrap: Callable[[DealerId, SocketConnection], SocketConnection] | None = None,
) -> AsyncIterator[str]:
    """Serves until left; yields the ws:// URL. `who` tells the dealer of a bearer key, None refuses with a 401.

    `wrap` may put something between socket and gateway. Raises OSError if the port cannot be had.
    """

    def admit(socket: ServerConnection, request: Request) -> Response | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        dealer_id = who(key.strip()) if scheme.lower() == "bearer" else None
        if dealer_id is None:
            return socket.respond(HTTPStatus.UNAUTHORIZED, "a dealer's key is needed\n")
        socket.dealer_id = dealer_id  # type: ignore[attr-defined]
        return None

    async def handle(socket: ServerConnection) -> None:
        dealer_id: DealerId = socket.dealer_id  # type: ignore[attr-defined]
        connection = SocketConnection(socket)
        await gateway.serve(dealer_id, wrap(dealer_id, connection) if wrap else connection)

    async with serve(
        handle,
        host,
        port,
        process_request=admit,
        subprotocols=[Subprotocol(name) for name in wire.SUBPROTOCOLS],
        compression=None,
        ping_interval=None,
        max_size=4 * MAX_FRAME,
        close_timeout=1,
    ) as server:
        bound = next(iter(server.sockets)).getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"ws://{shown}:{bound[1]}/"

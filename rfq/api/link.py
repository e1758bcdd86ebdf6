"""The dealers' WebSocket: checks the key, agrees on a subprotocol, and hands the frames to the gateway."""

from typing import Any

from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.types import Message

from rfq.api.auth import Guard
from rfq.api.problems import MEDIA_TYPE, encode, problem
from rfq.api.routes import TheEdge
from rfq.domain.errors import BadInput, NotAllowed, PeerGone, SottoError
from rfq.domain.values import DealerId
from rfq.logs import bind

SUBPROTOCOLS = ("sotto.v1.json", "sotto.v1.msgpack")
AnySocket = WebSocket[Any, Any, Any]


class SocketLine:
    """A Litestar WebSocket as the gateway wants it. Raises PeerGone once the dealer has closed it."""

    def __init__(self, socket: AnySocket, subprotocol: str) -> None:
        self._socket = socket
        self._subprotocol = subprotocol
        self._open = True

    @property
    def subprotocol(self) -> str | None:
        return self._subprotocol

    async def recv(self) -> str | bytes:
        if not self._open:
            raise PeerGone("the line is closed")
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            self._open = False
            raise PeerGone(f"the line was closed ({message.get('code')})")
        text = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def send(self, frame: str | bytes) -> None:
        if not self._open:
            raise PeerGone("the line is closed")
        message: Message = {
            "type": "websocket.send",
            "text": frame if isinstance(frame, str) else None,
            "bytes": frame if isinstance(frame, bytes) else None,
        }  # type: ignore[assignment]
        try:
            await self._socket.send(message)
        except (WebSocketDisconnect, OSError, RuntimeError) as error:
            self._open = False
            raise PeerGone(f"the line is closed: {error}") from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._open:
            self._open = False
            try:
                await self._socket.send({"type": "websocket.close", "code": code, "reason": reason})
            except (WebSocketDisconnect, OSError, RuntimeError):
                return  # It was closed from the other side meanwhile: that is what we wanted.


def dealer_link(guard: Guard):
    """The route's handler."""

    @websocket("/v1/dealers/link")
    async def link(socket: AnySocket, edge: TheEdge) -> None:
        """A dealer's connection: `Authorization: Bearer <key>`, and one of the subprotocols offered."""
        try:
            dealer, subprotocol = await _admit(socket, guard)
        except SottoError as error:
            await _turn_away(socket, error)
            return
        bind(dealer_id=dealer)
        await socket.accept(subprotocols=subprotocol)
        line = SocketLine(socket, subprotocol)
        try:
            await edge.serve_dealer(dealer, line)
        finally:
            await line.close()

    return link


async def _admit(socket: AnySocket, guard: Guard) -> tuple[DealerId, str]:
    principal = await guard.identify(socket)
    if principal.role != "dealer":
        raise NotAllowed(f"this is not for a {principal.role}; it is for a dealer")
    offered: list[str] = socket.scope.get("subprotocols", [])
    chosen = next((name for name in offered if name in SUBPROTOCOLS), None)
    if chosen is None:
        rule = f"must offer one of {', '.join(SUBPROTOCOLS)}"
        raise BadInput("Sec-WebSocket-Protocol", ", ".join(offered) or None, rule)
    return DealerId(principal.name), chosen


async def _turn_away(socket: AnySocket, error: SottoError) -> None:
    """A proper HTTP refusal of the upgrade where the server can do it (uvicorn can), else a plain close."""
    told = problem(error)
    if "websocket.http.response" not in (socket.scope.get("extensions") or {}):
        await socket.close(code=4000 + told.status, reason=told.title)
        return
    send: Any = socket.send  # Litestar's types do not know of the denial response (ASGI extension).
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    if told.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="sotto"'))
    await send({"type": "websocket.http.response.start", "status": told.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": encode(told)})

"""The simulated exchange's socket: market data and order entry for whoever holds a key. See `wire`."""

import asyncio
import hmac
import http
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from lit_router.market.matching_core import MatchingCore
from lit_router.market.running import RunningExchange
from lit_router.market.session import ParticipantSession
from lit_router.market.wire import MAX_FRAME, SUBPROTOCOLS, Codec
from rfq.domain.values import Symbol
from rfq.ports import MarketClock, MarketView

MOST_SESSIONS = 64
GOODBYE_S = 1.0


class ExchangeServer:
    """Serves one core, on the loop that steps it. `url` is known once it serves."""

    def __init__(
        self,
        keys: Mapping[str, str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data_s: float = 0.1,
        send_s: float = 5.0,
        most_reports: int = 2_000,
    ) -> None:
        """`keys`: key -> participant's name. `data_s`: session seconds between conflated updates; `send_s`: longest one
        send may take; `most_reports`: reports waiting for one participant before it is disconnected."""
        self._keys = dict(keys)
        self._host, self._port = host, port
        self.data_s, self.send_s, self.most_reports = data_s, send_s, most_reports
        self._sessions: set[ParticipantSession] = set()
        self._server: Server | None = None
        self.url = ""

    @asynccontextmanager
    async def serving(self, exchange: RunningExchange, core: MatchingCore) -> AsyncIterator["ExchangeServer"]:
        """A guest of ThreadedExchange: `guests=(server.serving,)`."""

        async def hear(connection: ServerConnection) -> None:
            await self._session(connection, core, exchange.clock)

        async with serve(
            hear,
            self._host,
            self._port,
            subprotocols=[Subprotocol(name) for name in SUBPROTOCOLS],
            process_request=self._admit,
            max_size=MAX_FRAME,
            max_queue=16,
            open_timeout=self.send_s,
            close_timeout=GOODBYE_S,
        ) as self._server:
            port = next(iter(self._server.sockets)).getsockname()[1]
            self.url = f"ws://{self._host}:{port}/"
            publishing = asyncio.create_task(self._publish(core, exchange.clock))
            try:
                yield self
            finally:
                publishing.cancel()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        name = self._who(request.headers.get("Authorization", ""))
        if name is None:
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "a known key is needed: Authorization: Bearer\n")
        offered = {part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(",")}
        if not offered & set(SUBPROTOCOLS):
            wanted = f"offer a subprotocol: {' or '.join(SUBPROTOCOLS)}\n"
            return connection.respond(http.HTTPStatus.BAD_REQUEST, wanted)
        if len(self._sessions) >= MOST_SESSIONS:
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "too many connections\n")
        connection.username = name
        return None

    def _who(self, authorization: str) -> str | None:
        scheme, _, given = authorization.partition(" ")
        found = None
        for key, name in self._keys.items():
            if hmac.compare_digest(key.encode(), given.strip().encode()):
                found = name
        return found if scheme.lower() == "bearer" else None

    async def _session(self, connection: ServerConnection, core: MatchingCore, clock: MarketClock) -> None:
        codec = Codec(str(connection.subprotocol))
        session = ParticipantSession(connection.username, core, clock, codec, most_reports=self.most_reports)
        self._sessions.add(session)
        tasks = (
            asyncio.create_task(self._write(connection, session)),
            asyncio.create_task(self._watch(connection, session)),
        )
        try:
            async for frame in connection:
                session.heard(frame)
        except ConnectionClosed:
            pass
        finally:
            self._sessions.discard(session)
            for task in tasks:
                task.cancel()
            session.left()

    async def _write(self, connection: ServerConnection, session: ParticipantSession) -> None:
        with suppress(ConnectionClosed):
            try:
                while True:
                    for frame in await session.outgoing():
                        async with asyncio.timeout(self.send_s):
                            await connection.send(frame)
            except TimeoutError:
                session.overran.set()

    async def _watch(self, connection: ServerConnection, session: ParticipantSession) -> None:
        """Ends the connection of a participant that does not read. It may not read the goodbye either."""
        await session.overran.wait()
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(GOODBYE_S):
                await connection.close(1013, "reports were not read in time")
        connection.transport.abort()

    async def _publish(self, core: MatchingCore, clock: MarketClock) -> None:
        while True:
            views: dict[Symbol, MarketView] = {symbol: core.view(symbol) for symbol in core.symbols()}
            for session in self._sessions:
                session.saw(views)
            await asyncio.sleep(self.data_s)

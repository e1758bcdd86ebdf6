"""Is the server at this URL a Sotto service? Logs on as a dealer and checks what it says to good and bad messages."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from dealers import wire
from dealers.check import Broken, Report, Rule
from dealers.codec import Malformed, dealer_side
from rfq.domain.errors import BadInput, PeerGone

WAIT_S = 3.0
"""Longest wait for an answer."""


class Probe:
    """A dealer's end that says what it is told to, right or wrong, and reads strictly. Declines requests meanwhile."""

    def __init__(self, socket: ClientConnection, subprotocol: str) -> None:
        self.socket = socket
        self._codec = dealer_side(subprotocol)
        self._json = subprotocol == wire.JSON

    async def say(self, message: wire.Message | dict[str, Any] | str | bytes) -> None:
        """A message, an object that may be none of the protocol's, or a raw frame."""
        if isinstance(message, dict):
            encoded = msgspec.json.encode(message).decode() if self._json else msgspec.msgpack.encode(message)
            await self.socket.send(encoded)
        elif isinstance(message, str | bytes):
            await self.socket.send(message)
        else:
            await self.socket.send(self._codec.encode(message))

    async def hear(self, *kinds: type, within_s: float = WAIT_S) -> Any:
        """The next message of one of these kinds. Raises Broken if it does not come, or is not of the protocol."""
        wanted = " or ".join(kind.__name__.lower() for kind in kinds)
        try:
            async with asyncio.timeout(within_s):
                while True:
                    message = self._codec.decode(await self.socket.recv())
                    if isinstance(message, kinds):
                        return message
                    if isinstance(message, wire.QuoteRequest):
                        await self.say(wire.Decline(message.request_id, wire.DeclineReason.PASS))
        except TimeoutError:
            raise Broken(f"no {wanted} within {within_s:g} s") from None
        except ConnectionClosed as closed:
            raise Broken(f"no {wanted}: the connection was closed ({closed})") from None
        except (Malformed, BadInput) as error:
            raise Broken(f"said something that is not of the protocol: {error}") from None

    async def closed(self) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    await self.socket.recv()
        except ConnectionClosed:
            return
        except TimeoutError:
            raise Broken(f"the connection is still open after {WAIT_S:g} s") from None


class ServiceCheck:
    """One check of one server."""

    def __init__(self, url: str, key: str, *, heartbeats: bool = True) -> None:
        """`heartbeats`: also wait for one, which takes an interval of the server's."""
        self._url, self._key, self._heartbeats = url, key, heartbeats

    async def run(self) -> Report:
        """Raises PeerGone if there is no server at all."""
        report = Report()
        for rule, play in self._rules():
            await report.check(rule, play)
        return report

    def _rules(self) -> list[tuple[Rule, Callable[[], Awaitable[str | None]]]]:
        rules: list[tuple[Rule, Callable[[], Awaitable[str | None]]]] = [
            (Rule("key", "a connection without a key, or with an unknown one, is refused with 401"), self._keys),
            (Rule("logon", "a logon is answered with a session of version 1, in both subprotocols"), self._logon),
            (Rule("first", "nothing is taken before a logon"), self._first),
            (Rule("version", "another version is told ours and logged out"), self._version),
            (Rule("malformed", "a frame that is no message gets a typed error; the line survives"), self._malformed),
            (Rule("fields", "unknown fields, wrong types and missing fields are named"), self._fields),
            (Rule("request", "a quote for an unknown request is not_found"), self._request),
            (Rule("lift", "an answer to an unknown lift is not_found"), self._lift),
            (Rule("newest", "the newest connection wins, and the older one is told so"), self._newest),
            (Rule("resume", "the session named at logon goes on"), self._resume),
            (Rule("future", "a sequence from the future is told and not believed"), self._future),
            (Rule("errors", "mistakes without end end the connection"), self._errors),
        ]
        if self._heartbeats:
            beat = Rule("heartbeat", "a quiet line carries heartbeats with the last sequence")
            rules.insert(-1, (beat, self._heartbeat))
        return rules

    @contextlib.asynccontextmanager
    async def _line(self, logon: wire.Logon | None, subprotocol: str = wire.JSON) -> AsyncIterator[Probe]:
        try:
            async with self._connect(self._key, subprotocol) as socket:
                if socket.subprotocol != subprotocol:
                    raise Broken(f"asked for subprotocol {subprotocol}, got {socket.subprotocol}")
                probe = Probe(socket, subprotocol)
                if logon is not None:
                    await probe.say(logon)
                yield probe
        except InvalidStatus as refused:
            raise Broken(f"refused a good key with HTTP {refused.response.status_code}") from None
        except (InvalidHandshake, ConnectionClosed) as error:
            raise Broken(str(error)) from None
        except (OSError, TimeoutError) as error:
            raise PeerGone(f"no server at {self._url}: {error}") from None

    def _connect(self, key: str | None, subprotocol: str = wire.JSON) -> connect:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        names = [Subprotocol(subprotocol)]
        return connect(
            self._url, additional_headers=headers, subprotocols=names, proxy=None, close_timeout=1, ping_interval=None
        )

    async def _session(self, probe: Probe) -> wire.Session:
        return await probe.hear(wire.Session)

    # --- the rules -----------------------------------------------------------------------------------------------

    async def _keys(self) -> None:
        for key, what in ((None, "no key"), ("not-a-key-of-anyone", "an unknown key")):
            try:
                async with self._connect(key):
                    raise Broken(f"let in a connection with {what}")
            except InvalidStatus as refused:
                if refused.response.status_code != 401:
                    status = refused.response.status_code
                    raise Broken(f"answered a connection with {what} with HTTP {status}") from None
            except InvalidHandshake as error:
                raise Broken(str(error)) from None
            except (OSError, TimeoutError) as error:
                raise PeerGone(f"no server at {self._url}: {error}") from None

    async def _logon(self) -> str:
        session = None
        for subprotocol in wire.SUBPROTOCOLS:
            async with self._line(wire.Logon(wire.VERSION), subprotocol) as probe:
                session = await self._session(probe)
                if session.version != wire.VERSION:
                    raise Broken(f"says version {session.version}")
                if session.resumed:
                    raise Broken("says that it resumed a session that was not named")
                if not session.session_id or session.heartbeat_s <= 0:
                    raise Broken(f"session_id {session.session_id!r}, heartbeat_s {session.heartbeat_s}")
        return f"heartbeat every {session.heartbeat_s:g} s" if session else ""

    async def _first(self) -> None:
        async with self._line(None) as probe:
            await probe.say(wire.Heartbeat())
            error = await probe.hear(wire.Error)
            _same("code", error.code, "not_logged_on")
            _same("logout", (await probe.hear(wire.Logout)).code, "not_logged_on")
            await probe.closed()

    async def _version(self) -> None:
        async with self._line(wire.Logon(wire.VERSION + 1)) as probe:
            _same("code", (await probe.hear(wire.Error)).code, "version")
            await probe.closed()

    async def _malformed(self) -> None:
        frames: dict[str, list[str | bytes]] = {wire.JSON: ["{", "[]", b"{}"], wire.MSGPACK: [b"\xc1", "{}"]}
        for subprotocol, wrong in frames.items():
            async with self._line(wire.Logon(wire.VERSION), subprotocol) as probe:
                await self._session(probe)
                for frame in wrong:
                    await probe.say(frame)
                    _same(f"code for {frame!r}", (await probe.hear(wire.Error)).code, "malformed")
                await self._alive(probe)

    async def _fields(self) -> None:
        good = {"type": "quote_cancel", "request_id": "check-request", "quote_id": "check-quote"}
        cases = [
            ("colour", good | {"colour": "red"}),
            ("quote_id", good | {"quote_id": 7}),
            ("quote_id", {k: v for k, v in good.items() if k != "quote_id"}),
            ("type", good | {"type": "nonsense"}),
        ]
        async with self._line(wire.Logon(wire.VERSION)) as probe:
            await self._session(probe)
            for field, message in cases:
                await probe.say(message)
                error = await probe.hear(wire.Error)
                if (error.code, error.field, error.blame) != ("bad_input", field, "dealer") or not error.rule:
                    raise Broken(f"{message} got code {error.code}, field {error.field!r}, rule {error.rule!r}")
            await self._alive(probe)

    async def _request(self) -> None:
        side = wire.QuotedSide("100", "100")
        await self._not_found(wire.Quote("check-request", "check-quote", offer=side, valid_for_s=5.0), "request_id")

    async def _lift(self) -> None:
        await self._not_found(wire.Confirm("check-lift"), "lift_id")

    async def _not_found(self, message: wire.Message, field: str) -> None:
        async with self._line(wire.Logon(wire.VERSION)) as probe:
            await self._session(probe)
            await probe.say(message)
            error = await probe.hear(wire.Error)
            _same("code and field", (error.code, error.field), ("not_found", field))

    async def _alive(self, probe: Probe) -> None:
        await probe.say(wire.Confirm("check-lift"))
        _same("code", (await probe.hear(wire.Error)).code, "not_found")

    async def _newest(self) -> None:
        async with self._line(wire.Logon(wire.VERSION)) as first:
            await self._session(first)
            async with self._line(wire.Logon(wire.VERSION)) as second:
                await self._session(second)
                _same("logout", (await first.hear(wire.Logout)).code, "replaced")
                await first.closed()
                await self._alive(second)

    async def _resume(self) -> None:
        async with self._line(wire.Logon(wire.VERSION)) as probe:
            before = await self._session(probe)
        logon = wire.Logon(wire.VERSION, before.session_id, before.sequence)
        async with self._line(logon, wire.MSGPACK) as probe:
            after = await self._session(probe)
            if not after.resumed or after.session_id != before.session_id or after.sequence < before.sequence:
                raise Broken(f"session {before.session_id} at {before.sequence} was answered with {after}")

    async def _future(self) -> None:
        async with self._line(wire.Logon(wire.VERSION)) as probe:
            before = await self._session(probe)
        async with self._line(wire.Logon(wire.VERSION, before.session_id, before.sequence + 1_000_000)) as probe:
            if (await self._session(probe)).resumed:
                raise Broken("resumed from a sequence that it has not reached")
            _same("field", (await probe.hear(wire.Error)).field, "last_sequence")

    async def _heartbeat(self) -> None:
        async with self._line(wire.Logon(wire.VERSION)) as probe:
            session = await self._session(probe)
            beat: wire.Heartbeat = await probe.hear(wire.Heartbeat, within_s=2 * session.heartbeat_s + 1)
            if beat.sequence is None:
                raise Broken("a heartbeat without a sequence")

    async def _errors(self) -> str:
        async with self._line(wire.Logon(wire.VERSION)) as probe:
            await self._session(probe)
            with contextlib.suppress(ConnectionClosed):
                for _ in range(500):
                    await probe.say({"type": "nonsense"})
            _same("logout", (await probe.hear(wire.Logout)).code, "too_many_errors")
            await probe.closed()
        return ""


def _same(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise Broken(f"{what}: wanted {wanted!r}, got {got!r}")

"""One connection of one dealer while it lasts: a bounded outbox, its writer, and the ways it can end."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from dealers import wire
from dealers.codec import Codec, Frame
from dealers.faults import Allowance
from dealers.sayings import Saying
from rfq.domain.errors import BadInput, PeerGone
from rfq.domain.values import Frozen

log = structlog.get_logger()


class Connection(Protocol):
    """A duplex of frames, authenticated already: Litestar's socket or the websockets library's, behind three calls."""

    @property
    def subprotocol(self) -> str | None:
        """The one agreed on in the handshake."""
        ...

    async def recv(self) -> str | bytes:
        """The next frame. Raises PeerGone when the other end is gone or the connection was closed."""
        ...

    async def send(self, frame: str | bytes, /) -> None:
        """A str goes as a text frame, bytes as a binary one. Raises PeerGone."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Harmless if closed already."""
        ...


class SessionBounds(Frozen, frozen=True):
    """Bounds on one connection. Seconds are the session clock's."""

    outbox: int = 1024
    """Messages waiting to be written, beside what a dealer that returns is sent; one more and it is too slow."""
    send_s: float = 5.0
    """Longest time that one message may take to be written."""
    logon_s: float = 10.0
    close_s: float = 1.0
    heartbeat_s: float = 5.0
    silent_beats: int = 3
    """Heartbeats missed before the line counts as dead."""
    errors_per_s: float = 1.0
    error_burst: int = 20
    frames_per_s: float = 2000.0
    frame_burst: int = 4000
    trade_again_s: float = 15.0
    """How long a trade waits for its acknowledgement before it is sent again."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise BadInput(name, getattr(self, name), "must be positive")


CLOSE_CODES = {"closing": 1001, "replaced": 4001, "silent": 4002, "not_logged_on": 4003, "version": 4004}
"""WebSocket close code of each reason to log out; 1008 (policy) for the others."""


class LineSession:
    """Carries sayings to a connection. Whoever puts a message never waits; one task writes."""

    def __init__(
        self,
        connection: Connection,
        codec: Codec[wire.FromDealer],
        render: Callable[..., wire.Business],
        now: Callable[[], datetime],
        bounds: SessionBounds,
        replay: int,
    ) -> None:
        """`replay`: the most messages that a return or a resend brings at once."""
        self.connection, self.codec, self.bounds = connection, codec, bounds
        self._render, self._now = render, now
        self._most, self._replay = bounds.outbox + replay, replay
        self.sequence = 0
        """Last sequence put on this connection: what a heartbeat says."""
        self.sent = self.received = 0
        self.ended = ""
        """Why the session is over; empty while it is not."""
        self.finished = asyncio.Event()
        self.heard_at = self.said_at = now()
        self.frames = Allowance(bounds.frames_per_s, bounds.frame_burst, self._seconds)
        self.errors = Allowance(bounds.errors_per_s, bounds.error_burst, self._seconds)
        self.reading: asyncio.Timeout = asyncio.timeout(None)
        self._outbox: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._writing_since: datetime | None = None
        self._writer: asyncio.Task[None] | None = None

    def _seconds(self) -> float:
        return self._now().timestamp()

    def start(self) -> None:
        self._writer = asyncio.create_task(self._write(), name="dealers: writer")

    def carry(self, saying: Saying, *, again: bool) -> bool:
        self.sequence = max(self.sequence, saying.sequence)
        return self.put(self._render(saying, self._now(), again=again))

    def put(self, message: wire.Message) -> bool:
        """Encodes now, writes soon. False if the session is over, or ends by this: the outbox is full."""
        if self.ended:
            return False
        if len(self._outbox) >= self._most:
            self.cut("too_slow")
            return False
        self._outbox.append(self.codec.encode(message))
        self.said_at = self._now()
        self._wake.set()
        return True

    def has_room_for_resend(self) -> bool:
        """Whether everything that could be asked for again would fit."""
        return len(self._outbox) + self._replay <= self._most

    def complain(self, error: wire.Error) -> None:
        """Tells the dealer of an error; too many mistakes of its own, and the session ends."""
        self.put(error)
        if error.blame == "dealer" and not self.errors.spend():
            self.end("too_many_errors", "mend your messages before you come back")

    def end(self, code: str, text: str) -> None:
        """Says why, lets what is queued be written, closes. The reader stops at once."""
        if not self.ended:
            self.put(wire.Logout(self.sequence, code, text))  # type: ignore[arg-type]
            self._over(code)

    def cut(self, code: str) -> None:
        """Ends without a further word: the line does not take any. The close frame carries the reason."""
        if not self.ended:
            self._outbox.clear()
            self._over(code)

    def _over(self, code: str) -> None:
        self.ended = code
        self._wake.set()
        if self.reading.when() is None:
            with contextlib.suppress(RuntimeError):  # Not reading yet, or no longer.
                self.reading.reschedule(asyncio.get_running_loop().time())

    def check(self, at: datetime) -> None:
        """The line's pulse, taken every so often: ends what is stuck or silent, sends a heartbeat where due."""
        since = self._writing_since
        if since is not None and at - since > timedelta(seconds=self.bounds.send_s):
            self.cut("too_slow")
        elif at - self.heard_at > timedelta(seconds=self.bounds.heartbeat_s * self.bounds.silent_beats):
            self.end("silent", "nothing was heard from you, not even a heartbeat")
        elif at - self.said_at >= timedelta(seconds=self.bounds.heartbeat_s):
            self.put(wire.Heartbeat(self.sequence))

    async def _write(self) -> None:
        connection, outbox = self.connection, self._outbox
        while True:
            while outbox:
                self._writing_since = self._now()
                try:
                    await connection.send(outbox.popleft())
                except PeerGone:
                    return
                self.sent += 1
            self._writing_since = None
            if self.ended:
                return
            self._wake.clear()
            await self._wake.wait()

    async def finish(self) -> None:
        """Writes what is left if the session ended in order, and closes; both within their deadline."""
        self.ended = self.ended or "gone"
        self._wake.set()
        writer = self._writer
        if writer is not None:
            if self.ended in ("gone", "too_slow"):
                writer.cancel()
            await asyncio.wait([writer], timeout=self.bounds.close_s)
            writer.cancel()
        with contextlib.suppress(PeerGone, TimeoutError, OSError):
            async with asyncio.timeout(self.bounds.close_s):
                await self.connection.close(CLOSE_CODES.get(self.ended, 1008), self.ended.replace("_", " "))

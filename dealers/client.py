"""An asynchronous client of the dealer protocol: stays connected, resumes, and never answers a lift in two ways."""

import asyncio
import random
from collections import deque
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from dealers import wire
from dealers.codec import MAX_FRAME, Malformed, dealer_side
from dealers.lift_book import LiftBook, remember
from rfq.domain.errors import BadInput, NotAllowed, PeerFault
from rfq.domain.values import Frozen
from rfq.ports import Clock

log = structlog.get_logger()

OUTBOX = 4096


class Backoff(Frozen, frozen=True):
    """Waits between attempts to connect: doubling, with half of each drawn at random."""

    first_s: float = 0.2
    most_s: float = 10.0


class Listener(Protocol):
    """What a dealer does with what it hears. Called on the event loop; must not block. Each thing is heard once."""

    def on_quote_request(self, request: wire.QuoteRequest) -> None: ...
    def on_lift(self, lift: wire.Lift) -> None: ...
    def on_trade(self, trade: wire.Trade) -> None: ...
    def on_outcome(self, outcome: wire.Outcome) -> None: ...
    def on_withdrawn(self, withdrawn: wire.RequestWithdrawn) -> None: ...
    def on_error(self, error: wire.Error) -> None: ...


class Replaced(PeerFault):
    """Another connection with the same key took over. Two clients that both came back would never stop."""


class DealerClient:
    """Handles logon, heartbeats, resuming, duplicates, status requests and acknowledgements for a Listener.

    Its memory lasts as long as the process: a dealer whose answers must survive a crash keeps them itself.
    """

    def __init__(
        self,
        url: str,
        key: str,
        listener: Listener,
        *,
        clock: Clock,
        rng: random.Random,
        subprotocol: str = wire.MSGPACK,
        cancel_on_disconnect: bool = True,
        backoff: Backoff | None = None,
    ) -> None:
        """Raises BadInput for a subprotocol that does not exist."""
        self._url, self._key, self._listener = url, key, listener
        self._clock, self._rng = clock, rng
        self._codec = dealer_side(subprotocol)
        self._cancel_on_disconnect = cancel_on_disconnect
        self._backoff = backoff or Backoff()
        self._session_id, self._last_sequence = "", 0
        self._lifts: LiftBook[wire.Confirm | wire.Refuse] = LiftBook()
        self._requests: dict[str, tuple[wire.Quote | wire.Decline, datetime] | None] = {}
        self._booked: dict[str, None] = {}
        self._outbox: deque[str | bytes] = deque()
        self._wake = asyncio.Event()
        self.logged_on = asyncio.Event()
        """Set while the line is up."""
        self._beat_s = 5.0
        self._heard_at = self._said_at = clock.now()

    # --- saying --------------------------------------------------------------------------------------------------

    def say(self, message: wire.FromDealer) -> bool:
        """Puts a message on the line without waiting. False if there is no line, or it takes no more.

        Quotes and declines are repeated when the line comes back and Sotto repeats the request; answers to lifts, when
        Sotto asks for them again.
        """
        match message:
            case wire.Quote() | wire.Decline() if message.request_id in self._requests:
                self._requests[message.request_id] = (message, self._clock.now())
            case wire.Confirm() | wire.Refuse():
                message = self._lifts.answer(message.lift_id, message)
            case _:
                pass
        if not self.logged_on.is_set() or len(self._outbox) >= OUTBOX:
            return False
        self._put(message)
        return True

    def _put(self, message: wire.Message) -> None:
        self._outbox.append(self._codec.encode(message))
        self._said_at = self._clock.now()
        self._wake.set()

    # --- the line ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connects and stays connected until cancelled.

        Raises NotAllowed if the key is refused, Replaced if a newer connection took over, BadInput if Sotto speaks
        another version.
        """
        wait_s = self._backoff.first_s
        while True:
            try:
                async with connect(
                    self._url,
                    additional_headers={"Authorization": f"Bearer {self._key}"},
                    subprotocols=[Subprotocol(self._codec.subprotocol)],
                    compression=None,
                    ping_interval=None,
                    max_size=8 * MAX_FRAME,
                    open_timeout=10,
                    close_timeout=1,
                    proxy=None,
                ) as connection:
                    began = self._clock.now()
                    await self._speak(connection)
            except InvalidStatus as refused:
                if refused.response.status_code in (401, 403):
                    raise NotAllowed(f"{self._url} refused the key") from None
                log.info("cannot connect", url=self._url, why=str(refused))
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as lost:
                log.info("cannot connect", url=self._url, why=str(lost) or type(lost).__name__)
            else:
                if self._clock.now() - began > timedelta(seconds=self._backoff.most_s):
                    wait_s = self._backoff.first_s
            pause_s = wait_s * (0.5 + 0.5 * self._rng.random())
            await self._clock.sleep_until(self._clock.now() + timedelta(seconds=pause_s))
            wait_s = min(self._backoff.most_s, 2 * wait_s)

    async def _speak(self, connection: ClientConnection) -> None:
        self._outbox.clear()
        self._heard_at = self._clock.now()
        self._put(
            wire.Logon(wire.VERSION, self._session_id, self._last_sequence, self._cancel_on_disconnect)
        )
        tasks = [asyncio.create_task(self._write(connection)), asyncio.create_task(self._pulse(connection))]
        try:
            async for frame in connection:
                self._heard_at = self._clock.now()
                self._hear(frame)
        except ConnectionClosed as closed:
            log.info("line lost", url=self._url, why=str(closed))
        finally:
            self.logged_on.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, connection: ClientConnection) -> None:
        while True:
            while self._outbox:
                await connection.send(self._outbox.popleft())
            self._wake.clear()
            await self._wake.wait()

    async def _pulse(self, connection: ClientConnection) -> None:
        """Heartbeats out; a line on which nothing comes in for three beats is closed, so that a new one is made."""
        while True:
            await self._clock.sleep_until(self._clock.now() + timedelta(seconds=self._beat_s / 4))
            now = self._clock.now()
            if now - self._heard_at > timedelta(seconds=3 * self._beat_s):
                await connection.close(1001, "silent")
            elif now - self._said_at >= timedelta(seconds=0.75 * self._beat_s):
                self._put(wire.Heartbeat())

    # --- hearing -------------------------------------------------------------------------------------------------

    def _hear(self, frame: str | bytes) -> None:
        try:
            message = self._codec.decode(frame)
        except (Malformed, BadInput) as error:  # Newer servers may say more: what is not understood is let pass.
            log.warning("not understood", why=str(error))
            return
        match message:
            case wire.QuoteRequest():
                self._on_quote_request(message)
            case wire.Lift():
                self._on_lift(message)
            case wire.StatusRequest():
                self._on_status_request(message)
            case wire.Trade():
                self._on_trade(message)
            case wire.Outcome():
                self._forget(message.request_id)
                self._listener.on_outcome(message)
            case wire.RequestWithdrawn():
                self._forget(message.request_id)
                self._listener.on_withdrawn(message)
            case wire.Session():
                self._on_session(message)
            case wire.Heartbeat():
                if (message.sequence or 0) > self._last_sequence:
                    self._put(wire.Resend(self._last_sequence))
            case wire.Gap():
                log.warning("messages lost", first=message.from_sequence, last=message.to_sequence)
                self._last_sequence = max(self._last_sequence, message.to_sequence)
            case wire.Error():
                log.warning("told of an error", code=message.code, text=message.text, about=message.refers_to)
                self._listener.on_error(message)
                if message.code == "version":
                    raise BadInput("version", wire.VERSION, message.rule)
            case wire.Logout():
                log.info("logged out", code=message.code, text=message.text)
                if message.code == "replaced":
                    raise Replaced(message.text)
        if isinstance(message, wire.Business):
            self._last_sequence = max(self._last_sequence, message.sequence)

    def _on_session(self, session: wire.Session) -> None:
        if not session.resumed:
            self._last_sequence = session.sequence
        self._session_id, self._beat_s = session.session_id, session.heartbeat_s
        self.logged_on.set()

    def _on_quote_request(self, request: wire.QuoteRequest) -> None:
        if request.request_id not in self._requests:
            remember(self._requests, request.request_id, None)
            self._listener.on_quote_request(request)
            return
        said = self._requests[request.request_id]
        if said is not None and (again := _still_good(*said, self._clock.now())) is not None:
            self._put(again)

    def _forget(self, request_id: str) -> None:
        """The request is over: what was said of it need not be said again."""
        if request_id in self._requests:
            self._requests[request_id] = None

    def _on_lift(self, lift: wire.Lift) -> None:
        if self._lifts.is_disowned(lift.lift_id):
            self._put(wire.Refuse(lift.lift_id, "already answered as unknown"))
        elif self._lifts.open(lift.lift_id):
            self._listener.on_lift(lift)
        elif (answer := self._lifts.standing(lift.lift_id)) is not None:
            self._put(answer)

    def _on_status_request(self, asked: wire.StatusRequest) -> None:
        answer = self._lifts.standing(asked.lift_id)
        match answer:
            case wire.Confirm():
                self._put(wire.Status(asked.lift_id, "confirmed", answer.quantity))
            case wire.Refuse():
                self._put(wire.Status(asked.lift_id, "refused", reason=answer.reason))
            case None if self._lifts.knows(asked.lift_id):
                self._put(wire.Status(asked.lift_id, "pending"))
            case None:
                self._lifts.disown(asked.lift_id)
                self._put(wire.Status(asked.lift_id, "unknown"))

    def _on_trade(self, trade: wire.Trade) -> None:
        if trade.lift_id not in self._booked:
            remember(self._booked, trade.lift_id, None)
            self._forget(trade.request_id)
            self._listener.on_trade(trade)
        self._put(wire.TradeAck(trade.lift_id))


def _still_good(
    said: wire.Quote | wire.Decline, at: datetime, now: datetime
) -> wire.Quote | wire.Decline | None:
    """What was said of a request, to be said again; None if it was a quote and has expired."""
    if isinstance(said, wire.Decline):
        return said
    if said.valid_for_s is not None:
        left_s = said.valid_for_s - (now - at).total_seconds()
        return msgspec.structs.replace(said, valid_for_s=left_s) if left_s > 0 else None
    return said if said.expires_at is not None and said.expires_at > now else None

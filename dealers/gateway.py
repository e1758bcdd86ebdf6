"""Remote dealers: serves their connections, speaks the protocol of dealers.wire, and is the engine's DealerGateway."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from dealers import translation, wire
from dealers.codec import Codec, sotto_side
from dealers.faults import told
from dealers.line import Line, LineBounds
from dealers.lines import DealerLines
from dealers.session import Connection, LineSession, SessionBounds
from dealers.translation import Translation
from rfq.domain.errors import BadInput, NotFound, PeerGone, Refusal
from rfq.domain.values import DealerId, Frozen, Instrument, LiftId, Symbol
from rfq.ports import Clock, IdSource, TradeLedger

log = structlog.get_logger()

YIELD_EVERY = 64
"""Frames after which a dealer with more to say lets the others speak."""
RESEND_COST = 50.0
"""What a resend request costs of the allowance of frames."""


class LineState(Frozen, frozen=True):
    """How one dealer's line stands, for people to look at."""

    dealer_id: DealerId
    connected: bool
    open_requests: int
    pending_lifts: int
    unacknowledged_trades: int
    sequence: int


class WireGateway(DealerLines):
    """One line for each dealer, at most one connection on it: the newest wins.

    Use it as an async context: leaving it tells every dealer that Sotto closes.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ids: IdSource,
        instruments: Mapping[Symbol, Instrument],
        ledger: TradeLedger | None = None,
        bounds: LineBounds | None = None,
        session_bounds: SessionBounds | None = None,
    ) -> None:
        super().__init__(clock=clock, ledger=ledger, bounds=bounds)
        self._session_bounds = session_bounds or SessionBounds()
        self._translation = Translation(instruments)
        self.session_id = ids.new("session")
        self._sessions: set[LineSession] = set()
        self._frames_sent = self._frames_received = 0
        self._on_message: dict[type, Callable[[Line, LineSession, Any, datetime], None]] = {
            wire.Quote: self._on_quote,
            wire.QuoteCancel: self._on_quote_cancel,
            wire.Decline: self._on_decline,
            wire.Confirm: self._on_confirm,
            wire.Refuse: self._on_refuse,
            wire.Status: self._on_status,
            wire.TradeAck: self._on_trade_ack,
            wire.Resend: self._on_resend,
            wire.Heartbeat: self._on_heartbeat,
            wire.Logon: self._on_logon,
        }

    async def __aenter__(self) -> "WireGateway":
        await super().__aenter__()
        self._start("pulse", self._pulse)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for session in tuple(self._sessions):
            session.end("closing", "Sotto closes")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * self._session_bounds.close_s):
                await asyncio.gather(*(session.finished.wait() for session in self._sessions))
        await super().__aexit__(*exc)

    def states(self) -> list[LineState]:
        """Every dealer seen or asked since the start, by id."""
        now = self._clock.now()
        return [
            LineState(
                dealer_id=dealer_id,
                connected=line.carrier is not None,
                open_requests=len(list(line.open_requests(now))),
                pending_lifts=len(line.pending),
                unacknowledged_trades=len(line.trades),
                sequence=line.sequence,
            )
            for dealer_id, line in sorted(self._lines.items())
        ]

    @property
    def frames_sent(self) -> int:
        return self._frames_sent + sum(session.sent for session in self._sessions)

    @property
    def frames_received(self) -> int:
        return self._frames_received + sum(session.received for session in self._sessions)

    # --- a connection's life -------------------------------------------------------------------------------------

    async def serve(self, dealer_id: DealerId, connection: Connection) -> None:
        """Speaks with one authenticated dealer until either end closes. Never raises for what the dealer does."""
        try:
            codec = sotto_side(connection.subprotocol)
        except BadInput as error:
            await connection.close(1002, str(error)[:120])
            return
        replay = self._bounds.most_said_again
        session = LineSession(
            connection, codec, self._translation.render, self._clock.now, self._session_bounds, replay
        )
        session.start()
        self._sessions.add(session)
        line = self._line(dealer_id)
        try:
            logon = await self._logon(session)
            if logon is not None:
                self._welcome(line, session, logon)
                await self._listen(line, session)
        finally:
            self._disconnect(line, session)
            log.info("dealer disconnected", dealer=dealer_id, why=session.ended or "gone")
            try:
                await session.finish()
            finally:
                self._sessions.discard(session)
                session.finished.set()
                self._frames_sent += session.sent
                self._frames_received += session.received

    async def _logon(self, session: LineSession) -> wire.Logon | None:
        """The first message, or None (and the session ended) if it was not a logon of our version in time."""
        try:
            async with asyncio.timeout(self._session_bounds.logon_s):
                frame = await session.connection.recv()
        except PeerGone:
            return None
        except TimeoutError:
            session.end("not_logged_on", f"no logon within {self._session_bounds.logon_s} s")
            return None
        session.received += 1
        session.heard_at = self._clock.now()
        try:
            message = session.codec.decode(frame)
        except Exception as error:
            session.complain(told(error, 0, session.codec.gist(frame)))
            session.end("not_logged_on", "the first message must be a logon")
            return None
        if not isinstance(message, wire.Logon):
            text = "the first message must be a logon"
            session.complain(wire.Error(0, "not_logged_on", text, "dealer", refers_to=session.codec.gist(frame)))
            session.end("not_logged_on", text)
            return None
        if message.version != wire.VERSION:
            rule, said = f"must be {wire.VERSION}", str(message.version)
            session.complain(wire.Error(0, "version", f"version {rule}", "dealer", "version", said, rule, "logon"))
            session.end("version", f"this is version {wire.VERSION}")
            return None
        return message

    def _welcome(self, line: Line, session: LineSession, logon: wire.Logon) -> None:
        """Answers the logon, sends what was missed, and opens the line: all before anything else can be said."""
        now, older = self._clock.now(), line.carrier
        known = logon.session_id == self.session_id
        resumed = known and logon.last_sequence <= line.sequence
        missed, lost_to = line.missed(logon.last_sequence if resumed else None, now)
        session.sequence = line.sequence
        line.cancel_on_disconnect = logon.cancel_on_disconnect
        self._connect(line, session)
        if isinstance(older, LineSession):
            older.end("replaced", "a newer connection of yours took over")
        beat = self._session_bounds.heartbeat_s
        session.put(wire.Session(wire.VERSION, self.session_id, line.sequence, beat, resumed, now))
        if known and not resumed:
            error = BadInput("last_sequence", logon.last_sequence, f"must be at most {line.sequence}")
            session.complain(told(error, line.sequence, "logon"))
        if lost_to:
            session.put(wire.Gap(line.sequence, logon.last_sequence + 1, lost_to))
        for saying in missed:
            session.carry(saying, again=True)
        log.info("dealer connected", dealer=line.dealer_id, resumed=resumed, sent_again=len(missed))
        self._line_up(line)

    async def _listen(self, line: Line, session: LineSession) -> None:
        connection, clock = session.connection, self._clock
        try:
            async with session.reading:
                while not session.ended:
                    frame = await connection.recv()
                    received_at = clock.now()
                    session.received += 1
                    session.heard_at = received_at
                    self._take(line, session, frame, received_at)
                    if session.received % YIELD_EVERY == 0:
                        await asyncio.sleep(0)
        except (PeerGone, TimeoutError):
            pass

    def _take(self, line: Line, session: LineSession, frame: str | bytes, received_at: datetime) -> None:
        """One frame: understood and handed on, or answered with a typed error."""
        codec: Codec[wire.FromDealer] = session.codec
        try:
            if not session.frames.spend():
                text = f"more than {self._session_bounds.frames_per_s:g} messages a second"
                session.complain(wire.Error(line.sequence, "too_fast", text, "dealer", refers_to=codec.gist(frame)))
                return
            message = codec.decode(frame)
            self._on_message[type(message)](line, session, message, received_at)
        except Exception as error:  # Whatever it is, it is answered, and the connection survives.
            session.complain(told(error, line.sequence, codec.gist(frame)))

    async def _pulse(self) -> None:
        """Heartbeats, dead and stuck lines, trades that wait for their acknowledgement."""
        bounds = self._session_bounds
        while True:
            await self._clock.sleep_until(self._clock.now() + timedelta(seconds=bounds.heartbeat_s / 5))
            now = self._clock.now()
            for session in tuple(self._sessions):
                session.check(now)
            for line in tuple(self._connected.values()):
                line.book_again(now, timedelta(seconds=bounds.trade_again_s))

    # --- what dealers say ----------------------------------------------------------------------------------------

    def _on_quote(self, line: Line, _: LineSession, said: wire.Quote, at: datetime) -> None:
        self._hear(line, self._translation.quoted(said, line.request(said.request_id), at), at)

    def _on_quote_cancel(self, line: Line, _: LineSession, said: wire.QuoteCancel, at: datetime) -> None:
        self._hear(line, translation.withdrew(said), at)

    def _on_decline(self, line: Line, _: LineSession, said: wire.Decline, at: datetime) -> None:
        self._hear(line, translation.declined(said), at)

    def _on_confirm(self, line: Line, _: LineSession, said: wire.Confirm, at: datetime) -> None:
        self._lift_answered(line, said.lift_id, "confirmed", said.quantity, "", at)

    def _on_refuse(self, line: Line, _: LineSession, said: wire.Refuse, at: datetime) -> None:
        self._lift_answered(line, said.lift_id, "refused", None, said.reason, at)

    def _on_status(self, line: Line, _: LineSession, said: wire.Status, at: datetime) -> None:
        if said.state != "pending":  # Pending: the answer itself is still to come.
            self._lift_answered(line, said.lift_id, said.state, said.quantity, said.reason, at)

    def _lift_answered(
        self, line: Line, lift_id: str, answer: Any, quantity: str | None, reason: str, at: datetime
    ) -> None:
        lift = line.lifted(lift_id)
        if lift is None:
            raise NotFound("lift", lift_id)
        lots = None if quantity is None else self._translation.confirmed_lots(quantity, lift)
        self._hear(line, translation.lift_answer(lift_id, answer, lots, reason), at)

    def _on_trade_ack(self, line: Line, _: LineSession, said: wire.TradeAck, at: datetime) -> None:
        self._trade_acknowledged(line, LiftId(said.lift_id))

    def _on_resend(self, line: Line, session: LineSession, said: wire.Resend, at: datetime) -> None:
        if said.after > line.sequence:
            raise BadInput("after", said.after, f"must be at most {line.sequence}")
        if not session.has_room_for_resend() or not session.frames.spend(RESEND_COST):
            raise Refusal("too many resends at once")
        missed, lost_to = line.missed(said.after, at)
        if lost_to:
            session.put(wire.Gap(line.sequence, said.after + 1, lost_to))
        for saying in missed:
            session.carry(saying, again=True)

    def _on_heartbeat(self, *_: object) -> None:
        """Heard: that is all it is for."""

    def _on_logon(self, line: Line, *_: object) -> None:
        raise BadInput("type", "logon", "must come once, as the first message")

    def _unknown_trade(self, dealer_id: DealerId, lift_id: LiftId) -> None:
        carrier = self._line(dealer_id).carrier
        if isinstance(carrier, LineSession):
            carrier.complain(told(NotFound("lift", lift_id), carrier.sequence, f"trade_ack {lift_id}"))

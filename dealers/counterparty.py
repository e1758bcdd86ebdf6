"""The counterparty that a dealer's client is checked against: a real gateway, an engine that only listens, taps."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from dealers import wire
from dealers.check import Broken, Unchecked
from dealers.gateway import WireGateway
from dealers.listener import SocketConnection, listen
from dealers.session import SessionBounds
from rfq.domain.auction import admit
from rfq.domain.errors import BadInput, PeerGone
from rfq.domain.quote import Lift, Quote, Request, quote_key
from rfq.domain.rfq import RequestSide
from rfq.domain.values import AuctionId, DealerId, Frozen, Instrument, LiftId, Price, Quantity, RequestId, RfqId, Side
from rfq.ports import Clock, DealerDeclined, DealerMessage, DealerQuoted, IdSource, LiftAnswered, LineUp

DEALER = DealerId("checked")
KEPT = 2_000


class Patience(Frozen, frozen=True):
    """How long a check waits, in seconds."""

    window_s: float = 3.0
    """For a quote."""
    answer_s: float = 3.0
    """For any other answer."""
    beat_s: float = 1.0
    """Heartbeat interval asked of the dealer."""
    return_s: float = 20.0
    """For the dealer to come back after its line is lost."""
    quiet_s: float = 0.3
    """For what must not come."""


class Heard:
    """What came, kept so far and waited for; bounded."""

    def __init__(self) -> None:
        self.all: deque[Any] = deque(maxlen=KEPT)
        self.count = 0
        self._changed = asyncio.Event()

    def add(self, what: Any) -> None:
        self.all.append(what)
        self.count += 1
        self._changed.set()

    def since(self, count: int) -> list[Any]:
        """What came after the first `count`."""
        new = self.count - count
        return list(self.all)[-new:] if new > 0 else []

    async def wait(self, matches: Callable[[Any], bool], within_s: float, since: int = 0) -> Any | None:
        """The first match, waited for; None if none comes within the time."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for what in self.since(since):
                        if matches(what):
                            return what
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return None


class Said(msgspec.Struct, frozen=True):
    """A dealer's message as the engine would get it, with its stamp."""

    message: DealerMessage
    at: datetime


class Tap(SocketConnection):
    """A connection that keeps what passes: the dealer's messages as plain objects, and errors told to the dealer."""

    def __init__(self, inner: SocketConnection) -> None:
        super().__init__(inner.socket)
        self.heard = Heard()
        self.errors: list[dict[str, Any]] = []
        self.gone = False

    async def recv(self) -> str | bytes:
        try:
            frame = await super().recv()
        except PeerGone:
            self.gone = True
            raise
        if isinstance(message := _plain(frame), dict):
            self.heard.add(message)
        return frame

    async def send(self, frame: str | bytes, /) -> None:
        message = _plain(frame)
        if isinstance(message, dict) and message.get("type") == "error":
            self.errors.append(message)
        await super().send(frame)

    async def send_object(self, message: dict[str, Any]) -> None:
        """Something that is none of the protocol's messages, or one that the gateway would not send."""
        as_json = self.subprotocol == wire.JSON
        await super().send(msgspec.json.encode(message).decode() if as_json else msgspec.msgpack.encode(message))

    async def send_nonsense(self) -> None:
        """A frame that cannot be read at all."""
        await super().send("{" if self.subprotocol == wire.JSON else b"\xc1")


class Counterparty:
    """Sotto's end of one dealer's line, asking and lifting as a rule wants it. Raises Broken where the dealer fails."""

    def __init__(
        self,
        instrument: Instrument,
        lots: Quantity,
        mid: Price,
        *,
        clock: Clock,
        ids: IdSource,
        key: str,
        patience: Patience | None = None,
    ) -> None:
        """`key` is the bearer key that the dealer must show."""
        self.patience = patience or Patience()
        self.instrument, self.mid, self.clock, self.ids = instrument, mid, clock, ids
        self.said = Heard()
        self.taps: list[Tap] = []
        self.gateway = WireGateway(
            clock=clock,
            ids=ids,
            instruments={instrument.symbol: instrument},
            session_bounds=SessionBounds(
                heartbeat_s=self.patience.beat_s, silent_beats=10, trade_again_s=3600
            ),
        )
        self.gateway.attach(self)
        self._lots, self._key = lots, key
        self._refused_keys = 0

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[str]:
        """Yields the URL. Raises OSError if the port cannot be had."""
        async with self.gateway, listen(self.gateway, self._who, host=host, port=port, wrap=self._tap) as url:
            yield url

    def take(self, dealer_id: DealerId, message: DealerMessage, received_at: datetime) -> None:
        """Implements rfq.ports.DealerInbox: an engine that takes everything and does nothing."""
        self.said.add(Said(message, received_at))

    # --- the line ------------------------------------------------------------------------------------------------

    def _who(self, key: str) -> DealerId | None:
        if key == self._key:
            return DEALER
        self._refused_keys += 1
        return None

    def _tap(self, _: DealerId, connection: SocketConnection) -> SocketConnection:
        self.taps.append(Tap(connection))
        return self.taps[-1]

    @property
    def line(self) -> Tap:
        if not self.taps or self.taps[-1].gone:
            raise Broken(f"it had closed the connection{self.corrections()}")
        return self.taps[-1]

    async def logged_on(self, since: int, within_s: float) -> dict[str, Any]:
        """The logon of the first line that came up after the first `since` things said, waited for."""
        taps = len(self.taps)
        if await self.said.wait(lambda s: isinstance(s.message, LineUp), within_s, since) is None:
            shown = f"; {self._refused_keys} attempts showed another key" if self._refused_keys else ""
            what = "did not log on" if len(self.taps) > taps else "did not connect"
            raise Broken(f"it {what} within {within_s:g} s{shown}{self.corrections()}")
        return self.line.heard.all[0]

    def corrections(self) -> str:
        """What the dealer was last told, to be added to what it did wrong."""
        told = [error["text"] for tap in self.taps for error in tap.errors]
        return f"; it was told: {told[-1]}" if told else ""

    # --- asking --------------------------------------------------------------------------------------------------

    def request(self, side: RequestSide) -> Request:
        now = self.clock.now()
        return Request(
            request_id=RequestId(self.ids.new("request")),
            rfq_id=RfqId("check"),
            auction_id=AuctionId("check"),
            dealer_id=DEALER,
            symbol=self.instrument.symbol,
            side=side,
            quantity=self._lots,
            deadline=now + timedelta(seconds=self.patience.window_s),
            asked_at=now,
            market_asked_at=now,
            mid_at_ask=self.mid,
        )

    async def ask(self, side: RequestSide) -> tuple[Request, DealerQuoted]:
        """A good quote for a fresh request. Raises Unchecked for a decline."""
        request = self.request(side)
        if not await self.gateway.ask([request]):
            raise Broken(f"it had closed the connection{self.corrections()}")
        name, window_s = request.request_id, self.patience.window_s
        said = await self.said.wait(lambda s: getattr(s.message, "request_id", "") == name, window_s + 0.2)
        if said is None:
            raise Broken(f"no quote and no decline within {window_s:g} s{self.corrections()}")
        if isinstance(said.message, DealerDeclined):
            raise Unchecked(f"it declined {self.instrument.symbol} ({said.message.reason}): name one that it quotes")
        self._check(request, said.message, said.at)
        return request, said.message

    def _check(self, request: Request, said: DealerQuoted, at: datetime) -> None:
        try:
            quote = Quote(
                quote_id=quote_key(request.request_id, said.quote_id),
                request_id=request.request_id,
                auction_id=request.auction_id,
                dealer_id=DEALER,
                revision=said.revision,
                received_at=at,
                market_received_at=at,
                mid_at_quote=self.mid,
                expires_at=said.expires_at,
                bid=said.bid,
                offer=said.offer,
                firm=said.firm,
                last_look_s=said.last_look_s,
            )
            admit(request, quote, None, self.instrument)
        except BadInput as error:
            raise Broken(f"its quote breaks a rule: {error}") from None

    def quotes_of(self, request: Request) -> list[DealerQuoted]:
        said = [s.message for s in self.said.all]
        return [m for m in said if isinstance(m, DealerQuoted) and m.request_id == request.request_id]

    # --- lifting -------------------------------------------------------------------------------------------------

    def lift_of(self, request: Request, quoted: DealerQuoted, revision: int | None = None) -> Lift:
        """A lift of all that is offered; `revision` to be wrong on purpose."""
        if quoted.offer is None:
            raise Unchecked("it has offered nothing")
        now = self.clock.now()
        return Lift(
            lift_id=LiftId(self.ids.new("lift")),
            rfq_id=request.rfq_id,
            auction_id=request.auction_id,
            request_id=request.request_id,
            quote_id=quote_key(request.request_id, quoted.quote_id),
            revision=revision or quoted.revision,
            dealer_id=DEALER,
            symbol=request.symbol,
            side=Side.BUY,
            price=quoted.offer.price,
            quantity=quoted.offer.quantity,
            sent_at=now,
            answer_by=now + timedelta(seconds=quoted.last_look_s + self.patience.answer_s),
        )

    async def lift(self, lift: Lift) -> None:
        try:
            await self.gateway.lift(lift)
        except PeerGone:
            raise Broken(f"it had closed the connection{self.corrections()}") from None

    async def ask_status(self, lift: Lift) -> None:
        try:
            await self.gateway.ask_status(lift)
        except PeerGone:
            raise Broken(f"it had closed the connection{self.corrections()}") from None

    def answers_to(self, lift: Lift) -> list[LiftAnswered]:
        said = [s.message for s in self.said.all]
        return [m for m in said if isinstance(m, LiftAnswered) and m.lift_id == lift.lift_id]

    async def answer_to(self, lift: Lift) -> LiftAnswered:
        """The first answer, waited for until the lift's time is over."""
        within_s = max(0.1, (lift.answer_by - self.clock.now()).total_seconds())
        if await self.said.wait(lambda s: getattr(s.message, "lift_id", "") == lift.lift_id, within_s) is None:
            raise Broken(f"no answer within {within_s:.1f} s{self.corrections()}")
        return self.answers_to(lift)[0]


def _plain(frame: str | bytes) -> object:
    try:
        return msgspec.json.decode(frame) if isinstance(frame, str) else msgspec.msgpack.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None

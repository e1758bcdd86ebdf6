"""Dealers that answer at once over the real protocol, and a desk that posts over real HTTP: the bench's other ends."""

import asyncio
import itertools
from collections.abc import Callable, Sequence

import msgspec

from dealers import wire
from rfq.api.messages import LegBody, RfqBody
from rfq.domain.errors import OurFault, PeerGone
from rfq.domain.rfq import RequestSide, TellLosers
from rfq.studies.lean_clients import LeanHttp, LeanSocket

SYMBOL, PRICE, TICK = "QDI", 100.0, 0.01
"""What is traded, and about where: dealers quote within ten ticks above."""
SMALLEST, SPAN = 1_000, 50_000
"""Every RFQ in flight is of a quantity of its own, so that dealers' messages can be told apart."""
ANSWER_S = 30.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(wire.FromSotto).decode
_to_json = msgspec.json.Encoder().encode


class Sourced:
    """One RFQ on its way: when its POST was sent, when its lift reached the winner, when all was said."""

    __slots__ = ("awarded_at", "failed", "left", "over", "sent_at")

    def __init__(self, dealers: int, sent_at: float) -> None:
        self.sent_at, self.awarded_at = sent_at, 0.0
        self.failed = ""
        """Why it came to nothing, if it did."""
        self.left = dealers
        """Dealers that have yet to hear how it ended: a trade for the winner, a notice for each of the others."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def award_s(self) -> float:
        return self.awarded_at - self.sent_at


class BenchDealers:
    """`count` dealers on WebSockets of their own (MessagePack), quoting firm, confirming and acknowledging at once."""

    def __init__(self) -> None:
        self._lines: list[LeanSocket] = []
        self._by_quantity: dict[str, Sourced] = {}
        self._by_request: dict[str, Sourced] = {}
        self._now = asyncio.get_running_loop().time
        self._beating: asyncio.Task[None] | None = None
        self.quotes = 0

    async def connect(self, host: str, port: int, keys: Sequence[str]) -> None:
        """Returns when every line is logged on. Raises PeerGone."""
        for number, key in enumerate(keys):
            line = await LeanSocket.connect(
                *(host, port, self._answering(number)),
                path="/v1/dealers/link",
                key=key,
                subprotocol=wire.MSGPACK,
            )
            line.send(_encode(wire.Logon(wire.VERSION)))
            self._lines.append(line)
        async with asyncio.timeout(ANSWER_S):
            while any(not line.received for line in self._lines):  # noqa: ASYNC110  # Ten answers, once.
                await asyncio.sleep(0.01)
        self._beating = asyncio.create_task(self._beat())

    def close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        for line in self._lines:
            line.close()

    @property
    def sent(self) -> int:
        return sum(line.sent for line in self._lines)

    @property
    def received(self) -> int:
        return sum(line.received for line in self._lines)

    def expect(self, quantity: str, sourced: Sourced) -> None:
        if quantity in self._by_quantity:
            raise OurFault(f"{SPAN} RFQs are in flight at one time: the service does not keep up")
        self._by_quantity[quantity] = sourced

    def forget(self, quantity: str) -> None:
        del self._by_quantity[quantity]

    def __len__(self) -> int:
        return len(self._lines)

    def check(self) -> None:
        """Raises OurFault if a line is down."""
        for number, line in enumerate(self._lines):
            if line.closed:
                raise OurFault(f"the line of dealer {number} is down: {line.closed}")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(3.0)
            for line in self._lines:
                if not line.closed:
                    line.send(_encode(wire.Heartbeat()))

    def _answering(self, number: int) -> Callable[[LeanSocket, bytes], None]:
        """What the dealer of this number does with a frame. Its rank among the ten changes with the quantity."""

        def on_frame(line: LeanSocket, payload: bytes) -> None:
            message = _decode(payload)
            match message:
                case wire.QuoteRequest():
                    rank = (number + int(message.quantity)) % 10
                    offer = wire.QuotedSide(f"{PRICE + TICK * rank:.2f}", message.quantity)
                    quote = wire.Quote(message.request_id, "Q1", offer=offer, valid_for_s=60.0)
                    line.send(_encode(quote))
                    self._by_request[message.request_id] = self._by_quantity[message.quantity]
                case wire.Outcome():
                    self._heard_end(message.request_id)
                case wire.Lift():
                    line.send(_encode(wire.Confirm(message.lift_id)))
                    self._by_quantity[message.quantity].awarded_at = self._now()
                case wire.Trade():
                    line.send(_encode(wire.TradeAck(message.lift_id)))
                    self._heard_end(message.request_id)
                case wire.Error() | wire.Logout():
                    line.closed = message.text
                case _:
                    pass

        return on_frame

    def _heard_end(self, request_id: str) -> None:
        sourced = self._by_request.pop(request_id, None)
        if sourced is None:
            return  # Said again.
        sourced.left -= 1
        if not sourced.left and not sourced.over.done():
            sourced.over.set_result(None)


class BenchDesk:
    """Posts RFQs to all the dealers, over as many keep-alive connections as are in use at one time."""

    def __init__(self, host: str, port: int, keys: Sequence[str], dealers: BenchDealers, names: Sequence[str]) -> None:
        """`keys`: of desks, taken in turn: each has its own bound on open RFQs. `names`: the dealers to ask."""
        self._host, self._port, self._dealers = host, port, dealers
        self._heads = [
            f"POST /v1/rfqs HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key}\r\nIdempotency-Key: ".encode()
            for key in keys
        ]
        self._names = tuple(names)
        self._idle: list[LeanHttp] = []
        self._numbers = itertools.count()
        self._now = asyncio.get_running_loop().time

    async def source(self) -> Sourced:
        """One RFQ from its POST until every dealer knows how it ended, or it has failed. Raises OurFault, PeerGone."""
        number = next(self._numbers)
        quantity = str(SMALLEST + number % SPAN)
        body = RfqBody(
            legs=(LegBody(symbol=SYMBOL, side=RequestSide.BUY, quantity=quantity),),
            include=self._names,
            min_dealers=len(self._names),
            max_dealers=len(self._names),
            max_winners=1,
            tell_losers=TellLosers.AT_ONCE,
        )
        head = self._heads[number % len(self._heads)] + b"bench-%d\r\n" % number
        payload = _to_json(body)
        connection = await self._connection()
        sourced = Sourced(len(self._names), self._now())
        self._dealers.expect(quantity, sourced)
        try:
            async with asyncio.timeout(ANSWER_S):
                try:
                    status, answer = await connection.request(head, payload)
                except PeerGone:  # It was idle for long, and closed as we wrote. The same key makes asking again safe.
                    connection = await LeanHttp.connect(self._host, self._port)
                    status, answer = await connection.request(head, payload)
                self._idle.append(connection)
                if status == 201:
                    await sourced.over
                    self._dealers.forget(quantity)
                else:  # It may still be sourced: its dealers go on answering.
                    sourced.failed = f"POST /v1/rfqs was answered {status}: {answer[:300].decode('utf-8', 'replace')}"
        except TimeoutError:
            self._dealers.check()
            sourced.failed = f"an RFQ of {quantity} was not over after {ANSWER_S:.0f} s"
        return sourced

    async def _connection(self) -> LeanHttp:
        while self._idle:
            if not (connection := self._idle.pop()).closed:
                return connection
        return await LeanHttp.connect(self._host, self._port)

    def close(self) -> None:
        for connection in self._idle:
            connection.close()

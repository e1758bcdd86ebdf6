"""A participant's client of the exchange's socket: sees mids, sends orders, hears executions. See `wire`."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from lit_router.market.wire import (
    MSGPACK,
    AskStatus,
    CancelOrder,
    Codec,
    Data,
    Error,
    Execution,
    FromParticipant,
    Listed,
    NewOrder,
    Subscribe,
    Top,
    Welcome,
)
from rfq.domain.errors import NotAllowed, PeerGone
from rfq.domain.values import Price, Quantity, Side, Symbol

MOST_WAITING = 1_000
"""Messages waiting to be sent before more are refused."""
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0


class ExchangeClient:
    """Stays connected while its context is open, reconnecting after a pause that doubles.

    It has what a dealer needs of a market: `mid`, `now`, `sleep_until`, `trade`. Orders that were live when a
    connection ended have been cancelled by the exchange.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        new_id: Callable[[], str],
        subprotocol: str = MSGPACK,
        on_execution: Callable[[Execution | Error], None] | None = None,
        elapsed_s: Callable[[], float] = time.monotonic,
        answer_s: float = 5.0,
    ) -> None:
        """`new_id` makes order ids, never twice the same; `answer_s`: longest wait for a connection, in seconds."""
        self._url, self._key, self._new_id = url, key, new_id
        self._subprotocol, self._codec = subprotocol, Codec(subprotocol)
        self._on_execution = on_execution
        self._elapsed_s, self._answer_s = elapsed_s, answer_s
        self._outbox: asyncio.Queue[FromParticipant] = asyncio.Queue(MOST_WAITING)
        self._tops: dict[Symbol, Top] = {}
        self._listed: dict[Symbol, Listed] = {}
        self._market: tuple[datetime, float, float] | None = None
        self._connected = asyncio.Event()
        self.untold = 0
        """Orders asked for while there was no connection or no room: they were not sent."""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["ExchangeClient"]:
        """Connects, subscribes to all market data, and waits for the first of it.

        Raises NotAllowed for a key that is refused, PeerGone if there is no answer.
        """
        staying = asyncio.create_task(self._stay())
        waiting = asyncio.create_task(self._connected.wait())
        try:
            await asyncio.wait({staying, waiting}, timeout=self._answer_s, return_when=asyncio.FIRST_COMPLETED)
            if staying.done():
                staying.result()
            if not self._connected.is_set():
                raise PeerGone(f"no answer from the exchange at {self._url}")
            yield self
        finally:
            waiting.cancel()
            staying.cancel()
            with suppress(asyncio.CancelledError, NotAllowed):
                await staying

    # --- the market -------------------------------------------------------------------------------------------------

    def top(self, symbol: Symbol) -> Top | None:
        """The latest top of book; None while there is no connection or no data."""
        return self._tops.get(symbol)

    def mid(self, symbol: Symbol) -> Price | None:
        """The latest mid, in the instrument's price units; None if it is not known."""
        top = self._tops.get(symbol)
        if top is None or top.mid is None:
            return None
        return Price(int(Decimal(top.mid) / Decimal(self._listed[symbol].price_unit)))

    def now(self) -> datetime:
        """Market time, carried on from the last message. Raises PeerGone before the first."""
        if self._market is None:
            raise PeerGone("the exchange has not said what time it is")
        told, at_s, rate = self._market
        return told + timedelta(seconds=(self._elapsed_s() - at_s) * rate)

    async def sleep_until(self, at: datetime) -> None:
        """Sleeps until market time `at`, looking again often enough to follow a change of rate."""
        while (left_s := (at - self.now()).total_seconds()) > 0:
            rate = self._market[2] if self._market else 1.0
            await asyncio.sleep(min(left_s / rate, 0.1))

    # --- orders -----------------------------------------------------------------------------------------------------

    def trade(self, account: str, symbol: Symbol, side: Side, lots: Quantity) -> None:
        """Buys or sells at the market for `account`. Never waits; without a connection it is counted as untold."""
        listed = self._listed.get(symbol)
        if listed is None or lots <= 0:
            self.untold += 1
            return
        order = NewOrder(
            order_id=self._new_id(),
            symbol=symbol,
            side=side.value,
            quantity=format((lots * Decimal(listed.lot)).normalize(), "f"),
            time_in_force="ioc",
            account=account,
        )
        with suppress(PeerGone):
            self._put(order)

    def send(self, order: NewOrder | CancelOrder | AskStatus) -> None:
        """Any order-entry message. Raises PeerGone if it cannot be sent."""
        self._put(order)

    def _put(self, message: FromParticipant) -> None:
        if not self._connected.is_set() or self._outbox.full():
            self.untold += 1
            raise PeerGone("there is no connection to the exchange, or it does not keep up")
        self._outbox.put_nowait(message)

    # --- the connection ---------------------------------------------------------------------------------------------

    async def _stay(self) -> None:
        pause_s = FIRST_RETRY_S
        while True:
            try:
                async with connect(
                    self._url,
                    subprotocols=[Subprotocol(self._subprotocol)],
                    additional_headers={"Authorization": f"Bearer {self._key}"},
                    open_timeout=self._answer_s,
                    close_timeout=1.0,
                    proxy=None,
                ) as connection:
                    pause_s = FIRST_RETRY_S
                    await self._talk(connection)
            except InvalidStatus as refused:
                if refused.response.status_code == 401:
                    raise NotAllowed("the exchange does not know this key") from refused
            except (OSError, TimeoutError, WebSocketException):
                pass
            finally:
                self._connected.clear()
                self._tops.clear()
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_RETRY_S, 2 * pause_s)

    async def _talk(self, connection: ClientConnection) -> None:
        while not self._outbox.empty():
            self._outbox.get_nowait()
            self.untold += 1
        await connection.send(self._codec.encode(Subscribe()))
        writing = asyncio.create_task(self._write(connection))
        try:
            async for frame in connection:
                self._heard(frame)
        finally:
            writing.cancel()

    async def _write(self, connection: ClientConnection) -> None:
        with suppress(WebSocketException):
            while True:
                await connection.send(self._codec.encode(await self._outbox.get()))

    def _heard(self, frame: str | bytes) -> None:
        try:
            message = self._codec.to_participant(frame)
        except msgspec.DecodeError:
            return
        match message:
            case Welcome():
                self._listed = {Symbol(listed.symbol): listed for listed in message.instruments}
                self._market = (message.market_time, self._elapsed_s(), message.rate)
            case Data():
                self._market = (message.market_time, self._elapsed_s(), message.rate)
                self._tops.update({Symbol(top.symbol): top for top in message.tops})
                self._connected.set()
            case Execution() | Error():
                if self._on_execution is not None:
                    self._on_execution(message)

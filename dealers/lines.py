"""The gateway's logic, wherever the dealers are: lines kept, sayings carried, answers handed to the engine."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Self

import structlog

from dealers.line import Carrier, Line, LineBounds
from dealers.trade_clerk import TradeClerk
from rfq.domain.errors import OurFault, PeerGone, Refusal, SottoError
from rfq.domain.events import Notice
from rfq.domain.quote import Lift, Request
from rfq.domain.values import DealerId, LiftId, RequestId
from rfq.ports import (
    Clock,
    DealerDeclined,
    DealerInbox,
    DealerMessage,
    DealerQuoted,
    DealerWithdrew,
    LiftAnswered,
    LineDown,
    LineUp,
    Trade,
    TradeLedger,
)

log = structlog.get_logger()


class DealerLines:
    """Implements rfq.ports.DealerGateway. Subclasses connect carriers to lines and call `hear` with what dealers say.

    Use it as an async context: inside, acknowledged trades are recorded and unacknowledged ones redelivered.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: TradeLedger | None = None,
        bounds: LineBounds | None = None,
    ) -> None:
        self._clock = clock
        self._bounds = bounds or LineBounds()
        self._lines: dict[DealerId, Line] = {}
        self._connected: dict[DealerId, Line] = {}
        self._inbox: DealerInbox | None = None
        self._clerk = TradeClerk(ledger, clock, self._book_from_ledger, self._unknown_trade)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._start("trade clerk", self._clerk.run)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def _start(self, name: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
        self._tasks.append(asyncio.create_task(run(), name=f"dealers: {name}"))

    # --- the port ------------------------------------------------------------------------------------------------

    def attach(self, inbox: DealerInbox) -> None:
        self._inbox = inbox

    def reachable(self) -> frozenset[DealerId]:
        now = self._clock.now()
        return frozenset(dealer_id for dealer_id, line in self._connected.items() if line.has_room(now))

    async def ask(self, requests: Sequence[Request]) -> frozenset[RequestId]:
        now = self._clock.now()
        return frozenset(r.request_id for r in requests if self._line(r.dealer_id).ask(r, now))

    def reopen(self, requests: Sequence[Request]) -> None:
        now = self._clock.now()
        for request in requests:
            self._line(request.dealer_id).ask(request, now)

    async def lift(self, lift: Lift) -> None:
        if not self._line(lift.dealer_id).lift(lift):
            raise PeerGone(f"dealer {lift.dealer_id} has no line")

    async def ask_status(self, lift: Lift) -> None:
        if not self._line(lift.dealer_id).ask_status(lift):
            raise PeerGone(f"dealer {lift.dealer_id} has no line")

    async def withdraw(self, requests: Sequence[Request], reason: str) -> None:
        for request in requests:
            self._line(request.dealer_id).withdraw(request, reason)

    async def tell(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self._line(notice.dealer_id).tell(notice)

    async def book(self, trade: Trade) -> None:
        self._line(trade.lift.dealer_id).book(trade, self._clock.now())

    # --- for subclasses ------------------------------------------------------------------------------------------

    def _line(self, dealer_id: DealerId) -> Line:
        line = self._lines.get(dealer_id)
        if line is None:
            line = self._lines[dealer_id] = Line(dealer_id, self._bounds)
        return line

    def _connect(self, line: Line, carrier: Carrier) -> None:
        """Puts a carrier on the line in place of any other. Sayings flow from here on."""
        line.carrier = carrier
        self._connected[line.dealer_id] = line

    def _line_up(self, line: Line) -> None:
        """Says that the dealer is back and was sent what it missed; older trades follow from the ledger."""
        self._clerk.redeliver(line.dealer_id)
        self._notify(line, LineUp())

    def _disconnect(self, line: Line, carrier: Carrier) -> None:
        """The carrier is gone. If it was the line's, quotes are taken back where the dealer chose that."""
        if line.carrier is not carrier:
            return  # Replaced by a newer connection: the line never went down.
        line.carrier = None
        self._connected.pop(line.dealer_id, None)
        if line.cancel_on_disconnect:
            for withdrawal in line.take_back_live(self._clock.now()):
                self._notify(line, withdrawal)
        self._notify(line, LineDown())

    def _hear(self, line: Line, message: DealerMessage, received_at: datetime) -> None:
        """Hands one message to the engine. Raises what the engine raises, to be told to the dealer."""
        if self._inbox is None:
            raise OurFault("the gateway has no inbox yet")
        if isinstance(message, DealerQuoted):
            line.request(message.request_id)
            line.check_room_for(message)
        elif isinstance(message, DealerWithdrew | DealerDeclined):
            line.request(message.request_id)
        self._inbox.take(line.dealer_id, message, received_at)
        match message:
            case DealerQuoted():
                line.quoted(message)
            case DealerWithdrew():
                line.withdrew(message.request_id, message.quote_id)
            case DealerDeclined():
                line.declined(message.request_id)
            case LiftAnswered():
                line.answered(message.lift_id)
            case _:
                pass

    def _trade_acknowledged(self, line: Line, lift_id: LiftId) -> None:
        """Raises Refusal if too many acknowledgements wait to be recorded: the dealer is sent the trade again."""
        self._clerk.acknowledge(line.dealer_id, lift_id)
        line.acknowledged(lift_id)

    def _notify(self, line: Line, message: LineUp | LineDown | DealerWithdrew) -> None:
        """What nobody said: there is no dealer to tell an error to."""
        if self._inbox is None:
            return
        try:
            self._inbox.take(line.dealer_id, message, self._clock.now())
        except Refusal as refusal:
            log.info("not taken", dealer=line.dealer_id, message=type(message).__name__, why=str(refusal))
        except SottoError as error:
            log.warning("not taken", dealer=line.dealer_id, message=type(message).__name__, why=str(error))

    def _book_from_ledger(self, dealer_id: DealerId, trades: Sequence[Trade]) -> None:
        line, now = self._line(dealer_id), self._clock.now()
        for trade in trades:
            if trade.lift.lift_id not in line.trades:
                line.book(trade, now)

    def _unknown_trade(self, dealer_id: DealerId, lift_id: LiftId) -> None:
        """A dealer acknowledged a trade that it never had; subclasses tell it."""
        log.info("acknowledged a trade that is not its own", dealer=dealer_id, lift=lift_id)

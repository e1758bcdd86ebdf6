"""The Venue port over a running exchange: one book of it, for one participant."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from lit_router.market import orders
from lit_router.market.matching_core import MatchingCore
from lit_router.market.orders import AnyReport, OrderState, Ticket
from lit_router.market.running import RunningExchange
from lit_router.ports import ExecutionReport, Fees, ReportKind, ReportSink
from rfq.domain.errors import OurFault, PeerGone
from rfq.domain.fill import Where
from rfq.domain.order import ChildOrder
from rfq.domain.values import ChildId, Price, Quantity

MOST_UNDELIVERED = 10_000
"""Reports on their way to the router before the venue counts as gone: the router has stopped listening."""

_KINDS = {
    orders.Accepted: ReportKind.ACKNOWLEDGED,
    orders.Rejected: ReportKind.REJECTED,
    orders.Executed: ReportKind.FILLED,
    orders.Cancelled: ReportKind.CANCELLED,
    orders.Expired: ReportKind.EXPIRED,
    orders.CancelRejected: ReportKind.CANCEL_REJECTED,
    orders.Replaced: ReportKind.REPLACED,
}
_STATES = {
    OrderState.LIVE: ReportKind.ACKNOWLEDGED,
    OrderState.CANCELLED: ReportKind.CANCELLED,
    OrderState.EXPIRED: ReportKind.EXPIRED,
    OrderState.REJECTED: ReportKind.REJECTED,
    OrderState.UNKNOWN: ReportKind.UNKNOWN,
}
"""A filled order has no report of its own: its executions, told again, say so."""


class ExchangeVenue:
    """One lit or dark book as a venue. Reports arrive on the loop that attached, each in a call of its own."""

    def __init__(
        self,
        exchange: RunningExchange,
        *,
        name: str,
        where: Where,
        fees: Fees,
        book: str,
        participant: str = "sotto",
    ) -> None:
        """`book` is the exchange's name for it. The participant's orders at different venues do not know each other."""
        self._exchange, self._name, self._where, self._fees, self._book = exchange, name, where, fees, book
        self._participant = f"{participant}@{name}"
        self._sink: ReportSink | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._undelivered, self._lock = 0, threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    @property
    def where(self) -> Where:
        return self._where

    @property
    def fees(self) -> Fees:
        return self._fees

    def attach(self, sink: ReportSink) -> None:
        """To be called on the router's event loop. Raises PeerGone if the exchange does not run."""
        self._sink, self._loop = sink, asyncio.get_running_loop()
        self._exchange.post(lambda core: core.connect(self._participant, self._report))

    async def send(self, order: ChildOrder) -> None:
        if order.venue != self._name:
            raise OurFault(f"child {order.child_id} is for {order.venue}, not {self._name}")
        ticket = Ticket(
            order_id=order.child_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            price=order.price,
            tif=order.time_in_force,
            minimum=order.min_quantity,
            book=self._book,
        )
        self._post(lambda core: core.submit(self._participant, ticket))

    async def replace(self, child_id: ChildId, quantity: Quantity, price: Price | None) -> None:
        self._post(lambda core: core.replace(self._participant, child_id, quantity, price))

    async def cancel(self, child_id: ChildId) -> None:
        self._post(lambda core: core.cancel(self._participant, child_id))

    async def status(self, child_id: ChildId) -> None:
        self._post(lambda core: core.status(self._participant, child_id))

    def _post(self, act: Callable[[MatchingCore], None]) -> None:
        if self._loop is None:
            raise PeerGone(f"nobody is attached to {self._name}")
        self._exchange.post(act)

    def _report(self, report: AnyReport) -> None:
        """Called by the core, on its thread."""
        translated = execution_report(report)
        loop = self._loop
        if translated is None or loop is None:
            return
        with self._lock:
            self._undelivered += 1
            overrun = self._undelivered > MOST_UNDELIVERED
        try:
            loop.call_soon_threadsafe(self._deliver, translated)
        except RuntimeError:
            overrun = True
        if overrun:
            # Nobody listens any more: the orders come out and the line is closed. Posted, as the core is mid-report.
            self._loop = None
            with suppress(PeerGone):
                self._exchange.post(lambda core: core.disconnect(self._participant, cancel=True))

    def _deliver(self, report: ExecutionReport) -> None:
        with self._lock:
            self._undelivered -= 1
        if self._sink is not None:
            self._sink.take(report)


def execution_report(report: AnyReport) -> ExecutionReport | None:
    """The core's report as the router reads it; None for what says nothing new (the state of a filled order)."""
    if isinstance(report, orders.OrderStatus):
        if report.state is OrderState.FILLED:
            return None
        kind = _STATES[report.state]
    else:
        kind = _KINDS[type(report)]
    executed = report if isinstance(report, orders.Executed) else None
    replaced = report if isinstance(report, orders.Replaced) else None
    return ExecutionReport(
        child_id=ChildId(report.order_id),
        kind=kind,
        market_at=report.at,
        execution_id=executed.fill_id if executed else "",
        price=executed.price if executed else replaced.price if replaced else None,
        quantity=executed.quantity if executed else replaced.quantity if replaced else Quantity(0),
        mid=executed.mid if executed else None,
        leaves=getattr(report, "leaves", Quantity(0)),
        reason=getattr(report, "reason", ""),
        maker=executed.maker if executed else None,
        cumulative=getattr(report, "cumulative", None),
    )

"""What every matching core does for its participants: order ids, states and reports. Cores differ in their books."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from lit_router.market.latency import InFlight
from lit_router.market.orders import (
    Accepted,
    AnyReport,
    Cancelled,
    CancelRejected,
    Depth,
    Executed,
    Expired,
    OrderState,
    OrderStatus,
    Rejected,
    Replaced,
    Ticket,
)
from lit_router.market.own_orders import OwnOrder
from rfq.domain.order import TimeInForce
from rfq.domain.values import Instrument, Price, Quantity, Side, Symbol
from rfq.ports import MarketView

REMEMBERED = 100_000
"""Orders that are over are remembered up to this many, so that an id sent again is recognised."""

OnReport = Callable[[AnyReport], None]


@dataclass(slots=True)
class Entry:
    """An order as the core knows it."""

    ticket: Ticket
    order: OwnOrder
    state: OrderState = OrderState.LIVE
    reason: str = ""
    executions: list[Executed] = field(default_factory=list)


class MatchingCore(ABC):
    """Synchronous and single-threaded: whoever steps it also calls it. Reports go to the participant's callback at
    once, in order; a participant that is not connected loses them and can ask for `status`. What participants send
    takes effect after the venue's latency, in the order in which it was sent."""

    def __init__(self, *, name: str, opens_at: datetime, latency_s: float = 0.0) -> None:
        """`name` begins every fill id, so it must differ between runs that share a database."""
        self.name = name
        self._in_flight = InFlight(latency_s)
        self._now = opens_at
        self._entries: dict[tuple[str, str], Entry] = {}
        self._over: deque[tuple[str, str]] = deque()
        self._sinks: dict[str, OnReport] = {}
        self._fills = 0

    @property
    def now(self) -> datetime:
        """Market time up to which everything has been played."""
        return self._now

    @abstractmethod
    def symbols(self) -> tuple[Symbol, ...]: ...

    def advance_to(self, market_time: datetime) -> None:
        """Plays the market up to `market_time`, with what arrives meanwhile; earlier times change nothing."""
        for arrives_at, arrive in self._in_flight.due(market_time):
            self._play_to(arrives_at)
            arrive()
        self._play_to(market_time)

    @abstractmethod
    def _play_to(self, market_time: datetime) -> None:
        """Plays the market up to `market_time`; earlier times change nothing."""

    @abstractmethod
    def fork(self, name: str, only: Collection[Symbol] | None = None) -> Self:
        """An independent twin with every order that has arrived but no participant: what is done to one is not done to
        the other.

        `name` begins the fill ids of the twin; `only` lists fewer instruments.
        """

    @abstractmethod
    def instrument(self, symbol: Symbol) -> Instrument:
        """Raises NotFound."""

    @abstractmethod
    def books(self) -> tuple[str, ...]:
        """The lit book and the dark ones, by name."""

    @abstractmethod
    def view(self, symbol: Symbol) -> MarketView:
        """The top of the public book now. Raises NotFound."""

    @abstractmethod
    def depth(self, symbol: Symbol) -> Depth:
        """The public book now. Raises NotFound."""

    @abstractmethod
    def mid_at(self, symbol: Symbol, at: datetime) -> Price | None:
        """The mid that stood at `at`; None if one side was empty or it is not (or not yet) known. Raises NotFound."""

    @abstractmethod
    def _refusal(self, ticket: Ticket) -> str | None:
        """Why this order cannot be taken, or None."""

    @abstractmethod
    def _enter(self, entry: Entry) -> None:
        """Executes a new order as far as it goes and rests or ends what is left."""

    @abstractmethod
    def _pull(self, entry: Entry) -> None:
        """Takes a live order out of its book."""

    @abstractmethod
    def _change(self, entry: Entry, leaves: int, price: Price | None) -> None:
        """Gives a live order new leaves and price, with priority lost on a new price or a larger size."""

    # --- participants ---------------------------------------------------------------------------------------------

    def connect(self, participant: str, on_report: OnReport) -> None:
        self._sinks[participant] = on_report

    def disconnect(self, participant: str, *, cancel: bool) -> None:
        """Stops reporting; with `cancel`, live orders are pulled first, those on their way too once they arrive."""
        if cancel:
            self._in_flight.send(self._now, lambda: self._cancel_all(participant))
        self._sinks.pop(participant, None)

    def submit(self, participant: str, ticket: Ticket) -> None:
        """Takes a new order. An id seen before is answered with its status and changes nothing."""
        self._in_flight.send(self._now, lambda: self._submit(participant, ticket))

    def cancel(self, participant: str, order_id: str) -> None:
        self._in_flight.send(self._now, lambda: self._cancel(participant, order_id))

    def replace(self, participant: str, order_id: str, quantity: Quantity, price: Price | None) -> None:
        """Changes total quantity and price. A quantity already filled or exceeded cancels what is left."""
        self._in_flight.send(self._now, lambda: self._replace(participant, order_id, quantity, price))

    def status(self, participant: str, order_id: str) -> None:
        """Reports the order's executions again, then its state; unknown for an id never seen (or long over)."""
        self._in_flight.send(self._now, lambda: self._status(participant, order_id))

    def _submit(self, participant: str, ticket: Ticket) -> None:
        key = (participant, ticket.order_id)
        if key in self._entries:
            self._status(participant, ticket.order_id)
            return
        buys = ticket.side is Side.BUY
        order = OwnOrder(participant, ticket.order_id, buys, ticket.price, ticket.quantity, minimum=ticket.minimum)
        entry = self._entries[key] = Entry(ticket, order)
        reason = "quantity must be positive" if ticket.quantity <= 0 else self._refusal(ticket)
        if reason is not None:
            order.leaves = 0
            self._end(entry, OrderState.REJECTED, reason)
            self._tell(participant, Rejected(order_id=ticket.order_id, at=self._now, reason=reason))
            return
        self._tell(participant, Accepted(order_id=ticket.order_id, at=self._now, leaves=ticket.quantity))
        self._enter(entry)

    def _cancel_all(self, participant: str) -> None:
        live = [oid for (who, oid), e in self._entries.items() if who == participant and _live(e)]
        for order_id in live:
            self._cancel(participant, order_id)

    def _cancel(self, participant: str, order_id: str) -> None:
        entry = self._entries.get((participant, order_id))
        if entry is None or not _live(entry):
            self._refuse_change(participant, order_id, entry)
            return
        self._pull(entry)
        self._close(entry, OrderState.CANCELLED, "requested")

    def _replace(self, participant: str, order_id: str, quantity: Quantity, price: Price | None) -> None:
        entry = self._entries.get((participant, order_id))
        if entry is None or not _live(entry):
            self._refuse_change(participant, order_id, entry)
            return
        wanted = _changed(entry.ticket, quantity, price)
        reason = "quantity must be positive" if quantity <= 0 else self._refusal(wanted)
        if reason is not None:
            self._tell(participant, CancelRejected(order_id=order_id, at=self._now, reason=reason))
            return
        leaves = quantity - entry.order.filled
        entry.ticket = wanted
        if leaves <= 0:
            self._pull(entry)
            self._close(entry, OrderState.CANCELLED, "quantity reduced to what was filled")
            return
        replaced = Replaced(order_id=order_id, at=self._now, price=price, quantity=quantity, leaves=Quantity(leaves))
        self._tell(participant, replaced)
        self._change(entry, leaves, price)

    def _status(self, participant: str, order_id: str) -> None:
        entry = self._entries.get((participant, order_id))
        if entry is None:
            self._tell(participant, OrderStatus(order_id=order_id, at=self._now, state=OrderState.UNKNOWN))
            return
        for execution in entry.executions:
            self._tell(participant, execution)
        status = OrderStatus(
            order_id=order_id,
            at=self._now,
            state=entry.state,
            cumulative=Quantity(entry.order.filled),
            leaves=Quantity(entry.order.leaves if _live(entry) else 0),
            reason=entry.reason,
        )
        self._tell(participant, status)

    # --- for the cores --------------------------------------------------------------------------------------------

    def _entries_for(
        self, symbols: Collection[Symbol], resting: Mapping[tuple[str, str], OwnOrder]
    ) -> dict[tuple[str, str], Entry]:
        """Entries of a twin that lists `symbols`: of `resting` orders the twin's own copies, of others new ones."""
        return {
            key: Entry(
                entry.ticket,
                resting.get(key) or entry.order.copy(),
                entry.state,
                entry.reason,
                list(entry.executions),
            )
            for key, entry in self._entries.items()
            if entry.ticket.symbol in symbols
        }

    def _tell(self, participant: str, report: AnyReport) -> None:
        sink = self._sinks.get(participant)
        if sink is not None:
            sink(report)

    def _filled(
        self, order: OwnOrder, at: datetime, price: int, lots: int, leaves: int, *, maker: bool, mid: int | None
    ) -> None:
        """Reports one execution; an order with nothing left is over."""
        self._fills += 1
        entry = self._entries[order.participant, order.order_id]
        cumulative = lots + (entry.executions[-1].cumulative if entry.executions else 0)
        report = Executed(
            order_id=order.order_id,
            at=at,
            fill_id=f"{self.name}-{self._fills}",
            price=Price(price),
            quantity=Quantity(lots),
            leaves=Quantity(leaves),
            cumulative=Quantity(cumulative),
            maker=maker,
            mid=None if mid is None else Price(mid),
        )
        entry.executions.append(report)
        if not leaves:
            self._end(entry, OrderState.FILLED)
        self._tell(order.participant, report)

    def _close(self, entry: Entry, state: OrderState, reason: str) -> None:
        """Ends a live order with lots left, as cancelled or expired."""
        order = entry.order
        leaves, order.leaves = order.leaves, 0
        self._end(entry, state, reason)
        kind = Expired if state is OrderState.EXPIRED else Cancelled
        report = kind(
            order_id=order.order_id,
            at=self._now,
            leaves=Quantity(leaves),
            cumulative=Quantity(order.filled),
            reason=reason,
        )
        self._tell(order.participant, report)

    def _end(self, entry: Entry, state: OrderState, reason: str = "") -> None:
        entry.state, entry.reason = state, reason
        self._over.append((entry.order.participant, entry.order.order_id))
        if len(self._over) > REMEMBERED:
            self._entries.pop(self._over.popleft(), None)

    def _refuse_change(self, participant: str, order_id: str, entry: Entry | None) -> None:
        reason = "unknown order" if entry is None else f"order is {entry.state.value}"
        self._tell(participant, CancelRejected(order_id=order_id, at=self._now, reason=reason))


def _live(entry: Entry) -> bool:
    return entry.state is OrderState.LIVE


def _changed(ticket: Ticket, quantity: Quantity, price: Price | None) -> Ticket:
    return Ticket(
        order_id=ticket.order_id,
        symbol=ticket.symbol,
        side=ticket.side,
        quantity=quantity,
        price=price,
        tif=ticket.tif,
        minimum=ticket.minimum,
        book=ticket.book,
    )


def is_ioc(ticket: Ticket) -> bool:
    return ticket.tif is TimeInForce.IOC

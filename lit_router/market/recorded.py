"""An exchange that replays recordings: the same orders and reports as the simulated one, after a declared latency."""

from collections.abc import Collection, Sequence
from copy import copy
from datetime import datetime
from typing import Self

from lit_router.market.latency import InFlight
from lit_router.market.lit_matching import LitMatching, refusal_of_lit
from lit_router.market.lobster import Recording, instrument_of
from lit_router.market.matching_core import Entry, is_ioc
from lit_router.market.orders import LIT, OrderState, Ticket
from lit_router.market.own_orders import OwnOrder
from lit_router.market.recorded_book import RecordedBook
from rfq.domain.errors import BadInput, NotFound
from rfq.domain.values import Instrument, Price, Symbol

HIDDEN = "hidden"
"""The name under which the recorded hidden executions, and off-exchange trades, serve as a dark pool."""


class RecordedExchange(LitMatching):
    """Recordings of one day, played on one market clock. See RecordedBook for what happens to our orders.

    Everything a participant sends takes effect `latency_s` of market time later. At the end of the recordings live
    orders expire and no more are taken.
    """

    def __init__(self, recordings: Sequence[Recording], *, name: str = "REC", latency_s: float = 0.0) -> None:
        """Raises BadInput for recordings that do not begin together or share a symbol."""
        if not recordings:
            raise BadInput("recordings", recordings, "must not be empty")
        starts = {recording.begins_at for recording in recordings}
        if len(starts) != 1:
            raise BadInput("recordings", sorted(starts), "must begin at the same time")
        if len({recording.symbol for recording in recordings}) != len(recordings):
            raise BadInput("recordings", [recording.symbol for recording in recordings], "must not share a symbol")
        super().__init__(name=name, opens_at=recordings[0].begins_at, latency_s=latency_s)
        self._books = {recording.symbol: RecordedBook(recording) for recording in recordings}
        self._instruments = {recording.symbol: instrument_of(recording) for recording in recordings}

    def symbols(self) -> tuple[Symbol, ...]:
        return tuple(self._books)

    def instrument(self, symbol: Symbol) -> Instrument:
        """Raises NotFound."""
        if symbol not in self._instruments:
            raise NotFound("instrument", symbol)
        return self._instruments[symbol]

    def books(self) -> tuple[str, ...]:
        return (LIT, HIDDEN)

    def _play_to(self, market_time: datetime) -> None:
        until_s, over = self._seconds(market_time), False
        for book in self._books.values():
            book.advance(until_s)
            if book.passive_fills:
                self._report_passive(book)
            over |= book.over
        if market_time > self._now:
            self._now = market_time
        if over:
            for entry in self._entries.values():
                if entry.state is OrderState.LIVE and self._books[entry.ticket.symbol].over:
                    self._pull(entry)
                    self._close(entry, OrderState.EXPIRED, "the recording is over")

    def fork(self, name: str, only: Collection[Symbol] | None = None) -> Self:
        """An independent twin on the same recordings, without participants and without what is still on its way.

        `only` lists fewer instruments.
        """
        twin = copy(self)
        twin.name, twin._sinks, twin._over = name, {}, self._over.copy()
        twin._in_flight = InFlight(self._in_flight.latency_s)
        twin._books = {s: book.fork() for s, book in self._books.items() if only is None or s in only}
        resting: dict[tuple[str, str], OwnOrder] = {}
        for book in twin._books.values():
            queues = (*book.bids.values(), *book.asks.values())
            for order in (*(order for queue in queues for order in queue.orders), *book.hidden):
                resting[order.participant, order.order_id] = order
        twin._entries = self._entries_for(twin._books, resting)
        return twin

    def _book(self, symbol: Symbol) -> RecordedBook | None:
        return self._books.get(symbol)

    def _refusal(self, ticket: Ticket) -> str | None:
        book = self._books.get(ticket.symbol)
        if book is None:
            return "unknown symbol"
        if book.halted:
            return "the recording is over" if book.over else "halted"
        if ticket.price is not None and not self._instruments[ticket.symbol].on_tick(ticket.price):
            return "price must be a positive multiple of the tick"
        if ticket.book == LIT:
            return refusal_of_lit(ticket)
        return None if ticket.book == HIDDEN else f"unknown book {ticket.book!r}"

    def _enter(self, entry: Entry) -> None:
        book = self._books[entry.ticket.symbol]
        if entry.ticket.book == LIT:
            self._enter_lit(entry, book)
        elif is_ioc(entry.ticket):
            self._close(entry, OrderState.EXPIRED, "recorded hidden liquidity cannot be probed, only waited for")
        else:
            book.hide(entry.order)

    def _pull(self, entry: Entry) -> None:
        self._books[entry.ticket.symbol].pull(entry.order)

    def _change(self, entry: Entry, leaves: int, price: Price | None) -> None:
        order = entry.order
        if price == order.price and leaves <= order.leaves:
            order.leaves = leaves
            return
        self._pull(entry)
        order.leaves, order.price = leaves, price
        self._enter(entry)

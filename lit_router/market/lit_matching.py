"""Matching against lit books, alike for simulated and recorded ones: executions, resting orders, public depth."""

from abc import abstractmethod
from datetime import datetime, timedelta
from typing import Protocol

from lit_router.market.matching_core import Entry, MatchingCore, is_ioc
from lit_router.market.orders import Depth, OrderState, Ticket
from lit_router.market.own_orders import OwnOrder, PassiveFill, Walk
from rfq.domain.errors import NotFound
from rfq.domain.values import Price, Quantity, Symbol
from rfq.ports import MarketView


class LitBook(Protocol):
    """What a lit book must do. Times in seconds since the opening, prices in price units, sizes in lots."""

    @property
    def now_s(self) -> float: ...
    @property
    def halted(self) -> bool: ...

    passive_fills: list[PassiveFill]

    @property
    def mid(self) -> int | None: ...
    @property
    def volume(self) -> int: ...
    def mid_at(self, at_s: float) -> int | None: ...
    def volume_at(self, at_s: float) -> int: ...
    def last_trade(self) -> tuple[int, int] | None: ...
    def depth(self, bids: bool, most: int = 5) -> list[tuple[int, int]]: ...
    def execute(self, order: OwnOrder, *, rests: bool) -> Walk: ...


class LitMatching(MatchingCore):
    """A core whose instruments each have a lit book."""

    def __init__(self, *, name: str, opens_at: datetime, latency_s: float = 0.0) -> None:
        super().__init__(name=name, opens_at=opens_at, latency_s=latency_s)
        self.opens_at = opens_at

    @abstractmethod
    def _book(self, symbol: Symbol) -> LitBook | None: ...

    def _found(self, symbol: Symbol) -> LitBook:
        book = self._book(symbol)
        if book is None:
            raise NotFound("instrument", symbol)
        return book

    def depth(self, symbol: Symbol) -> Depth:
        book = self._found(symbol)
        last = book.last_trade()
        bids, asks = (
            tuple((Price(price), Quantity(lots)) for price, lots in book.depth(is_bids)) for is_bids in (True, False)
        )
        return Depth(
            symbol=symbol,
            at=self._now,
            bids=bids,
            asks=asks,
            mid=None if book.mid is None else Price(book.mid),
            last_price=None if last is None else Price(last[0]),
            last_quantity=None if last is None else Quantity(last[1]),
            volume=Quantity(book.volume),
            halted=book.halted,
        )

    def view(self, symbol: Symbol) -> MarketView:
        book = self._found(symbol)
        last, bids, asks = book.last_trade(), book.depth(True, 1), book.depth(False, 1)
        return MarketView(
            symbol=symbol,
            bid=Price(bids[0][0]) if bids else None,
            ask=Price(asks[0][0]) if asks else None,
            bid_quantity=Quantity(bids[0][1] if bids else 0),
            ask_quantity=Quantity(asks[0][1] if asks else 0),
            last=None if last is None else Price(last[0]),
            volume=Quantity(book.volume),
            source_at=self._now,
            halted=book.halted,
        )

    def mid_at(self, symbol: Symbol, at: datetime) -> Price | None:
        book = self._found(symbol)
        mid = None if at > self._now else book.mid_at(self._seconds(at))
        return None if mid is None else Price(mid)

    def volume_at(self, symbol: Symbol, at: datetime) -> Quantity:
        """Lots traded in the lit book since the opening up to `at`. Raises NotFound."""
        return Quantity(self._found(symbol).volume_at(self._seconds(at)))

    def _seconds(self, at: datetime) -> float:
        return (at - self.opens_at).total_seconds()

    def _time(self, at_s: float) -> datetime:
        return self.opens_at + timedelta(seconds=at_s)

    def _enter_lit(self, entry: Entry, book: LitBook) -> None:
        """Walks the book, rests what may rest, and reports what happened in order."""
        ticket, order = entry.ticket, entry.order
        mid, leaves = book.mid, order.leaves
        walk = book.execute(order, rests=not is_ioc(ticket))
        for price, lots in walk.taken:
            leaves -= lots
            self._filled(order, self._now, price, lots, leaves, maker=False, mid=mid)
        self._report_passive(book)
        if walk.met_itself:
            self._close(entry, OrderState.CANCELLED, "would have traded with itself")
        elif order.leaves and is_ioc(ticket):
            reason = "no liquidity within the limit" if order.price is not None else "no liquidity"
            self._close(entry, OrderState.EXPIRED, reason)

    def _report_passive(self, book: LitBook) -> None:
        if not book.passive_fills:
            return
        fills, book.passive_fills = book.passive_fills, []
        for at_s, order, price, lots, leaves, mid in fills:
            self._filled(order, self._time(at_s), price, lots, leaves, maker=True, mid=mid)


def refusal_of_lit(ticket: Ticket) -> str | None:
    """Why a lit book does not take this order, or None."""
    if ticket.price is None and not is_ioc(ticket):
        return "a market order must be ioc"
    return "a minimum execution is for dark pools" if ticket.minimum else None

"""The simulated exchange: a lit book and dark pools for each instrument, all in one batched market on one clock.

The simulated day is continuous: trading hours scale volume and volatility, they do not close the books. Everything
follows from the seed and the calls made: same seed, same calls, same reports. What participants do is executed at the
step that is being played, a quarter of a second; it never changes the anonymous flow of a book.
"""

from collections.abc import Collection, Sequence
from copy import copy
from datetime import datetime
from typing import NamedTuple, Self
from zlib import crc32

import numpy as np

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.pools import POOLS, PoolCharacter
from lit_router.market.batch.rules import CancelAssumption
from lit_router.market.latency import InFlight
from lit_router.market.lit_matching import LitMatching, refusal_of_lit
from lit_router.market.matching_core import Entry, is_ioc
from lit_router.market.orders import LIT, OrderState, Ticket
from lit_router.market.parameters import BookParameters, load
from lit_router.market.scaling import character_of
from lit_router.market.simulated_book import SimulatedBook
from rfq.domain.errors import BadInput, NotFound
from rfq.domain.values import Instrument, Price, Symbol

SLOTS = 64
"""Participants' orders that may rest in one instrument at a time, lit and dark together."""
LARGE_TICK = "large_tick"


class Listing(NamedTuple):
    """An instrument and the mid at which its simulated day begins (to within half a tick)."""

    instrument: Instrument
    opening_mid: Price


class SimulatedExchange(LitMatching):
    """The core. See MatchingCore for what participants may do."""

    def __init__(
        self,
        listings: Sequence[Listing],
        *,
        seed: int,
        opens_at: datetime,
        name: str = "SIM",
        pools: Sequence[PoolCharacter] = POOLS,
        assumption: CancelAssumption = CancelAssumption.RANDOM,
        parameters: BookParameters | None = None,
        conditions: bool = True,
        latency_s: float = 0.0,
    ) -> None:
        """Each instrument's randomness depends on the seed and its symbol alone, not on what else is listed.

        Everything a participant sends takes effect `latency_s` of market time later, at the step played then.

        `parameters` are laid on every instrument (default: the large-tick set); without `conditions` there are no
        regimes, news, clustering or makers.
        """
        super().__init__(name=name, opens_at=opens_at, latency_s=latency_s)
        symbols = [listing.instrument.symbol for listing in listings]
        for symbol in symbols:
            if symbols.count(symbol) > 1:
                raise BadInput("listings", symbol, "must be listed once")
        parameters = load(LARGE_TICK) if parameters is None else parameters
        self._pools = tuple(pools)
        self._instruments = {listing.instrument.symbol: listing.instrument for listing in listings}
        self._batch = BatchedMarket(
            parameters,
            [_seed_of(seed, symbol) for symbol in symbols],
            characters=[character_of(*listing, parameters) for listing in listings],
            conditions=conditions,
            orders=SLOTS,
            pool_characters=self._pools,
            cancels=assumption,
        ).compile()
        self._owners: dict[str, int] = {}
        self._listed = {
            symbol: SimulatedBook(self._batch, place, self._owners) for place, symbol in enumerate(symbols)
        }

    def symbols(self) -> tuple[Symbol, ...]:
        return tuple(self._listed)

    def instrument(self, symbol: Symbol) -> Instrument:
        """Raises NotFound."""
        self._find(symbol)
        return self._instruments[symbol]

    def books(self) -> tuple[str, ...]:
        """The lit book and the pools, by name."""
        return (LIT, *(character.name for character in self._pools))

    def _play_to(self, market_time: datetime) -> None:
        # To the millionth: a time that is a whole number of steps is reached, whatever floats make of it.
        steps = int(self._seconds(market_time) / self._batch.step_s + 1e-6) - self._batch.steps
        if steps > 0:
            for book in self._listed.values():
                book.advance(steps)
                self._report_passive(book)
            self._batch.state.step.add_(steps)
        self._now = max(self._now, market_time)

    def halt(self, symbol: Symbol) -> None:
        """Nothing trades and no order is taken until `resume`; cancels are."""
        self._find(symbol).halted = True

    def resume(self, symbol: Symbol) -> None:
        self._find(symbol).halted = False

    def fork(self, name: str, only: Collection[Symbol] | None = None) -> Self:
        """An independent twin, with every order that has arrived but no participant connected, that sees the same
        anonymous flow.

        `name` begins the fill ids of the twin. What participants do to one is not done to the other. `only` lists
        fewer instruments. What was before is not known to it.
        """
        twin = copy(self)
        twin.name, twin._sinks, twin._over = name, {}, self._over.copy()
        twin._in_flight = InFlight(self._in_flight.latency_s)
        places = [place for place, symbol in enumerate(self._listed) if only is None or symbol in only]
        symbols = [symbol for symbol in self._listed if only is None or symbol in only]
        twin._batch, twin._owners = self._batch.copy(places), dict(self._owners)
        twin._instruments = {symbol: self._instruments[symbol] for symbol in symbols}
        twin._listed = {
            symbol: self._listed[symbol].twin(twin._batch, place, twin._owners) for place, symbol in enumerate(symbols)
        }
        resting = {(o.participant, o.order_id): o for book in twin._listed.values() for o in book.orders()}
        twin._entries = self._entries_for(twin._listed, resting)
        return twin

    def _book(self, symbol: Symbol) -> SimulatedBook | None:
        return self._listed.get(symbol)

    def _find(self, symbol: Symbol) -> SimulatedBook:
        try:
            return self._listed[symbol]
        except KeyError:
            raise NotFound("instrument", symbol) from None

    def _refusal(self, ticket: Ticket) -> str | None:
        book = self._listed.get(ticket.symbol)
        if book is None:
            return "unknown symbol"
        if book.halted:
            return "halted"
        if ticket.price is not None and not self._instruments[ticket.symbol].on_tick(ticket.price):
            return "price must be a positive multiple of the tick"
        full = book.refusal(ticket.quantity)
        if full is not None:
            return full
        if ticket.book == LIT:
            return refusal_of_lit(ticket)
        if ticket.book not in self.books():
            return f"unknown book {ticket.book!r}"
        least = book.least(self._pool(ticket))
        return f"quantity is below the pool's smallest execution {least}" if ticket.quantity < least else None

    def _pool(self, ticket: Ticket) -> int:
        return self.books().index(ticket.book) - 1

    def _enter(self, entry: Entry) -> None:
        ticket, order = entry.ticket, entry.order
        book = self._find(ticket.symbol)
        if ticket.book == LIT:
            self._enter_lit(entry, book)
            self._report_dealt(book)
            return
        book.enter_pool(order, self._pool(ticket), rests=not is_ioc(ticket))
        self._report_dealt(book)
        if order.leaves and is_ioc(ticket):
            self._close(entry, OrderState.EXPIRED, "nothing to cross with at the mid")

    def _pull(self, entry: Entry) -> None:
        self._find(entry.ticket.symbol).pull(entry.order)

    def _change(self, entry: Entry, leaves: int, price: Price | None) -> None:
        order = entry.order
        if price == order.price and leaves <= order.leaves:
            self._find(entry.ticket.symbol).reduce(order, leaves)
            return
        self._pull(entry)
        order.leaves, order.price = leaves, price
        self._enter(entry)

    def _report_passive(self, book: SimulatedBook) -> None:
        super()._report_passive(book)
        self._report_dealt(book)

    def _report_dealt(self, book: SimulatedBook) -> None:
        dealt, book.dealt = book.dealt, []
        for order, at_s, price, lots, leaves, maker in dealt:
            at = self._time(at_s) if maker else self._now
            self._filled(order, at, price, lots, leaves, maker=maker, mid=price)


def _seed_of(seed: int, symbol: Symbol) -> int:
    return int(np.random.SeedSequence([seed, crc32(symbol.encode())]).generate_state(1, np.uint64)[0])

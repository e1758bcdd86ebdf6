"""The simulated exchange: a queue-reactive lit book and dark pools for each instrument, on one market clock.

The simulated day is continuous: trading hours scale volume and volatility, they do not close the books. Everything
follows from the seed and the calls made: same seed, same calls, same reports.
"""

from collections.abc import Collection, Sequence
from copy import copy
from datetime import datetime
from typing import NamedTuple, Self
from zlib import crc32

import numpy as np

from lit_router.market.dark_pool import ANONYMOUS, BLOCK_POOL, STREAM_POOL, Cross, DarkPool, PoolCharacter
from lit_router.market.lit_matching import LitMatching, refusal_of_lit
from lit_router.market.matching_core import Entry, is_ioc
from lit_router.market.orders import LIT, OrderState, Ticket
from lit_router.market.own_orders import CancelAssumption, OwnOrder
from lit_router.market.queue_reactive import QueueReactiveBook
from lit_router.market.scaling import book_for, session_s
from rfq.domain.errors import BadInput, NotFound
from rfq.domain.values import Instrument, Price, Symbol


class Listing(NamedTuple):
    """An instrument and the mid at which its simulated day begins (to within half a tick)."""

    instrument: Instrument
    opening_mid: Price


class Listed:
    """One listed instrument: its lit book and its pools."""

    def __init__(self, instrument: Instrument, book: QueueReactiveBook, pools: dict[str, DarkPool]) -> None:
        self.instrument, self.book, self.pools = instrument, book, pools


class SimulatedExchange(LitMatching):
    """The core. See MatchingCore for what participants may do."""

    def __init__(
        self,
        listings: Sequence[Listing],
        *,
        seed: int,
        opens_at: datetime,
        name: str = "SIM",
        pools: Sequence[PoolCharacter] = (BLOCK_POOL, STREAM_POOL),
        assumption: CancelAssumption = CancelAssumption.RANDOM,
    ) -> None:
        """Each instrument's randomness depends on the seed and its symbol alone, not on what else is listed."""
        super().__init__(name=name, opens_at=opens_at)
        self._listed: dict[Symbol, Listed] = {}
        for instrument, opening_mid in listings:
            if instrument.symbol in self._listed:
                raise BadInput("listings", instrument.symbol, "must be listed once")
            of_symbol = np.random.SeedSequence([seed, crc32(instrument.symbol.encode())])
            book_seed, *pool_seeds = of_symbol.spawn(1 + len(pools))
            self._listed[instrument.symbol] = Listed(
                instrument,
                book_for(instrument, opening_mid, book_seed, assumption=assumption),
                {
                    character.name: DarkPool(character, pool_seed, adv=instrument.adv, day_s=session_s(instrument))
                    for character, pool_seed in zip(pools, pool_seeds, strict=True)
                },
            )

    def symbols(self) -> tuple[Symbol, ...]:
        return tuple(self._listed)

    def instrument(self, symbol: Symbol) -> Instrument:
        """Raises NotFound."""
        return self._find(symbol).instrument

    def books(self) -> tuple[str, ...]:
        """The lit book and the pools, by name."""
        first = next(iter(self._listed.values()))
        return (LIT, *first.pools)

    def advance_to(self, market_time: datetime) -> None:
        until_s = self._seconds(market_time)
        for listed in self._listed.values():
            self._advance(listed, until_s)
        self._now = max(self._now, market_time)

    def _advance(self, listed: Listed, until_s: float) -> None:
        book = listed.book
        if book.halted:
            for pool in listed.pools.values():
                pool.advance_silently(until_s)
        while listed.pools:
            pool = min(listed.pools.values(), key=DarkPool.next_arrival_s)
            at_s = pool.next_arrival_s()
            if at_s > until_s:
                break
            book.advance(at_s)
            self._report_passive(book)
            self._report_crosses(pool.arrive(book.mid, _lean(book)))
        book.advance(until_s)
        self._report_passive(book)

    def halt(self, symbol: Symbol) -> None:
        """Nothing trades and no order is taken until `resume`; cancels are."""
        self._find(symbol).book.halted = True

    def resume(self, symbol: Symbol) -> None:
        self._find(symbol).book.halted = False

    def fork(self, name: str, only: Collection[Symbol] | None = None) -> Self:
        """An independent twin, with every order but no participant connected, that sees the same exogenous flow.

        `name` begins the fill ids of the twin. What participants do to one is not done to the other. `only` lists
        fewer instruments.
        """
        twin = copy(self)
        twin.name, twin._sinks, twin._over = name, {}, self._over.copy()
        twin._listed = {
            symbol: Listed(
                listed.instrument,
                listed.book.fork(),
                {pool_name: pool.fork() for pool_name, pool in listed.pools.items()},
            )
            for symbol, listed in self._listed.items()
            if only is None or symbol in only
        }
        resting: dict[tuple[str, str], OwnOrder] = {}
        for listed in twin._listed.values():
            queues = (*listed.book.bids.values(), *listed.book.asks.values())
            orders = [order for queue in queues for order in queue.orders]
            for pool in listed.pools.values():
                orders += pool.orders()
            resting |= {(order.participant, order.order_id): order for order in orders}
        twin._entries = self._entries_for(twin._listed, resting)
        return twin

    def _book(self, symbol: Symbol) -> QueueReactiveBook | None:
        listed = self._listed.get(symbol)
        return None if listed is None else listed.book

    def _find(self, symbol: Symbol) -> Listed:
        try:
            return self._listed[symbol]
        except KeyError:
            raise NotFound("instrument", symbol) from None

    def _refusal(self, ticket: Ticket) -> str | None:
        listed = self._listed.get(ticket.symbol)
        if listed is None:
            return "unknown symbol"
        if listed.book.halted:
            return "halted"
        if ticket.price is not None and not listed.instrument.on_tick(ticket.price):
            return "price must be a positive multiple of the tick"
        if ticket.book == LIT:
            return refusal_of_lit(ticket)
        pool = listed.pools.get(ticket.book)
        if pool is None:
            return f"unknown book {ticket.book!r}"
        if ticket.quantity < pool.minimum:
            return f"quantity is below the pool's smallest execution {pool.minimum}"
        return None

    def _enter(self, entry: Entry) -> None:
        ticket, order = entry.ticket, entry.order
        listed = self._find(ticket.symbol)
        book = listed.book
        if ticket.book != LIT:
            pool = listed.pools[ticket.book]
            self._report_crosses(pool.enter(order, book.now_s, book.mid, rests=not is_ioc(ticket)))
            if order.leaves and is_ioc(ticket):
                self._close(entry, OrderState.EXPIRED, "nothing to cross with at the mid")
            return
        self._enter_lit(entry, book)

    def _pull(self, entry: Entry) -> None:
        listed = self._find(entry.ticket.symbol)
        if entry.ticket.book == LIT:
            listed.book.pull(entry.order)
            self._report_passive(listed.book)
        else:
            listed.pools[entry.ticket.book].withdraw(entry.order)

    def _change(self, entry: Entry, leaves: int, price: Price | None) -> None:
        order = entry.order
        if price == order.price and leaves <= order.leaves:
            order.leaves = leaves
            self._find(entry.ticket.symbol).book.recount()
            return
        self._pull(entry)
        order.leaves, order.price = leaves, price
        self._enter(entry)

    def _report_crosses(self, crosses: list[Cross]) -> None:
        for at_s, bought, sold, price, lots, bought_leaves, sold_leaves, maker_buys in crosses:
            for order, leaves, maker in (
                (bought, bought_leaves, maker_buys),
                (sold, sold_leaves, not maker_buys),
            ):
                if order.participant != ANONYMOUS:
                    self._filled(order, self._time(at_s), price, lots, leaves, maker=maker, mid=price)


def _lean(book: QueueReactiveBook) -> float:
    """The book's lean at its first levels, -1 (all asks) to 1 (all bids)."""
    bids, asks = book.queues[0], book.queues[book.levels]
    return (bids - asks) / (bids + asks) if bids + asks else 0.0

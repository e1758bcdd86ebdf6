"""Handmade days of ticks: the NBBO as it changes, one side a row, and trades."""

import random

import numpy as np
from recordings import ACME, ASK, BEGINS, BID

from lit_router.market.nbbo import TickDay

Quote = tuple[float, int, int, int, int]
"""Time, bid, its lots, ask, its lots."""
Trade = tuple[float, int, int, str]
"""Time, price, lots, and where: "N" on an exchange, "D" off it, "X" of a special kind."""


def tick_day(quotes: list[Quote], trades: list[Trade], ends_s: float = 100.0) -> TickDay:
    times_s, bids, bid_lots, asks, ask_lots = zip(*quotes, strict=True)
    traded_s, prices, lots, where = zip(*trades, strict=True) if trades else ((), (), (), ())

    def ints(column: tuple[int, ...]) -> np.ndarray:
        return np.array(column, dtype=np.int64)

    return TickDay(
        symbol=ACME,
        begins_at=BEGINS,
        ends_s=ends_s,
        quote_times_s=np.array(times_s, dtype=np.float64),
        bids=ints(bids),
        bid_lots=ints(bid_lots),
        asks=ints(asks),
        ask_lots=ints(ask_lots),
        crossed=(ints(bid_lots) > 0) & (ints(ask_lots) > 0) & (ints(bids) >= ints(asks)),
        trade_times_s=np.array(traded_s, dtype=np.float64),
        trade_prices=ints(prices),
        trade_lots=ints(lots),
        off_exchange=np.array([place == "D" for place in where], dtype=bool),
        ordinary=np.array([place != "X" for place in where], dtype=bool),
        dropped=0,
    )


def random_tick_day(rng: random.Random, rows: int) -> TickDay:
    """Quotes that wander, sometimes lock or cross, and trades at, between and beyond them; some at the same moment."""
    quotes: list[Quote] = []
    trades: list[Trade] = []
    bid, bid_lots, ask, ask_lots = BID, 100, ASK, 100
    at_s = 0.0
    for number in range(rows):
        at_s += rng.choice((0.0, 0.0, 0.5, 1.0)) if number else 0.0
        side, change = rng.choice(("bid", "ask")), rng.choice((0, 0, 0, 100, 200, -100, -100, -300))
        lots = rng.choice((1, 20, 50, 100, 150))
        if side == "bid" and bid + change <= ask + 100:
            bid, bid_lots = bid + change, lots
        elif side == "ask" and ask - change >= bid - 100:
            ask, ask_lots = ask - change, lots
        quotes.append((at_s, bid, bid_lots, ask, ask_lots))
        for _ in range(rng.choice((0, 0, 1, 2))):
            price = rng.choice((bid, bid, ask, ask, (bid + ask) // 2, bid + 100, bid - 100, ask + 100))
            trades.append((at_s + rng.choice((0.0, 0.25)), price, rng.randint(1, 120), rng.choice("NNNDDX")))
    return tick_day(quotes, sorted(trades, key=lambda trade: trade[0]), ends_s=at_s + 1)

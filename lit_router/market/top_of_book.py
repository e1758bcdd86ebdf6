"""A day of ticks as a recording with one level, so that it is played like any other.

What a day of quotes and trades can say, and what is made of it:

- A quote that adds to the best price or improves it is an addition. One that shrinks is a cancel behind our orders:
  who left is not known, and a trade may be the cause, which has moved us up already. A best price that falls back is a
  FALL: all that lay between the old and the new price is gone, and the new best comes into view.
- A trade on an exchange at the best bid or ask is an execution there. It shrinks the displayed size at once, to no less
  than one share, because quotes follow trades late or not at all; the next quote of that size puts it right.
- One on an exchange strictly between them met a hidden order: a seller's above the mid, a buyer's below.
- Off-exchange trades at or between the best prices, and any at the mid, are DARK_PRINTs: dark liquidity, of a seller
  above the mid, a buyer below, and at the mid for whoever is there. They touch no displayed order.
- Every other trade is a PRINT: volume and nothing else (beyond the quotes, auctions, average prices, all while the
  quotes are locked or crossed).
- From locked or crossed quotes until they are not, nothing happens; then all that changed meanwhile happens at once.

A trade is judged by the quotes before its millisecond: of the trades on exchanges in the samples 97% and more then
fall at or between them; with those of the same millisecond, IBM's at the best prices drop from 74% to 55%.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lit_router.market.lobster import (
    ADD,
    DARK_PRINT,
    EXECUTION,
    FALL,
    HIDDEN_EXECUTION,
    PARTIAL_CANCEL,
    PRINT,
    UNMOVED,
    Ints,
    Recording,
)
from lit_router.market.nbbo import Flags, TickDay

NOWHERE = np.iinfo(np.int64).min
"""Worth of the best price of an absent side: worse than any."""


class Messages(NamedTuple):
    """Messages in any order. `rank` orders them; `quote` is the quote row whose prices stand after each."""

    rank: Ints
    times_s: npt.NDArray[np.float64]
    kinds: Ints
    sizes: Ints
    prices: Ints
    buys: Flags
    quote: Ints
    bid_lots: Ints
    ask_lots: Ints


def recording(day: TickDay) -> Recording:
    """The day as messages with the best bid and ask after each."""
    # Of one millisecond the trades come first; the quote that stood at the open comes before everything.
    slots = np.maximum(np.searchsorted(day.quote_times_s, day.trade_times_s, side="left"), 1)
    trades, at_bid, at_ask = _classified(day, slots)
    bids = _Side(day, slots, np.where(at_bid, day.trade_lots, 0), bids=True)
    asks = _Side(day, slots, np.where(at_ask, day.trade_lots, 0), bids=False)
    quiet = np.flatnonzero(~(bids.changed | asks.changed))
    parts = [
        bids.messages(asks),
        asks.messages(bids),
        _unmoved(day, quiet, bids, asks),
        trades._replace(bid_lots=bids.after_trades, ask_lots=asks.after_trades),
    ]
    joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    order = np.argsort(joined[0], kind="stable")
    all_of = Messages(*(column[order] for column in joined))
    return Recording(
        symbol=day.symbol,
        begins_at=day.begins_at,
        ends_s=day.ends_s,
        times_s=all_of.times_s,
        kinds=all_of.kinds,
        sizes=all_of.sizes,
        prices=all_of.prices,
        buys=all_of.buys,
        asks=np.stack([day.asks[all_of.quote], all_of.ask_lots], axis=-1)[:, None],
        bids=np.stack([day.bids[all_of.quote], all_of.bid_lots], axis=-1)[:, None],
        added_at=np.arange(len(order)),  # As if just added: whatever shrinks is behind us.
        crossed=day.crossed[all_of.quote],
    )


def _classified(day: TickDay, slots: Ints) -> tuple[Messages, Flags, Flags]:
    """The trades as messages, displayed sizes still open, and which of them were executed at the bid and at the ask."""
    quote = slots - 1
    bid, ask, price = day.bids[quote], day.asks[quote], day.trade_prices
    quoted = day.ordinary & ~day.crossed[quote] & (day.bid_lots[quote] > 0) & (day.ask_lots[quote] > 0)
    listed, within, at_mid = quoted & ~day.off_exchange, (price > bid) & (price < ask), 2 * price == bid + ask
    at_bid, at_ask = listed & (price == bid), listed & (price == ask)
    dark = quoted & (price >= bid) & (price <= ask) & (day.off_exchange | at_mid)
    kinds = np.select(
        [at_bid | at_ask, listed & within & ~at_mid, dark], [EXECUTION, HIDDEN_EXECUTION, DARK_PRINT], PRINT
    )
    none = np.zeros(len(quote), dtype=np.int64)
    rank, resting_buyer = 4 * slots, 2 * price < bid + ask
    trades = Messages(rank, day.trade_times_s, kinds, day.trade_lots, price, resting_buyer, quote, none, none)
    return trades, at_bid, at_ask


class _Side:
    """One side of the quotes: where it changed from one uncrossed row to the next, and what of it is still displayed
    after executions. Arrays have one entry a quote row, `after_trades` one a trade."""

    def __init__(self, day: TickDay, slots: Ints, executed: Ints, *, bids: bool) -> None:
        self.day, self.bids = day, bids
        self.prices, self.lots = (day.bids, day.bid_lots) if bids else (day.asks, day.ask_lots)
        rows = np.arange(len(self.prices))
        before = np.full(len(rows), -1)
        before[1:] = np.maximum.accumulate(np.where(day.crossed, -1, rows))[:-1]
        self.worth = np.where(self.lots > 0, self.prices if bids else -self.prices, NOWHERE)
        self.before = before
        self.worth_before = np.where(before >= 0, self.worth[before], NOWHERE)
        lots_before = np.where(before >= 0, self.lots[before], 0)
        self.changed = ~day.crossed & ((self.worth != self.worth_before) | (self.lots != lots_before))
        # Executions since the side last changed are no longer displayed.
        eaten = np.concatenate([[0], np.cumsum(executed)])
        eaten_before_row = eaten[np.searchsorted(slots, rows, side="right")]
        since = np.maximum.accumulate(np.where(self.changed, rows, -1))

        def displayed(change: Ints, eaten_by_now: Ints) -> Ints:
            left = np.maximum(self.lots[change] - (eaten_by_now - eaten_before_row[change]), 1)
            return np.where((change >= 0) & (self.lots[change] > 0), left, 0)

        self.displayed_before = displayed(np.concatenate([[-1], since[:-1]]), eaten_before_row)
        self.displayed_after = np.where(self.changed, self.lots, self.displayed_before)
        self.after_trades = displayed(since[slots - 1], eaten[1:])

    def messages(self, other: "_Side") -> Messages:
        """One message for each change."""
        rows = np.flatnonzero(self.changed)
        fell = self.worth[rows] < self.worth_before[rows]
        more = np.where(self.worth[rows] > self.worth_before[rows], self.lots[rows],
                        self.lots[rows] - self.displayed_before[rows])  # fmt: skip
        kinds = np.select([fell, more > 0, more < 0], [FALL, ADD, PARTIAL_CANCEL], UNMOVED)
        sizes = np.where(fell, self.displayed_before[rows], np.abs(more))
        prices = np.where(fell, self.prices[self.before[rows]], self.prices[rows])
        mine, others = self.displayed_after[rows], other.displayed_after[rows]
        bid_lots, ask_lots = (mine, others) if self.bids else (others, mine)
        buys = np.full(len(rows), self.bids)
        times_s = self.day.quote_times_s[rows]
        return Messages(4 * rows + 1 + (not self.bids), times_s, kinds, sizes, prices, buys, rows, bid_lots, ask_lots)


def _unmoved(day: TickDay, rows: Ints, bids: _Side, asks: _Side) -> Messages:
    """Quotes that change nothing that is shown: those that are locked or crossed, and an end of it as it was before."""
    none = np.zeros(len(rows), dtype=np.int64)
    bid_lots, ask_lots = bids.displayed_after[rows], asks.displayed_after[rows]
    kinds, buys = np.full(len(rows), UNMOVED), np.zeros(len(rows), dtype=bool)
    return Messages(4 * rows + 1, day.quote_times_s[rows], kinds, none, none, buys, rows, bid_lots, ask_lots)

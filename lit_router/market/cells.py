"""A recorded book as the model sees it: queues in cells, counted from a reference price that follows the mid.

A cell gathers the real prices nearest to one grid price. Cells of the bids are numbered downwards from the reference,
those of the asks upwards from the grid price above it; an order beyond the reference counts in the first cell of its
side. The reference follows by the rule of the simulated book, played along the recorded path: when the mid of the cells
moved up and the first `follow` ask cells are empty it goes up by one cell, and down likewise.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lit_router.market.lobster import ADD, DELETE, EXECUTION, HALT, PARTIAL_CANCEL, TICK, Recording
from lit_router.market.stream import CANCEL, LIMIT, MARKET

Ints = npt.NDArray[np.int64]
BIDS, ASKS = 0, 1
NO_BID, NO_ASK = -(1 << 40), 1 << 40
"""Grid prices of the best of an empty side."""


class Grid(NamedTuple):
    """`ticks` between grid prices, `levels` cells a side, and how many must be empty for the reference to `follow`."""

    ticks: int
    levels: int
    follow: int

    @property
    def reach(self) -> int:
        """Ticks by which a cell goes deeper than its grid price."""
        return (self.ticks - 1) // 2

    def prices(self, prices: Ints, buys: npt.NDArray[np.bool_] | bool) -> Ints:
        """Nearest grid price of prices in units of 0.0001; of two, the one deeper in the book."""
        ticks = prices // TICK
        return np.where(buys, (ticks + self.reach) // self.ticks, -((self.reach - ticks) // self.ticks))


class Events(NamedTuple):
    """Limit orders, cancels and market orders in time order: of each its kind, side, size in lots and price, the row
    of the recording `before` it and the row in which it was `done`. Executions at one time on one side are one."""

    kinds: Ints
    buys: npt.NDArray[np.bool_]
    lots: Ints
    prices: Ints
    before: Ints
    done: Ints

    def only(self, chosen: npt.NDArray[np.bool_]) -> "Events":
        kinds, buys, lots, prices, before, done = self
        return Events(kinds[chosen], buys[chosen], lots[chosen], prices[chosen], before[chosen], done[chosen])


def events_of(recording: Recording) -> Events:
    """All displayed events. Hidden executions and crosses do not touch the displayed book and are left out."""
    kinds, times = recording.kinds, recording.times_s
    single = np.flatnonzero(np.isin(kinds, (ADD, PARTIAL_CANCEL, DELETE)))
    executed = np.flatnonzero(kinds == EXECUTION)
    orders = np.stack([times[executed], recording.buys[executed]], axis=1)
    _, opening, order = np.unique(orders, axis=0, return_index=True, return_inverse=True)
    order = order.reshape(-1)
    closing = np.zeros(len(opening), np.int64)
    np.maximum.at(closing, order, executed)
    lots = np.bincount(order, recording.sizes[executed], minlength=len(opening)).astype(np.int64)
    first = np.concatenate([single, executed[opening]])
    done = np.concatenate([single, closing])
    sizes = np.concatenate([recording.sizes[single], lots])
    by_time = np.argsort(done)
    first, done = first[by_time], done[by_time]
    kind = np.select([kinds[first] == ADD, kinds[first] == EXECUTION], [LIMIT, MARKET], CANCEL)
    return Events(kind, recording.buys[first], sizes[by_time], recording.prices[first], first - 1, done)


def reference_path(bids: Ints, asks: Ints, closes: npt.NDArray[np.bool_], grid: Grid) -> Ints:
    """The reference after each row, a grid price: the first bid cell, with the first ask cell above it.

    `bids` and `asks` are grid prices of the best, NO_BID and NO_ASK where there is none. A row that does not `close` an
    event (the first executions of a market order), or with an empty side, gives the reference no chance to move. It
    begins in the middle of the first row with both sides.
    """
    both = (bids > NO_BID) & (asks < NO_ASK)
    start = int(np.argmax(both))
    reference = int(bids[start] + asks[start] - 1) // 2
    path = np.full(len(bids), reference, np.int64)
    last = None
    for row, (bid, ask, counts) in enumerate(zip(bids.tolist(), asks.tolist(), (both & closes).tolist(), strict=True)):
        if counts:
            below, above = max(0, reference - bid), max(0, ask - reference - 1)
            moved = 0 if last is None else above - below - last
            if moved > 0 and above >= grid.follow:
                reference += 1
            elif moved < 0 and below >= grid.follow:
                reference -= 1
            last = max(0, ask - reference - 1) - max(0, reference - bid)
        path[row] = reference
    return path


class Cells(NamedTuple):
    """The recorded book after each row. `lots` has shape (rows, 2, levels), bids first; `seen` says which cells lie
    wholly within the recorded depth; `best` is the first cell that is not empty, `levels` if none, by (row, side);
    `still` says that trading was halted or the quotes were crossed."""

    grid: Grid
    reference: Ints
    lots: Ints
    seen: npt.NDArray[np.bool_]
    best: Ints
    still: npt.NDArray[np.bool_]

    def hit(self, events: Events) -> Ints:
        """The cell each event fell on, in the book before it: of a market order the best, whatever its price."""
        row, side = events.before, np.where(events.buys, BIDS, ASKS)
        up = self.grid.prices(events.prices, events.buys) - (self.reference[row] + side)
        return np.where(events.kinds == MARKET, self.best[row, side], np.maximum(np.where(events.buys, -up, up), 0))


def cells_of(recording: Recording, events: Events, grid: Grid) -> Cells:
    """Sorts the whole recorded book into cells."""
    rows, levels = len(recording.times_s), grid.levels
    at = [grid.prices(side[:, :, 0], buys) for side, buys in ((recording.bids, True), (recording.asks, False))]
    shown = [side[:, :, 1] for side in (recording.bids, recording.asks)]
    best_bid = np.where(shown[BIDS][:, 0] > 0, at[BIDS][:, 0], NO_BID)
    best_ask = np.where(shown[ASKS][:, 0] > 0, at[ASKS][:, 0], NO_ASK)
    closes = np.ones(rows, np.bool_)
    closes[recording.kinds == EXECUTION] = False
    closes[events.done] = True
    reference = reference_path(best_bid, best_ask, closes, grid)
    lots = np.zeros((rows, 2, levels), np.int64)
    seen = np.ones((rows, 2, levels), np.bool_)
    for side, sign in ((BIDS, -1), (ASKS, 1)):
        first = reference + side
        cell = np.clip(sign * (at[side] - first[:, None]), 0, levels)
        place = np.arange(rows)[:, None] * (levels + 1) + cell
        sums = np.bincount(place.ravel(), shown[side].ravel(), minlength=rows * (levels + 1))
        lots[:, side] = sums.reshape(rows, levels + 1)[:, :levels]
        # A cell is seen whole if its last tick is no deeper than the deepest price shown; all are, if levels are spare.
        deepest = (recording.bids, recording.asks)[side][:, -1, 0] // TICK
        last = (first[:, None] + sign * np.arange(levels)) * grid.ticks + sign * grid.reach
        seen[:, side] = (sign * (last - deepest[:, None]) <= 0) | (shown[side][:, -1:] == 0)
    best = np.where((lots > 0).any(axis=2), np.argmax(lots > 0, axis=2), levels)
    return Cells(grid, reference, lots, seen, best, _still(recording))


def _still(recording: Recording) -> npt.NDArray[np.bool_]:
    """Rows after which there is no market: from a halt message of price -1 to one of price 1, and while crossed."""
    told = np.where(recording.kinds == HALT, recording.prices, 0)
    last = np.maximum.accumulate(np.where(told != 0, np.arange(len(told)), 0))
    halted = told[last] == -1
    return halted if recording.crossed is None else halted | recording.crossed

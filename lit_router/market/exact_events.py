"""The exact book's events, compiled: one market from event to event, and participants' orders in its queues.

The cells of the ladder are bids from the deepest to the best, then asks from the best to the deepest. `exact` makes the
tables and says what comes out.
"""

from typing import NamedTuple

import numpy as np

from lit_router.market.batch.compilation import compiled
from lit_router.market.parameters import LARGEST, QUANTILES, Floats

GOLDEN, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""Of splitmix64 (Steele, Lea, Flood 2014): the state is counted up and mixed."""
BUYS, LOTS, PRICE, AHEAD, LEAVES = range(5)
"""Columns of participants' orders. A price is a cell, counted from where the reference price began; an order of which
nothing is left is none."""


class Book(NamedTuple):
    """Rates are events a second by (cell, queue size)."""

    limit: Floats
    both: Floats
    """Limit orders and cancels together."""
    market: Floats
    """Market orders, where the cell is the best of its side."""
    fresh: Floats
    """Cumulative law of fresh queues by (cell, size)."""
    follow: int
    theta: float
    theta_reinit: float
    reluctant_bids: float
    reluctant_asks: float
    """Chance that a redrawn first queue comes in empty, under strain."""
    mean_lots: int
    thin_queue: int


@compiled
def mixed(state):  # pragma: no cover (compiled)
    z = (state ^ (state >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))


@compiled
def uniform(state):  # pragma: no cover (compiled)
    """At least 0 and less than 1."""
    return np.float64(mixed(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def size_of(lots, mean_lots):  # pragma: no cover (compiled)
    """Queue size in average events, rounded up, at most LARGEST."""
    return min(LARGEST, lots if mean_lots == 1 else (lots + mean_lots - 1) // mean_lots)


@compiled
def drawn_lots(sizes, kind, size, thin_queue, state):  # pragma: no cover (compiled)
    """Lots of one event: kind 0 a limit order, 2 a cancel, 4 a market order."""
    return sizes[kind + (1 if size > thin_queue else 0), mixed(state) & np.uint64(QUANTILES - 1)]


@compiled
def best_bid(queues):  # pragma: no cover (compiled)
    cell = len(queues) // 2 - 1
    while cell >= 0 and queues[cell] == 0:
        cell -= 1
    return cell


@compiled
def best_ask(queues):  # pragma: no cover (compiled)
    cell = len(queues) // 2
    while cell < len(queues) and queues[cell] == 0:
        cell += 1
    return cell


@compiled
def market_rate(book, queues, cell):  # pragma: no cover (compiled)
    """Of market orders that hit this cell, the best of its side; none if that side is empty."""
    if cell < 0 or cell >= len(queues):
        return 0.0
    return book.market[cell, size_of(queues[cell], book.mean_lots)]


@compiled
def fresh_queue(book, cell, chance):  # pragma: no cover (compiled)
    size = 0
    while book.fresh[cell, size] <= chance:
        size += 1
    return size * book.mean_lots


@compiled
def play(key, book, sample_s, mids, sizes, own, cancels, filled):  # pragma: no cover (compiled)
    """Plays one market; returns its mean spread in cells, lots traded, events. `mids` gets one more value than there
    are samples, in cells; `filled` the seconds until each order was filled, by (sample, order).

    Without `sizes` every event is an average one, without `own` there are no participants' orders: the code compiled
    for that does not even ask.
    """
    cells, levels, mean_lots, state = len(book.limit), len(book.limit) // 2, book.mean_lots, key
    queues, rates = np.zeros(cells, np.int64), np.zeros(cells + 2)
    for place in range(cells):
        state += GOLDEN
        queues[place] = fresh_queue(book, place, uniform(state))
    bid, ask = best_bid(queues), best_ask(queues)
    total = rated(book, queues, bid, ask, rates)
    reference, tilt = 0, ask + bid - cells + 1
    now = since = area = 0.0
    sampled = traded = events = 0
    mids[0] = 0.5 * tilt
    if own is not None:
        join(own, queues, bid, ask, reference)
    while True:
        state += GOLDEN
        now -= np.log(1.0 - uniform(state)) / total
        while now >= (sampled + 1) * sample_s:
            sampled += 1
            mids[sampled] = reference + 0.5 * tilt
            if sampled + 1 == len(mids):
                ended = sampled * sample_s
                return (area + (ask - bid) * (ended - since)) / ended, traded, events
            if own is not None:
                join(own, queues, bid, ask, reference)
        events += 1
        state += GOLDEN
        left, cell = uniform(state) * total, 0
        while cell <= cells and left >= rates[cell]:
            left -= rates[cell]
            cell += 1
        if cell < cells:
            stood, lots = queues[cell], mean_lots
            size = size_of(stood, mean_lots)
            comes = left < book.limit[cell, size]
            if sizes is not None:
                state += GOLDEN
                lots = drawn_lots(sizes, 0 if comes else 2, size, book.thin_queue, state)
            after = stood + lots if comes else max(0, stood - lots)
            if own is not None:
                state += GOLDEN
                cancelled(own, reference + cell, cell < levels, stood, stood - after, cancels, uniform(state))
            queues[cell] = after
            rate = book.both[cell, size_of(after, mean_lots)]
            total += rate - rates[cell]
            rates[cell] = rate
            at_best = bid == cell or cell == ask
            changed = after == 0 if at_best else bid < cell < ask and after > 0
            if at_best and not changed:
                slot = cells if cell == bid else cells + 1
                rate = market_rate(book, queues, cell)
                total += rate - rates[slot]
                rates[slot] = rate
        else:
            # A market order walks the bids or asks, best first.
            hits_bids = cell == cells
            first, way = (bid, -1) if hits_bids else (ask, 1)
            size, lots = size_of(queues[first], mean_lots), mean_lots
            if sizes is not None:
                state += GOLDEN
                lots = drawn_lots(sizes, 4, size, book.thin_queue, state)
            if own is not None:
                hit(own, queues, hits_bids, reference, lots, filled, sampled, now - sampled * sample_s)
            place = first
            while lots > 0 and 0 <= place < cells and (place < levels) == hits_bids:
                here = min(lots, queues[place])
                queues[place] -= here
                lots -= here
                traded += here
                rate = book.both[place, size_of(queues[place], mean_lots)]
                total += rate - rates[place]
                rates[place] = rate
                place += way
            changed = queues[first] == 0
            rate = 0.0 if changed else market_rate(book, queues, first)
            total += rate - rates[cell]
            rates[cell] = rate
        if changed:
            area += (ask - bid) * (now - since)
            since = now
            bid, ask = best_bid(queues), best_ask(queues)
            turned = ask + bid - cells + 1
            if turned != tilt:
                up = turned > tilt
                emptied = ask - levels if up else levels - 1 - bid
                state += GOLDEN
                if emptied >= book.follow and uniform(state) < book.theta:
                    reference += 1 if up else -1
                    state += GOLDEN
                    if uniform(state) < book.theta_reinit:
                        for place in range(cells):
                            state += GOLDEN
                            queues[place] = fresh_queue(book, place, uniform(state))
                        state += GOLDEN
                        if uniform(state) < book.reluctant_bids:
                            queues[levels - 1] = 0
                        if uniform(state) < book.reluctant_asks:
                            queues[levels] = 0
                    else:
                        state += GOLDEN
                        shift(book, queues, up, uniform(state))
                    bid, ask = best_bid(queues), best_ask(queues)
                    turned = ask + bid - cells + 1
                tilt = turned
            # All anew, which keeps rounding from adding up.
            total = rated(book, queues, bid, ask, rates)
        if own is not None:
            settle(own, queues, reference, filled, sampled, now - sampled * sample_s)


@compiled
def rated(book, queues, bid, ask, rates):  # pragma: no cover (compiled)
    """All rates anew; returns their sum."""
    cells, total = len(queues), 0.0
    for cell in range(cells):
        rates[cell] = book.both[cell, size_of(queues[cell], book.mean_lots)]
        total += rates[cell]
    rates[cells], rates[cells + 1] = market_rate(book, queues, bid), market_rate(book, queues, ask)
    return total + rates[cells] + rates[cells + 1]


@compiled
def shift(book, queues, up, chance):  # pragma: no cover (compiled)
    """The reference price moved by one cell: contents stay at their price, the cell that changed sides is empty, and
    the deepest of the other side is drawn."""
    cells, levels = len(queues), len(queues) // 2
    if up:
        for cell in range(cells - 1):
            queues[cell] = queues[cell + 1]
        queues[cells - 1] = fresh_queue(book, cells - 1, chance)
        queues[levels - 1] = 0
    else:
        for cell in range(cells - 1, 0, -1):
            queues[cell] = queues[cell - 1]
        queues[0] = fresh_queue(book, 0, chance)
        queues[levels] = 0


@compiled
def join(own, queues, bid, ask, reference):  # pragma: no cover (compiled)
    """Every order joins the back of the best queue of its side; where there is none, it is not sent."""
    for k in range(len(own)):
        cell = bid if own[k, BUYS] else ask
        own[k, LEAVES] = own[k, LOTS] if 0 <= cell < len(queues) else 0
        if own[k, LEAVES]:
            own[k, PRICE], own[k, AHEAD] = reference + cell, queues[cell]


@compiled
def cancelled(own, price, bids, stood, gone, cancels, chance):  # pragma: no cover (compiled)
    """`gone` lots of a queue of `stood` are cancelled: in front of our orders, at random, or behind them first."""
    for k in range(len(own)):
        if gone > 0 and own[k, LEAVES] and own[k, PRICE] == price and (own[k, BUYS] == 1) == bids:
            ahead = min(own[k, AHEAD], stood)
            in_front = cancels == 0 or (cancels == 1 and chance * stood < ahead)
            own[k, AHEAD] = ahead - (min(ahead, gone) if in_front else max(0, gone - (stood - ahead)))


@compiled
def hit(own, queues, hits_bids, reference, lots, filled, sampled, after_s):  # pragma: no cover (compiled)
    """A market order reaches our orders after what is at better prices and ahead of them at theirs."""
    levels = len(queues) // 2
    for k in range(len(own)):
        if own[k, LEAVES] == 0 or (own[k, BUYS] == 1) != hits_bids:
            continue
        cell, way = own[k, PRICE] - reference, -1 if hits_bids else 1
        place = levels - 1 if hits_bids else levels
        before = 0
        while 0 <= place < 2 * levels and (place - cell) * way < 0:
            before += queues[place]
            place += way
        if place == cell or not 0 <= place < 2 * levels:
            # What is executed in front of an order no longer stands there.
            ahead = own[k, AHEAD]
            own[k, AHEAD] = ahead - min(ahead, max(0, lots - before))
            before += ahead
        if lots > before:
            own[k, LEAVES] -= min(lots - before, own[k, LEAVES])
            if own[k, LEAVES] == 0:
                filled[sampled, k] = after_s


@compiled
def settle(own, queues, reference, filled, sampled, after_s):  # pragma: no cover (compiled)
    """After an event: nobody stands behind more than there is, and whom the other side's queues have come to trades
    with them once they are large enough for the whole order."""
    levels = len(queues) // 2
    for k in range(len(own)):
        cell, bids = own[k, PRICE] - reference, own[k, BUYS] == 1
        if own[k, LEAVES] == 0:
            continue
        if 0 <= cell < 2 * levels:
            own[k, AHEAD] = min(own[k, AHEAD], queues[cell]) if (cell < levels) == bids else 0
        low, high = (levels, min(cell + 1, 2 * levels)) if bids else (max(cell, 0), levels)
        facing = 0
        for place in range(low, high):
            facing += queues[place]
        if facing >= own[k, LEAVES]:
            own[k, LEAVES], filled[sampled, k] = 0, after_s

"""Markets played and written down event by event: the loop of `compiled.play` for the anonymous book alone.

Each cell keeps a shelf of its ticks, the nearest first. Their sum is the cell's queue in the market's own state, which
is stepped by the same parts as ever; what is drawn here (the order of events, their times, their ticks) changes nothing
in it.
"""

import numpy as np

from lit_router.market.batch.compilation import compiled, inlined
from lit_router.market.batch.compiled import remember
from lit_router.market.batch.compiled_arrivals import (
    find_arrivals,
    keep_empty,
    lanes_of,
    new_desk,
    part_of,
    set_rows,
    set_sizes,
    side_rows,
    size_arrivals,
)
from lit_router.market.batch.compiled_book import (
    ARRIVALS,
    MARKET_ORDERS,
    REFERENCE,
    conditions_of,
    follow,
    lots_of,
    outcome,
    shift_cells,
    size_of,
    word,
)
from lit_router.market.batch.compiled_hits import hit_side, how_many, imbalance, lots_hit
from lit_router.market.parameters import QUANTILES
from lit_router.market.stream import CANCEL, LIMIT, MARKET

EVENT = np.dtype(
    [("time", "f8"), ("kind", "i1"), ("bid", "?"), ("ticks", "i4"), ("rank", "i1"), ("lots", "i8"), ("mid", "i8")]
)
FURTHEST = 127
"""The deepest rank that is told."""
EXACTLY, ENOUGH = 1 << 41, 1 << 40
"""Ranks of ticks that a cancel might be taken from."""


@compiled
def listen(m, laws, r, first, steps, gaps_s, every, shelves, rng, log, bids, asks) -> tuple[np.ndarray, int, int]:
    """Plays one market for `steps` steps from step `first` on. Returns its events, in seconds after the first step
    began, how many they are, and how many the market itself counts. `log` is room for events, replaced when it is full.

    `bids` and `asks` [samples, levels, 2] get the occupied ticks each `every` steps, the first before step 0; `shelves`
    [cells, ticks of a cell] are empty.
    """
    cells = len(m.queues)
    levels, desk, weather = cells // 2, new_desk(cells), np.zeros(6, np.int64)
    stood, changes, nobody = np.zeros(cells, np.int32), np.zeros(cells, np.int32), np.zeros(0, np.int64)
    mean_lots, inverse = np.int32(m.mean_lots), np.float32(1.0 / m.mean_lots)
    many, counted = 0, 0
    stack(m, laws, shelves, rng)
    sample(m, shelves, bids[0], asks[0])
    for i in range(steps):
        step = first + i
        conditions_of(m, r, step, weather)
        if m.halt > 0:
            m.halt -= 1
        else:
            chances, drawn = word(m.key, step, REFERENCE), word(m.key, step, MARKET_ORDERS)
            bid_row, ask_row = side_rows(laws, chances, weather)
            set_rows(desk, levels, bid_row, ask_row)
            set_sizes(m, desk, False, mean_lots, inverse)
            begun, first_bid, first_ask, lean = many, m.queues[levels - 1], m.queues[levels], imbalance(m)
            sells = how_many(m, laws, r, drawn, True, desk, weather[0] + weather[4], lean)
            buys = how_many(m, laws, r, drawn, False, desk, weather[0] + weather[3], lean)
            sold = lots_hit(m, laws, r, True, sells, drawn, desk, mean_lots)
            bought = lots_hit(m, laws, r, False, buys, drawn, desk, mean_lots)
            sold, bought = hit_side(m, True, sold, False, nobody), hit_side(m, False, bought, False, nobody)
            kinds, places, sizes = executed(sells, sold, buys, bought, rng)
            log, many = all_happen(m, shelves, kinds, places, sizes, rng, log, many)
            stood[:] = m.queues
            set_sizes(m, desk, False, mean_lots, inverse)
            seed = np.uint32(word(m.key, step, ARRIVALS) & 0xFFFFFFFF)
            find_arrivals(m, laws.arrivals, seed, desk)
            if r.follow == 1:
                keep_empty(m, desk, first_bid, first_ask)
            for cell in range(cells):
                changes[cell] = outcome(desk[2 * lanes_of(cells) + cell], desk[3 * lanes_of(cells) + cell])
            counted += size_arrivals(m, laws.sizes, r.thin_queue, mean_lots, inverse, seed, desk) + sells + buys
            kinds, places, sizes = arrived(m, laws, r, mean_lots, inverse, stood, seed, changes, rng)
            log, many = all_happen(m, shelves, kinds, places, sizes, rng, log, many)
            set_times(log, begun, many, i * r.step_s, r.step_s, gaps_s, rng)
            travelled = m.tilt
            moved = follow(m, laws, r, step, mean_lots, chances, weather)
            if moved:
                for _ in range(abs(moved)):
                    for tick in range(shelves.shape[1]):
                        shift_cells(shelves[:, tick], moved)
                    shelves[cells // 2 - 1 if moved > 0 else cells // 2] = 0
                stack(m, laws, shelves, rng)
            remember(m, r, sells - buys, m.tilt - travelled + 2 * moved)
        if (i + 1) % every == 0:
            sample(m, shelves, bids[(i + 1) // every], asks[(i + 1) // every])
    return log, many, counted


@compiled
def doubled(log):
    longer = np.empty(2 * len(log), log.dtype)
    longer[: len(log)] = log
    return longer


@inlined
def shuffle(order, rng):
    for last in range(len(order) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        order[last], order[other] = order[other], order[last]


@compiled
def arrived(m, laws, r, mean_lots, inverse, stood, seed, changes, rng):
    """The limit orders and cancels that made the queues that `stood` what they are now: kinds, cells, lots. Cells come
    in any order; in each, orders come before cancels, as in the law they were drawn from."""
    count = 0
    for cell in range(len(changes)):
        count += (changes[cell] >> 4) + (changes[cell] & 15)
    kinds, places, sizes = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    k = 0
    for cell in range(len(changes)):
        for _ in range((changes[cell] >> 4) + (changes[cell] & 15)):
            places[k] = cell
            k += 1
    shuffle(places, rng)
    past = np.zeros(len(changes), np.int64)
    for k in range(count):
        cell = places[k]
        came, went = changes[cell] >> 4, changes[cell] & 15
        more = 0
        if came:
            thick = QUANTILES if size_of(stood[cell], inverse) > r.thin_queue else 0
            more = lots_of(came, laws.sizes[thick + ((np.int64(part_of(seed, cell)) >> 20) & 63)], mean_lots)
        nth = past[cell]
        past[cell] += 1
        if nth < came:
            kinds[k], sizes[k] = LIMIT, share_of(more, nth, came)
        else:
            kinds[k], sizes[k] = CANCEL, share_of(stood[cell] + more - m.queues[cell], nth - came, went)
    return kinds, places, sizes


@compiled
def executed(sells, sold, buys, bought, rng):
    """The step's market orders, those of both sides in any order, and the lots they got: kinds, sides (0: bids), lots.
    """
    count = sells + buys
    places, sizes = np.empty(count, np.int64), np.empty(count, np.int64)
    places[:sells], places[sells:] = 0, 1
    shuffle(places, rng)
    past = np.zeros(2, np.int64)
    for k in range(count):
        side = places[k]
        sizes[k] = share_of(sold, past[side], sells) if side == 0 else share_of(bought, past[side], buys)
        past[side] += 1
    return np.full(count, MARKET, np.int64), places, sizes


@inlined
def share_of(lots, nth, parts):
    return lots * (nth + 1) // parts - lots * nth // parts


@inlined
def tick_of(m, cell, tick, ticks):
    """Price in ticks of a place on a cell's shelf. A cell gathers the ticks nearest to its price; see `cells.Grid`."""
    nearer = ticks // 2
    price = (m.first_bid // m.grid + cell - len(m.queues) // 2 + 1) * ticks
    return price + nearer - tick if cell < len(m.queues) // 2 else price - nearer + tick


@inlined
def shelf_of(cells, bids, level):
    return cells // 2 - 1 - level if bids else cells // 2 + level


@compiled
def best_tick(m, shelves, bids):
    """Price in ticks of the best bid or ask, -1 if there is none."""
    cells, ticks = shelves.shape
    for level in range(cells // 2):
        cell = shelf_of(cells, bids, level)
        if shelves[cell].any():
            for tick in range(ticks):
                if shelves[cell, tick]:
                    return tick_of(m, cell, tick, ticks)
    return -1


@compiled
def stack(m, laws, shelves, rng):
    """Spreads queues over the ticks of their cell, in orders as they come, wherever the shelf is not theirs."""
    for cell in range(len(shelves)):
        left = m.queues[cell]
        if left != shelves[cell].sum():
            shelves[cell] = 0
            while left:
                size = laws.sizes[QUANTILES + int(rng.random() * QUANTILES)]
                lots = min(left, lots_of(1, size, np.int64(m.mean_lots)))
                shelves[cell, int(rng.random() * shelves.shape[1])] += lots
                left -= lots


@compiled
def happen(m, shelves, kind, place, lots, rng, log, many):
    """One event happens on the shelves and is written down; returns how many there are now.

    A cancel that no tick of its cell is enough for takes from several, and is told of the nearest.
    """
    if lots == 0:
        return many
    cells, ticks = shelves.shape
    bids = place == 0 if kind == MARKET else place < cells // 2
    best, at, rank = best_tick(m, shelves, bids), 0, 0
    log[many].kind, log[many].bid, log[many].lots = kind, bids, lots
    if kind == MARKET:
        strike(shelves, bids, lots)
        nearest = -1
    elif kind == LIMIT:
        nearest = int(rng.random() * ticks)
        at, rank = tick_of(m, place, nearest, ticks), rank_of(shelves, bids, place, nearest)
        shelves[place, nearest] += lots
    else:
        nearest = ticks
        was = shelves[place].copy()
        while lots:
            tick = leaving(shelves[place], lots, rng)
            gone = min(lots, shelves[place, tick])
            shelves[place, tick] -= gone
            lots -= gone
            nearest = min(nearest, tick)
        at, rank = tick_of(m, place, nearest, ticks), rank_of(shelves, bids, place, 0) + (was[:nearest] > 0).sum()
    away = 0 if best < 0 or kind == MARKET else (best - at if bids else at - best)
    log[many].ticks, log[many].rank = away, -1 if away < 0 else min(rank, FURTHEST)
    log[many].mid = twice_mid(m, shelves)
    return many + 1


@compiled
def all_happen(m, shelves, kinds, places, sizes, rng, log, many):
    """All of these happen, one after the other; returns the log, longer if it was full, and how many there are."""
    while many + len(kinds) > len(log):
        log = doubled(log)
    for k in range(len(kinds)):
        many = happen(m, shelves, kinds[k], places[k], sizes[k], rng, log, many)
    return log, many


@compiled
def strike(shelves, bids, lots):
    """A market order takes the best ticks."""
    cells, ticks = shelves.shape
    for level in range(cells // 2):
        cell = shelf_of(cells, bids, level)
        for tick in range(ticks):
            taken = min(lots, shelves[cell, tick])
            shelves[cell, tick] -= taken
            lots -= taken


@compiled
def rank_of(shelves, bids, cell, tick):
    """Occupied ticks of a side that are better than this one."""
    cells, better = len(shelves), (shelves[cell, :tick] > 0).sum()
    for level in range(cells // 2):
        nearer = shelf_of(cells, bids, level)
        if nearer == cell:
            break
        better += (shelves[nearer] > 0).sum()
    return better


@compiled
def leaving(shelf, lots, rng):
    """The tick that a cancel of `lots` is taken from: one that it empties, or else one that holds more, or the fullest;
    of several alike any."""
    chosen, rank, alike = 0, -1, 0
    for tick in range(len(shelf)):
        here = EXACTLY if shelf[tick] == lots else ENOUGH if shelf[tick] > lots else shelf[tick]
        if here > rank:
            chosen, rank, alike = tick, here, 1
        elif here == rank:
            alike += 1
            if rng.random() * alike < 1.0:
                chosen = tick
    return chosen


@inlined
def twice_mid(m, shelves):
    bid, ask = best_tick(m, shelves, True), best_tick(m, shelves, False)
    return bid + ask if bid >= 0 and ask >= 0 else -1


@compiled
def sample(m, shelves, bids, asks):
    """The occupied ticks of both sides, best first."""
    cells, ticks = shelves.shape
    for side in range(2):
        out, filled = bids if side == 0 else asks, 0
        for level in range(cells // 2):
            cell = shelf_of(cells, side == 0, level)
            for tick in range(ticks):
                if shelves[cell, tick] and filled < len(out):
                    out[filled, 0], out[filled, 1] = tick_of(m, cell, tick, ticks), shelves[cell, tick]
                    filled += 1


@compiled
def set_times(log, begun, many, from_s, step_s, gaps_s, rng):
    """Times within a step, in order: uniform, or each a gap after the one before, the whole pushed together if it
    would not fit."""
    count = many - begun
    if count == 0:
        return
    times = np.empty(count)
    if len(gaps_s):
        times[0] = 0.0
        for k in range(1, count):
            times[k] = times[k - 1] + gaps_s[int(rng.random() * len(gaps_s))]
        lasts = times[-1]
        if lasts >= step_s:
            times *= rng.random() * step_s / lasts
        times += rng.random() * (step_s - times[-1])
    else:
        for k in range(count):
            times[k] = rng.random() * step_s
        times.sort()
    for k in range(count):
        log[begun + k].time = from_s + times[k]

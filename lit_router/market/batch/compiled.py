"""Steps on a processor: each market of a range for many steps on end. `step.py` is the definition of one step."""

import numpy as np

from lit_router.market.batch.compilation import compiled, inlined
from lit_router.market.batch.compiled_book import (
    ARRIVALS,
    MARKET_ORDERS,
    REFERENCE,
    SHARE,
    SIZES,
    apply_arrivals,
    best_of,
    conditions_of,
    follow,
    found_arrivals,
    market_order,
    row_between,
    walk,
    word,
)
from lit_router.market.batch.compiled_dark import lean_of_best, pool_step
from lit_router.market.batch.compiled_orders import (
    best_prices,
    clamp_ahead,
    cross,
    dealers_trade,
    hit,
    press,
    print_trade,
    replenish,
    settle_places,
)
from lit_router.market.batch.flow import IMBALANCES
from lit_router.market.batch.laws import OCTAVE, PACE_REACH, PACES
from lit_router.market.batch.pools import BOOK_LEAN
from lit_router.market.batch.strain import STRAINS

LEAST_PACE = -PACE_REACH * OCTAVE
LEAST_STRAIN, MOST_STRAIN = STRAINS[0] * OCTAVE, STRAINS[-1] * OCTAVE


@compiled
def imbalance(m):
    """Class of the imbalance at the first cells, 0 (all asks) to IMBALANCES (all bids)."""
    levels = len(m.queues) // 2
    bids, asks = m.queues[levels - 1], m.queues[levels]
    return IMBALANCES // 2 if bids + asks == 0 else bids * IMBALANCES // (bids + asks)


@compiled
def strain_row(strain, uniform):
    """Row of the strain, by chance the one above, so that the mean is exact."""
    above = max(LEAST_STRAIN, min(MOST_STRAIN, strain)) - LEAST_STRAIN
    return (above >> 8) + (1 if uniform < (above & 0xFF) else 0)


@inlined
def rows_of(laws, chances, state, rows):
    """Rows of the arrivals' table for every cell of a market under the conditions `state` of a step."""
    levels = len(rows) // 2
    pace_row = row_between(state[0], LEAST_PACE, PACES, (chances >> 33) & 0xFF, laws.between)
    bid_row = strain_row(state[1], (chances >> 41) & 0xFF) * PACES + pace_row
    ask_row = strain_row(state[2], (chances >> 49) & 0xFF) * PACES + pace_row
    for level in range(levels):
        rows[levels - 1 - level] = (bid_row * levels + level) * SIZES
        rows[levels + level] = (ask_row * levels + level) * SIZES


@inlined
def market_orders(m, laws, r, step, inverse, mean_lots, state, found, sides):
    """Draws a step's market orders before any is executed: `sides` gets number and lots of those that hit the bids,
    then of those that hit the asks."""
    both = word(m.key, step, MARKET_ORDERS)
    lean = imbalance(m) if r.conditions else 0
    for side in range(2):
        part = (both >> (32 * side)) & 0xFFFFFFFF
        favour = IMBALANCES - lean if side == 0 else lean
        tilt = state[4] if side == 0 else state[3]
        market_order(m, laws, r, part, side == 0, inverse, mean_lots, state[0], tilt, favour, found)
        sides[side] = found


@inlined
def anonymous_best(m, bids):
    """Price of the best anonymous queue on one side, or of the deepest cell where there is none."""
    level = min(best_of(m, bids), len(m.queues) // 2 - 1)
    return m.first_bid + (-level if bids else level + 1) * m.grid


@inlined
def remember(m, r, sides, travelled):
    """What makers know after a step: `travelled` is twice the cells the mid moved."""
    if r.conditions:
        m.heat = m.heat * r.heat_decay + abs(travelled) * 0.5
        m.trend = m.trend * r.trend_decay + travelled * 0.5
        m.inventory = m.inventory * r.inventory_decay + SHARE * (sides[0, 0] - sides[1, 0])


@compiled
def play(markets, laws, r, low, high, first, steps, mids, volumes, stop_at_fills, events):
    """Plays markets `low` to `high` for up to `steps` steps from step `first` on; returns the steps played.

    `mids` (twice the mid, -1 for none) and `volumes` get one row a step if they have that many. With `stop_at_fills`,
    for one market, it stops after a step in which a participant's order was executed. `events` counts, by market.
    """
    one = markets[low]
    levels = len(one.queues) // 2
    rows, changes = np.zeros(2 * levels, np.int32), np.zeros(2 * levels, np.int32)
    parts = np.zeros(2 * levels, np.uint32)
    cut, given = np.zeros(len(one.queues), np.int64), np.zeros(len(one.side), np.int64)
    state, found, prices = np.zeros(6, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)
    sides = np.zeros((2, 2), np.int64)
    played = steps
    for b in range(low, high):
        m = markets[b]
        mean_lots, inverse = np.int64(m.mean_lots), np.float32(1.0 / m.mean_lots)
        active, touched = m.side.any(), m.taken.any()
        pressing = m.net != 0 or m.pressed != 0.0 or m.kernel.any()
        for i in range(steps):
            step = first + i
            conditions_of(m, r, step, state)
            executed = m.filled.sum() if stop_at_fills else 0
            if m.halt > 0:
                m.halt -= 1
            else:
                pace = state[0]
                chances = word(m.key, step, REFERENCE)
                rows_of(laws, chances, state, rows)
                for phase in range(2):
                    if phase == step & 1:
                        seed = word(m.key, step, ARRIVALS) & 0xFFFFFFFF
                        found_arrivals(m.queues, laws.arrivals, seed, rows, inverse, parts, changes)
                        events[b] += apply_arrivals(
                            m, laws.sizes, r.thin_queue, mean_lots, inverse, parts, changes, cut
                        )
                        if active:
                            settle_places(m, r, step, cut)
                    else:
                        market_orders(m, laws, r, step, inverse, mean_lots, state, found, sides)
                        for side in range(2):
                            lots = sides[side, 1]
                            if lots:
                                price = anonymous_best(m, side == 0)
                                got = hit(m, side == 0, lots, given) if active else 0
                                done = max(walk(m, side == 0, lots), got)
                                if done:
                                    print_trade(m, done, price)
                        events[b] += sides[0, 0] + sides[1, 0]
                travelled = m.tilt
                moved = follow(m, laws, r, step, mean_lots, chances, state)
                travelled = m.tilt - travelled + 2 * moved
                if pressing or m.net != 0:
                    pressing = True
                    moved += press(m, r)
                if m.pending.any():
                    dealers_trade(m, step, given)
                    touched = True
                # What comes back may come to a participant's price: before the orders that it would cross.
                if touched:
                    touched = replenish(m, r, step) > 0
                if active:
                    clamp_ahead(m)
                    cross(m, given)
                    touched = True
                if r.pools:
                    twice_mid = -1
                    if active:
                        best_prices(m, prices)
                        if prices[0] >= 0 and prices[1] >= 0:
                            twice_mid = prices[0] + prices[1]
                    favour = state[5] + (lean_of_best(m) - IMBALANCES // 2) * BOOK_LEAN
                    for pool in range(r.pools):
                        pool_step(m, r, step, pool, pace, favour, twice_mid, given)
                remember(m, r, sides, travelled)
                if active:
                    active = m.side.any()
            if i < mids.shape[0]:
                best_prices(m, prices)
                mids[i, b] = prices[0] + prices[1] if prices[0] >= 0 and prices[1] >= 0 else -1
                volumes[i, b] = m.volume
            if stop_at_fills and m.filled.sum() != executed:
                played = i + 1
                break
    return played

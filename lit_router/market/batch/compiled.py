"""Steps on a processor: each market of a range for many steps on end. `step.py` is the definition of one step."""

import numpy as np

from lit_router.market.batch.compilation import compiled, inlined
from lit_router.market.batch.compiled_arrivals import (
    all_alike,
    count_arrivals,
    find_arrivals,
    keep_empty,
    lanes_of,
    new_desk,
    set_rows,
    set_sizes,
    side_rows,
    size_arrivals,
)
from lit_router.market.batch.compiled_book import (
    ARRIVALS,
    MARKET_ORDERS,
    REFERENCE,
    SHARE,
    conditions_of,
    follow,
    word,
)
from lit_router.market.batch.compiled_dark import all_pools
from lit_router.market.batch.compiled_hits import hit_side, how_many, imbalance, lots_hit
from lit_router.market.batch.compiled_orders import (
    best_prices,
    clamp_ahead,
    cross,
    dealers_trade,
    press,
    press_gain,
    replenish,
    settle_places,
)


@inlined
def remember(m, r, hits, travelled):
    """What makers know after a step: `hits` are market orders that sold less those that bought, `travelled` is twice
    the cells the mid moved."""
    if r.conditions:
        m.heat = m.heat * r.heat_decay + abs(travelled) * 0.5
        m.trend = m.trend * r.trend_decay + travelled * 0.5
        m.inventory = m.inventory * r.inventory_decay + SHARE * hits


@inlined
def any_of(values):
    found = False
    for value in values:
        found |= value != 0
    return found


@inlined
def resting(m):
    """Whether participants' orders rest in the lit book, and in pools."""
    lit = dark = False
    for k in range(len(m.side)):
        lit |= m.side[k] != 0 and m.venue[k] == 0
        dark |= m.side[k] != 0 and m.venue[k] != 0
    return lit, dark


@inlined
def executed_of(m):
    """Lots of participants' orders executed so far, in all slots."""
    lots = 0
    for k in range(len(m.filled)):
        lots += m.filled[k]
    return lots


@compiled
def play(markets, laws, r, low, high, first, steps, mids, volumes, stop_at_fills, events):
    """Plays markets `low` to `high` for up to `steps` steps from step `first` on; returns the steps played.

    `mids` (twice the mid, -1 for none) and `volumes` get one row a step if they have that many. With `stop_at_fills`,
    for one market, it stops after a step in which a participant's order was executed. `events` counts, by market.
    """
    one = markets[low]
    desk, given = new_desk(len(one.queues)), np.zeros(len(one.side), np.int64)
    weather, prices = np.zeros(6, np.int64), np.zeros(2, np.int64)
    return play_on(
        markets, laws, r, low, high, first, steps, mids, volumes, stop_at_fills, events, desk, weather, given, prices
    )


@inlined
def play_on(
    markets, laws, r, low, high, first, steps, mids, volumes, stop_at_fills, events, desk, weather, given, prices
):
    """The same on a desk that is given, with room for six numbers of the weather, one for each slot, and two prices.
    What cannot matter in a step is left out of it: nothing is drawn to be thrown away."""
    levels, alike, gain, played = len(markets[low].queues) // 2, all_alike(laws.sizes), press_gain(r), steps
    cut = 3 * lanes_of(2 * levels)
    for b in range(low, high):
        m = markets[b]
        mean_lots, inverse = np.int32(m.mean_lots), np.float32(1.0 / m.mean_lots)
        touched, pressing = any_of(m.taken), m.net != 0 or m.pressed != 0.0 or any_of(m.kernel)
        lit, dark = resting(m)
        for k in range(len(weather)):
            weather[k] = 0
        weather[0] = m.log_pace
        bid_row, ask_row, happened = -1, -1, 0
        set_sizes(m, desk, alike, mean_lots, inverse)
        for i in range(steps):
            step = first + i
            if r.conditions:
                conditions_of(m, r, step, weather)
            executed = executed_of(m) if stop_at_fills else 0
            if m.halt > 0:
                m.halt -= 1
            else:
                # A constant pace that is a row of the table needs no draw to choose between two.
                if r.conditions or bid_row < 0 or weather[0] & 127:
                    bid_now, ask_now = side_rows(laws, word(m.key, step, REFERENCE), weather)
                    if bid_now != bid_row or ask_now != ask_row:
                        bid_row, ask_row = bid_now, ask_now
                        set_rows(desk, levels, bid_row, ask_row)
                # Market orders first: a queue that they empty is empty when the step ends.
                drawn, lean = word(m.key, step, MARKET_ORDERS), imbalance(m) if r.conditions else 0
                traded = m.volume + m.dark_volume
                sells = how_many(m, laws, r, drawn, True, desk, weather[0] + weather[4], lean)
                buys = how_many(m, laws, r, drawn, False, desk, weather[0] + weather[3], lean)
                seed = np.uint32(word(m.key, step, ARRIVALS) & 0xFFFFFFFF)
                if sells + buys:
                    first_bid, first_ask = m.queues[levels - 1], m.queues[levels]
                    sold = lots_hit(m, laws, r, True, sells, drawn, desk, mean_lots)
                    bought = lots_hit(m, laws, r, False, buys, drawn, desk, mean_lots)
                    hit_side(m, True, sold, lit, given)
                    hit_side(m, False, bought, lit, given)
                    set_sizes(m, desk, alike, mean_lots, inverse)
                    find_arrivals(m, laws.arrivals, seed, desk)
                    if r.follow == 1:
                        keep_empty(m, desk, first_bid, first_ask)
                else:
                    find_arrivals(m, laws.arrivals, seed, desk)
                if alike:
                    happened += count_arrivals(m, mean_lots, desk)
                else:
                    happened += size_arrivals(m, laws.sizes, r.thin_queue, mean_lots, inverse, seed, desk)
                happened += sells + buys
                if lit:
                    settle_places(m, r, step, desk, cut)
                travelled = 0
                if m.tilt != 0 or m.queues[levels - 1] == 0 or m.queues[levels] == 0:
                    before = m.tilt
                    moved = follow(m, laws, r, step, mean_lots, word(m.key, step, REFERENCE), weather)
                    travelled = m.tilt - before + 2 * moved
                    if moved:
                        set_sizes(m, desk, alike, mean_lots, inverse)
                if pressing or m.net != 0:
                    pressing = True
                    press(m, r, gain)
                if any_of(m.pending):
                    dealers_trade(m, step, given)
                    touched = True
                # What comes back may come to a participant's price: before the orders that it would cross.
                if touched:
                    touched = replenish(m, r, step) > 0
                if lit:
                    clamp_ahead(m)
                    touched |= cross(m, given)
                if r.pools:
                    twice_mid = -1
                    if dark:
                        best_prices(m, prices)
                        if prices[0] >= 0 and prices[1] >= 0:
                            twice_mid = prices[0] + prices[1]
                    all_pools(m, r, step, weather[0], weather[5], twice_mid, given)
                remember(m, r, sells - buys, travelled)
                if m.volume + m.dark_volume != traded and (lit or dark):
                    lit, dark = resting(m)
            if i < mids.shape[0]:
                best_prices(m, prices)
                mids[i, b] = prices[0] + prices[1] if prices[0] >= 0 and prices[1] >= 0 else -1
                volumes[i, b] = m.volume
            if stop_at_fills and executed_of(m) != executed:
                played = i + 1
                break
        events[b] += happened
    return played

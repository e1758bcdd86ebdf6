"""Participants in the lit book, on a processor: `orders.py` is the definition, a test holds them equal.

An order meets what is displayed: the anonymous queues less what participants took of them, and the others' orders, by
price, then time. One rule, `before`, says how many lots come before an order; whoever walks the book, anonymous or not,
gives it what is left of their lots after those.
"""

import math

from lit_router.market.batch import draws
from lit_router.market.batch.compilation import compiled, inlined
from lit_router.market.batch.compiled_book import shift_cells, word
from lit_router.market.batch.orders import FRACTION, NO_LIMIT

FADES, DEALERS, QUEUE_PLACES = draws.FADES, draws.DEALERS, draws.QUEUE_PLACES


@inlined
def shown(m, cell):
    return max(0, m.queues[cell] - m.taken[cell])


@inlined
def cell_price(m, cell):
    return m.first_bid + (cell - len(m.queues) // 2 + 1) * m.grid


@inlined
def deal(m, k, lots, twice_price):
    """Gives `lots` to order `k`. An order with nothing left frees its slot."""
    m.leaves[k] -= lots
    m.filled[k] += lots
    m.paid[k] += twice_price * lots
    m.net += m.side[k] * lots
    if m.leaves[k] == 0:
        m.side[k] = 0


@inlined
def print_trade(m, lots, price):
    """Writes an execution to the tape."""
    m.volume += lots
    m.last_price = price
    m.last_lots = lots


@inlined
def cell_in_view(m, k):
    """Cell of order `k`'s price, if it is in view and exactly on a cell of the order's own side; else -1. Without a
    division: most orders are near the best."""
    levels, buys = len(m.queues) // 2, m.side[k] > 0
    away = m.first_bid - m.price[k] if buys else m.price[k] - m.first_bid - m.grid
    for level in range(levels):
        if away <= 0:
            if away < 0:
                return -1
            return levels - 1 - level if buys else levels + level
        away -= m.grid
    return -1


@compiled
def before(m, k, displayed):
    """Lots that whoever walks the book must take before order `k`: better prices, then what is ahead at its own. With
    `displayed`, nothing anonymous stands beyond the cells in view."""
    levels, bids = len(m.queues) // 2, m.side[k] > 0
    price, lots = m.price[k], 0
    for level in range(levels):
        cell = levels - 1 - level if bids else levels + level
        here = cell_price(m, cell)
        if here == price:
            return lots + min(m.ahead[k], shown(m, cell)) + _others(m, k)
        if here < price if bids else here > price:
            return lots + _others(m, k)
        lots += shown(m, cell)
    return lots + (0 if displayed else m.ahead[k]) + _others(m, k)


@compiled
def _others(m, k):
    """Lots of the participants' orders on the same side that stand before order `k`."""
    lots, side, price = 0, m.side[k], m.price[k]
    for other in range(len(m.side)):
        if other != k and m.side[other] == side and m.venue[other] == 0:
            better = side * (m.price[other] - price)
            if better > 0 or (better == 0 and m.rank[other] < m.rank[k]):
                lots += m.leaves[other]
    return lots


@compiled
def give(m, bids, lots, limit, given, displayed):
    """An incoming `lots` against the bids (or asks) down to `limit`: what each resting order gets, in `given`."""
    total = 0
    for k in range(len(m.side)):
        given[k] = 0
        within = m.price[k] >= limit if bids else m.price[k] <= limit
        if within and m.venue[k] == 0 and (m.side[k] > 0 if bids else m.side[k] < 0):
            given[k] = max(0, min(lots - before(m, k, displayed), m.leaves[k]))
            total += given[k]
    return total


@compiled
def move_up(m, bids, lots, limit, given, displayed):
    """Places of the resting orders after `lots` reached their side, of which they got `given`: what was executed in
    front of an order no longer stands there. To be told before `given` is dealt."""
    for k in range(len(m.side)):
        within = m.price[k] >= limit if bids else m.price[k] <= limit
        if not within or m.venue[k] != 0 or not (m.side[k] > 0 if bids else m.side[k] < 0):
            continue
        cell = cell_in_view(m, k)
        if cell < 0:
            continue
        waiting, got = 0, 0
        for other in range(len(m.side)):
            alike = m.side[other] == m.side[k] and m.venue[other] == 0 and m.price[other] == m.price[k]
            if alike and m.rank[other] < m.rank[k]:
                waiting += m.leaves[other]
                got += given[other]
        ahead = min(m.ahead[k], shown(m, cell))
        reached = max(0, lots - (before(m, k, displayed) - ahead - waiting))
        m.ahead[k] = max(0, ahead - max(0, reached - got))


@compiled
def hit(m, bids, lots, given):
    """Anonymous market orders of `lots` reach the participants' orders. Returns the lots these got."""
    limit = -NO_LIMIT if bids else NO_LIMIT
    total = give(m, bids, lots, limit, given, False)
    move_up(m, bids, lots, limit, given, False)
    if total:
        for k in range(len(m.side)):
            if given[k]:
                deal(m, k, given[k], 2 * m.price[k])
    return total


@compiled
def own_limit(m, bids, lots, limit, owner):
    """How far an incoming order of `owner` may go before it would meet an order of its own (self-trade prevention)."""
    for k in range(len(m.side)):
        within = m.price[k] >= limit if bids else m.price[k] <= limit
        if within and m.venue[k] == 0 and m.owner[k] == owner and (m.side[k] > 0 if bids else m.side[k] < 0):
            lots = min(lots, before(m, k, True))
    return lots


@compiled
def sweep(m, bids, lots, limit, given):
    """A participant's `lots` walk the bids (or asks) down to `limit`: resting orders get theirs, the rest comes from
    the anonymous queues. Returns lots taken and the sum of twice the price times lots.

    Orders beyond the cells in view are displayed, and nothing else there is: they come next."""
    give(m, bids, lots, limit, given, True)
    move_up(m, bids, lots, limit, given, True)
    levels, orders = len(m.queues) // 2, len(m.side)
    done, paid, anonymous, first = 0, 0, 0, -1
    for level in range(levels):
        cell = levels - 1 - level if bids else levels + level
        price = cell_price(m, cell)
        if price < limit if bids else price > limit:
            break
        better, here, got = 0, 0, 0
        for k in range(orders):
            if m.venue[k] == 0 and (m.side[k] > 0 if bids else m.side[k] < 0):
                if m.price[k] > price if bids else m.price[k] < price:
                    better += m.leaves[k]
                elif m.price[k] == price:
                    here += m.leaves[k]
                    got += given[k]
        there = shown(m, cell)
        taken = max(0, min(lots - anonymous - better, there + here)) - got
        # What stands before this cell: all that is displayed at better prices, whether it was taken or not.
        m.taken[cell] += taken
        anonymous += there
        first = price if taken and first < 0 else first
        done += taken
        paid += 2 * price * taken
    for k in range(orders):
        if given[k]:
            twice = 2 * m.price[k]
            done += given[k]
            paid += twice * given[k]
            if first < 0 or (m.price[k] > first if bids else m.price[k] < first):
                first = m.price[k]
            deal(m, k, given[k], twice)
    if done:
        print_trade(m, done, first)
    return done, paid


@compiled
def settle_places(m, r, step, desk, cut):
    """After arrivals and cancels: who of the participants' orders moved up in its queue, under the assumption made."""
    for k in range(len(m.side)):
        if m.side[k] == 0 or m.venue[k] != 0 or m.ahead[k] == 0:
            continue
        cell = cell_in_view(m, k)
        if cell < 0:
            continue
        # So many lots (on the desk from `cut` on) went from a queue of `stood`, of which `ahead` were in front of it.
        gone, ahead = desk[cut + cell], m.ahead[k]
        if gone:
            stood = max(gone, shown(m, cell) + gone)
            ahead = min(ahead, stood)
            draw = (word(m.key, step, QUEUE_PLACES + k // 2) >> (32 * (k % 2))) & 0x7FFFFFFF
            in_front = r.cancels == 0 or (r.cancels == 1 and draw * stood < ahead << 31)
            behind = stood - ahead
            ahead -= min(ahead, gone) if in_front else max(0, gone - behind)
        m.ahead[k] = ahead
    # An earlier order at the price stays in front of a later one.
    for k in range(len(m.side) if len(m.side) > 1 else 0):
        if m.side[k] == 0 or m.venue[k] != 0 or cell_in_view(m, k) < 0:
            continue
        for other in range(len(m.side)):
            alike = m.side[other] == m.side[k] and m.venue[other] == 0 and m.price[other] == m.price[k]
            if alike and m.rank[other] < m.rank[k]:
                m.ahead[k] = max(m.ahead[k], m.ahead[other])


@compiled
def clamp_ahead(m):
    """Nobody stands behind more than is displayed at the price, once the price is in view."""
    levels = len(m.queues) // 2
    for k in range(len(m.side)):
        if m.side[k] == 0 or m.venue[k] != 0 or m.ahead[k] == 0:
            continue
        away = m.price[k] - m.first_bid
        if away >= (1 - levels) * m.grid and away < (levels + 1) * m.grid:
            cell = cell_in_view(m, k)
            m.ahead[k] = min(m.ahead[k], shown(m, cell)) if cell >= 0 else 0


@compiled
def in_order(m, by_price, order):
    """Slots by time of arrival or, with `by_price`, by price, then time; free slots are left out. Returns how many."""
    count = 0
    for k in range(len(m.side)):
        if m.side[k] == 0:
            continue
        place = count
        while place > 0:
            other = order[place - 1]
            price, theirs = -m.side[k] * m.price[k], -m.side[other] * m.price[other]
            if by_price and price > theirs:
                break
            if (not by_price or price == theirs) and m.rank[k] > m.rank[other]:
                break
            order[place] = other
            place -= 1
        order[place] = k
        count += 1
    return count


@compiled
def cross(m, order):
    """The book came to participants' prices: resting orders trade with the displayed queues they now meet. Returns
    whether any did."""
    levels, meets, done = len(m.queues) // 2, False, False
    for k in range(len(m.side)):
        away = m.price[k] - m.first_bid
        meets |= m.venue[k] == 0 and (away > 0 if m.side[k] > 0 else m.side[k] < 0 and away < m.grid)
    if not meets:
        return False
    for place in range(in_order(m, True, order)):
        k = order[place]
        if m.venue[k] != 0:
            continue
        buys, price = m.side[k] > 0, m.price[k]
        got = 0
        for level in range(levels):
            cell = levels + level if buys else levels - 1 - level
            there = cell_price(m, cell)
            if there > price if buys else there < price:
                break
            here = min(m.leaves[k] - got, shown(m, cell))
            m.taken[cell] += here
            got += here
        if got:
            print_trade(m, got, price)
            deal(m, k, got, 2 * price)
            done = True
    return done


@inlined
def press_gain(r):
    """Of lots in a step on lots a second, smoothed."""
    return (1.0 - r.pressed_decay) / r.step_s


@compiled
def press(m, r, gain):
    """Participants' executions move the book: see `impact`; `gain` is press_gain."""
    m.pressed = m.pressed * r.pressed_decay + m.net * gain
    m.net = 0
    size = round(math.sqrt(abs(m.pressed)) * FRACTION) / FRACTION * m.impact_unit
    push = size if m.pressed >= 0.0 else -size
    total = 0.0
    for i in range(len(m.kernel)):
        m.kernel[i] = m.kernel[i] * r.kernel_decay[i] + r.kernel_weight[i] * push
        total = total + m.kernel[i]
    threshold = ((m.key >> 11) & (FRACTION - 1)) / FRACTION
    wanted = total + threshold
    moved = 0
    if wanted >= m.shift + 1:
        moved = 1
    elif wanted < m.shift and m.first_bid - (len(m.queues) // 2 + 2) * m.grid > 0:
        moved = -1
    if moved:
        levels = len(m.queues) // 2
        m.shift += moved
        m.first_bid += moved * m.grid
        shift_cells(m.taken, moved)
        m.taken[levels - 1 if moved > 0 else levels] = 0


@compiled
def replenish(m, r, step):
    """What participants took comes back little by little, and never exceeds what is there. Returns what is left."""
    uniform, left = word(m.key, step, FADES) & 0xFFFF, 0
    for cell in range(len(m.taken)):
        taken = m.taken[cell]
        if taken:
            taken = min(taken - ((taken * r.taken_fade + uniform) >> 16), m.queues[cell])
            m.taken[cell] = taken
            left += taken
    return left


@compiled
def best_prices(m, out):
    """Best displayed bid and ask, participants included: `out` = (bid, ask), -1 for a side that is empty."""
    levels = len(m.queues) // 2
    out[0] = out[1] = -1
    for level in range(levels):
        if shown(m, levels - 1 - level):
            out[0] = cell_price(m, levels - 1 - level)
            break
    for level in range(levels):
        if shown(m, levels + level):
            out[1] = cell_price(m, levels + level)
            break
    for k in range(len(m.side)):
        if m.side[k] != 0 and m.venue[k] == 0:
            if m.side[k] > 0:
                out[0] = max(out[0], m.price[k])
            else:
                out[1] = m.price[k] if out[1] < 0 else min(out[1], m.price[k])


@compiled
def dealers_trade(m, step, given):
    """Dealers' flows send market orders at their pace."""
    for flow in range(len(m.pending)):
        left = m.pending[flow]
        if left == 0:
            continue
        dither = ((word(m.key, step, DEALERS) >> (20 * flow)) & (FRACTION - 1)) / FRACTION
        lots = min(abs(left), int(m.pace_lots[flow] + dither))
        if lots <= 0:
            continue
        sells = left < 0
        done, _ = sweep(m, sells, lots, -NO_LIMIT if sells else NO_LIMIT, given)
        signed = -done if sells else done
        m.pending[flow] -= signed
        m.net += signed

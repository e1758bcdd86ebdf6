"""The anonymous book on a processor: one market's step, compiled. `book.py` is the definition; a test holds the two
equal, bit by bit. `m` is the record of one market, `r` that of the rules."""

import numpy as np

from lit_router.market.batch import draws, flow, makers, news
from lit_router.market.batch.compilation import compiled, inlined
from lit_router.market.batch.laws import OCTAVE
from lit_router.market.parameters import LARGEST, QUANTILES

GOLDEN, FIRST, SECOND = np.uint64(draws.GOLDEN), np.uint64(draws.FIRST), np.uint64(draws.SECOND)
SLOTS = draws.SLOTS
REFERENCE, MARKET_ORDERS, CONDITIONS = draws.REFERENCE, draws.MARKET_ORDERS, draws.CONDITIONS
ARRIVALS, FRESH, SWITCHES, HALTS = draws.ARRIVALS, draws.FRESH, draws.SWITCHES, draws.HALTS
SIZES = LARGEST + 1
HALF = 1 << 20
SHARE, EASE = makers.SHARE, makers.EASE * OCTAVE
MOST_LOAD, MOST_FEAR = makers.MOST_LOAD * OCTAVE, makers.MOST_FEAR * OCTAVE
OTHER_SIDE, NEWS_DRIFT, NEWS_PACE = news.OTHER_SIDE, news.DRIFT, news.PACE
MOST_TILT, IMBALANCES = flow.MOST_TILT * OCTAVE, flow.IMBALANCES


@inlined
def word(key, step, slot):
    z = np.uint64(key) + np.uint64(step * SLOTS + slot) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return np.int64(z ^ (z >> np.uint64(31)))


@inlined
def size_of(lots, inverse):
    """Queue size in average events, rounded up, at most LARGEST."""
    return min(np.int32(LARGEST), np.int32((np.float32(lots) - np.float32(0.5)) * inverse + np.float32(1.0)))


@inlined
def outcome(entry, uniform):
    return (entry >> 8) & 0xFF if uniform < (entry >> 16) else entry & 0xFF


@inlined
def lots_of(events, size, mean_lots):
    return max(1, (events * size * mean_lots + 128) >> 8)


@compiled
def conditions_of(m, r, step, out):
    """Moves the conditions on by one step. `out`: pace, strain of bids, of asks, tilt of buys, of sells, latent."""
    pace = m.log_pace
    if not r.conditions:
        out[0], out[1], out[2], out[3], out[4], out[5] = pace, 0, 0, 0, 0, 0
        return
    noise, switches = word(m.key, step, CONDITIONS), word(m.key, step, SWITCHES)
    if (switches & 0x1FFFFF) < r.regime_switch:
        drawn, chosen = (switches >> 21) & 0x1FFFFF, 0
        while drawn >= r.regime_bounds[chosen]:
            chosen += 1
        sign = 1 if (noise >> 63) & 1 else -1
        m.regime = chosen
        m.drift = sign * r.regime_drift[chosen]
        if r.regime_news[chosen] > 0.0:
            m.news = sign * r.regime_news[chosen]
    spare = word(m.key, step, SWITCHES + 1)
    if (spare & 0x1FFFFF) < r.burst_switch:
        m.burst = (spare >> 21) & (QUANTILES - 1)
    if m.halt == 0 and (word(m.key, step, HALTS) & ((1 << 40) - 1)) < r.halt_chance:
        m.halt = r.halt_steps
    latent = 0.0
    for i in range(len(m.flow)):
        draw = (noise >> (21 * i)) & 0x1FFFFF
        m.flow[i] = m.flow[i] * r.flow_decay[i] + r.flow_kick[i] * ((draw - HALF) / HALF)
        latent = latent + m.flow[i]
    m.news = m.news * r.news_decay
    strength = abs(m.news)
    half_hour = min(len(r.curve) - 1, max(0, (m.opened + step) // r.steps_a_half_hour))
    regime = m.regime
    pace += r.curve[half_hour] + r.burst_logs[m.burst] + r.regime_pace[regime]
    pace += r.lull_log if ((spare >> 27) & 0xFFF) < r.lull else r.stir_log
    pace += int(strength * NEWS_PACE * OCTAVE)
    tilt = max(-MOST_TILT, min(MOST_TILT, latent * OCTAVE))
    drift = m.drift + int(m.news * NEWS_DRIFT * OCTAVE)
    # Makers: they expect the flow, mind their inventory and fear volatility.
    load = min(MOST_LOAD, abs(m.inventory) / m.liveliness * r.load)
    fear = max(0.0, min(MOST_FEAR, (m.heat / m.liveliness - r.usual_heat) * r.fear))
    usual = r.regime_strain[regime] + (fear + load - EASE)
    against_bids = 1.0 if m.news < 0.0 else OTHER_SIDE
    against_asks = 1.0 if m.news > 0.0 else OTHER_SIDE
    out[0] = pace
    out[1] = int(usual + strength * against_bids * OCTAVE + tilt * r.adapts)
    out[2] = int(usual + strength * against_asks * OCTAVE - tilt * r.adapts)
    out[3] = int(tilt) + drift
    out[4] = -int(tilt) - drift
    out[5] = int(tilt) + drift


@compiled
def best_of(m, buys):
    """How many cells are empty before the best anonymous bid (`buys`) or ask; L if all are."""
    levels = len(m.queues) // 2
    for level in range(levels):
        if m.queues[levels - 1 - level if buys else levels + level] > 0:
            return level
    return levels


@compiled
def walk(m, buys, lots):
    """Takes lots from the anonymous bids (`buys`) or asks, best first; returns what was there to be taken."""
    levels = len(m.queues) // 2
    left = lots
    for level in range(levels):
        cell = levels - 1 - level if buys else levels + level
        here = min(left, m.queues[cell])
        m.queues[cell] -= here
        left -= here
        if left == 0:
            break
    return lots - left


@compiled
def fresh_queue(m, laws, step, cell, mean_lots):
    """A queue drawn from the law of its level."""
    levels = len(m.queues) // 2
    part = (word(m.key, step, FRESH + cell // 3) >> (21 * (cell % 3))) & 0x1FFFFF
    level = levels - 1 - cell if cell < levels else cell - levels
    return outcome(laws.fresh[level * SIZES + (part & 63)], part >> 6) * mean_lots


@compiled
def follow(m, laws, r, step, mean_lots, chances, weather):
    """Lets the reference price follow the mid; returns the cells it moved, up to r.strides either way. `weather`: see
    conditions_of."""
    levels = len(m.queues) // 2
    before, moved = m.tilt, 0
    above, below = best_of(m, False), best_of(m, True)
    up = above - below > before
    against = (m.trend if up else -m.trend) * r.contrarian
    ready = (chances & 0x1FFFFF) < int(m.theta * max(0.0, min(2.0, 1.0 - against)))
    anew = ((chances >> 21) & 0xFFF) < r.theta_reinit
    way, edge = (1, 2 * levels - 1) if up else (-1, 0)
    for _ in range(r.strides):
        room = up or m.first_bid - (levels + 2) * m.grid > 0
        further = above - below > before if up else above - below < before
        if not (ready and further and room and (above if up else below) >= r.follow):
            break
        moved += way
        m.first_bid += way * m.grid
        if anew:
            for cell in range(2 * levels):
                m.queues[cell] = fresh_queue(m, laws, step, cell, mean_lots)
                m.taken[cell] = 0
            # Who withdraws under strain is not back at the new price at once: the first queues may come in empty.
            reluctant = ((chances >> 57) & 63) * (2 * OCTAVE // 64)
            if reluctant < weather[1]:
                m.queues[levels - 1] = 0
            if reluctant < weather[2]:
                m.queues[levels] = 0
        else:
            shift_cells(m.queues, way)
            shift_cells(m.taken, way)
            m.queues[edge] = fresh_queue(m, laws, step, edge, mean_lots)
            # The cell that changed sides holds what crossed it: nothing.
            m.queues[levels - 1 if up else levels] = 0
            m.taken[levels - 1 if up else levels] = 0
        above, below = best_of(m, False), best_of(m, True)
        if anew:
            break
    m.tilt = above - below
    return moved


@inlined
def shift_cells(cells, moved):
    """The ladder after the reference price moved: the cells' content stays at its price, the edge comes in empty."""
    width = len(cells)
    if moved > 0:
        for cell in range(width - 1):
            cells[cell] = cells[cell + 1]
        cells[width - 1] = 0
    else:
        for cell in range(width - 1, 0, -1):
            cells[cell] = cells[cell - 1]
        cells[0] = 0


@inlined
def row_between(log, least, rows, uniform, between):
    """The table's row for a logarithm: the one below or, by chance, above, so that the mean is exact."""
    above = max(0, min((rows - 1) * 128, log - least))
    row = above >> 7
    if uniform < between[above & 127]:
        row += 1
    return min(row, rows - 1)

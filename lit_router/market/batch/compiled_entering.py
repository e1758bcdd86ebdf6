"""Participants' new orders on a processor: `entering.py` is the definition, a test holds them equal."""

import numpy as np

from lit_router.market.batch.compilation import compiled
from lit_router.market.batch.compiled_dark import meet_hidden, meet_participants
from lit_router.market.batch.compiled_orders import (
    best_prices,
    cell_price,
    own_limit,
    shown,
    sweep,
)
from lit_router.market.batch.orders import UNKNOWN_AHEAD

UNKNOWN = UNKNOWN_AHEAD


@compiled
def queue_ahead(m, side, price):
    """Anonymous lots displayed at a price of the order's own side."""
    levels = len(m.queues) // 2
    deepest = cell_price(m, 0 if side > 0 else 2 * levels - 1)
    if side * (price - deepest) < 0:
        return UNKNOWN
    away = price - m.first_bid
    cell = away // m.grid + levels - 1
    if away % m.grid or cell < 0 or cell >= 2 * levels or (cell < levels) != (side > 0):
        return 0
    return shown(m, cell)


@compiled
def enter(m, r, slot, side, lots, price, venue, rests, least, owner, given, two):
    """Takes one order into a free slot of one market; returns whether it stopped at an order of its own owner."""
    if side == 0:
        return False
    m.filled[slot], m.paid[slot] = 0, 0
    if m.halt > 0:
        return False
    done, paid, left = 0, 0, lots
    stays, met_itself = True, False
    if venue == 0:
        reach = own_limit(m, side < 0, lots, price, owner)
        done, paid = sweep(m, side < 0, reach, price, given)
        m.net += side * done
        left = lots - done
        met_itself = reach < lots and done == reach
        stays = rests != 0 and not met_itself
    m.filled[slot], m.paid[slot] = done, paid
    if left == 0 or not stays:
        m.side[slot], m.leaves[slot] = 0, 0
        return met_itself
    rank = 0
    for k in range(len(m.rank)):
        rank = max(rank, m.rank[k])
    m.rank[slot] = rank + 1
    m.side[slot], m.venue[slot], m.price[slot], m.leaves[slot] = side, venue, price, left
    m.least[slot], m.owner[slot] = least, owner
    m.ahead[slot] = queue_ahead(m, side, price) if venue == 0 else 0
    if venue > 0:
        best_prices(m, two)
        if two[0] >= 0 and two[1] >= 0:
            meet_hidden(m, r, venue - 1, two[0] + two[1], given)
            if m.side[slot] != 0:
                meet_participants(m, r, venue - 1, slot, two[0] + two[1], given)
        if rests == 0:
            m.side[slot], m.leaves[slot] = 0, 0
    return False


@compiled
def enter_all(markets, r, slot, side, lots, price, venue, rests, least, owner):
    """One order a market, arrays of [B]."""
    given, two = np.zeros(len(markets[0].side), np.int64), np.zeros(2, np.int64)
    for b in range(len(markets)):
        enter(
            markets[b], r, slot, side[b], lots[b], price[b], venue[b], rests[b], least[b], owner[b], given, two
        )


@compiled
def enter_at(markets, r, place, slot, side, lots, price, venue, rests, least, owner):
    """One order in one market; returns as `enter`."""
    given, two = np.zeros(len(markets[0].side), np.int64), np.zeros(2, np.int64)
    return enter(markets[place], r, slot, side, lots, price, venue, rests, least, owner, given, two)

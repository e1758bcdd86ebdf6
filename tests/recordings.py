"""Handmade recordings of a market: a few messages, each with the book that follows it."""

import random
from datetime import UTC, datetime

import numpy as np

from lit_router.market.lobster import Recording
from rfq.domain.values import Symbol

ACME = Symbol("ACME")
BEGINS = datetime(2012, 6, 21, 13, 30, tzinfo=UTC)
BID, ASK = 1_000_000, 1_000_400
Message = tuple[float, int, int, int, int, int]
Levels = tuple[list[tuple[int, int]], list[tuple[int, int]]]


def recording(*rows: tuple[Message, Levels], ends_s: float = 100.0, symbol: Symbol = ACME) -> Recording:
    """Rows of (time, type, id, size, price, direction) with the (bids, asks) that follow, best first."""
    depth = max(max(len(bids), len(asks)) for _, (bids, asks) in rows)
    seen: dict[int, int] = {}
    added = []
    for row, (message, _) in enumerate(rows):
        if message[1] == 1:
            seen[message[2]] = row
        added.append(seen.get(message[2], -1))

    def side(which: int) -> np.ndarray:
        padded = [levels[which] + [(0, 0)] * (depth - len(levels[which])) for _, levels in rows]
        return np.array(padded, dtype=np.int64)

    def column(place: int, kind: type) -> np.ndarray:
        return np.array([message[place] for message, _ in rows], dtype=kind)

    return Recording(
        symbol,
        BEGINS,
        ends_s,
        column(0, np.float64),
        column(1, np.int64),
        column(3, np.int64),
        column(4, np.int64),
        column(5, np.int64) > 0,
        side(1),
        side(0),
        np.array(added),
    )


def shows(bid: int, ask: int, *, bid_price: int = BID, ask_price: int = ASK) -> Levels:
    bids = [(bid_price, bid)] if bid else []
    asks = [(ask_price, ask), (ask_price + 100, 500)] if ask else [(ask_price + 100, 500)]
    return [*bids, (BID - 200, 500)], asks


def random_recording(rng: random.Random, messages: int) -> Recording:
    """A consistent small market: orders are added on five prices a side, cancelled, and executed from the front."""
    orders: dict[int, list[list[int]]] = {1: [], -1: []}
    rows: list[tuple[Message, Levels]] = []
    for number in range(messages):
        side = rng.choice((1, -1))
        own, other = orders[side], orders[-side]
        kind = rng.choice((1, 1, 1, 2, 3, 4, 5)) if own else 1
        order_id, lots, price = 0, 10, BID + 200
        if kind == 1:
            facing = min((o[2] for o in other), default=ASK) if side > 0 else max((o[2] for o in other), default=BID)
            order_id, lots, price = number + 1, rng.randint(1, 50), facing - side * 100 * rng.randint(1, 5)
            own.append([order_id, lots, price])
        elif kind != 5:
            best = max(own, key=lambda o: side * o[2])[2]
            chosen = next(o for o in own if o[2] == best) if kind == 4 else rng.choice(own)
            lots = chosen[1] if kind == 3 else rng.randint(1, chosen[1])
            order_id, price = chosen[0], chosen[2]
            chosen[1] -= lots
            orders[side] = [o for o in own if o[1]]
        rows.append(((float(number), kind, order_id, lots, price, side), (_levels(orders, 1), _levels(orders, -1))))
    return recording(*rows, ends_s=float(messages))


def _levels(orders: dict[int, list[list[int]]], side: int) -> list[tuple[int, int]]:
    sizes: dict[int, int] = {}
    for _, lots, price in orders[side]:
        sizes[price] = sizes.get(price, 0) + lots
    return sorted(sizes.items(), reverse=side > 0)

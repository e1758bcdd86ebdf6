"""Handmade recordings of a market: a few messages, each with the book that follows it."""

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

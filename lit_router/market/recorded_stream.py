"""A recorded day as a stream of orders, to be compared with simulated ones."""

import numpy as np
import numpy.typing as npt

from lit_router.market.lobster import ADD, DELETE, EXECUTION, PARTIAL_CANCEL, TICK, Recording
from lit_router.market.stream import CANCEL, LIMIT, MARKET, BookStream
from rfq.domain.errors import BadInput

Ints = npt.NDArray[np.int64]


def stream_of(
    recording: Recording, begins_s: float = 0.0, ends_s: float | None = None, every_s: float = 1.0
) -> BookStream:
    """The recording from `begins_s` to before `ends_s` (None: its end), its book sampled each `every_s`.

    Adds are limit orders, partial cancels and deletes are cancels, executions at one time on one side are one market
    order. Hidden executions, crosses and halts are left out, and so are the first message of the recording and the
    samples before it: the book before it is not known.
    Raises BadInput for a part that is not in the recording, and for prices that are not whole ticks.
    """
    ends_s = recording.ends_s if ends_s is None else ends_s
    if not 0 <= begins_s < ends_s <= recording.ends_s:
        raise BadInput("begins_s, ends_s", (begins_s, ends_s), f"must be a part of 0 to {recording.ends_s:g} seconds")
    if not every_s > 0:
        raise BadInput("every_s", every_s, "must be positive")
    if np.any(recording.asks[:, :, 0] % TICK) or np.any(recording.bids[:, :, 0] % TICK):
        raise BadInput(recording.symbol, "a price of its book", f"must be a multiple of {TICK}")
    first, last, lots = _events(recording)
    ticks, rank = _places(recording, first)
    mids = np.where(recording.mids > 0, (recording.asks[:, 0, 0] + recording.bids[:, 0, 0]) // TICK, -1)
    samples = np.arange(int((ends_s - begins_s) / every_s + 1e-9) + 1)
    sampled_s = (begins_s + every_s * samples).astype(np.float64)
    sampled_s = sampled_s[sampled_s >= recording.times_s[0]]
    whole = BookStream(
        times_s=recording.times_s[last],
        kinds=_stream_kinds(recording.kinds[last]),
        bid_queue=recording.buys[last],
        ticks=ticks,
        rank=rank,
        lots=lots,
        mids=mids[last],
        sampled_s=sampled_s,
        bids=_sampled(recording.bids, recording.times_s, sampled_s),
        asks=_sampled(recording.asks, recording.times_s, sampled_s),
        begins_s=0.0,
        ends_s=recording.ends_s,
    )
    return whole.between(begins_s, ends_s)


def _events(recording: Recording) -> tuple[Ints, Ints, Ints]:
    """First and last row of each event, in the order of the last, and its size."""
    single = np.flatnonzero(np.isin(recording.kinds, (ADD, PARTIAL_CANCEL, DELETE)))
    executed = np.flatnonzero(recording.kinds == EXECUTION)
    orders = np.stack([recording.times_s[executed], recording.buys[executed]], axis=1)
    _, opening, order = np.unique(orders, axis=0, return_index=True, return_inverse=True)
    closing, lots = np.zeros(len(opening), dtype=np.int64), np.zeros(len(opening), dtype=np.int64)
    np.maximum.at(closing, order.ravel(), executed)
    np.add.at(lots, order.ravel(), recording.sizes[executed])
    first = np.concatenate([single, executed[opening]])
    last = np.concatenate([single, closing])
    lots = np.concatenate([recording.sizes[single], lots])
    by_time = np.argsort(last)
    by_time = by_time[first[by_time] > 0]
    return first[by_time], last[by_time], lots[by_time]


def _stream_kinds(messages: Ints) -> npt.NDArray[np.int8]:
    kinds = np.full(len(messages), CANCEL, dtype=np.int8)
    kinds[messages == ADD] = LIMIT
    kinds[messages == EXECUTION] = MARKET
    return kinds


def _places(recording: Recording, rows: Ints) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    """Distance in ticks from the best and rank, in the book before each row."""
    buys = recording.buys[rows]
    own = np.where(buys[:, None, None], recording.bids[rows - 1], recording.asks[rows - 1])
    occupied = own[:, :, 1] > 0
    sign = np.where(buys, 1, -1)
    deeper_by = sign[:, None] * (own[:, :, 0] - recording.prices[rows, None])
    rank = (occupied & (deeper_by > 0)).sum(axis=1)
    ticks = np.where(occupied[:, 0], deeper_by[:, 0] // TICK, 0)
    rank[ticks < 0] = -1
    return ticks.astype(np.int32), rank.astype(np.int8)


def _sampled(side: Ints, times_s: npt.NDArray[np.float64], sampled_s: npt.NDArray[np.float64]) -> Ints:
    rows = np.searchsorted(times_s, sampled_s, side="right") - 1
    levels = side[rows]
    levels[:, :, 0] //= TICK
    return levels

"""Windows of recorded days: order-level recordings, and ticks made into recordings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lit_router.market import lobster, nbbo, top_of_book
from lit_router.market.lobster import DARK_PRINT, EXECUTION, HIDDEN_EXECUTION, TICK, Recording
from ml.forecasters.samples import HORIZON_S, SHARES, Samples, outcomes, session_block, windows
from ml.forecasters.windows import LOOKS, ORDER, Snapshots, Usual

APART_S = 5
"""Windows of a recording end so many seconds apart."""


def source(days: Sequence[Recording]) -> tuple[Samples, float]:
    """All windows of one stock's days in their order, and the seconds of all days. What is usual is measured where the
    networks are trained."""
    looked = [snapshots(day) for day in days]
    lengths = [seen.bid.shape[1] for seen, _ in looked]
    usual = _usual(days, looked, SHARES[0] * sum(lengths))
    parts, before = [], 0
    for (seen, hidden), length in zip(looked, lengths, strict=True):
        # The first quotes of a day may be one-sided: the window begins after the first minute.
        ends = range(60 + LOOKS, length - HORIZON_S, APART_S)
        x, kind = windows(seen, usual, ends)
        at_s = torch.tensor(list(ends), dtype=torch.float64) + before
        none = torch.zeros(len(ends), ORDER)
        y = outcomes(seen, usual, ends, hidden)[0]
        parts.append(Samples(x, kind, none, y, at_s, session_block(at_s), torch.zeros(len(ends), dtype=torch.int64)))
        before += length
    return Samples(*(torch.cat(column) for column in zip(*parts, strict=True))), float(before)


def snapshots(day: Recording) -> tuple[Snapshots, torch.Tensor]:
    """The day each second, [1, seconds], and the lots traded hidden or off the exchange since the second before."""
    seconds = np.arange(1, int(day.ends_s) + 1, dtype=np.float64)
    rows = np.searchsorted(day.times_s, seconds, side="right") - 1
    known = day.mids > 0
    # Where the market is not known, as it last was.
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    first = int(np.argmax(known))
    rows = np.maximum(np.where(rows >= 0, last[rows], first), first)

    def since(lots: np.ndarray) -> np.ndarray:
        done = np.concatenate([[0], np.cumsum(lots)])
        return np.diff(done[np.searchsorted(day.times_s, np.concatenate([[0.0], seconds]), side="right")])

    lit, hidden = day.kinds == EXECUTION, np.isin(day.kinds, (HIDDEN_EXECUTION, DARK_PRINT))
    # The recorded direction is that of the resting order.
    columns = (
        *(side[rows, 0, which] for which in (0, 1) for side in (day.bids, day.asks)),
        since(np.where(lit, np.where(day.buys, -day.sizes, day.sizes), 0)),
        since(np.where(lit, day.sizes, 0)),
    )
    seen = Snapshots(*(torch.as_tensor(column, dtype=torch.float64)[None] for column in columns))
    return seen, torch.as_tensor(since(np.where(hidden, day.sizes, 0)), dtype=torch.float64)[None]


def _usual(
    days: Sequence[Recording], looked: Sequence[tuple[Snapshots, torch.Tensor]], until_s: float
) -> Usual:
    spreads, volume, trades, left = [], 0.0, 0, until_s
    for day, (seen, _) in zip(days, looked, strict=True):
        count = int(max(0.0, min(left, seen.bid.shape[1])))
        spreads.append((seen.ask - seen.bid)[0, :count])
        volume += float(seen.volume[0, :count].sum())
        trades += int(((day.kinds == EXECUTION) & (day.times_s <= count)).sum())
        left -= count
    numbers = (float(torch.cat(spreads).mean()), float(TICK), volume / until_s, volume / max(1, trades))
    return Usual(*(torch.tensor([number], dtype=torch.float64) for number in numbers))


def read(folder: Path) -> dict[str, list[Recording]]:
    """The recorded days of each stock in the folder of recorded data, in the order of time. Raises BadInput for a file
    that is not what it should be; what is not there is left out."""
    found: dict[str, list[Recording]] = {}
    for path in sorted((folder / "lobster").glob("*_10.zip")):
        day = lobster.read(path)
        found.setdefault(day.symbol.lower(), []).append(day)
    for trades in sorted((folder / "us_equity_tick_nbbo").glob("*/*_trade.zip")):
        quotes = trades.with_name(trades.name.replace("_trade", "_quote"))
        if quotes.exists():
            day = top_of_book.recording(nbbo.read(trades, quotes))
            found.setdefault(day.symbol.lower(), []).append(day)
    return found

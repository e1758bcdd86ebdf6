"""What a recording shows in public, as far as it has been played: quotes, mids, trades, halts. Nothing of ours."""

from bisect import bisect_right

import numpy as np

from lit_router.market.lobster import HALT, TRADES, Recording


class RecordedTape:
    """One recorded instrument. `row` is the next message to be played; the book shown is that of the row before."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.now_s = 0.0
        self.halted = False
        self.row = 0
        executed = np.isin(recording.kinds, TRADES)
        self._times: list[float] = recording.times_s.tolist()
        self._mids = recording.mids
        self._volumes = np.cumsum(np.where(executed, recording.sizes, 0))
        self._last_trades = np.maximum.accumulate(np.where(executed, np.arange(len(executed)), -1))
        self._halts: list[int] = np.flatnonzero(recording.kinds == HALT).tolist()

    @property
    def mid(self) -> int | None:
        """None while a side is empty or the quotes are locked or crossed."""
        return self._mid_of(self.row)

    @property
    def over(self) -> bool:
        """The recording has ended."""
        return self.now_s >= self.recording.ends_s

    @property
    def crossed(self) -> bool:
        """The quotes are locked or crossed: nobody can say where the market is."""
        crossed = self.recording.crossed
        return crossed is not None and self.row > 0 and crossed.item(self.row - 1)

    def mid_at(self, at_s: float) -> int | None:
        return self._mid_of(bisect_right(self._times, at_s))

    def recorded_volume_at(self, at_s: float) -> int:
        """Recorded lots traded up to `at_s`."""
        row = bisect_right(self._times, at_s)
        return self._volumes.item(row - 1) if row else 0

    def last_trade(self) -> tuple[int, int] | None:
        """Price and lots of the last recorded trade."""
        last = self._last_trades.item(self.row - 1) if self.row else -1
        return None if last < 0 else (self.recording.prices.item(last), self.recording.sizes.item(last))

    def levels(self, bids: bool) -> list[tuple[int, int]]:
        """Recorded levels from the best: price and lots. None of either side while the quotes are crossed."""
        if not self.row or self.crossed:
            return []
        side = (self.recording.bids if bids else self.recording.asks)[self.row - 1]
        return [(price, lots) for price, lots in side.tolist() if lots]

    def best(self, bids: bool) -> int | None:
        """The best recorded price of a side."""
        levels = self.levels(bids)
        return levels[0][0] if levels else None

    def displayed(self, bids: bool, price: int) -> int | None:
        """Lots displayed at a price; None if the price is beyond the recorded levels, or the quotes are crossed."""
        if self.crossed:
            return None
        levels = self.levels(bids)
        for level, lots in levels:
            if level == price:
                return lots
        full = len(levels) == self.recording.bids.shape[1]
        beyond = full and (price < levels[-1][0] if bids else price > levels[-1][0])
        return None if beyond else 0

    def _mid_of(self, row: int) -> int | None:
        mid = self._mids.item(row - 1) if row else -1
        return mid if mid >= 0 else None

    def _halt_stands(self) -> bool:
        halts = bisect_right(self._halts, self.row - 1)
        return halts > 0 and self.recording.prices.item(self._halts[halts - 1]) != 1

"""One book as seen from outside, order by order: what recordings and simulations have in common, for comparing them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LIMIT, CANCEL, MARKET = 0, 1, 2


class BookStream(NamedTuple):
    """Events in time order, and the book at regular times. Prices in ticks, sizes in shares, times in seconds since
    the open of the session.

    `bid_queue` is whether the event fell on the bid side (for a market order: the bids were hit, a seller's).
    `ticks` is the distance from the best price of that side before the event: 0 at the best, positive deeper, negative
    inside the spread. `rank` is the occupied level it fell on, 0 the best, -1 inside the spread, `levels` beyond view;
    an order that opens a level has the rank of that level, and on an empty side it is the best.
    Executions of one market order are one event with their sum. `bids` and `asks` have shape (samples, levels, 2),
    price and size of the occupied levels from the best, size 0 where there is none. `mids` are the mid after each
    event, in half ticks (bid plus ask), -1 while a side is empty; `sampled_s` the times of the samples, from the
    beginning (or from where the book is known) to the end, both included.
    """

    times_s: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int8]
    bid_queue: npt.NDArray[np.bool_]
    ticks: npt.NDArray[np.int32]
    rank: npt.NDArray[np.int8]
    lots: npt.NDArray[np.int64]
    mids: npt.NDArray[np.int64]
    sampled_s: npt.NDArray[np.float64]
    bids: npt.NDArray[np.int64]
    asks: npt.NDArray[np.int64]
    begins_s: float
    ends_s: float

    def between(self, begins_s: float, ends_s: float) -> "BookStream":
        """The part from `begins_s` to `ends_s`: events before the end, samples up to and with it."""
        events = slice(*np.searchsorted(self.times_s, (begins_s, ends_s)))
        slack = 1e-9  # Of sample times that are sums of an interval that is no binary fraction.
        samples = slice(*np.searchsorted(self.sampled_s, (begins_s - slack, ends_s + slack)))
        cut = {name: getattr(self, name)[events] for name in _EVENT_COLUMNS}
        cut |= {name: getattr(self, name)[samples] for name in _SAMPLE_COLUMNS}
        return BookStream(**cut, begins_s=begins_s, ends_s=ends_s)

    def within(self, levels: int) -> "BookStream":
        """What of it shows in a book of so many levels a side; a market order shows in any."""
        shown = self.rank < levels
        return self._replace(
            **{name: getattr(self, name)[shown] for name in _EVENT_COLUMNS},
            bids=self.bids[:, :levels],
            asks=self.asks[:, :levels],
        )


_EVENT_COLUMNS, _SAMPLE_COLUMNS = BookStream._fields[:7], BookStream._fields[7:10]

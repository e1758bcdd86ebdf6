"""Do quotes that are said to win one time in five win one time in five? Bins of a like number of RFQs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 10
Z = 1.96
WIDTH = 50


class Reliability(NamedTuple):
    """One entry a bin, by rising probability: mean probability, share won, its 95% interval (Wilson 1927), RFQs."""

    said: Floats
    won: Floats
    low: Floats
    high: Floats
    count: NDArray[np.int64]

    def lines(self) -> Iterator[str]:
        """The plot in plain text: a row a bin, `|` what was said and `=` the interval of what was won."""
        top = max(float(self.high.max()), float(self.said.max()), 1e-9)
        yield f"reliability: said | and won = (95% interval), from 0 to {top:.2f}"
        for said, won, low, high, count in zip(*self, strict=True):
            places = [round(value / top * (WIDTH - 1)) for value in (said, low, high)]
            row = ["=" if places[1] <= place <= places[2] else " " for place in range(WIDTH)]
            row[places[0]] = "|"
            yield f"  {said:.3f} {won:.3f} {count:5d}  {''.join(row).rstrip()}"


def reliability(happened: Floats, found: Floats) -> Reliability:
    """Ten bins of as many rows each as can be, fewer of fewer rows. Of at least one row."""
    parts = [part for part in np.array_split(np.argsort(found, kind="stable"), BINS) if len(part)]
    count = np.array([len(part) for part in parts])
    won = np.array([happened[part].mean() for part in parts])
    middle = (won + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z * np.sqrt(won * (1 - won) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
    said = np.array([found[part].mean() for part in parts])
    return Reliability(said, won, np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0), count)

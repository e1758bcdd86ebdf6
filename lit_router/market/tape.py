"""A quantity that changes at certain times, remembered for a stretch of market time."""

from bisect import bisect_right
from typing import Self

KEPT_S = 4 * 3600.0
"""History is kept at least this long; marks are taken up to half an hour back, reports over the whole block."""


class Steps:
    """A right-continuous step function of time, remembered over the last KEPT_S seconds."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._values: list[int | None] = []

    def put(self, at_s: float, value: int | None) -> None:
        """The value from `at_s` on. Times never fall."""
        if self._times and self._times[-1] == at_s:
            self._values[-1] = value
            return
        self._times.append(at_s)
        self._values.append(value)
        if self._times[0] < at_s - 2 * KEPT_S:
            keep_from = bisect_right(self._times, at_s - KEPT_S) - 1
            del self._times[:keep_from], self._values[:keep_from]

    def at(self, at_s: float) -> int | None:
        """The value that held at `at_s`; None before the first."""
        place = bisect_right(self._times, at_s) - 1
        return self._values[place] if place >= 0 else None

    def copy(self) -> Self:
        twin = type(self)()
        twin._times, twin._values = self._times.copy(), self._values.copy()
        return twin

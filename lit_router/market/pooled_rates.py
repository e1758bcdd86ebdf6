"""Poisson rates by queue size: count over exposure, with thin bins put together with their neighbours."""

from collections.abc import Mapping, Sequence

import numpy as np

from lit_router.market.parameters import LARGEST, ByLevel, Floats
from lit_router.market.stream import CANCEL, LIMIT, MARKET

FEWEST = 25
"""A rate from fewer events than this is pooled with that of the next bin."""
NAMES = {LIMIT: "limit", CANCEL: "cancel", MARKET: "market"}


class Bins:
    """Bins of queue sizes in average event sizes; `starts` are their smallest sizes, the first 0 and alone."""

    def __init__(self, starts: Sequence[int]) -> None:
        self.starts = tuple(starts)

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, sizes: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.starts, sizes, side="right") - 1

    def name(self, place: int) -> str:
        if place == len(self) - 1:
            return f"{self.starts[place]}+"
        first, last = self.starts[place], self.starts[place + 1] - 1
        return str(first) if first == last else f"{first}-{last}"

    def points(self, by_size: Floats) -> tuple[float, ...]:
        """Mean size in each bin, given the time at each size 0..LARGEST; its smallest where there was none."""
        sizes, points = np.arange(LARGEST + 1), []
        for begin, end in zip(self.starts, (*self.starts[1:], LARGEST + 1), strict=True):
            time = by_size[begin:end]
            points.append(time @ sizes[begin:end] / time.sum() if time.sum() > 0 else float(begin))
        return rounded([points])[0]


def pool(counts: Floats, exposure_s: Floats, fewest: int = FEWEST) -> tuple[Floats, Floats, list[list[int]]]:
    """Rates and standard errors of neighbouring bins. A bin of fewer than `fewest` events shares one rate with the
    next ones until there are enough, what is left over with those before; also returns which were put together.

    Where even all have no event the rate is 0 and the error that of one event.
    """
    groups: list[list[int]] = [[]]
    for place in range(len(counts)):
        if groups[-1] and counts[groups[-1]].sum() >= fewest:
            groups.append([])
        groups[-1].append(place)
    if len(groups) > 1 and counts[groups[-1]].sum() < fewest:
        left_over = groups.pop()
        groups[-1] += left_over
    rates, errors = np.zeros(len(counts)), np.zeros(len(counts))
    for group in groups:
        seconds = exposure_s[group].sum()
        if seconds > 0:
            rates[group] = counts[group].sum() / seconds
            errors[group] = np.sqrt(max(1.0, counts[group].sum())) / seconds
    return rates, errors, [group for group in groups if len(group) > 1]


class Rates:
    """Rates and standard errors of the three kinds by (level, bin), and in words what was pooled.

    `counts` and `exposures_s` are given by kind, each of shape (levels, bins). Only limit orders arrive at an empty
    queue. A level without exposure (market orders: one that was never the best) takes the rates of the one before.
    """

    def __init__(self, bins: Bins, counts: Mapping[int, Floats], exposures_s: Mapping[int, Floats]) -> None:
        self.rates: dict[int, ByLevel] = {}
        self.errors: dict[int, ByLevel] = {}
        thin: list[str] = []
        for kind, name in NAMES.items():
            empty = 0 if kind == LIMIT else 1
            rates = np.zeros((len(counts[kind]), len(bins)))
            errors = np.zeros_like(rates)
            for level, (count, exposure) in enumerate(zip(counts[kind], exposures_s[kind], strict=True)):
                if level and not exposure[empty:].any():
                    rates[level], errors[level] = rates[level - 1], errors[level - 1]
                    thin.append(f"{name}, level {level}: no exposure, the rates of level {level - 1}")
                    continue
                rates[level, empty:], errors[level, empty:], pooled = pool(count[empty:], exposure[empty:])
                for group in pooled:
                    first, last = empty + group[0], empty + group[-1]
                    few = ", ".join(f"{one:.0f}" for one in count[first : last + 1])
                    thin.append(f"{name}, level {level}: {few} events at {bins.name(first)} to {bins.name(last)}")
            self.rates[kind], self.errors[kind] = rounded(rates), rounded(errors)
        self.thin = tuple(thin)


def rounded(table: Sequence[Sequence[float]] | Floats) -> ByLevel:
    """Five significant digits: more would be noise."""
    return tuple(tuple(float(f"{value:.5g}") for value in row) for row in table)

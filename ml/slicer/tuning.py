"""Tunes the strong rule: paired coordinate descent, every trial on the same episodes as what it is compared with.

Random search stalls well above what this finds: most parameters matter only once others are right. Episodes of tuning,
of choosing between rounds and of evaluation have seeds of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from lit_router.market.parameters import BookParameters
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.rules import Rule, worked

TRIED: Mapping[str, Sequence[float]] = {
    "steepness": (0.0, 0.5, 1.0, 2.0, 3.0, 5.0),
    "grace": (0.02, 0.05, 0.1, 0.2, 0.4, 1.0),
    "lead": (0.0, 0.05, 0.1, 0.3, 1.0),
    "show": (0.25, 0.5, 1.0, 2.0, 5.0, 100.0),
    "block": (0.0, 0.2, 0.5, 1.0),
    "broker": (0.0, 0.2, 0.5, 1.0),
    "stream": (0.0, 0.2, 0.5, 1.0),
    "alarm": (0.3, 0.5, 0.7, 0.85, 2.0),
    "rush": (0.005, 0.02, 0.05, 0.1, 0.25),
    "patience": (-2.0, -0.8, -0.5, -0.2, 0.0),
    "back": (-2.0, -0.9, -0.7, -0.5, -0.2),
    "late": (0.6, 0.75, 0.9, 0.95, 1.0),
    "panic": (1.0, 2.0, 4.0, 8.0, 1e3),
    "speed": (0.0, 0.1, 0.3, 0.6, 1.0),
    "wide": (1.2, 1.6, 2.5, 1e3),
}
"""Values of each parameter, in the order in which they are tried."""


class Tuned(NamedTuple):
    rule: Rule
    shortfall_spreads: float
    """Mean over the episodes it was tuned on, in usual spreads."""
    trials: int


class Bench:
    """The same episodes for every rule: one market played once is copied for each trial."""

    def __init__(
        self, sets: Sequence[BookParameters], seeds: Sequence[int], law: EpisodeLaw, *, threads: int = 1
    ) -> None:
        self._begun = [Execution(parameters, seeds, law, threads=threads) for parameters in sets]

    def shortfalls(self, rule: Rule) -> torch.Tensor:
        """In usual spreads of each set, float64 [sets, B]."""
        found = []
        for begun in self._begun:
            usual = float(begun.arrival_spread.mean())
            found.append(worked(rule, begun.copy(), usual) / usual)
        return torch.stack(found)


def tuned(bench: Bench, start: Rule, rounds: int, say: Callable[[str], None]) -> Tuned:
    """Changes one parameter at a time, as long as a round finds anything better. Ties keep what is there."""
    best, least, trials = start, float(bench.shortfalls(start).mean()), 1
    say(f"start: {least:+.4f} spreads")
    for number in range(rounds):
        before = least
        for name, values in TRIED.items():
            for value in values:
                if value == getattr(best, name):
                    continue
                tried = best._replace(**{name: value})
                cost, trials = float(bench.shortfalls(tried).mean()), trials + 1
                if cost < least:
                    best, least = tried, cost
            say(f"round {number + 1}: {name} {getattr(best, name):g}: {least:+.4f} spreads")
        if least >= before:
            break
    return Tuned(best, least, trials)

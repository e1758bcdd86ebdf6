"""Tunes rules: paired coordinate descent, every trial on the same episodes as what it is compared with.

Random search stalls well above what this finds: most parameters matter only once others are right. Episodes of tuning
and of evaluation have seeds of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from lit_router.market.parameters import BookParameters
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.playing import by_rule
from ml.slicer.rules import Rule

FIRST_SEED = 2 * 10**8
"""Episodes of tuning have seeds from here on; evaluation's are above, training's far above."""
STRONG: Mapping[str, Sequence[float]] = {
    "steepness": (0.0, 0.5, 1.0, 2.0, 3.0, 5.0),
    "grace": (0.02, 0.05, 0.1, 0.2, 0.4, 1.0),
    "lead": (0.0, 0.05, 0.1, 0.3, 1.0),
    "show": (0.25, 0.5, 1.0, 2.0, 5.0, 100.0),
    "block": (0.0, 0.2, 0.5, 1.0),
    "broker": (0.0, 0.2, 0.5, 1.0),
    "stream": (0.0, 0.2, 0.5, 1.0),
    "alarm": (0.3, 0.5, 0.7, 0.85, 2.0),
    "rush": (0.005, 0.02, 0.05, 0.1, 0.25),
    "patience": (-2.0, -0.8, -0.5, -0.2, 0.0, 0.3, 0.6),
    "back": (-2.0, -0.9, -0.7, -0.5, -0.2),
    "late": (0.6, 0.75, 0.9, 0.95, 1.0),
    "panic": (1.0, 2.0, 4.0, 8.0, 1e3),
    "speed": (0.0, 0.1, 0.3, 0.6, 1.0),
    "wide": (0.8, 1.0, 1.2, 1.6, 2.5, 1e3),
}
"""Values of each parameter, in the order in which they are tried."""
PLAIN: Mapping[str, Sequence[float]] = {name: STRONG[name] for name in ("grace", "lead", "show")}
"""What a passive-then-cross schedule has."""
DARK: Mapping[str, Sequence[float]] = {name: STRONG[name] for name in ("block", "broker", "stream")}
STEEP: Mapping[str, Sequence[float]] = {"steepness": STRONG["steepness"][1:]}


class Tuned(NamedTuple):
    rule: Rule
    shortfall_spreads: float
    """Mean over the episodes it was tuned on, in usual spreads."""
    trials: int
    episodes: int
    """Episodes worked in all trials."""


class Bench:
    """The same episodes for every rule: markets played once are copied for each trial."""

    def __init__(
        self,
        sets: Sequence[BookParameters],
        laws: Sequence[tuple[float, EpisodeLaw]],
        episodes: int,
        first_seed: int = FIRST_SEED,
        *,
        threads: int = 1,
    ) -> None:
        """`episodes` in each set, shared between the laws by their weights."""
        whole, self._begun = sum(weight for weight, _ in laws), list[Execution]()
        for parameters in sets:
            first = first_seed
            for weight, law in laws:
                count = max(1, round(episodes * weight / whole))
                self._begun.append(Execution(parameters, range(first, first + count), law, threads=threads))
                first += count

    @property
    def episodes(self) -> int:
        return sum(len(begun.lots) for begun in self._begun)

    def shortfalls(self, rule: Rule) -> torch.Tensor:
        """Of every episode in usual spreads, float64 [episodes]."""
        return torch.cat([by_rule(rule, begun.copy()) / begun.residual.spread for begun in self._begun])


def tuned(
    bench: Bench, start: Rule, tried: Mapping[str, Sequence[float]], rounds: int, say: Callable[[str], None]
) -> Tuned:
    """Changes one parameter at a time, as long as a round finds anything better. Ties keep what is there."""
    best, least, trials = start, float(bench.shortfalls(start).mean()), 1
    say(f"start: {least:+.4f} spreads")
    for number in range(rounds):
        before = least
        for name, values in tried.items():
            known = getattr(best, name)
            for value in values:
                if value == known:
                    continue
                other = best._replace(**{name: value})
                cost, trials = float(bench.shortfalls(other).mean()), trials + 1
                if cost < least:
                    best, least = other, cost
            say(f"round {number + 1}: {name} {getattr(best, name):g}: {least:+.4f} spreads")
        if least >= before:
            break
    return Tuned(best, least, trials, trials * bench.episodes)

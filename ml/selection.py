"""Whom to ask: the set of least expected all-in cost, found greedily, with a little logged randomisation."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ml.expected_cost import ExpectedCost
from rfq.domain.errors import BadInput


class Exploration(msgspec.Struct, frozen=True, tag="slots"):
    """How often the choice is randomised, so that there is something to learn leakage from."""

    swap: float = 0.10
    """Probability that one chosen slot goes to a dealer drawn evenly from those not chosen."""
    count: float = 0.05
    """Probability that the number asked is drawn evenly between its bounds."""

    def __post_init__(self) -> None:
        if self.swap < 0 or self.count < 0 or self.swap + self.count > 1:
            raise BadInput("exploration", (self.swap, self.count), "must be probabilities adding up to at most 1")

    def __str__(self) -> str:
        return f"slots: one slot drawn anew in {self.swap:.0%} of choices, the number asked in {self.count:.0%}"


class Bounds(msgspec.Struct, frozen=True):
    """Dealers by index. `include` are asked whatever they cost, in any number asked."""

    least: int
    most: int
    include: tuple[int, ...] = ()


class Allowance(msgspec.Struct, frozen=True):
    """A bound on the leakage expected of all asked together."""

    leakage_bps: NDArray[np.float64]
    """Of each dealer asked and not hit, (D,)."""
    budget_bps: float
    least: int
    """So many are asked even where the budget does not suffice: then those that leak least."""

    def within(self, order: Sequence[int], pool: Sequence[int]) -> list[int]:
        """Who of the pool may still be added."""
        left = self.budget_bps - float(self.leakage_bps[list(order)].sum())
        fit = [d for d in pool if self.leakage_bps[d] <= left]
        if not fit and pool and len(order) < self.least:
            return [min(pool, key=lambda d: (self.leakage_bps[d], d))]
        return fit

    def outsiders(self, base: Sequence[int], free: Sequence[int], outside: Sequence[int]) -> list[int]:
        """Who may take any free place of the base."""
        leak = self.leakage_bps
        room = max(0.0, self.budget_bps - float(leak[list(base)].sum())) + min((leak[d] for d in free), default=0.0)
        return [d for d in outside if leak[d] <= room]


class Path(msgspec.Struct, frozen=True):
    """Dealers in the order in which greedy would ask them, and the expected cost of the first k, k = 0, 1, ..."""

    order: tuple[int, ...]
    curve_bps: tuple[float, ...]


class Choice(msgspec.Struct, frozen=True):
    """Who is asked, and each dealer's exact probability of having been."""

    chosen: tuple[int, ...]
    propensities: NDArray[np.float64]
    explored: tuple[int, ...]
    of_set: float
    """Probability of just this set."""


SHORTLIST = 48
"""Of a larger panel, so many are looked at again once the first was chosen: the others were the dearest beside it."""


def greedy(
    cost: ExpectedCost,
    candidates: Sequence[int],
    most: int,
    include: Sequence[int] = (),
    allowance: Allowance | None = None,
) -> Path:
    """Adds the dealer that lowers expected cost most (or raises it least), `include` first, up to `most`.

    Of a pool of more than SHORTLIST, or than `most` if that is more, the rest drop out after one look at each. With an
    allowance the path ends where nobody is left whose leakage fits; `include` is asked whatever it leaks.
    """
    order: list[int] = []
    curve = [cost.of_none()]
    waiting = [d for d in candidates if d not in include]
    for pool, bound in (([*include], None), (waiting, allowance)):
        while len(order) < most and (fit := bound.within(order, pool) if bound else pool):
            costs = cost.adding(order, fit)
            best = int(costs.argmin())
            curve.append(float(costs[best]))
            order.append(fit[best])
            if len(fit) > (keep := max(SHORTLIST, most)):
                near = {fit[i] for i in np.argsort(costs, kind="stable")[: keep + 1]}
                pool = [d for d in pool if d in near]
            pool = [d for d in pool if d != order[-1]]
    return Path(tuple(order), tuple(curve))


def best_count(path: Path, bounds: Bounds) -> int:
    """How many of the path to ask: the least cost within the bounds; ties go to fewer."""
    least = min(max(bounds.least, len(bounds.include)), len(path.order))
    most = min(bounds.most, len(path.order))
    return min(range(least, most + 1), key=lambda k: (path.curve_bps[k], k))


def choose(
    path: Path,
    candidates: Sequence[int],
    bounds: Bounds,
    explore: Exploration,
    rng: Generator,
    allowance: Allowance | None = None,
) -> Choice:
    """Draws the set to ask and says with what probability each dealer was to be in it.

    Three ways, drawn once: the greedy set; the greedy set with one free slot given to an outsider, both drawn
    evenly; the first k of the path with k drawn evenly between the bounds. Where a way is impossible (nobody
    outside, no free slot) its probability goes to the greedy set.
    """
    size = 1 + max(candidates, default=-1)
    base = list(path.order[: best_count(path, bounds)])
    free = [d for d in base if d not in bounds.include]
    outside = [d for d in candidates if d not in base]
    if allowance:
        outside = allowance.outsiders(base, free, outside)
    low = min(max(bounds.least, len(bounds.include)), len(path.order))
    high = min(bounds.most, len(path.order))
    swap = explore.swap if free and outside else 0.0
    count = explore.count if high > low else 0.0

    inside = np.zeros(size)
    inside[base] = 1.0
    swapped = inside.copy()
    if swap:
        swapped[free] = 1.0 - 1.0 / len(free)
        swapped[outside] = 1.0 / len(outside)
    counted = np.zeros(size)
    for place, dealer in enumerate(path.order):
        counted[dealer] = min(1.0, max(0.0, (high - max(low, place + 1) + 1) / (high - low + 1)))
    propensities = (1.0 - swap - count) * inside + swap * swapped + count * counted

    draw = rng.random()
    chosen = base
    if draw < swap:
        leaves, comes = free[int(rng.integers(len(free)))], outside[int(rng.integers(len(outside)))]
        chosen = [comes if d == leaves else d for d in base]
    elif draw < swap + count:
        chosen = list(path.order[: int(rng.integers(low, high + 1))])
    explored = tuple(d for d in chosen if d not in base)
    of_set = (1.0 - swap - count) * (not explored and len(chosen) == len(base))
    if swap and len(explored) == 1 and len(chosen) == len(base):
        of_set += swap / (len(free) * len(outside))
    if count and low <= len(chosen) <= high and set(chosen) == set(path.order[: len(chosen)]):
        of_set += count / (high - low + 1)
    return Choice(tuple(chosen), propensities, explored, of_set)

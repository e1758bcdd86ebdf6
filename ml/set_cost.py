"""The inner loops of `expected_cost`, compiled: quotes drawn from quantiles, and what sets cost on average."""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]

_BY_DEALER, _TABLE = "float64[::1]", "float64[:, ::1]"
_SETS, _RANKS = "int64[::1]", "int64[:, ::1]"


class Reading(NamedTuple):
    """How a cost is read off known quantiles at each of so many even ranks, [draws] each: the quantile `below`, and
    `share` of the step from the one before `above` to it.

    Linear between the quantiles. Beyond the outer ones the tails run on, the dear tail twice as far as the keen one:
    quotes are skewed.
    """

    middle: Array
    """Of each rank, in shares of 0 to 1."""
    below: Places
    above: Places
    share: Array


@lru_cache(maxsize=8)
def reading(levels: tuple[float, ...], draws: int) -> Reading:
    """Of quantiles at these levels, which lie between 0 and 1."""
    at, last = np.array(levels), len(levels) - 1
    middle = (np.arange(draws) + 0.5) / draws
    right = np.searchsorted(at, middle, side="right").clip(1, last)
    share = (middle - at[right - 1]) / (at[right] - at[right - 1])
    keen, dear = middle < at[0], middle >= at[last]
    share = np.where(keen, -(1.0 - middle / at[0]), share)
    share = np.where(dear, 2.0 * ((middle - at[last]) / (1.0 - at[last])), share)
    return Reading(middle, np.where(dear, last, right - 1), np.where(dear, last, right), share)


@numba.njit(
    f"void({_TABLE}, {_BY_DEALER}, {_RANKS}, {_RANKS}, {_BY_DEALER}, {_SETS}, {_SETS}, {_BY_DEALER}, boolean[::1],"
    f"{_TABLE}, {_SETS})",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def draw_costs(quantiles, answers, answer_rank, level_rank, middle, below, above, share, drawn, cost, wanted):  # pyright: ignore  # pragma: no cover
    """Fills `cost` [dealers, draws] for those wanted that are not `drawn` yet: the cost quoted at the draw's level
    where its answer is below the dealer's chance of one, else inf. See `Reading`."""
    read = np.empty(len(middle))
    for d in wanted:
        if drawn[d]:
            continue
        known, chance = quantiles[d], answers[d]
        for rank in range(len(middle)):
            step = known[above[rank]] - known[above[rank] - 1]
            read[rank] = known[below[rank]] + share[rank] * step
        for m in range(len(middle)):
            cost[d, m] = read[level_rank[d, m]] if middle[answer_rank[d, m]] < chance else np.inf
        drawn[d] = True


@numba.njit(
    f"void({_TABLE}, {_SETS}, int64, {_BY_DEALER}, {_BY_DEALER}, {_BY_DEALER}, float64, float64, int64, {_BY_DEALER})",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def costs_of_adding(cost, dealers, kept, lots, leak, rest, least_share, standing, winners, out):  # pyright: ignore  # pragma: no cover
    """[candidates]: mean all-in cost, over the draws, of asking the first `kept` of `dealers` and one of the others.

    Only the best `winners` quotes of the base can matter beside the newcomer: they are sorted out first. So is what it
    costs to take the first 0, 1, ... of them and to work the rest, but for what the newcomer leaks.
    """
    base, candidates = dealers[:kept], dealers[kept:]
    grid, draws, told_base = len(rest) - 1, cost.shape[1], 0.0
    for d in base:
        told_base += leak[d]
    shape = (draws, winners + 1)
    held, front, who = np.zeros(draws, dtype=np.int64), np.empty(shape), np.empty(shape, dtype=np.int64)
    filled, paid, told = np.zeros(shape), np.zeros(shape), np.full(shape, told_base)
    worked, weight = np.full(shape, rest[grid] + told_base), np.ones(shape)
    for m in range(draws):
        for d in base:
            quote, place = cost[d, m], held[m]
            if quote == np.inf:
                continue
            while place > 0 and front[m, place - 1] > quote:
                place -= 1
            if place == winners:
                continue
            held[m] = min(winners, held[m] + 1)
            for later in range(held[m] - 1, place, -1):
                front[m, later], who[m, later] = front[m, later - 1], who[m, later - 1]
            front[m, place], who[m, place] = quote, d
        for k in range(held[m]):
            taken = min(lots[who[m, k]], 1.0 - filled[m, k])
            filled[m, k + 1], paid[m, k + 1] = filled[m, k] + taken, paid[m, k] + taken * front[m, k]
            told[m, k + 1] = told[m, k] - (leak[who[m, k]] if taken > 0.0 else 0.0)
            left = max(0.0, 1.0 - filled[m, k + 1])
            weight[m, k + 1] = max(left, standing)
            enough = filled[m, k + 1] + 1e-9 >= least_share
            now = paid[m, k + 1] + rest[int(left * grid + 0.5)] + told[m, k + 1] * weight[m, k + 1]
            worked[m, k + 1] = now if enough else np.inf
    for c in range(len(candidates)):
        new, total = candidates[c], 0.0
        for m in range(draws):
            quote, leaks = cost[new, m], leak[new]
            best, place = worked[m, 0] + leaks, 0
            while place < held[m] and front[m, place] <= quote:
                place += 1
                best = min(best, worked[m, place] + leaks * weight[m, place])
            if quote < np.inf and place < winners and filled[m, place] < 1.0:
                taken = min(lots[new], 1.0 - filled[m, place])
                done, spent, knows = filled[m, place] + taken, paid[m, place] + taken * quote, told[m, place]
                while True:
                    left = max(0.0, 1.0 - done)
                    if done + 1e-9 >= least_share:
                        best = min(best, spent + rest[int(left * grid + 0.5)] + knows * max(left, standing))
                    if left == 0.0 or place == held[m] or place + 1 == winners:
                        break
                    taken = min(lots[who[m, place]], left)
                    if taken > 0.0:
                        knows -= leak[who[m, place]]
                    done, spent = done + taken, spent + taken * front[m, place]
                    place += 1
            total += best
        out[c] = total / draws

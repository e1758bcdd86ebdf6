"""The inner loops of `expected_cost`, compiled: quotes drawn from quantiles, and what a set costs in every draw."""

import numba
import numpy as np

_BY_DEALER, _TABLE = "float64[::1]", "float64[:, ::1]"
_SETS = "int64[::1]"


@numba.njit(
    f"void({_TABLE}, {_BY_DEALER}, {_TABLE}, {_TABLE}, {_BY_DEALER}, {_SETS}, {_TABLE})",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def drawn_costs(quantiles, answers, answer_u, level_u, levels, wanted, out):  # pyright: ignore  # pragma: no cover
    """[dealers, draws], filled for those wanted: the cost quoted at `level_u` where `answer_u` is below `answers`, else
    inf.

    Linear between the quantiles, which are at `levels`. Beyond the outer ones the tails run on, the dear tail twice as
    far as the keen one: quotes are skewed.
    """
    last = len(levels) - 1
    for d in wanted:
        known, chance = quantiles[d], answers[d]
        for m in range(out.shape[1]):
            if answer_u[d, m] >= chance:
                out[d, m] = np.inf
                continue
            u = level_u[d, m]
            if u < levels[0]:
                out[d, m] = known[0] - (1.0 - u / levels[0]) * (known[1] - known[0])
            elif u >= levels[last]:
                beyond = (u - levels[last]) / (1.0 - levels[last])
                out[d, m] = known[last] + 2.0 * beyond * (known[last] - known[last - 1])
            else:
                right = 1
                while u >= levels[right]:
                    right += 1
                share = (u - levels[right - 1]) / (levels[right] - levels[right - 1])
                out[d, m] = known[right - 1] + share * (known[right] - known[right - 1])


@numba.njit(
    f"void({_TABLE}, {_SETS}, {_SETS}, {_BY_DEALER}, {_BY_DEALER}, {_BY_DEALER}, float64, float64, int64, {_TABLE})",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def costs_of_adding(cost, base, candidates, lots, leak, rest, least_share, standing, winners, out):  # pyright: ignore  # pragma: no cover
    """[candidates, draws]: all-in cost of asking `base` and one candidate more.

    Only the best `winners` quotes of the base can matter beside the newcomer: they are sorted out once a draw.
    """
    grid, told_base = len(rest) - 1, 0.0
    for d in base:
        told_base += leak[d]
    front, who = np.empty(winners + 1), np.empty(winners + 1, dtype=np.int64)
    for m in range(cost.shape[1]):
        held = 0
        for d in base:
            quote, place = cost[d, m], held
            if quote == np.inf:
                continue
            while place > 0 and front[place - 1] > quote:
                place -= 1
            if place == winners:
                continue
            held = min(winners, held + 1)
            for later in range(held - 1, place, -1):
                front[later], who[later] = front[later - 1], who[later - 1]
            front[place], who[place] = quote, d
        for c in range(len(candidates)):
            new = candidates[c]
            quote, waits = cost[new, m], cost[new, m] < np.inf
            told = told_base + leak[new]
            best = rest[grid] + told
            filled = paid = 0.0
            place = 0
            for _ in range(winners):
                if waits and (place == held or quote < front[place]):
                    taker, price, waits = new, quote, False
                elif place < held:
                    taker, price = who[place], front[place]
                    place += 1
                else:
                    break
                taken = min(lots[taker], 1.0 - filled)
                if taken > 0.0:
                    filled += taken
                    paid += taken * price
                    told -= leak[taker]
                left = max(0.0, 1.0 - filled)
                if filled + 1e-9 >= least_share:
                    best = min(best, paid + rest[int(left * grid + 0.5)] + told * max(left, standing))
                if left == 0.0:
                    break
            out[c, m] = best

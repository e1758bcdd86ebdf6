"""The inner loops of `expected_cost`, compiled: quotes drawn from quantiles, and what sets cost on average."""

import numba
import numpy as np

_BY_DEALER, _TABLE = "float64[::1]", "float64[:, ::1]"
_SETS, _RANKS = "int64[::1]", "int64[:, ::1]"


@numba.njit(error_model="numpy")
def _draw(known, chance, answer_rank, level_rank, levels, read, out):  # pyright: ignore  # pragma: no cover
    """[draws] of one dealer: the cost quoted at the draw's level where its answer is below `chance`, else inf. Ranks
    are the middles of so many even shares of 0 to 1 as there are draws; `read` is room to work in.

    Linear between the quantiles `known`, which are at `levels`. Beyond the outer ones the tails run on, the dear tail
    twice as far as the keen one: quotes are skewed.
    """
    last, draws, right = len(levels) - 1, len(out), 1
    for rank in range(draws):
        u = (rank + 0.5) / draws
        if u < levels[0]:
            read[rank] = known[0] - (1.0 - u / levels[0]) * (known[1] - known[0])
        elif u >= levels[last]:
            beyond = (u - levels[last]) / (1.0 - levels[last])
            read[rank] = known[last] + 2.0 * beyond * (known[last] - known[last - 1])
        else:
            while u >= levels[right]:
                right += 1
            share = (u - levels[right - 1]) / (levels[right] - levels[right - 1])
            read[rank] = known[right - 1] + share * (known[right] - known[right - 1])
    for m in range(draws):
        out[m] = read[level_rank[m]] if (answer_rank[m] + 0.5) / draws < chance else np.inf


@numba.njit(
    f"void({_TABLE}, {_BY_DEALER}, {_RANKS}, {_RANKS}, {_BY_DEALER}, boolean[::1], {_TABLE}, {_SETS})",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def draw_costs(quantiles, answers, answer_rank, level_rank, levels, drawn, cost, wanted):  # pyright: ignore  # pragma: no cover
    """Fills `cost` [dealers, draws] for those wanted that are not `drawn` yet, see `_draw`."""
    read = np.empty(cost.shape[1])
    for d in wanted:
        if not drawn[d]:
            _draw(quantiles[d], answers[d], answer_rank[d], level_rank[d], levels, read, cost[d])
            drawn[d] = True


@numba.njit(
    f"void({_TABLE}, {_SETS}, int64, {_BY_DEALER}, {_BY_DEALER}, {_BY_DEALER}, float64, float64, int64, {_BY_DEALER})",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def costs_of_adding(cost, dealers, kept, lots, leak, rest, least_share, standing, winners, out):  # pyright: ignore  # pragma: no cover
    """[candidates]: mean all-in cost, over the draws, of asking the first `kept` of `dealers` and one of the others.

    Only the best `winners` quotes of the base can matter beside the newcomer: they are sorted out once a draw. So is
    what it costs to take the first 0, 1, ... of them and to work the rest, but for what the newcomer leaks.
    """
    base, candidates = dealers[:kept], dealers[kept:]
    grid, told_base, draws = len(rest) - 1, 0.0, cost.shape[1]
    for d in base:
        told_base += leak[d]
    out[:] = 0.0
    front, who = np.empty(winners + 1), np.empty(winners + 1, dtype=np.int64)
    filled, paid, told = np.zeros(winners + 1), np.zeros(winners + 1), np.full(winners + 1, told_base)
    worked, weight = np.full(winners + 1, rest[grid] + told_base), np.ones(winners + 1)
    for m in range(draws):
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
        for k in range(held):
            taken = min(lots[who[k]], 1.0 - filled[k])
            filled[k + 1], paid[k + 1] = filled[k] + taken, paid[k] + taken * front[k]
            told[k + 1] = told[k] - (leak[who[k]] if taken > 0.0 else 0.0)
            left = max(0.0, 1.0 - filled[k + 1])
            weight[k + 1] = max(left, standing)
            enough = filled[k + 1] + 1e-9 >= least_share
            now = paid[k + 1] + rest[int(left * grid + 0.5)] + told[k + 1] * weight[k + 1]
            worked[k + 1] = now if enough else np.inf
        for c in range(len(candidates)):
            new = candidates[c]
            quote, leaks = cost[new, m], leak[new]
            best, place = worked[0] + leaks, 0
            while place < held and front[place] <= quote:
                place += 1
                best = min(best, worked[place] + leaks * weight[place])
            if quote < np.inf and place < winners and filled[place] < 1.0:
                taken = min(lots[new], 1.0 - filled[place])
                done, spent, knows = filled[place] + taken, paid[place] + taken * quote, told[place]
                while True:
                    left = max(0.0, 1.0 - done)
                    if done + 1e-9 >= least_share:
                        best = min(best, spent + rest[int(left * grid + 0.5)] + knows * max(left, standing))
                    if left == 0.0 or place == held or place + 1 == winners:
                        break
                    taken = min(lots[who[place]], left)
                    if taken > 0.0:
                        knows -= leak[who[place]]
                    done, spent = done + taken, spent + taken * front[place]
                    place += 1
            out[c] += best
    out /= draws

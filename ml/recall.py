"""What is read off remembered rows, one compiled pass a dealer: counts and averages, and the dealer's law."""

import math

import numba
import numpy as np

from ml import quote_law

LOOKBACK_S = 30 * 86_400.0
"""Older outcomes count for nothing."""
HALF_LIFE_S = 7 * 86_400.0
RECENT_S = 23_400.0
"""Half-life of what stands in for hidden inventory: recent trades and unusually keen or dear quotes."""
(ASKED, MARKED, SECTOR, ANSWERED, PACE, COST, SIZE, LIFTED, WON, SIGN, LOST, MOVE, GIVEN, REACH) = range(
    14
)
UNIT, BOTH, LAW = 14, 15, 16
"""Of quotes; 0 in all other rows."""
COLUMNS = LAW + len(quote_law.TERMS)
"""Of one outcome, see `PanelMemory.push`."""
DECLARED = np.stack([quote_law.CENTRE, quote_law.SPREAD**-2.0])
OFF = np.array([quote_law.NOISE, quote_law.USUAL_OFF, quote_law.SECTOR_SPREAD**-2.0, 1.0 / quote_law.AXE_VARIANCE])
"""Handed to `lawful` rather than compiled into it: compiled code is kept as long as this file does not change."""


@numba.njit(
    "void(float64[:, :, ::1], int64[::1], float64, float64, float64, float64, float64[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def summed(rows, slots, now, settle_s, sector, sign, out):  # pyright: ignore  # pragma: no cover
    """What `PanelMemory.state` counts and averages, in its order, [15, dealers], in one pass over all of it."""
    for d in range(len(slots)):
        count = here = answered = answered_here = 0.0
        reach = reach_here = sizes_here = 0.0
        paces = pace = sizes = size = moves = move = 0.0
        costs = cost = costs_here = cost_here = 0.0
        recent = turned = turned_cost = flow = won = 0.0
        lifts = fades = 0.0
        youngest = np.inf
        for k in range(rows.shape[1] if slots[d] >= 0 else 0):
            row = rows[slots[d], k]
            if not (row[ASKED] + settle_s <= now and row[ASKED] >= now - LOOKBACK_S):
                continue
            age = now - row[ASKED]
            youngest = min(youngest, age)
            weight = 2.0 ** (-age / HALF_LIFE_S)
            is_here = row[SECTOR] == sector
            count += weight
            answered += weight * row[ANSWERED]
            won += weight * row[WON]
            lifts += row[LIFTED]
            fades += row[LIFTED] - row[WON]
            if not np.isnan(row[PACE]):
                paces += weight
                pace += weight * row[PACE]
            if not np.isnan(row[SIZE]):
                sizes += weight
                size += weight * row[SIZE]
                reach += weight * row[REACH]
                if is_here:
                    sizes_here += weight
                    reach_here += weight * row[REACH]
            if row[LOST] == 1.0 and not np.isnan(row[MOVE]) and row[MARKED] <= now:
                moves += weight
                move += weight * row[MOVE]
            lately = 0.0
            if is_here:
                here += weight
                answered_here += weight * row[ANSWERED]
                lately = 2.0 ** (-age / RECENT_S)
                if not np.isnan(row[GIVEN]):
                    flow += lately * row[GIVEN]
            if not np.isnan(row[COST]):
                costs += weight
                cost += weight * row[COST]
                if is_here:
                    costs_here += weight
                    cost_here += weight * row[COST]
                    recent += lately
                    turned += lately * row[SIGN]
                    turned_cost += lately * row[SIGN] * row[COST]
        rate = (answered + 8.0 * 0.7) / (count + 8.0)
        mean = (cost + 5.0) / (costs + 5.0)
        mean_here = (cost_here + 4.0 * mean) / (costs_here + 4.0)
        out[0, d] = count
        out[1, d] = rate
        out[2, d] = (answered_here + 4.0 * rate) / (here + 4.0)
        out[3, d] = (pace + 3.0 * 0.4) / (paces + 3.0)
        out[4, d] = mean
        out[5, d] = mean_here
        out[6, d] = sign * (turned_cost - mean_here * turned) / (recent + 2.0)
        out[7, d] = sign * flow
        out[8, d] = (won + 8.0 * 0.2) / (count + 8.0)
        # Laplace with a prior of 5% worth twenty lifts; not decayed, so that a fader cannot wait it out.
        out[9, d] = (fades + 1.0) / (lifts + 20.0)
        out[10, d] = math.exp((size + 3.0 * math.log(0.03)) / (sizes + 3.0))
        out[11, d] = move / (moves + 40.0)
        out[12, d] = min(30.0, youngest / 86_400.0)
        overall = (reach + 3.0 * math.log(0.03)) / (sizes + 3.0)
        out[13, d] = math.exp((reach_here + 4.0 * overall) / (sizes_here + 4.0))
        out[14, d] = 1.0 if count > 0.0 else 0.0


@numba.njit(
    "void(float64[:, :, ::1], int64[::1], float64, float64, float64, float64[:, ::1], float64[::1], float64[:, ::1],"
    "float64[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def lawful(rows, slots, now, settle_s, sector, declared, usual, slopes, out):  # pyright: ignore  # pragma: no cover
    """Each dealer's law by ridge about declared coefficients, see `quote_law`: `slopes` [dealers, terms]; `out` [3,
    dealers]: its level in the sector, how far its quotes stray from the law over their spread and risk, and how much
    dearer recent ones in the sector were, turned to the side they were for, in daily volatilities."""
    centre, precision = declared[0], declared[1]
    noise, usual_off, sector_precision, axe_precision = usual[0], usual[1], usual[2], usual[3]
    terms = len(centre)
    weight, strange = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    gram, pull = np.zeros((terms, terms)), np.zeros(terms)
    for d in range(len(slots)):
        gram[:] = 0.0
        pull[:] = 0.0
        for i in range(terms):
            gram[i, i] = precision[i]
        for k in range(rows.shape[1]):
            weight[k] = 0.0
            if slots[d] < 0:
                continue
            row = rows[slots[d], k]
            if not (row[ASKED] + settle_s <= now and row[ASKED] >= now - LOOKBACK_S) or np.isnan(row[COST]):
                continue
            weight[k] = 2.0 ** (-(now - row[ASKED]) / HALF_LIFE_S)
            heavy = weight[k] / max(noise * row[BOTH], 1e-3) ** 2
            away = row[COST]
            for i in range(terms):
                away -= row[LAW + i] * centre[i]
            strange[k] = away
            for i in range(terms):
                pull[i] += heavy * away * row[LAW + i]
                for j in range(terms):
                    gram[i, j] += heavy * row[LAW + i] * row[LAW + j]
        moved = np.linalg.solve(gram, pull)
        above, below = 0.0, sector_precision
        for k in range(rows.shape[1]):
            if weight[k] > 0.0:
                row = rows[slots[d], k]
                for i in range(terms):
                    strange[k] -= row[LAW + i] * moved[i]
                if row[SECTOR] == sector:
                    heavy = weight[k] / max(noise * row[BOTH], 1e-3) ** 2
                    above += heavy * row[BOTH] * strange[k]
                    below += heavy * row[BOTH] * row[BOTH]
        level = above / below
        off, count, near, tilt = 0.0, 0.0, 0.0, 0.0
        for k in range(rows.shape[1]):
            if weight[k] > 0.0:
                row = rows[slots[d], k]
                here = row[SECTOR] == sector
                left = strange[k] - (row[BOTH] * level if here else 0.0)
                off += weight[k] * abs(left) / max(row[BOTH], 1e-6)
                count += weight[k]
                if here and not np.isnan(row[SIGN]):
                    lately = 2.0 ** (-(now - row[ASKED]) / RECENT_S)
                    lately *= (row[UNIT] / max(noise * row[BOTH], 1e-3)) ** 2
                    near += lately
                    tilt += lately * row[SIGN] * left / max(row[UNIT], 1e-6)
        for i in range(terms):
            slopes[d, i] = centre[i] + moved[i]
        out[0, d] = level
        out[1, d] = (off + 8.0 * usual_off) / (count + 8.0)
        out[2, d] = tilt / (near + axe_precision)

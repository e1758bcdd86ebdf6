"""What is read off remembered rows, one compiled pass: counts and averages, and the dealer's law."""

import math

import numba
import numpy as np

from ml import quote_law

LOOKBACK_S = 30 * 86_400.0
"""Older outcomes count for nothing."""
HALF_LIFE_S = 7 * 86_400.0
RECENT_S = 23_400.0
"""Half-life of what stands in for hidden inventory: recent trades and unusually keen or dear quotes."""
LN2 = math.log(2.0)
(ASKED, MARKED, SECTOR, ANSWERED, PACE, COST, SIZE, LIFTED, WON, SIGN, LOST, MOVE, GIVEN, REACH) = range(14)
UNIT, BOTH, LAW = 14, 15, 16
"""Of quotes; 0 in all other rows."""
TERMS = 5
"""Those of `quote_law`: written here, so that loops over them are unrolled and compiled anew with this file."""
assert len(quote_law.TERMS) == TERMS
COLUMNS = LAW + TERMS
"""Of one outcome, see `PanelMemory.push`."""
DECLARED = np.stack([quote_law.CENTRE, quote_law.SPREAD**-2.0])
OFF = np.array([quote_law.NOISE, quote_law.USUAL_OFF, quote_law.SECTOR_SPREAD**-2.0, 1.0 / quote_law.AXE_VARIANCE])
"""Handed to `recalled` rather than compiled into it: compiled code is kept as long as this file does not change."""


@numba.njit(error_model="numpy")
def _summed(rows, age, weight, now, sector, sign, out):  # pyright: ignore  # pragma: no cover
    """Of one dealer: what `PanelMemory.state` counts and averages, in its order, [15]."""
    count = here = answered = answered_here = 0.0
    reach = reach_here = sizes_here = 0.0
    paces = pace = sizes = size = moves = move = 0.0
    costs = cost = costs_here = cost_here = 0.0
    recent = turned = turned_cost = flow = won = 0.0
    lifts = fades = 0.0
    youngest = np.inf
    for k in range(len(weight)):
        heavy, row = weight[k], rows[k]
        if heavy == 0.0:
            continue
        youngest = min(youngest, age[k])
        is_here = row[SECTOR] == sector
        count += heavy
        answered += heavy * row[ANSWERED]
        won += heavy * row[WON]
        lifts += row[LIFTED]
        fades += row[LIFTED] - row[WON]
        if not np.isnan(row[PACE]):
            paces += heavy
            pace += heavy * row[PACE]
        if not np.isnan(row[SIZE]):
            sizes += heavy
            size += heavy * row[SIZE]
            reach += heavy * row[REACH]
            if is_here:
                sizes_here += heavy
                reach_here += heavy * row[REACH]
        if row[LOST] == 1.0 and not np.isnan(row[MOVE]) and row[MARKED] <= now:
            moves += heavy
            move += heavy * row[MOVE]
        lately = 0.0
        if is_here:
            here += heavy
            answered_here += heavy * row[ANSWERED]
            lately = math.exp(-LN2 / RECENT_S * age[k])
            if not np.isnan(row[GIVEN]):
                flow += lately * row[GIVEN]
        if not np.isnan(row[COST]):
            costs += heavy
            cost += heavy * row[COST]
            if is_here:
                costs_here += heavy
                cost_here += heavy * row[COST]
                recent += lately
                turned += lately * row[SIGN]
                turned_cost += lately * row[SIGN] * row[COST]
    rate = (answered + 8.0 * 0.7) / (count + 8.0)
    mean = (cost + 5.0) / (costs + 5.0)
    mean_here = (cost_here + 4.0 * mean) / (costs_here + 4.0)
    out[0] = count
    out[1] = rate
    out[2] = (answered_here + 4.0 * rate) / (here + 4.0)
    out[3] = (pace + 3.0 * 0.4) / (paces + 3.0)
    out[4] = mean
    out[5] = mean_here
    out[6] = sign * (turned_cost - mean_here * turned) / (recent + 2.0)
    out[7] = sign * flow
    out[8] = (won + 8.0 * 0.2) / (count + 8.0)
    # Laplace with a prior of 5% worth twenty lifts; not decayed, so that a fader cannot wait it out.
    out[9] = (fades + 1.0) / (lifts + 20.0)
    out[10] = math.exp((size + 3.0 * math.log(0.03)) / (sizes + 3.0))
    out[11] = move / (moves + 40.0)
    out[12] = min(30.0, youngest / 86_400.0)
    overall = (reach + 3.0 * math.log(0.03)) / (sizes + 3.0)
    out[13] = math.exp((reach_here + 4.0 * overall) / (sizes_here + 4.0))
    out[14] = 1.0 if count > 0.0 else 0.0


@numba.njit(error_model="numpy")
def _lawful(rows, age, weight, sector, declared, usual, strange, place, slope, out):  # pyright: ignore  # pragma: no cover
    """Of one dealer: its law by ridge about declared coefficients, see `quote_law`: `slope` [terms]; `out` [3]: its
    level in the sector, how far its quotes stray from the law over their spread and risk, and how much dearer recent
    ones in the sector were, turned to the side they were for, in daily volatilities. `strange` and `place` are room to
    work in."""
    centre, precision = declared[0], declared[1]
    noise, usual_off, sector_precision, axe_precision = usual[0], usual[1], usual[2], usual[3]
    gram, pull, priced = np.diag(precision), np.zeros(TERMS), 0
    for k in range(len(weight)):
        row = rows[k]
        if weight[k] == 0.0 or np.isnan(row[COST]):
            continue
        heavy = weight[k] / max(noise * row[BOTH], 1e-3) ** 2
        away = row[COST]
        for i in range(TERMS):
            away -= row[LAW + i] * centre[i]
        strange[priced], place[priced] = away, k
        priced += 1
        for i in range(TERMS):
            pull[i] += heavy * away * row[LAW + i]
            for j in range(TERMS):
                gram[i, j] += heavy * row[LAW + i] * row[LAW + j]
    moved = np.linalg.solve(gram, pull)
    above, below = 0.0, sector_precision
    for n in range(priced):
        k = place[n]
        row = rows[k]
        for i in range(TERMS):
            strange[n] -= row[LAW + i] * moved[i]
        if row[SECTOR] == sector:
            heavy = weight[k] / max(noise * row[BOTH], 1e-3) ** 2
            above += heavy * row[BOTH] * strange[n]
            below += heavy * row[BOTH] * row[BOTH]
    level = above / below
    off, count, near, tilt = 0.0, 0.0, 0.0, 0.0
    for n in range(priced):
        k = place[n]
        row = rows[k]
        here = row[SECTOR] == sector
        left = strange[n] - (row[BOTH] * level if here else 0.0)
        off += weight[k] * abs(left) / max(row[BOTH], 1e-6)
        count += weight[k]
        if here and not np.isnan(row[SIGN]):
            lately = math.exp(-LN2 / RECENT_S * age[k])
            lately *= (row[UNIT] / max(noise * row[BOTH], 1e-3)) ** 2
            near += lately
            tilt += lately * row[SIGN] * left / max(row[UNIT], 1e-6)
    slope[:] = centre + moved
    out[0] = level
    out[1] = (off + 8.0 * usual_off) / (count + 8.0)
    out[2] = tilt / (near + axe_precision)


@numba.njit(
    "void(float64[:, :, ::1], int64[::1], float64, float64, float64, float64, float64[:, ::1], float64[::1],"
    "float64[:, ::1], float64[:, ::1], float64[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def recalled(rows, slots, now, settle_s, sector, sign, declared, usual, found, slopes, law):  # pyright: ignore  # pragma: no cover
    """Of each dealer, by its slot in `rows` (-1: never met): `found` [15, dealers], `slopes` [dealers, terms] and `law`
    [3, dealers], see `_summed` and `_lawful`. What an outcome weighs is worked out once."""
    depth = rows.shape[1]
    age, weight, strange = np.empty(depth), np.empty(depth), np.empty(depth)
    place = np.empty(depth, dtype=np.int64)
    for d in range(len(slots)):
        own, held = rows[max(slots[d], 0)], 0
        while held < depth and slots[d] >= 0 and not np.isnan(own[held, ASKED]):
            asked = own[held, ASKED]
            age[held] = now - asked
            known = asked + settle_s <= now and asked >= now - LOOKBACK_S
            weight[held] = math.exp(-LN2 / HALF_LIFE_S * age[held]) if known else 0.0
            held += 1
        _summed(own, age, weight[:held], now, sector, sign, found[:, d])
        _lawful(own, age, weight[:held], sector, declared, usual, strange, place, slopes[d], law[:, d])

"""The scalar code of a decision: one order after the other, each a row as in `observed`.

Each function says which one of the definition it is. Compiled code is kept as long as this file does not change: so
numbers of other files are handed in as `Terms`, and where code here follows their order, it is checked on import.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_router.market.batch.compilation import compiled
from ml.slicer.actions import HEADS
from ml.slicer.observed import EDGES
from ml.slicer.rules import Follows, Rule
from ml.slicer.situation import BACK

POOLS = 3
SPAN = 9
LAYOUT = (0, 9, 12, 15, 23, 26, 29, 38, 47, 56, 59, 60, 63)
"""Columns are read by number below."""
INTO_POOLS, MIDS, VOLUMES, LEANS, BEFORE, COUNT = 9, 29, 38, 47, 56, 59
LIT, MAY_CROSS, MAY_IMPROVE = 60, 61, 62
CURVE, VOLUME = 1, 2
"""What a trajectory follows."""
FIELDS = (
    *("follows", "steepness", "grace", "lead", "show", "block", "broker", "stream", "alarm", "rush", "patience"),
    *("back", "late", "panic", "speed", "wide", "market"),
)
"""Of a rule, which is compiled in as a tuple."""
if (
    EDGES, BACK + 1, (6, 6, 6), Follows.CURVE, Follows.VOLUME, Rule._fields,
) != (LAYOUT, SPAN, HEADS, CURVE, VOLUME, FIELDS):  # fmt: skip
    raise RuntimeError("rows, choices or rules are laid out otherwise than the code compiled here takes them")


class Terms(NamedTuple):
    """Constants of other files."""

    most: float
    usual_decision_s: float
    most_outside: int
    wide: float
    some: float
    paces: NDArray[np.float64]
    told: NDArray[np.float32]
    """Places among the quantiles."""


@compiled
def situate(rows, certain, rule, terms, low, high, reach, x, may, wanted, recent, trusted) -> None:
    """From rows to features `x`, what is allowed `may`, what the rule wants `wanted` [B, 3 + POOLS], what is to be
    remembered, and whether training covers it. `low`, `high`, `reach` [F]: the envelope and its ranges."""
    for k in range(len(rows)):
        row = rows[k]
        remember(row, recent[k])
        intend(row, rule, wanted[k])
        if not crosses(row):
            wanted[k, 0] = 0.0
        features(row, recent[k], wanted[k], terms, x[k])
        allowed(row, may[k])
        outside, worst = 0, 0.0
        for f in range(x.shape[1]):
            value = x[k, f]
            far = max(low[f] - value, value - high[f], np.float32(0.0)) / reach[f]
            far = far if math.isfinite(value) else np.float32(np.inf)
            outside += far > 0
            worst = max(worst, far)
        trusted[k] = certain[k] and outside <= terms.most_outside and worst <= terms.wide


@compiled
def remember(row, recent) -> None:
    """`situation.remembered`, as a row."""
    for part, now in ((MIDS, (row[15] + row[16]) / 2), (VOLUMES, row[19]), (LEANS, lean_of(row))):
        to = part - MIDS
        for back in range(SPAN - 1):
            recent[to + back] = row[part + back + 1]
        recent[to + SPAN - 1] = now
    for pool in range(POOLS):
        recent[BEFORE - MIDS + pool] = row[23 + pool]
    recent[COUNT - MIDS] = at_most(row[COUNT] + 1, SPAN - 1.0)


@compiled
def crosses(row) -> bool:
    return row[LIT] > 0 and row[MAY_CROSS] > 0


@compiled
def is_open(row, pool) -> float:
    return 1.0 if row[INTO_POOLS + pool] > 0 else 0.0


@compiled
def at_least(value, least) -> float:
    """What is not a number stays so."""
    return least if value < least else value


@compiled
def at_most(value, most) -> float:
    return most if value > most else value


@compiled
def lean_of(row) -> float:
    return (row[17] - row[18]) / at_least(row[17] + row[18], 1.0)


@compiled
def intend(row, rule, wanted) -> None:
    """`rules.intend`."""
    side, lots, arrival, spread, notch = row[0], row[1], row[2], row[5], row[6]
    elapsed, later = row[12], row[13]
    bid, ask, left = row[15], row[16], row[20]
    last, filled = later >= 1 - 1e-9, lots - left
    pressure = side * lean_of(row)
    adverse = side * ((bid + ask) / 2 - arrival) / spread
    hurry = rule.speed if adverse > rule.panic else 0.0
    due = lots * min(hurry + share_done(row, rule), 1.0)
    grace = lots * min(2 * rule.grace * (1 - later), rule.grace)
    cross = max(due - grace - filled, 0.0)
    cross = max(cross, rule.rush * lots if pressure >= rule.alarm else 0.0)
    early = elapsed < rule.late
    if early and (pressure <= rule.patience or ask - bid > rule.wide * spread):
        cross = 0.0
    cross = left if last else min(np.ceil(cross), left)
    rest = np.ceil(max(due + rule.lead * lots - filled - cross, 0.0))
    shown = max(row[17] if side > 0 else row[18], 1.0)
    rest = min(min(rest, np.ceil(rule.show * shown)), left - cross) * (1 - rule.market)
    price = bid if side > 0 else ask
    if pressure <= rule.back and early:
        price -= side * notch
    hidden = max(left - cross - rest, 0.0) * (1 - rule.market)
    wanted[0], wanted[1], wanted[2] = cross, rest, price
    wanted[3] = hidden * rule.block * is_open(row, 0)
    wanted[4] = hidden * rule.broker * is_open(row, 1)
    wanted[5] = hidden * rule.stream * is_open(row, 2)
    for place in range(3 + POOLS):
        wanted[place] = np.trunc(wanted[place])


@compiled
def share_done(row, rule) -> float:
    """`rules.share_done`."""
    passed = row[13]
    if rule.follows == CURVE:
        passed = row[14]
    elif rule.follows == VOLUME:
        come = row[19] / row[7] / row[3] + (row[13] - row[12])
        passed = 1.0 if row[13] >= 1 - 1e-9 else min(come, 1.0)
    if rule.steepness <= 1e-6:
        return passed
    return 1 - math.sinh(rule.steepness * (1 - passed)) / math.sinh(rule.steepness)


@compiled
def features(row, recent, wanted, terms, x) -> None:
    """`features.features`."""
    side, lots, arrival, horizon_s, risk = row[0], row[1], row[2], row[3], row[4]
    spread, notch, volume_s, event_lots = row[5], row[6], row[7], row[8]
    elapsed, later = row[12], row[13]
    bid, ask, left, resting, resting_price = row[15], row[16], row[20], row[21], row[22]
    own, other = (bid, ask) if side > 0 else (ask, bid)
    own_lots, other_lots = (row[17], row[18]) if side > 0 else (row[18], row[17])
    volumes, leans, now = VOLUMES - MIDS, LEANS - MIDS, SPAN - 1
    span, step = at_least(recent[COUNT - MIDS], 1.0), later - elapsed
    usual = at_least(volume_s * horizon_s * step, 1e-9)
    decision_s = np.rint(horizon_s * step * 1e3) / 1e3
    to_go = (1 - elapsed) / at_least(step, 1e-9)
    behind = (side * (own - resting_price) if resting > 0 else 0.0) / spread
    mean_lean = path = 0.0
    for back in range(SPAN):
        mean_lean += side * recent[leans + back]
    for back in range(SPAN - 1):
        path += abs(recent[back + 1] - recent[back])
    order_and_book = (
        left / lots,
        elapsed,
        elapsed - (1 - left / lots),
        1.0 if later >= 1 - 1e-9 else 0.0,
        risk,
        math.log(lots / (volume_s * horizon_s)) / 2 + 1,
        math.log(usual / event_lots) / 3,
        math.log(at_least(left / at_least(to_go, 1.0) / usual, 1e-4)) / 2 + 1,
        math.log(at_least(decision_s, 1e-3) / terms.usual_decision_s),
        side * recent[leans + now],
        side * recent[leans + now] - side * recent[leans + now - 1],
        mean_lean / SPAN,
        math.log1p(own_lots / event_lots) / 2,
        math.log1p(other_lots / event_lots) / 2,
        abs(other - own) / spread,
        math.log(spread / notch),
    )
    moves_and_own = (
        side * ((bid + ask) / 2 - arrival) / spread / 2,
        side * (recent[now] - recent[now - 1]) / spread,
        side * (recent[now] - recent[now - 3]) / spread,
        side * (recent[now] - recent[0]) / spread / 2,
        path / span / spread,
        (recent[volumes + now] - recent[volumes + now - 1]) / usual,
        (recent[volumes + now] - recent[volumes]) / usual / span,
        resting / lots,
        behind,
        3 * (row[23] - row[BEFORE]) / lots,
        3 * (row[24] - row[BEFORE + 1]) / lots,
        3 * (row[25] - row[BEFORE + 2]) / lots,
        row[26] / lots,
        row[27] / lots,
        row[28] / lots,
        is_open(row, 0),
        is_open(row, 1),
        is_open(row, 2),
        3 * wanted[0] / lots,
        wanted[1] / lots,
    )
    put(x, 0, order_and_book, terms.most)
    put(x, len(order_and_book), moves_and_own, terms.most)


@compiled
def put(x, first, values, most) -> None:
    for place in range(len(values)):
        x[first + place] = at_most(at_least(values[place], -most), most)


@compiled
def allowed(row, may) -> None:
    """`actions.allowed` within `deciding.within_limits`."""
    lit, pools = row[LIT] > 0, False
    for head in range(3):
        may[6 * head] = may[6 * head + 1] = True
    for choice in range(2, 6):
        may[choice] = crosses(row)
        may[6 + choice] = lit and (choice != 4 or row[MAY_IMPROVE] > 0)
    for pool in range(POOLS):
        may[14 + pool] = is_open(row, pool) > 0
        pools |= is_open(row, pool) > 0
    may[17] = pools


@compiled
def conclude(rows, terms, most_apart, may, wanted, trusted, logits, forecasts, action, lots, told) -> None:
    """From the networks' answers to the action, what is wanted `lots` [B, 3 + POOLS] and quantiles of the cost.
    `forecasts` [critics, B, levels]: sorted here; where they lie apart nothing is trusted."""
    for k in range(len(rows)):
        for critic in range(len(forecasts)):
            forecasts[critic, k].sort()
        trusted[k] = trusted[k] and apart(forecasts[:, k]) <= most_apart
        for head in range(3):
            best = 0
            for choice in range(1, 6):
                at = 6 * head + choice
                if trusted[k] and may[k, at] and logits[k, at] > logits[k, 6 * head + best]:
                    best = choice
            action[k, head] = best
        intended(rows[k], wanted[k], terms, action[k], lots[k])
        ordered = forecasts[0, k]
        for place in range(len(terms.told)):
            at = min(max(terms.told[place], np.float32(0.0)), np.float32(len(ordered) - 1))
            low = min(int(at), len(ordered) - 2)
            told[k, place] = ordered[low] + (at - np.float32(low)) * (ordered[low + 1] - ordered[low])


@compiled
def apart(forecasts) -> float:
    """`Guard.apart`, of one row."""
    critics, levels = forecasts.shape
    if critics == 1:
        return 0.0
    total = 0.0
    for level in range(levels):
        mean = square = 0.0
        for critic in range(critics):
            mean += np.float64(forecasts[critic, level]) / critics
        for critic in range(critics):
            square += (forecasts[critic, level] - mean) ** 2
        total += math.sqrt(square / (critics - 1))
    return total / levels


@compiled
def intended(row, wanted, terms, action, lots) -> None:
    """`actions.intended`, where the rule would do `wanted`, then `deciding.held_back`."""
    side, notch, left = row[0], row[6], row[20]
    own, other = (row[15], row[16]) if side > 0 else (row[16], row[15])
    last = row[13] >= 1 - 1e-9
    pace = left * min((row[13] - row[12]) / max(1 - row[12], 1e-9), 1.0)
    cross = wanted[0]
    if action[0] == 5:
        cross = left
    elif action[0] > 0:
        cross = pace * terms.paces[action[0] - 1]
    cross = min(left if last else np.ceil(cross), left)
    room, place, price = left - cross, action[1], own
    rest = room
    if place == 0:
        rest, price = wanted[1], wanted[2]
    elif place == 1:
        rest = 0.0
    elif place == 2:
        rest = terms.some * pace
    elif place == 4 and abs(other - own) > notch:
        price = own + side * notch
    elif place == 5:
        price = own - side * notch
    rest = min(np.ceil(rest), room)
    hidden, open_pools = room - rest, is_open(row, 0) + is_open(row, 1) + is_open(row, 2)
    for pool in range(POOLS):
        if action[2] == 0:
            waits = wanted[3 + pool]
        elif action[2] == 5:
            waits = np.floor(hidden * (is_open(row, pool) / max(open_pools, 1.0)))
        else:
            waits = hidden if action[2] == 2 + pool else 0.0
        lots[3 + pool] = np.int64(waits)
    crossing = np.int64(cross) if crosses(row) else 0
    lots[0], lots[1], lots[2] = crossing, np.int64(rest) + np.int64(cross) - crossing, np.int64(price)

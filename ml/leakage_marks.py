"""Mark-outs at every horizon as arrays: what leakage is fitted to, in daily volatilities.

Dividing by volatility weights each auction by 1 / volatility squared. The moves at several horizons are one path: what
happened before anybody could trade ahead is noise that the later ones share, and taken together they say half as much
again as the mark-out at five minutes alone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.outcomes import MARK_OUT_S, Answer, Outcome, RequestFacts
from rfq.domain.errors import BadInput
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import DealerId

Array = NDArray[np.float64]

LEAST_AUCTIONS = 50
SHARED = 6
"""Moves at a horizon that losers did not cause: intercept, control, winners' hedging, hurry. Hedging has three columns:
inventory absorbs small lots, and the best of many quotes come from who hedges least. Without the last, what winners of
large auctions do not move would be counted in their losers' favour."""
USUAL_SIZE, USUAL_WINDOW_S, HURRY_S = 0.04, 10.0, 5.0
CONTEXT = ("log_size", "log_size_squared", "hurry", "anonymous")
"""What bends leakage alike for all dealers; all 0 for a usual named request."""


class MarkOuts(NamedTuple):
    """N auctions with a known side, H horizons, D dealers."""

    moves: Array
    """(N, H)."""
    shared: Array
    """(N, H, SHARED)."""
    losers: Array
    """(N, D): sqrt(size) for a dealer that saw the side, was asked and not hit."""
    hidden: Array
    """(N,): sqrt(size) times the losers that were not shown the side."""
    habit: Array
    """(N,): sqrt(size) times the number that was to be asked, by the logged probabilities; 0 where there are none."""
    since_s: Array
    """(N, H): from the end of the answer window to the horizon; nobody trades ahead before."""
    context: Array
    """(N, len(CONTEXT)), less the centre."""
    centre: Array
    """Mean context of what leakage is learned from, weighted by what it says: there thetas are known best."""
    horizons_s: tuple[float, ...]
    number: NDArray[np.int64]
    """(N,): place in the outcomes given."""


def context_of(facts: RequestFacts) -> tuple[float, ...]:
    """The columns CONTEXT."""
    size = math.log(facts.size / USUAL_SIZE)
    hurry = min(1.0, HURRY_S / facts.window_s) - HURRY_S / USUAL_WINDOW_S
    return size, size * size, hurry, float(facts.anonymous)


def mark_outs(outcomes: Sequence[Outcome], dealers: Sequence[DealerId]) -> MarkOuts:
    """Horizons that most auctions have, and the auctions that have all of them; where only the mark-out itself is
    there, that. Raises BadInput with fewer than LEAST_AUCTIONS."""
    sided = [(n, o) for n, o in enumerate(outcomes) if o.facts.side and _finite(o.mark_out_bps, o.control_bps)]
    seen = np.array([_present(o) for _, o in sided]).reshape(-1, len(MARK_OUT_HORIZONS_S))
    kept = np.flatnonzero(seen.mean(0) > 0.5) if len(seen) else np.empty(0, dtype=np.int64)
    whole = np.asarray(seen[:, kept].all(axis=1) if len(kept) else np.zeros(len(sided), dtype=bool))
    if whole.sum() < 0.5 * len(sided):
        kept = np.empty(0, dtype=np.int64)
    usable = [one for place, one in enumerate(sided) if not len(kept) or whole[place]]
    if len(usable) < LEAST_AUCTIONS:
        raise BadInput("outcomes", len(usable), f"must hold at least {LEAST_AUCTIONS} auctions with mark-outs")
    horizons = tuple(MARK_OUT_HORIZONS_S[k] for k in kept) or (MARK_OUT_S,)
    column = {dealer: place for place, dealer in enumerate(dealers)}
    count, h = len(usable), len(horizons)
    moves, shared = np.empty((count, h)), np.zeros((count, h, SHARED))
    losers, hidden, habit = np.zeros((count, len(column))), np.zeros(count), np.zeros(count)
    since, context = np.empty((count, h)), np.empty((count, len(CONTEXT)))
    for row, (_, outcome) in enumerate(usable):
        facts = outcome.facts
        if len(kept):
            moves[row] = [outcome.mark_outs_bps[k] for k in kept]
            controls = [outcome.controls_bps[k] or 0.0 for k in kept]
        else:
            moves[row], controls = outcome.mark_out_bps, [outcome.control_bps or 0.0]
        moves[row] /= facts.volatility_bps
        shared[row] = shared_of(outcome, 0.0)
        shared[row, :, 1] = np.array(controls) / facts.volatility_bps
        root = math.sqrt(facts.size)
        for asked in outcome.asked:
            if asked.lost and facts.two_way:
                hidden[row] += root
            elif asked.lost and asked.dealer in column:
                losers[row, column[asked.dealer]] = root
        habit[row] = root * sum(outcome.propensities) * (not facts.two_way)
        since[row] = np.maximum(0.0, np.array(horizons) - facts.window_s)
        context[row] = context_of(facts)
    number = np.array([n for n, _ in usable], dtype=np.int64)
    says = (losers**2).sum(1)
    centre = np.average(context, axis=0, weights=says) if says.any() else np.zeros(len(CONTEXT))
    return MarkOuts(moves, shared, losers, hidden, habit, since, context - centre, centre, horizons, number)


def shared_of(outcome: Outcome, control_bps: float) -> tuple[float, ...]:
    """Moves that losers did not cause, up to their coefficients."""
    facts = outcome.facts
    taken = np.array(_taken(outcome))
    root = float(np.sqrt(taken).sum())
    chosen = root * math.log(max(1, sum(a.answer is Answer.QUOTED for a in outcome.asked)))
    return 1.0, control_bps / facts.volatility_bps, root, float(taken.sum()), chosen, float(facts.urgent)


def _taken(outcome: Outcome) -> list[float]:
    """What each winner took, as a share of ADV: quotes are lifted from the best, and the last one as far as needed. A
    third of the request where the quoted quantity was not recorded."""
    left, taken = outcome.facts.size, [0.0]
    for won in sorted((a for a in outcome.asked if not a.lost), key=lambda a: a.cost_bps or 0.0):
        taken.append(min(left, won.quoted_size or outcome.facts.size / 3))
        left -= taken[-1]
    return taken


def _finite(*values: float | None) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)


def _present(outcome: Outcome) -> list[bool]:
    count = len(MARK_OUT_HORIZONS_S)
    if len(outcome.mark_outs_bps) < count or len(outcome.controls_bps) < count:
        return [False] * count
    return [_finite(*pair) for pair in zip(outcome.mark_outs_bps, outcome.controls_bps, strict=True)]

"""What is remembered of each dealer: its last outcomes, bounded in number and in time, as plain arrays.

One structure serves training and live selection: both push outcomes in time order and ask for the state at an
instant, and an outcome counts only from the moment when it was known.
"""

import datetime as dt
import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml import quote_law
from ml.outcomes import Answer, Outcome, RequestFacts
from ml.quote_law import reference_cost_bps
from rfq.domain.values import DealerId

DEPTH = 256
"""Outcomes kept per dealer."""
LOOKBACK_S = 30 * 86_400.0
"""Older outcomes count for nothing."""
HALF_LIFE_S = 7 * 86_400.0
RECENT_S = 23_400.0
"""Half-life of what stands in for hidden inventory: recent trades and unusually keen or dear quotes."""
EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

Array = NDArray[np.float64]

(_ASKED, _MARKED, _SECTOR, _ANSWERED, _PACE, _COST, _SIZE, _LIFTED, _WON, _SIGN, _LOST, _MOVE, _GIVEN) = range(13)
_UNIT, _BOTH, _LAW = 13, 14, 15
"""Of quotes; 0 in all other rows."""
_COLUMNS = _LAW + len(quote_law.TERMS)


def seconds(at: dt.datetime) -> float:
    return (at - EPOCH).total_seconds()


class DealerState(msgspec.Struct, frozen=True):
    """One value per dealer of the panel, in panel order. Rates are shrunk towards stated priors."""

    asked: Array
    """Decayed count of requests remembered."""
    answer_rate: Array
    sector_answer_rate: Array
    pace: Array
    """Mean answer time as a share of the window."""
    cost: Array
    """Mean quoted cost over the reference cost."""
    sector_cost: Array
    cost_spread: Array
    """Mean distance of its quotes from its law, over their spread and risk."""
    axe: Array
    """Recent quotes in the sector against its own mean, turned to the desk's side: negative is keen."""
    flow: Array
    """Recent lots taken in the sector (share of ADV), turned to the desk's side: positive is already short."""
    win_rate: Array
    fade_rate: Array
    quoted_size: Array
    """Usual quantity quoted, as a share of ADV."""
    law: quote_law.Laws
    """What it charges for what, fitted to its own quotes."""
    keen: Array
    """By how much it should now be cheaper than its law, over the reference cost, going by recent quotes in the
    sector."""
    given: Array
    """Recent lots taken in the sector over its usual ones, times volatility over the reference cost."""
    lost_move: Array
    """Mean mark-out net of control after losing, in daily volatilities."""
    idle_days: Array
    """Since last asked, at most 30."""
    seen: NDArray[np.bool_]
    """Asked at least once within the lookback."""


class PanelMemory:
    """The last outcomes of every dealer met."""

    def __init__(self) -> None:
        self._rows = _blank(8)
        self._next: list[int] = []
        self._dealer: dict[DealerId, int] = {}
        self._sector: dict[str, int] = {}

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "PanelMemory":
        memory = cls()
        for outcome in outcomes:
            memory.push(outcome)
        return memory

    def knows(self, dealer: DealerId) -> bool:
        return dealer in self._dealer

    def push(self, outcome: Outcome) -> None:
        """Remembers one auction. The oldest outcome of a dealer goes when DEPTH is reached."""
        facts = outcome.facts
        sector = self._sector.setdefault(facts.sector, len(self._sector))
        move = math.nan
        if outcome.mark_out_bps is not None and outcome.control_bps is not None and facts.side is not None:
            move = (outcome.mark_out_bps - outcome.control_bps) / facts.volatility_bps
        reference = reference_cost_bps(facts)
        for asked in outcome.asked:
            slot = self._slot(asked.dealer)
            quoted = asked.answer is Answer.QUOTED
            x = np.stack(quote_law.terms(facts, asked.quoted_size or facts.size, outcome.competing))
            law = (facts.volatility_bps / reference, float(quote_law.scale(x)), *x)
            taken = (asked.quoted_size or 0.03) if not asked.lost else 0.0
            self._rows[slot, self._next[slot] % DEPTH] = (
                seconds(facts.at),
                seconds(outcome.marked_at),
                sector,
                quoted,
                math.nan if asked.response_s is None else min(asked.response_s / facts.window_s, 2.0),
                math.nan if asked.cost_bps is None else asked.cost_bps / reference,
                math.nan if asked.quoted_size is None else math.log(max(asked.quoted_size, 1e-6)),
                asked.lifted,
                not asked.lost,
                facts.sign,
                asked.lost,
                move,
                facts.sign * taken,
                *(law if asked.cost_bps is not None else np.zeros(_COLUMNS - _UNIT)),
            )
            self._next[slot] += 1

    def state(self, dealers: Sequence[DealerId], facts: RequestFacts, settle_s: float) -> DealerState:
        """The panel as it was known at `facts.at`: outcomes asked `settle_s` ago or more, within the lookback."""
        now = seconds(facts.at)
        slots = np.array([self._dealer.get(d, -1) for d in dealers], dtype=np.int64)
        rows = self._rows[slots]
        asked_at = rows[:, :, _ASKED]
        known = (asked_at + settle_s <= now) & (asked_at >= now - LOOKBACK_S) & (slots >= 0)[:, None]
        age = np.where(known, now - asked_at, np.inf)
        weight = np.exp2(-age / HALF_LIFE_S)
        here = weight * (rows[:, :, _SECTOR] == self._sector.get(facts.sector, -1))
        recent = np.exp2(-age / RECENT_S) * (here > 0)
        count, count_here = weight.sum(1), here.sum(1)

        answered = np.nan_to_num(rows[:, :, _ANSWERED])
        answer_rate = (_dot(weight, answered) + 8 * 0.7) / (count + 8)
        sector_answer_rate = (_dot(here, answered) + 4 * answer_rate) / (count_here + 4)

        cost, cost_w = _present(rows[:, :, _COST], weight)
        mean = (_dot(cost_w, cost) + 5.0) / (cost_w.sum(1) + 5)
        here_w = cost_w * (here > 0)
        sector_mean = (_dot(here_w, cost) + 4 * mean) / (here_w.sum(1) + 4)
        sign = np.nan_to_num(rows[:, :, _SIGN])
        recent_w = recent * (cost_w > 0)
        axe = facts.sign * _dot(recent_w * sign, cost - sector_mean[:, None]) / (recent_w.sum(1) + 2)
        flow = facts.sign * _dot(recent, np.nan_to_num(rows[:, :, _GIVEN]))

        both, per = rows[:, :, _BOTH], rows[:, :, _UNIT]
        law, strange = quote_law.fit(rows[:, :, _LAW:], both, cost, cost_w, here > 0)
        off = np.abs(strange) / np.maximum(both, 1e-6)
        spread = (_dot(cost_w, off) + 8 * quote_law.USUAL_OFF) / (cost_w.sum(1) + 8)
        unit = facts.volatility_bps / reference_cost_bps(facts)
        near = recent_w * (per / np.maximum(quote_law.NOISE * both, 1e-3)) ** 2
        tilt = sign * strange / np.maximum(per, 1e-6)
        keen = facts.sign * unit * _dot(near, tilt) / (near.sum(1) + 1.0 / quote_law.AXE_VARIANCE)

        lifted = np.nan_to_num(rows[:, :, _LIFTED])
        won = np.nan_to_num(rows[:, :, _WON])
        pace, pace_w = _present(rows[:, :, _PACE], weight)
        size, size_w = _present(rows[:, :, _SIZE], weight)
        move, move_w = _present(rows[:, :, _MOVE], weight * (rows[:, :, _LOST] == 1))
        move_w = move_w * (np.nan_to_num(rows[:, :, _MARKED], nan=np.inf) <= now)
        usual_size = np.exp((_dot(size_w, size) + 3 * math.log(0.03)) / (size_w.sum(1) + 3))
        return DealerState(
            asked=count,
            answer_rate=answer_rate,
            sector_answer_rate=sector_answer_rate,
            pace=(_dot(pace_w, pace) + 3 * 0.4) / (pace_w.sum(1) + 3),
            cost=mean,
            sector_cost=sector_mean,
            cost_spread=spread,
            axe=axe,
            flow=flow,
            win_rate=(_dot(weight, won) + 8 * 0.2) / (count + 8),
            # Laplace with a prior of 5% worth twenty lifts; not decayed, so that a fader cannot wait it out.
            fade_rate=(((lifted - won) * known).sum(1) + 1.0) / ((lifted * known).sum(1) + 20.0),
            quoted_size=usual_size,
            law=law,
            keen=keen,
            given=unit * flow / usual_size,
            lost_move=_dot(move_w, move) / (move_w.sum(1) + 40),
            idle_days=np.minimum(30.0, age.min(1) / 86_400.0),
            seen=np.any(known, axis=1),
        )

    def _slot(self, dealer: DealerId) -> int:
        slot = self._dealer.setdefault(dealer, len(self._dealer))
        if slot == len(self._next):
            self._next.append(0)
            if slot == len(self._rows):
                self._rows = np.concatenate([self._rows, _blank(len(self._rows))])
        return slot


def _blank(dealers: int) -> Array:
    rows = np.full((dealers, DEPTH, _COLUMNS), np.nan)
    rows[:, :, _UNIT:] = 0.0
    return rows


def _dot(weights: Array, values: Array) -> Array:
    return np.einsum("dk,dk->d", weights, values)


def _present(values: Array, weight: Array) -> tuple[Array, Array]:
    """Values with the missing set to 0, and weights that count the present only."""
    missing = np.isnan(values)
    return np.where(missing, 0.0, values), np.where(missing, 0.0, weight)

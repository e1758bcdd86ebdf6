"""What is remembered of each dealer: its last outcomes, bounded in number and in time, as plain arrays.

One structure serves training and live selection: both push outcomes in time order and ask for the state at an
instant, and an outcome counts only from the moment when it was known.
"""

import datetime as dt
import math
from collections.abc import Iterable, Sequence

import msgspec
import numba
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

(_ASKED, _MARKED, _SECTOR, _ANSWERED, _PACE, _COST, _SIZE, _LIFTED, _WON, _SIGN, _LOST, _MOVE, _GIVEN, _REACH) = range(
    14
)
_UNIT, _BOTH, _LAW = 14, 15, 16
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
    reach: Array
    """What it would quote for if more were asked for, as a share of ADV. A quote for the whole request says only that
    it is no less."""
    seen: NDArray[np.bool_]
    """Asked at least once within the lookback."""


class PanelMemory:
    """The last outcomes of every dealer met."""

    def __init__(self) -> None:
        self._rows = _blank(8)
        self._next: list[int] = []
        self._reach: list[float] = []
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

    def knows_sector(self, sector: str) -> bool:
        return sector in self._sector

    def push(self, outcome: Outcome) -> None:
        """Remembers one auction. The oldest outcome of a dealer goes when DEPTH is reached.

        A number in it that is none, or not finite, counts as missing: the rest of the outcome stands.
        """
        facts = outcome.facts
        sector = self._sector.setdefault(facts.sector, len(self._sector))
        move = math.nan
        if outcome.mark_out_bps is not None and outcome.control_bps is not None and facts.side is not None:
            move = _finite((outcome.mark_out_bps - outcome.control_bps) / facts.volatility_bps)
        reference = reference_cost_bps(facts)
        for asked in outcome.asked:
            slot = self._slot(asked.dealer)
            quoted = asked.answer is Answer.QUOTED
            size, cost = _finite(asked.quoted_size), _finite(asked.cost_bps)
            x = np.stack(quote_law.terms(facts, size if size > 0 else facts.size, outcome.competing))
            law = (facts.volatility_bps / reference, float(quote_law.scale(x)), *x)
            taken = 0.0 if asked.lost else 0.03 if math.isnan(size) or not size else size
            self._rows[slot, self._next[slot] % DEPTH] = (
                seconds(facts.at),
                seconds(outcome.marked_at),
                sector,
                quoted,
                min(_finite(asked.response_s) / facts.window_s, 2.0),
                cost / reference,
                math.log(max(size, 1e-6)),
                asked.lifted,
                not asked.lost,
                facts.sign,
                asked.lost,
                move,
                facts.sign * taken,
                self._reached(slot, size, facts.size),
                *(np.zeros(_COLUMNS - _UNIT) if math.isnan(cost) else law),
            )
            self._next[slot] += 1

    def state(self, dealers: Sequence[DealerId], facts: RequestFacts, settle_s: float) -> DealerState:
        """The panel as it was known at `facts.at`: outcomes asked `settle_s` ago or more, within the lookback."""
        slots = np.array([self._dealer.get(d, -1) for d in dealers], dtype=np.int64)
        found = np.empty((15, len(dealers)))
        now, sector = seconds(facts.at), float(self._sector.get(facts.sector, -1))
        _summed(self._rows, slots, now, settle_s, sector, float(facts.sign), found)
        asked, rate, sector_rate, pace, cost, sector_cost, axe, flow, won, fades, size, move, idle, reach, seen = found
        law, spread, keen = self._lawful(slots, facts, now, settle_s, sector)
        unit = facts.volatility_bps / reference_cost_bps(facts)
        return DealerState(
            asked=asked,
            answer_rate=rate,
            sector_answer_rate=sector_rate,
            pace=pace,
            cost=cost,
            sector_cost=sector_cost,
            cost_spread=spread,
            axe=axe,
            flow=flow,
            win_rate=won,
            fade_rate=fades,
            quoted_size=size,
            law=law,
            keen=keen,
            given=unit * flow / size,
            lost_move=move,
            idle_days=idle,
            reach=reach,
            seen=seen > 0,
        )

    def _lawful(
        self, slots: NDArray[np.int64], facts: RequestFacts, now: float, settle_s: float, sector: float
    ) -> tuple[quote_law.Laws, Array, Array]:
        """Each dealer's law, how far its quotes stray from it, and how much keener than it the dealer is now."""
        rows = self._rows[slots]
        asked_at, relative = rows[:, :, _ASKED], rows[:, :, _COST]
        priced = (asked_at + settle_s <= now) & (asked_at >= now - LOOKBACK_S) & (slots >= 0)[:, None]
        priced &= ~np.isnan(relative)
        age = np.where(priced, now - asked_at, np.inf)
        weight, here = np.exp2(-age / HALF_LIFE_S), rows[:, :, _SECTOR] == sector
        both, per = rows[:, :, _BOTH], rows[:, :, _UNIT]
        law, strange = quote_law.fit(rows[:, :, _LAW:], both, np.where(priced, relative, 0.0), weight, here & priced)
        off = np.abs(strange) / np.maximum(both, 1e-6)
        spread = (_dot(weight, off) + 8 * quote_law.USUAL_OFF) / (weight.sum(1) + 8)
        unit = facts.volatility_bps / reference_cost_bps(facts)
        near = np.exp2(-age / RECENT_S) * here * (per / np.maximum(quote_law.NOISE * both, 1e-3)) ** 2
        tilt = np.nan_to_num(rows[:, :, _SIGN]) * strange / np.maximum(per, 1e-6)
        return law, spread, facts.sign * unit * _dot(near, tilt) / (near.sum(1) + 1.0 / quote_law.AXE_VARIANCE)

    def _reached(self, slot: int, quoted: float, wanted: float) -> float:
        """Logarithm of what a quote says of the dealer's reach; a whole request's, of what was thought before."""
        if not quoted > 0:
            return math.nan
        said = math.log(max(quoted, 1e-6))
        if quoted >= 0.999 * wanted:
            said = max(said, self._reach[slot])
        self._reach[slot] += (said - self._reach[slot]) / min(40.0, 4.0 + self._next[slot])
        return said

    def _slot(self, dealer: DealerId) -> int:
        slot = self._dealer.setdefault(dealer, len(self._dealer))
        if slot == len(self._next):
            self._next.append(0)
            self._reach.append(math.log(0.03))
            if slot == len(self._rows):
                self._rows = np.concatenate([self._rows, _blank(len(self._rows))])
        return slot


def _finite(value: float | None) -> float:
    """The value, or NaN for what is none or not finite."""
    return value if value is not None and math.isfinite(value) else math.nan


def _blank(dealers: int) -> Array:
    rows = np.full((dealers, DEPTH, _COLUMNS), np.nan)
    rows[:, :, _UNIT:] = 0.0
    return rows


def _dot(weights: Array, values: Array) -> Array:
    return np.einsum("dk,dk->d", weights, values)


@numba.njit(
    "void(float64[:, :, ::1], int64[::1], float64, float64, float64, float64, float64[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _summed(rows, slots, now, settle_s, sector, sign, out):  # pyright: ignore  # pragma: no cover
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
            if not (row[_ASKED] + settle_s <= now and row[_ASKED] >= now - LOOKBACK_S):
                continue
            age = now - row[_ASKED]
            youngest = min(youngest, age)
            weight = 2.0 ** (-age / HALF_LIFE_S)
            is_here = row[_SECTOR] == sector
            count += weight
            answered += weight * row[_ANSWERED]
            won += weight * row[_WON]
            lifts += row[_LIFTED]
            fades += row[_LIFTED] - row[_WON]
            if not np.isnan(row[_PACE]):
                paces += weight
                pace += weight * row[_PACE]
            if not np.isnan(row[_SIZE]):
                sizes += weight
                size += weight * row[_SIZE]
                reach += weight * row[_REACH]
                if is_here:
                    sizes_here += weight
                    reach_here += weight * row[_REACH]
            if row[_LOST] == 1.0 and not np.isnan(row[_MOVE]) and row[_MARKED] <= now:
                moves += weight
                move += weight * row[_MOVE]
            lately = 0.0
            if is_here:
                here += weight
                answered_here += weight * row[_ANSWERED]
                lately = 2.0 ** (-age / RECENT_S)
                if not np.isnan(row[_GIVEN]):
                    flow += lately * row[_GIVEN]
            if not np.isnan(row[_COST]):
                costs += weight
                cost += weight * row[_COST]
                if is_here:
                    costs_here += weight
                    cost_here += weight * row[_COST]
                    recent += lately
                    turned += lately * row[_SIGN]
                    turned_cost += lately * row[_SIGN] * row[_COST]
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

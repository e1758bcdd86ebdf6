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
from ml.recall import COLUMNS, DECLARED, OFF, UNIT, recalled
from rfq.domain.values import DealerId

DEPTH = 256
"""Outcomes kept per dealer."""
EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

Array = NDArray[np.float64]


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
            x = quote_law.terms(facts, size if size > 0 else facts.size, outcome.competing)
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
                *(np.zeros(COLUMNS - UNIT) if math.isnan(cost) else law),
            )
            self._next[slot] += 1

    def state(self, dealers: Sequence[DealerId], facts: RequestFacts, settle_s: float) -> DealerState:
        """The panel as it was known at `facts.at`: outcomes asked `settle_s` ago or more, within the lookback."""
        slots = np.array([self._dealer.get(d, -1) for d in dealers], dtype=np.int64)
        found, off = np.empty((15, len(dealers))), np.empty((3, len(dealers)))
        slopes = np.empty((len(dealers), len(quote_law.TERMS)))
        now, sector = seconds(facts.at), float(self._sector.get(facts.sector, -1))
        recalled(self._rows, slots, now, settle_s, sector, float(facts.sign), DECLARED, OFF, found, slopes, off)
        asked, rate, sector_rate, pace, cost, sector_cost, axe, flow, won, fades, size, move, idle, reach, seen = found
        unit = facts.volatility_bps / reference_cost_bps(facts)
        return DealerState(
            asked=asked,
            answer_rate=rate,
            sector_answer_rate=sector_rate,
            pace=pace,
            cost=cost,
            sector_cost=sector_cost,
            cost_spread=off[1],
            axe=axe,
            flow=flow,
            win_rate=won,
            fade_rate=fades,
            quoted_size=size,
            law=quote_law.Laws(slopes, off[0]),
            keen=facts.sign * unit * off[2],
            given=unit * flow / size,
            lost_move=move,
            idle_days=idle,
            reach=reach,
            seen=seen > 0,
        )

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
    rows = np.full((dealers, DEPTH, COLUMNS), np.nan)
    rows[:, :, UNIT:] = 0.0
    return rows

"""How restless an instrument is and where all yields went, from the mids of RFQs and of a file of mids."""

import math
from bisect import bisect_right
from collections import defaultdict

import numpy as np

from ml.wins.requests import Floats, Mids, Requests, moments
from ml.wins.rolling import DAY_S, Fading

VOLATILITY_HALF_LIFE_S = 5 * DAY_S
PRIOR_HOURS = 5.0
LEAST_VARIANCE = 0.02
"""Of an hour's yield, bps squared: rounding of the price alone makes as much."""
STALE_S = 3 * DAY_S
JUMP_BPS, DRIFT_BPS = 20.0, 8.0
HOUR_S = 3600.0
HORIZONS_S = (600.0, HOUR_S, DAY_S)
COMMON = 0.2
"""How much of one instrument's move, beyond what was known, is taken for all instruments' move."""
USUAL_DV01 = 10.0
"""Of an instrument that has mids but was not asked for yet."""


class Market:
    """Mids as they come, of RFQs and of the file of mids: each instrument's volatility, and a level of all yields."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}
        self._squares = Fading(VOLATILITY_HALF_LIFE_S)
        self._times: list[float] = []
        self._levels: list[float] = []
        self._level = 0.0

    def level_at(self, moment_s: float) -> float:
        """The level as it was then, in bps of yield from the first; rising prices raise it."""
        place = bisect_right(self._times, moment_s)
        return self._levels[place - 1] if place else 0.0

    def moved(self, now_s: float, horizon_s: float) -> float:
        return min(max(self._level - self.level_at(now_s - horizon_s), -DRIFT_BPS), DRIFT_BPS)

    def variance(self, instrument: str, now_s: float) -> float:
        """Of an hour's yield, bps squared, shrunk to that of all."""
        hours, total, _ = self._squares.at(("of", instrument), now_s)
        all_hours, all_total, _ = self._squares.at("all", now_s)
        usual = (all_total + 1e-3) / (all_hours + 1e-3)
        return (total + PRIOR_HOURS * usual) / (hours + PRIOR_HOURS) + LEAST_VARIANCE

    def take(self, instrument: str, now_s: float, mid: float, dv01: float) -> None:
        last_s, last = self._last.get(instrument, (-math.inf, mid))
        self._last[instrument] = (now_s, mid)
        if not 0 < now_s - last_s < STALE_S:
            return
        move = min(max((mid - last) * 100 / dv01, -JUMP_BPS), JUMP_BPS)
        hours = max((now_s - last_s) / HOUR_S, 1 / 12)
        weight = min(hours, 3.0)  # A night is not many hours.
        for key in (("of", instrument), "all"):
            self._squares.add(key, now_s, move * move / hours, weight)
        self._level += COMMON * (move - (self._level - self.level_at(last_s)))
        self._times.append(now_s)
        self._levels.append(self._level)


def market_features(requests: Requests, mids: Mids) -> tuple[Floats, Floats]:
    """Variance of each row's instrument, and the market's move for the client over HORIZONS_S, shape (rows, 3)."""
    market, following = Market(), 0
    dv01: defaultdict[str, float] = defaultdict(lambda: USUAL_DV01)
    variance, moves = np.zeros(len(requests.won)), np.zeros((len(requests.won), len(HORIZONS_S)))
    for rows in moments(requests.time_s):
        now_s = float(requests.time_s[rows[0]])
        while following < len(mids.mid) and mids.time_s[following] <= now_s:
            instrument = mids.instrument[following]
            market.take(instrument, float(mids.time_s[following]), float(mids.mid[following]), dv01[instrument])
            following += 1
        for row in rows:
            variance[row] = market.variance(requests.instrument[row], now_s)
            moves[row] = [market.moved(now_s, horizon) * requests.side[row] for horizon in HORIZONS_S]
        for row in rows:
            instrument = requests.instrument[row]
            dv01[instrument] = float(requests.dv01[row])
            market.take(instrument, now_s, float(requests.mid[row]), dv01[instrument])
    return variance, moves

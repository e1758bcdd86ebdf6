"""How restless an instrument is, from the mids of RFQs and of a file of mids."""

import math
from collections import defaultdict

import numpy as np

from ml.wins.requests import Floats, Mids, Requests, moments
from ml.wins.rolling import DAY_S, Fading

HALF_LIFE_S = 5 * DAY_S
HOUR_S = 3600.0
PRIOR_HOURS = 5.0
LEAST_VARIANCE = 0.02
"""Of an hour's yield, bps squared: rounding of the price alone makes as much."""
STALE_S = 3 * DAY_S
JUMP_BPS = 20.0
LEAST_HOURS, MOST_HOURS = 1 / 12, 3.0
"""Moves between mids nearer than five minutes are mostly rounding; a night is not many hours."""
USUAL_DV01 = 10.0
"""Of an instrument that has mids but was not asked for yet."""


class Restlessness:
    """Mids as they come, and the variance of an hour's yield for each instrument."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}
        self._squares = Fading(HALF_LIFE_S)

    def variance(self, instrument: str, now_s: float) -> float:
        """Of an hour's yield, bps squared, shrunk to that of all instruments."""
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
        hours = max((now_s - last_s) / HOUR_S, LEAST_HOURS)
        for key in (("of", instrument), "all"):
            self._squares.add(key, now_s, move * move / hours, weight=min(hours, MOST_HOURS))


def hourly_variance(requests: Requests, mids: Mids) -> Floats:
    """Of the yield of each row's instrument, bps squared, from mids up to the row's moment, its own not included."""
    market, following = Restlessness(), 0
    dv01: defaultdict[str, float] = defaultdict(lambda: USUAL_DV01)
    found = np.zeros(len(requests.won))
    for rows in moments(requests.time_s):
        now_s = float(requests.time_s[rows[0]])
        while following < len(mids.mid) and mids.time_s[following] <= now_s:
            instrument = mids.instrument[following]
            market.take(instrument, float(mids.time_s[following]), float(mids.mid[following]), dv01[instrument])
            following += 1
        for row in rows:
            found[row] = market.variance(requests.instrument[row], now_s)
        for row in rows:
            instrument = requests.instrument[row]
            dv01[instrument] = float(requests.dv01[row])
            market.take(instrument, now_s, float(requests.mid[row]), dv01[instrument])
    return found

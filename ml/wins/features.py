"""What is known of a quote when it is sent: its price beside mid and beside recent quotes, the request, the market.

All of it is from rows of the same moment or earlier. What came of earlier quotes enters in `surprises` only, and from
strictly earlier moments.
"""

import math
from bisect import bisect_right
from collections import defaultdict

import numpy as np

from ml.wins.requests import Floats, Mids, Requests, moments
from ml.wins.rolling import DAY_S, Fading

FEATURES = (
    "edge",
    "edge_near",
    "edge_far",
    "beats_mid",
    "size",
    "dv01",
    "dealers",
    "two_sided",
    "edge_of_client",
    "edge_of_pair",
    "edge_of_client_size",
    "edge_by_dealers",
    "size_of_client",
    "size_of_pair",
    "volatility",
    "edge_by_volatility",
    "market_10m",
    "market_1h",
    "market_1d",
)
"""Columns of `quote_features`. `edge` is the quote's, in basis points of yield; `_of_` compares it (or the size) with
recent ones of the client, of client and instrument, of client and power of ten of size; `market_` is how the yields of
all instruments moved before, in favour of the client's price."""
SURPRISES = ("everyone", "client", "instrument", "pair", "client_size", "pair_side", "instrument_side")
"""Columns of `surprises`."""
RISING = frozenset(
    ("edge", "edge_near", "edge_far", "beats_mid", "edge_of_client", "edge_of_pair", "edge_of_client_size",
     "edge_by_volatility", *SURPRISES)
)  # fmt: skip
"""Where theory gives the sign: a better price wins more, and so do those who win more than expected."""

NEAR_BPS, FAR_BPS = 0.1, 0.5
"""Where the differences between quotes count most, by which a tanh bends the edge."""
BEATS_BPS = 1e-3
QUOTES_HALF_LIFE_S = 20 * DAY_S
USUAL_EDGE = (-0.25, 0.06)
"""Mean and variance of the edge, bps, before anything was seen."""
PRIOR_QUOTES, PRIOR_SIZES = 5.0, 3.0
PRIOR_DEALERS = 5.0
"""The number of dealers that most requests ask."""
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


def quote_features(requests: Requests, mids: Mids, edge_bounds_bps: tuple[float, float]) -> Floats:
    """The matrix of shape (rows, len(FEATURES)). Edges are held to `edge_bounds_bps`: outliers are typing errors."""
    edge = np.clip(requests.edge_bps, *edge_bounds_bps)
    size = np.log10(requests.size_mm)
    dealers = np.log(requests.dealers / PRIOR_DEALERS)
    two_sided = np.zeros(len(edge))
    for rows in moments(requests.time_s):
        two_sided[rows] = len(set(requests.side[rows])) > 1  # A switch is taken or left as a whole.
    of_client, of_pair, of_client_size, size_of_client, size_of_pair = _beside_recent(requests, edge, size)
    variance, market = _market(requests, mids)
    columns = (
        edge,
        np.tanh(edge / NEAR_BPS),
        np.tanh(edge / FAR_BPS),
        edge > BEATS_BPS,
        size,
        np.log(requests.dv01),
        dealers,
        two_sided,
        of_client,
        of_pair,
        of_client_size,
        of_client * dealers,
        size_of_client,
        size_of_pair,
        np.log(variance) / 2,
        edge / np.sqrt(variance),
        *market.T,
    )
    return np.column_stack(columns)


def surprises(requests: Requests, expected: Floats, half_life_days: float) -> Floats:
    """How much more than `expected` (a probability a row) was won lately, in log-odds, shape (rows, len(SURPRISES)).

    One Newton step from no effect for each key, with one observation's worth of prior precision: the sum of won minus
    expected over the sum of the variances, both fading. Only outcomes of strictly earlier moments enter.
    """
    gains, precision = Fading(half_life_days * DAY_S), Fading(half_life_days * DAY_S)
    found = np.zeros((len(expected), len(SURPRISES)))
    for rows in moments(requests.time_s):
        now_s = float(requests.time_s[rows[0]])
        keys = [_outcome_keys(requests, row) for row in rows]
        for row, its in zip(rows, keys, strict=True):
            found[row] = [gains.at(key, now_s)[1] / (precision.at(key, now_s)[1] + 1.0) for key in its]
        for row, its in zip(rows, keys, strict=True):
            if math.isnan(requests.won[row]):
                continue
            for key in its:
                gains.add(key, now_s, requests.won[row] - expected[row])
                precision.add(key, now_s, expected[row] * (1 - expected[row]))
    return found


def _outcome_keys(requests: Requests, row: int) -> tuple[tuple[object, ...], ...]:
    client, instrument, side = requests.client[row], requests.instrument[row], requests.side[row]
    return (
        ("everyone",),
        ("client", client),
        ("instrument", instrument),
        ("pair", client, instrument),
        ("client_size", client, _power(requests, row)),
        ("pair_side", client, instrument, side),
        ("instrument_side", instrument, side),
    )


def _power(requests: Requests, row: int) -> int:
    return math.floor(math.log10(requests.size_mm[row] * (1 + 1e-9)))


def _beside_recent(requests: Requests, edge: Floats, size: Floats) -> tuple[Floats, ...]:
    """Edge beside the client's, the pair's and the client's of the size, in their deviations; size beside the client's
    and the pair's, in powers of ten."""
    edges, sizes = Fading(QUOTES_HALF_LIFE_S), Fading(QUOTES_HALF_LIFE_S)
    found = np.zeros((5, len(edge)))
    for rows in moments(requests.time_s):
        now_s = float(requests.time_s[rows[0]])
        for row in rows:
            client, instrument = requests.client[row], requests.instrument[row]
            everyone = edges.shrunk("everyone", now_s, USUAL_EDGE, PRIOR_QUOTES)
            clients = edges.shrunk(client, now_s, everyone, PRIOR_QUOTES)
            pairs = edges.shrunk((client, instrument), now_s, clients, PRIOR_QUOTES)
            of_size = edges.shrunk((client, _power(requests, row)), now_s, clients, PRIOR_QUOTES)
            for column, (mean, variance) in enumerate((clients, pairs, of_size)):
                found[column, row] = (edge[row] - mean) / math.sqrt(variance)
            usual = sizes.shrunk("everyone", now_s, (-1.0, 1.0), 1.0)
            found[3, row] = size[row] - sizes.shrunk(client, now_s, usual, PRIOR_SIZES)[0]
            found[4, row] = size[row] - sizes.shrunk((client, instrument), now_s, usual, PRIOR_SIZES)[0]
        for row in rows:
            client, instrument = requests.client[row], requests.instrument[row]
            for key in ("everyone", client, (client, instrument), (client, _power(requests, row))):
                edges.add(key, now_s, edge[row])
            for key in ("everyone", client, (client, instrument)):
                sizes.add(key, now_s, size[row])
    return tuple(found)


class _Market:
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


def _market(requests: Requests, mids: Mids) -> tuple[Floats, Floats]:
    """Variance of each row's instrument, and the market's move for the client over HORIZONS_S, shape (rows, 3)."""
    market, following = _Market(), 0
    dv01: defaultdict[str, float] = defaultdict(lambda: float(np.median(requests.dv01[:1])))
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

"""What is known of a quote when it is sent: its price beside mid and beside recent quotes, the request, the market.

All of it is from rows of the same moment or earlier. What came of earlier quotes enters in `surprises` only, and from
strictly earlier moments.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np

from ml.wins.market import hourly_variance
from ml.wins.requests import Floats, Mids, Requests, moments
from ml.wins.rolling import DAY_S, Fading

FEATURES = (
    "edge_near",
    "edge_far",
    "beats_mid",
    "size",
    "dv01",
    "dealers",
    "two_sided",
    "edge_of_client",
    "edge_of_client_size",
    "edge_by_dealers",
    "size_of_client",
    "size_of_pair",
    "volatility",
    "edge_by_volatility",
)
"""Columns of `quote_features`. `edge` is the quote's, in basis points of yield; `_of_` compares it (or the size) with
recent ones of the client, of client and instrument (`pair`), of client and power of ten of size."""
SURPRISES = ("everyone", "client", "instrument", "pair", "client_size", "pair_side", "instrument_side")
"""Columns of `surprises`."""
RISING = frozenset(
    ("edge_near", "edge_far", "beats_mid", "edge_of_client", "edge_of_client_size", "edge_by_volatility", *SURPRISES)
)  # fmt: skip
"""Where theory gives the sign: a better price wins more, and so do those who win more than expected."""

NEAR_BPS, FAR_BPS = 0.1, 0.5
"""Where the differences between quotes count most, by which a tanh bends the edge."""
BEATS_BPS = 1e-3
QUOTES_HALF_LIFE_S = 20 * DAY_S
USUAL_EDGE = (-0.25, 0.06)
"""Mean and variance of the edge, bps, before anything was seen."""
PRIOR_QUOTES, PRIOR_SIZES = 5.0, 3.0
PRIOR_PRECISION = 2.0
"""Of a surprise, in log-odds: some twenty RFQs."""
LEVEL_HALF_LIFE_DAYS, LEVEL_PRECISION = 5.0, 10.0
PRIOR_DEALERS = 5.0
"""The number of dealers that most requests ask."""


def quote_features(requests: Requests, mids: Mids, edge_bounds_bps: tuple[float, float]) -> Floats:
    """The matrix of shape (rows, len(FEATURES)). Edges are held to `edge_bounds_bps`: outliers are typing errors."""
    edge = np.clip(requests.edge_bps, *edge_bounds_bps)
    size = np.log10(requests.size_mm)
    dealers = np.log(requests.dealers / PRIOR_DEALERS)
    two_sided = np.zeros(len(edge))
    for rows in moments(requests.time_s):
        asked = {(requests.client[row], requests.side[row]) for row in rows}
        for row in rows:  # A switch is taken or left as a whole.
            two_sided[row] = (requests.client[row], -requests.side[row]) in asked
    of_client, of_client_size, size_of_client, size_of_pair = _beside_recent(requests, edge, size)
    variance = hourly_variance(requests, mids)
    columns = (
        np.tanh(edge / NEAR_BPS),
        np.tanh(edge / FAR_BPS),
        (edge > BEATS_BPS).astype(np.float64),
        size,
        np.log(requests.dv01),
        dealers,
        two_sided,
        of_client,
        of_client_size,
        of_client * dealers,
        size_of_client,
        size_of_pair,
        np.log(variance) / 2,
        edge / np.sqrt(variance),
    )
    return np.column_stack(columns)


def surprises(requests: Requests, expected: Floats, half_life_days: float) -> Floats:
    """How much more than `expected` (a probability a row) was won lately, in log-odds, shape (rows, len(SURPRISES))."""
    keys = [_outcome_keys(requests, row) for row in range(len(expected))]
    return _gained(requests, expected, keys, half_life_days, PRIOR_PRECISION)


def level(requests: Requests, expected: Floats) -> Floats:
    """How much more than `expected` was won by everyone in the last days, in log-odds, a row."""
    return _gained(requests, expected, [("everyone",)] * len(expected), LEVEL_HALF_LIFE_DAYS, LEVEL_PRECISION)[:, 0]


def _gained(
    requests: Requests, expected: Floats, keys: Sequence[Sequence[Hashable]], half_life_days: float, prior: float
) -> Floats:
    """One Newton step from no effect, for each of a row's keys: the sum of won minus expected over the sum of variances
    and the `prior` precision, all fading. Only outcomes of strictly earlier moments enter."""
    gains, precision = Fading(half_life_days * DAY_S), Fading(half_life_days * DAY_S)
    found = np.zeros((len(expected), len(keys[0]) if keys else 1))
    for rows in moments(requests.time_s):
        now_s = float(requests.time_s[rows[0]])
        for row in rows:
            found[row] = [gains.at(key, now_s)[1] / (precision.at(key, now_s)[1] + prior) for key in keys[row]]
        for row in rows:
            if not math.isnan(requests.won[row]):
                for key in keys[row]:
                    gains.add(key, now_s, requests.won[row] - expected[row])
                    precision.add(key, now_s, expected[row] * (1 - expected[row]))
    return found


def _outcome_keys(requests: Requests, row: int) -> tuple[Hashable, ...]:
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
    """Edge beside the client's, and the client's of like size, in their deviations; size beside the client's, and the
    client's in the instrument, in powers of ten."""
    edges, sizes = Fading(QUOTES_HALF_LIFE_S), Fading(QUOTES_HALF_LIFE_S)
    found = np.zeros((4, len(edge)))
    for rows in moments(requests.time_s):
        now_s = float(requests.time_s[rows[0]])
        for row in rows:
            client, instrument = requests.client[row], requests.instrument[row]
            everyone = edges.shrunk("everyone", now_s, USUAL_EDGE, PRIOR_QUOTES)
            clients = edges.shrunk(client, now_s, everyone, PRIOR_QUOTES)
            of_size = edges.shrunk((client, _power(requests, row)), now_s, clients, PRIOR_QUOTES)
            for column, (mean, variance) in enumerate((clients, of_size)):
                found[column, row] = (edge[row] - mean) / math.sqrt(variance)
            usual = sizes.shrunk("everyone", now_s, (-1.0, 1.0), 1.0)
            found[2, row] = size[row] - sizes.shrunk(client, now_s, usual, PRIOR_SIZES)[0]
            found[3, row] = size[row] - sizes.shrunk((client, instrument), now_s, usual, PRIOR_SIZES)[0]
        for row in rows:
            client, instrument = requests.client[row], requests.instrument[row]
            for key in ("everyone", client, (client, _power(requests, row))):
                edges.add(key, now_s, edge[row])
            for key in ("everyone", client, (client, instrument)):
                sizes.add(key, now_s, size[row])
    return tuple(found)

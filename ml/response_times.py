"""How long a dealer takes to quote: a lognormal of its own, shrunk towards its peers, seen up to the deadline only.

A dealer asked would quote some time with a probability of its own, and then after T seconds, log T normal about
mu_dealer + power * log(window / 10 s). A quote shows T; a decline shows that there was to be none; silence is either
that, and not said, or a T beyond the deadline (the mixture of the cured and the censored: Boag 1949, Farewell 1982).
Fitted to the largest posterior; how far dealers differ is estimated with it. Seconds are the session's.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_ndtr, ndtr

from ml.outcomes import Answer, Outcome
from rfq.domain.values import DealerId

Array = NDArray[np.float64]

USUAL_WINDOW_S = 10.0
LEAST_QUOTES = 30
"""Fewer timed quotes teach nothing: the declared law stands."""
POWER, POWER_SPREAD = 0.5, 0.5
"""Declared: between dealers who take their own time (0) and dealers who take a share of what they are given (1)."""
WILLING, WILLING_SPREAD = 1.0, 1.0
"""Log odds of quoting at all, between dealers; declared."""
TELLING, TELLING_SPREAD = 0.0, 2.0
"""Log odds that who will not quote says so; declared."""
SHORTEST_S = 1e-3
RARE = 0.01
"""Share of requests with windows so short that they are not counted as seen."""


class ResponseTimes(msgspec.Struct, frozen=True):
    """The fitted law. Logs are of seconds at a window of USUAL_WINDOW_S."""

    log_s: dict[DealerId, float]
    unsure: dict[DealerId, float]
    """Standard deviation of what is believed of `log_s`."""
    peers: float
    """Of a dealer never met."""
    between: float
    """Standard deviation between dealers."""
    power: float
    spread: float
    least_window_s: float
    """Shortest window that was seen, but for one in a hundred: below it answers are extrapolated; 0 where none was."""
    quotes: int

    def median_s(self, window_s: float, dealers: Sequence[DealerId]) -> Array:
        """Median time to a quote, given that there will be one, however late; (D,)."""
        return np.exp(self._middle(window_s, dealers))

    def in_time(self, window_s: float, dealers: Sequence[DealerId]) -> Array:
        """Probability that a quote which is to come is there within the window, (D,)."""
        return ndtr(self._reach(window_s, dealers))

    def left_of_answers(self, window_s: float, dealers: Sequence[DealerId]) -> Array:
        """What of the probability of an answer is left, (D,), where the window is shorter than any seen: within those
        seen the response model knows it, and this is 1."""
        if window_s >= self.least_window_s:
            return np.ones(len(dealers))
        return np.minimum(1.0, self.in_time(window_s, dealers) / self.in_time(self.least_window_s, dealers))

    def log_density(self, response_s: Array, window_s: Array, dealers: Sequence[DealerId]) -> Array:
        """Of the logarithm of times that were seen, each within its own window, (N,)."""
        away = (np.log(response_s) - self._middle(window_s, dealers)) / self._spreads(dealers)
        seen = log_ndtr(self._reach(window_s, dealers))
        return -0.5 * away**2 - np.log(self._spreads(dealers)) - 0.5 * math.log(2.0 * math.pi) - seen

    def _middle(self, window_s: float | Array, dealers: Sequence[DealerId]) -> Array:
        own = np.array([self.log_s.get(d, self.peers) for d in dealers], dtype=np.float64)
        return own + self.power * np.log(np.asarray(window_s) / USUAL_WINDOW_S)

    def _spreads(self, dealers: Sequence[DealerId]) -> Array:
        unsure = np.array([self.unsure.get(d, self.between) for d in dealers], dtype=np.float64)
        return np.hypot(self.spread, unsure)

    def _reach(self, window_s: float | Array, dealers: Sequence[DealerId]) -> Array:
        return (np.log(window_s) - self._middle(window_s, dealers)) / self._spreads(dealers)


DECLARED = ResponseTimes({}, {}, math.log(4.0), 0.5, POWER, 0.6, 0.0, 0)
"""Where nothing was timed."""


class _Seen(NamedTuple):
    """N dealers asked, D dealers."""

    dealer: NDArray[np.int64]
    log_s: Array
    """NaN where it did not quote, or when is not known."""
    log_window: Array
    """Of the window over the usual one."""
    quoted: NDArray[np.bool_]
    silent: NDArray[np.bool_]


def fit_response_times(outcomes: Sequence[Outcome], *, by_dealer: bool = True, by_window: bool = True) -> ResponseTimes:
    """The law of these outcomes; all dealers alike, or windows left out, for comparison. A time that is no number, or
    not above 0, counts as unknown. DECLARED where fewer than LEAST_QUOTES were timed."""
    names, seen = _read(outcomes)
    timed = ~np.isnan(seen.log_s)
    quotes = int(timed.sum())
    if quotes < LEAST_QUOTES:
        return DECLARED
    dealers = len(names)
    count = np.bincount(seen.dealer[timed], minlength=dealers)
    peers, spread = float(seen.log_s[timed].mean()), max(0.05, float(seen.log_s[timed].std()))
    between = 0.5 if by_dealer else 1e-3
    power, power_spread = (POWER, POWER_SPREAD) if by_window else (0.0, 1e-3)
    ones, first_spread = np.ones(dealers), math.log(spread)
    x = np.concatenate([peers * ones, WILLING * ones, TELLING * ones, [power, first_spread]])
    doubt = np.full(dealers, between**2)
    for _ in range(4):
        centre = np.concatenate([peers * ones, WILLING * ones, TELLING * ones, [power, first_spread]])
        wide = np.concatenate([between * ones, WILLING_SPREAD * ones, TELLING_SPREAD * ones, [power_spread, 10.0]])
        x = minimize(_loss, x, (seen, timed, centre, wide), "L-BFGS-B", jac=True).x
        own, found_spread = x[:dealers], math.exp(x[-1])
        doubt = 1.0 / (count / found_spread**2 + between**-2)
        weight = 1.0 / (between**2 + found_spread**2 / np.maximum(count, 1e-9))
        peers = float(np.average(own, weights=weight))
        if by_dealer:
            between = float(np.clip(np.sqrt(np.mean((own - peers) ** 2 + doubt)), 0.05, 2.0))
    return ResponseTimes(
        log_s=dict(zip(names, x[:dealers].tolist(), strict=True)),
        unsure=dict(zip(names, np.sqrt(doubt).tolist(), strict=True)),
        peers=peers,
        between=between,
        power=float(x[-2]),
        spread=math.exp(x[-1]),
        least_window_s=float(np.quantile([o.facts.window_s for o in outcomes], RARE, method="lower")),
        quotes=quotes,
    )


def _loss(x: Array, seen: _Seen, timed: NDArray[np.bool_], centre: Array, wide: Array) -> tuple[float, Array]:
    """Minus the log posterior, and its gradient."""
    power, spread = x[-2], math.exp(x[-1])
    own, odds, tells = x[:-2].reshape(3, -1)
    dealers, who = len(own), seen.dealer
    willing, telling = expit(odds)[who], expit(tells)[who]
    middle = own[who] + power * seen.log_window
    z = np.where(timed, (seen.log_s - middle) / spread, 0.0)
    # Silence: not willing and not saying so, or later than the window.
    reach = (seen.log_window + math.log(USUAL_WINDOW_S) - middle) / spread
    late, density = ndtr(-reach), np.exp(-0.5 * reach**2) / math.sqrt(2.0 * math.pi)
    missed = np.maximum((1.0 - willing) * (1.0 - telling) + willing * late, 1e-12)
    quoted, silent = seen.quoted, seen.silent
    declined = ~quoted & ~silent
    said = np.where(quoted, np.log(willing), np.log(missed))
    said = np.where(declined, np.log1p(-willing) + np.log(telling), said)
    value = said.sum() - (0.5 * z**2 + math.log(spread) * timed).sum()
    by_middle = z / spread + np.where(silent, willing * density / (spread * missed), 0.0)
    by_odds = np.where(quoted, 1.0 - willing, np.where(declined, -willing, 0.0))
    by_odds += np.where(silent, willing * (1.0 - willing) * (late - 1.0 + telling) / missed, 0.0)
    by_tells = np.where(declined, 1.0 - telling, 0.0)
    by_tells -= np.where(silent, (1.0 - willing) * telling * (1.0 - telling) / missed, 0.0)
    by_spread = np.where(timed, z**2 - 1.0, 0.0) + np.where(silent, willing * density * reach / missed, 0.0)
    slopes = [np.bincount(who, part, dealers) for part in (by_middle, by_odds, by_tells)]
    slope = np.concatenate([*slopes, [float(by_middle @ seen.log_window), float(by_spread.sum())]])
    prior = (x - centre) / wide
    return float(0.5 * prior @ prior - value), prior / wide - slope


def _read(outcomes: Iterable[Outcome]) -> tuple[list[DealerId], _Seen]:
    place: dict[DealerId, int] = {}
    rows: list[tuple[int, float, float, bool, bool]] = []
    for outcome in outcomes:
        log_window = math.log(outcome.facts.window_s / USUAL_WINDOW_S)
        for asked in outcome.asked:
            quoted = asked.answer is Answer.QUOTED
            seconds = asked.response_s
            known = seconds is not None and math.isfinite(seconds) and seconds > 0
            log_s = math.log(max(seconds, SHORTEST_S)) if quoted and known and seconds is not None else math.nan
            silent = not quoted and seconds is None
            rows.append((place.setdefault(asked.dealer, len(place)), log_s, log_window, quoted, silent))
    dealer, log_s, window, quoted, silent = (
        np.array(column) for column in (zip(*rows, strict=True) if rows else [[]] * 5)
    )
    return list(place), _Seen(
        dealer.astype(np.int64), log_s.astype(np.float64), window.astype(np.float64),
        quoted.astype(bool), silent.astype(bool),
    )  # fmt: skip


def log_score(times: ResponseTimes, outcomes: Iterable[Outcome]) -> float:
    """Mean log density of the quotes' log times, each known to be within its window, in nats; NaN without quotes."""
    seen = [
        (a.response_s, o.facts.window_s, a.dealer)
        for o in outcomes
        for a in o.asked
        if a.answer is Answer.QUOTED and a.response_s and math.isfinite(a.response_s) and a.response_s > 0
    ]
    if not seen:
        return math.nan
    seconds, windows, dealers = zip(*seen, strict=True)
    return float(times.log_density(np.maximum(seconds, SHORTEST_S), np.array(windows), dealers).mean())

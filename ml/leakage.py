"""Who leaks: mark-outs explained as a sum over the dealers asked and not hit, each dealer shrunk to its peers.

Per auction and horizon h, in daily volatilities:

    mark_out_h = sqrt(size) * bend(context) * sum over losers of (g_h * theta_d + early_h * delta_d)
                 + hedging of the winners + beta * control + hurry + habit + noise,

theta_d lognormal (`leakage_prior`), delta_d how much faster than its peers a dealer trades. Five horizons are fitted
together by generalised least squares, with the covariance of their noise; g is 1 at the mark-out's own. Without the
control, losing is endogenous (informed dealers quote wide) and the bias stays; without the term for hurry, the drift of
urgent blocks, which ask more dealers, would be laid on dealers. `habit` is what goes with the number that was to be
asked by the logged probabilities, whoever was drawn: shrunk to nothing unless the moves show that habits matter.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.leakage_marks import CONTEXT, SHARED, MarkOuts, context_of, mark_outs, shared_of
from ml.leakage_prior import posterior
from ml.outcomes import MARK_OUT_S, Outcome, RequestFacts
from rfq.domain.values import DealerId

Array = NDArray[np.float64]

ROUNDS = 8
EARLY_S, LATE_S = 50.0, 1_790.0
EARLY, LATE = 0.43, 0.38
"""The move after so long over that at five minutes, by the propagator of `lit_router.market` for flow of three minutes;
what mark-outs say replaces it, PROFILE_SPREAD being how loosely it is held."""
PROFILE_SPREAD = 0.15
PACE_SPREAD = 0.35
"""Standard deviation between dealers of the early move, over its mean: declared."""
BEND_SPREAD = (0.3, 0.1, 1.0, 0.3)
"""Of the coefficients of CONTEXT about 0, before anything is seen."""
HIDDEN_SPREAD = 0.002
"""Of `hidden` about 0: who was not shown the side cannot know which way to trade ahead. So auctions with hidden sides
tell what winners' hedging does."""
OWN_SPREAD = 0.3
"""How far a dealer's leakage in one context strays from the bend that all share, over its mean: declared. Relationships
with single desks are in it."""


class Leakage(msgspec.Struct, frozen=True):
    """A fitted leakage. Thetas are in daily volatilities per root of (quantity / ADV), at the context `centre`."""

    theta: Mapping[DealerId, float]
    """Posterior means."""
    low: Mapping[DealerId, float]
    """Bounds of the 90% interval."""
    high: Mapping[DealerId, float]
    peers: float
    """Expected of a dealer never seen."""
    peers_low: float
    peers_high: float
    hidden: float
    """theta of a dealer asked without being shown the side, common to all."""
    bend: tuple[float, ...]
    """Log of the leakage per unit of CONTEXT."""
    centre: tuple[float, ...]
    """CONTEXT of the request that thetas are of."""
    bend_covariance: tuple[tuple[float, ...], ...]
    own_spread: float
    unrelated_terms: tuple[float, ...]
    """Of `leakage_marks.shared_of` at the mark-out's horizon: moves that losers did not cause."""
    noise: float
    """Standard deviation of a mark-out that asking does not explain, in daily volatilities."""
    auctions: int

    def expected_bps(self, facts: RequestFacts, dealers: Sequence[DealerId]) -> Array:
        """Expected adverse move from asking each dealer and not hitting it; never below 0."""
        thetas = [self.hidden if facts.two_way else self.theta.get(d, self.peers) for d in dealers]
        return np.maximum(0.0, thetas) * self.scale_bps(facts)

    def scale_bps(self, facts: RequestFacts) -> float:
        """What a theta is multiplied by."""
        return leak_scale_bps(facts) * self.bend_at(facts)

    def bend_at(self, facts: RequestFacts) -> float:
        return math.exp(min(3.0, float(np.dot(self.bend, self._away(facts)))))

    def _away(self, facts: RequestFacts) -> Array:
        return np.array(context_of(facts)) - np.array(self.centre)

    def unrelated(self, outcome: Outcome) -> float:
        """The part of an auction's mark-out that its losers did not cause, in daily volatilities."""
        return float(np.dot(self.unrelated_terms, shared_of(outcome, outcome.control_bps or 0.0)))

    def interval_bps(self, facts: RequestFacts, dealer: DealerId) -> tuple[float, float]:
        """90% interval of a dealer's leakage on such requests. Its posterior and, independent of it, what is unknown of
        the context, whose share is added in quadrature."""
        middle = self.theta.get(dealer, self.peers)
        low, high = self.low.get(dealer, self.peers_low), self.high.get(dealer, self.peers_high)
        at = self._away(facts)
        unsure = math.sqrt(self.own_spread**2 + float(at @ np.array(self.bend_covariance) @ at))
        away = 1.645 * unsure * max(middle, 0.0)
        scale = self.scale_bps(facts)
        return (
            scale * max(min(low, 0.0), middle - math.hypot(middle - low, away)),
            scale * (middle + math.hypot(high - middle, away)),
        )


def leak_scale_bps(facts: RequestFacts) -> float:
    return facts.volatility_bps * math.sqrt(facts.size)


class _Fit:
    """One fit as it goes: the coefficients that all auctions share, and what each dealer does."""

    def __init__(self, seen: MarkOuts) -> None:
        self.seen = seen
        count, h = seen.moves.shape
        self.dealers = seen.losers.shape[1]
        self.mark = seen.horizons_s.index(MARK_OUT_S)
        self.early, self.late = EARLY, LATE
        self.bend, self.bend_cov = np.zeros(len(CONTEXT)), np.diag(np.square(BEND_SPREAD))
        self.habit_variance = 1.0
        self.theta, self.second = np.full(self.dealers, 0.05), np.full(self.dealers, 0.01)
        left = np.empty((count, h))
        for k in range(h):
            x = seen.shared[:, k]
            left[:, k] = seen.moves[:, k] - x @ np.linalg.lstsq(x, seen.moves[:, k], rcond=None)[0]
        self.weigh(left)
        drift = np.sqrt(np.array(seen.horizons_s) / MARK_OUT_S)
        self.habit = seen.habit[:, None] * drift

    def weigh(self, left: Array) -> None:
        """Takes the noise's covariance from what is left unexplained."""
        self.noise = left.T @ left / len(left)
        self.noise += 1e-9 * np.trace(self.noise) * np.eye(len(self.noise))
        self.weight = np.linalg.inv(self.noise)

    def profile(self) -> tuple[Array, Array, Array]:
        """(N, H) each: the fixed part of the move after so long, and what `early` and `late` are multiplied by."""
        since = self.seen.since_s
        at = np.array([0.0, EARLY_S, 1.2 * EARLY_S, MARK_OUT_S - 10.0, LATE_S])
        early = np.interp(since, at, [0.0, 1.0, 1.2, 0.0, 0.0])
        late = np.interp(since, at, [0.0, 0.0, 0.0, 0.0, 1.0])
        mark = np.interp(since, at, [0.0, 0.0, 0.0, 1.0, 0.0])
        mark[:, self.mark], early[:, self.mark], late[:, self.mark] = 1.0, 0.0, 0.0
        return mark, early, late

    def sums(self) -> tuple[list[Array], list[Array]]:
        """Per column of the design of shared coefficients (N, H); then of dealers: (g, losers) and (early, losers)."""
        mark, early, late = self.profile()
        bent = np.exp(np.minimum(3.0, self.seen.context @ self.bend))[:, None]
        g = (mark + self.early * early + self.late * late) * bent
        total = (self.seen.losers @ self.theta)[:, None]
        columns = [g / bent * self.seen.hidden[:, None], self.habit]
        columns += [total * bent * early, total * bent * late]
        columns += [total * g * self.seen.context[:, j : j + 1] for j in range(len(CONTEXT))]
        return columns, [g, bent * early]

    def solve(self) -> None:
        """One round of generalised least squares, all else as it stands."""
        seen, w, dealers, h = self.seen, self.weight, self.dealers, self.seen.moves.shape[1]
        losers = seen.losers
        columns, ways = self.sums()
        extra = np.stack(columns, axis=2)  # (N, H, E)
        offset = extra[:, :, 2:] @ np.concatenate([[self.early, self.late], self.bend])
        shared = np.zeros((len(seen.moves), h, SHARED * h))
        for k in range(h):
            shared[:, k, SHARED * k : SHARED * (k + 1)] = seen.shared[:, k]
        flat = np.concatenate([shared, extra], axis=2)
        weighed = np.einsum("kl,nlp->nkp", w, flat)
        p = flat.shape[2]
        size = p + 2 * dealers
        gram, pull = np.zeros((size, size)), np.zeros(size)
        gram[:p, :p] = np.tensordot(flat, weighed, axes=((0, 1), (0, 1)))
        # A Gauss-Newton step: where the shape stands is added to the moves, so that its coefficients are levels.
        moves = seen.moves + offset
        pull[:p] = np.tensordot(weighed, moves, axes=((0, 1), (0, 1)))
        for i, one in enumerate(ways):
            rows = slice(p + i * dealers, p + (i + 1) * dealers)
            heavy = one @ w
            crossed = np.einsum("nk,nkp->np", heavy, flat)
            gram[rows, :p] = losers.T @ crossed
            gram[:p, rows] = gram[rows, :p].T
            pull[rows] = losers.T @ (heavy * moves).sum(1)
            for j, other in enumerate(ways):
                span = slice(p + j * dealers, p + (j + 1) * dealers)
                gram[rows, span] = losers.T @ (losers * (heavy * other).sum(1)[:, None])
        first = SHARED * h
        prior = np.full(size, 1e-6)
        centre = np.zeros(size)
        prior[first], prior[first + 1] = HIDDEN_SPREAD**-2, 1.0 / self.habit_variance
        prior[first + 2 : first + 4] = PROFILE_SPREAD**-2
        centre[first + 2 : first + 4] = EARLY, LATE
        prior[first + 4 : p] = np.square(BEND_SPREAD) ** -1.0
        prior[p + dealers :] = 1.0 / ((PACE_SPREAD * self.early) ** 2 * self.second + 1e-8)
        prior[p : p + dealers] = 0.0
        self.gram, self.pull = gram + np.diag(prior), pull + prior * centre
        self.first, self.columns_count = first, p

    def marginal(self) -> tuple[Array, Array]:
        """Precision and pull of theta, all else integrated out."""
        p, d = self.columns_count, self.dealers
        own = np.arange(p, p + d)
        rest = np.concatenate([np.arange(p), np.arange(p + d, p + 2 * d)])
        across = self.gram[np.ix_(own, rest)]
        solved = np.linalg.solve(self.gram[np.ix_(rest, rest)], np.column_stack([across.T, self.pull[rest]]))
        precision = self.gram[np.ix_(own, own)] - across @ solved[:, :-1]
        return (precision + precision.T) / 2, self.pull[own] - across @ solved[:, -1]

    def settle(self, theta: Array, covariance: Array) -> None:
        """Takes these thetas and what all other coefficients are beside them, for the next round."""
        p, d, first = self.columns_count, self.dealers, self.first
        own = np.arange(p, p + d)
        rest = np.concatenate([np.arange(p), np.arange(p + d, p + 2 * d)])
        inverse = np.linalg.inv(self.gram[np.ix_(rest, rest)])
        found = inverse @ (self.pull[rest] - self.gram[np.ix_(rest, own)] @ theta)
        self.terms = found[:first].reshape(-1, SHARED)
        self.hidden = float(found[first])
        self.habit_variance = max(1e-6, float(found[first + 1] ** 2 + inverse[first + 1, first + 1]))
        left = self.seen.moves - np.einsum("nkc,kc->nk", self.seen.shared, self.terms)
        columns, ways = self.sums()
        left -= columns[0] * self.hidden + columns[1] * found[first + 1]
        left -= ways[0] * (self.seen.losers @ theta)[:, None] + ways[1] * (self.seen.losers @ found[p:])[:, None]
        self.weigh(left)
        self.theta, self.second = theta, theta**2 + np.diag(covariance)
        self.early, self.late = np.clip(found[first + 2 : first + 4], 0.05, 1.0).tolist()
        self.bend = found[first + 4 : p]
        self.bend_cov = inverse[first + 4 : p, first + 4 : p]


def fit_leakage(outcomes: Sequence[Outcome], seed: int = 0) -> Leakage:
    """Alternates thetas and what is shared, then draws the posterior. Raises BadInput with fewer auctions with
    mark-outs than LEAST_AUCTIONS."""
    dealers = sorted({a.dealer for o in outcomes for a in o.asked})
    seen = mark_outs(outcomes, dealers)
    fit = _Fit(seen)
    for _ in range(ROUNDS):
        fit.solve()
        fit.settle(*_shrunk(*fit.marginal()))
    fit.solve()
    drawn = posterior(*fit.marginal(), np.random.default_rng([seed, 0x1E]))
    mean = drawn.draws.mean(0)
    fit.settle(mean, np.cov(drawn.draws.T).reshape(len(mean), len(mean)))
    low, high = np.quantile(drawn.draws, (0.05, 0.95), axis=0)
    peers_low, peers_high = np.quantile(drawn.peers, (0.05, 0.95)).tolist()
    return Leakage(
        theta=_by(dealers, mean),
        low=_by(dealers, low),
        high=_by(dealers, high),
        peers=float(drawn.peers.mean()),
        peers_low=peers_low,
        peers_high=peers_high,
        hidden=fit.hidden,
        bend=tuple(fit.bend.tolist()),
        centre=tuple(seen.centre.tolist()),
        bend_covariance=tuple(tuple(row) for row in fit.bend_cov.tolist()),
        own_spread=OWN_SPREAD,
        unrelated_terms=tuple(fit.terms[fit.mark].tolist()),
        noise=math.sqrt(fit.noise[fit.mark, fit.mark]),
        auctions=len(seen.moves),
    )


def _by(dealers: Sequence[DealerId], values: Array) -> dict[DealerId, float]:
    return dict(zip(dealers, values.tolist(), strict=True))


def _shrunk(precision: Array, pull: Array) -> tuple[Array, Array]:
    """Mean and covariance of thetas under a Gaussian prior whose mean and variance fit them best, held to nothing or
    more: quick, while what is shared is still on the move."""
    count = len(pull)
    mu, tau2 = 0.05, 0.01
    mean, cov = np.zeros(count), np.eye(count)
    for _ in range(30):
        cov = np.asarray(np.linalg.inv(precision + np.eye(count) / tau2), dtype=np.float64)
        mean = cov @ (pull + mu / tau2)
        mu = float(mean.mean())
        tau2 = max(1e-6, float(((mean - mu) ** 2 + np.diag(cov)).mean()))
    return np.maximum(mean, 0.1 * max(mu, 1e-3)), cov

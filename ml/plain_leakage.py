"""Who leaks: mark-outs explained as a sum over the dealers asked and not hit, each dealer shrunk to its peers.

Per auction, in daily volatilities: mark_out = sqrt(size) * sum of theta_d over losers + hedging of the winners
+ beta * control + hurry + noise, theta_d ~ N(mu, tau^2). Dividing by volatility weights each mark-out by 1 / volatility
squared. Without the control, losing is endogenous (informed dealers quote wide) and the bias stays; without the term
for hurry, the drift of urgent blocks, which ask more dealers, would be laid on dealers.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.outcomes import Outcome, RequestFacts
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId

Array = NDArray[np.float64]

LEAST_AUCTIONS = 50
ROUNDS = 60


class Leakage(msgspec.Struct, frozen=True):
    """A fitted leakage. Thetas are in daily volatilities per square root of (quantity / ADV)."""

    theta: Mapping[DealerId, float]
    spread: Mapping[DealerId, float]
    """Posterior standard deviation of each theta."""
    peers: float
    """mu: what is expected of a dealer never seen."""
    peers_spread: float
    """tau and the uncertainty of mu together."""
    hidden: float
    """theta of a dealer asked without being shown the side, common to all."""
    unrelated_terms: tuple[float, float, float, float]
    """Intercept, control, winners' hedging and hurry: moves that losers did not cause."""
    noise: float
    """Standard deviation of a mark-out that asking does not explain, in daily volatilities."""
    auctions: int

    def expected_bps(self, facts: RequestFacts, dealers: Sequence[DealerId]) -> Array:
        """Expected adverse move from asking each dealer and not hitting it; never below 0."""
        thetas = [self.hidden if facts.two_way else self.theta.get(d, self.peers) for d in dealers]
        return np.maximum(0.0, thetas) * leak_scale_bps(facts)

    def unrelated(self, outcome: Outcome) -> float:
        """The part of an auction's mark-out that its losers did not cause, in daily volatilities."""
        intercept, control, hedging, hurry = self.unrelated_terms
        move = (outcome.control_bps or 0.0) / outcome.facts.volatility_bps
        return intercept + control * move + hedging * _hedged(outcome) + hurry * outcome.facts.urgent

    def interval_bps(self, facts: RequestFacts, dealer: DealerId, widths: float = 1.645) -> tuple[float, float]:
        """Posterior interval of a dealer's leakage, 90% by default."""
        middle, spread = self.theta.get(dealer, self.peers), self.spread.get(dealer, self.peers_spread)
        scale = leak_scale_bps(facts)
        return (middle - widths * spread) * scale, (middle + widths * spread) * scale


def leak_scale_bps(facts: RequestFacts) -> float:
    return facts.volatility_bps * math.sqrt(facts.size)


def fit_leakage(outcomes: Sequence[Outcome]) -> Leakage:
    """Empirical Bayes by expectation-maximisation. Raises BadInput with fewer than LEAST_AUCTIONS mark-outs."""
    usable = [o for o in outcomes if o.mark_out_bps is not None and o.control_bps is not None and o.facts.side]
    if len(usable) < LEAST_AUCTIONS:
        raise BadInput("outcomes", len(usable), f"must hold at least {LEAST_AUCTIONS} auctions with mark-outs")
    dealers = sorted({a.dealer for o in usable for a in o.asked})
    design, moves = _design(usable, {d: i for i, d in enumerate(dealers)})
    count = len(dealers)
    gram, projected = design.T @ design, design.T @ moves
    nuisance = design.shape[1] - count
    mu, tau2, noise2 = 0.0, 0.01, float(moves.var())
    mean, cov = np.zeros(design.shape[1]), np.eye(design.shape[1])
    for _ in range(ROUNDS):
        # Nuisance terms (intercept, control, hedging, hurry, hidden side) have an almost flat prior about 0.
        prior = np.concatenate([np.full(count, 1.0 / tau2), np.full(nuisance, 1e-4)])
        centre = np.concatenate([np.full(count, mu), np.zeros(nuisance)])
        cov = np.linalg.inv(gram / noise2 + np.diag(prior))
        mean = cov @ (projected / noise2 + prior * centre)
        mu = float(mean[:count].mean())
        tau2 = max(1e-6, float(((mean[:count] - mu) ** 2 + np.diag(cov)[:count]).mean()))
        left = moves - design @ mean
        noise2 = float((left @ left + np.sum(gram * cov)) / len(moves))
    deviation = np.sqrt(np.diag(cov))
    return Leakage(
        theta={d: float(mean[i]) for i, d in enumerate(dealers)},
        spread={d: float(deviation[i]) for i, d in enumerate(dealers)},
        peers=mu,
        peers_spread=math.sqrt(tau2 + tau2 / count),
        hidden=float(mean[count + 4]),
        unrelated_terms=(float(mean[count]), float(mean[count + 1]), float(mean[count + 2]), float(mean[count + 3])),
        noise=math.sqrt(noise2),
        auctions=len(usable),
    )


def _design(outcomes: Sequence[Outcome], column: Mapping[DealerId, int]) -> tuple[Array, Array]:
    """Columns: each dealer asked and not hit; then intercept, control, winners' hedging, hurry, losers of
    hidden sides."""
    count = len(column)
    design = np.zeros((len(outcomes), count + 5))
    moves = np.empty(len(outcomes))
    for row, outcome in enumerate(outcomes):
        facts = outcome.facts
        assert outcome.mark_out_bps is not None and outcome.control_bps is not None
        root = math.sqrt(facts.size)
        for asked in outcome.asked:
            if asked.lost:
                design[row, count + 4 if facts.two_way else column[asked.dealer]] += root
        design[row, count] = 1.0
        design[row, count + 2] = _hedged(outcome)
        design[row, count + 3] = facts.urgent
        design[row, count + 1] = outcome.control_bps / facts.volatility_bps
        moves[row] = outcome.mark_out_bps / facts.volatility_bps
    return design, moves


def _hedged(outcome: Outcome) -> float:
    """Sum over the winners of sqrt(quantity / ADV): what their hedging moves the mid by, up to a factor."""
    return sum(math.sqrt(a.quoted_size or outcome.facts.size / 3) for a in outcome.asked if not a.lost)

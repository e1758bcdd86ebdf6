"""Who leaks is found in tiny simulated logs: within its errors, and not where there is nothing to find."""

import datetime as dt

import numpy as np
import pytest

from ml.leakage import Leakage, fit_leakage
from ml.leakage_marks import CONTEXT
from ml.outcomes import Answer, Asked, Outcome, RequestFacts
from ml.scores import rank_correlation
from rfq.domain.errors import BadInput
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import DealerId, RfqId, Side, Symbol

DEALERS = tuple(DealerId(f"T{n:02d}") for n in range(12))
TRUE = np.array([0.2, 0.15, 0.1, 0.08, 0.05, 0.04, 0.03, 0.02, 0.01, 0.01, 0.005, 0.002])
HORIZONS_S = np.array(MARK_OUT_HORIZONS_S)
PATH = np.array([0.0, 0.0, 0.43, 1.0, 0.38])
"""Of a leak over the horizons, that at five minutes being 1."""


def facts(n: int = 0, **changes) -> RequestFacts:
    at = dt.datetime(2026, 1, 5, 14, 30, tzinfo=dt.UTC) + dt.timedelta(minutes=7 * n)
    named = dict(at=at, symbol=Symbol("AAA"), sector="tech", side=Side.BUY, two_way=False, size=0.04, spread_bps=5.0)
    named |= dict(volatility_bps=150.0, usual_volatility_bps=150.0, usual_spread_bps=5.0, window_s=10.0)
    return RequestFacts(**(named | changes))


def log(auctions: int, seed: int, noise: float = 1.0, true: np.ndarray = TRUE) -> list[Outcome]:
    """Four dealers asked at random and none hit; a control that explains most of the mid's moves."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(auctions):
        places = rng.permutation(len(DEALERS))[:4]
        f = facts(n, size=float(np.exp(rng.normal(-3.2, 0.8))), anonymous=bool(rng.random() < 0.3))
        steps = np.sqrt(np.diff([0.0, *HORIZONS_S]) / 23_400.0)[:, None] * rng.standard_normal((5, 2))
        market, own = noise * np.cumsum(steps, axis=0).T
        moves = market + 0.5 * own + np.sqrt(f.size) * true[places].sum() * PATH
        answer = Asked(DEALERS[0], 0.3, Answer.QUOTED, 2.0, 8.0, f.size)
        made.append(
            Outcome(
                rfq=RfqId(f"r{n}"),
                facts=f,
                asked=tuple(answer.but(dealer=DEALERS[p]) for p in places),
                mark_out_bps=float(150 * moves[3]),
                control_bps=float(150 * market[3]),
                mark_outs_bps=tuple((150 * moves).tolist()),
                controls_bps=tuple((150 * market).tolist()),
            )
        )
    return made


@pytest.fixture(scope="module")
def fitted() -> Leakage:
    return fit_leakage(log(2500, 3))


def thetas(found: Leakage) -> np.ndarray:
    """Expected at a usual request, in the units of TRUE."""
    return found.expected_bps(facts(), DEALERS) / (150.0 * 0.2)


def test_known_effects_are_recovered_within_their_errors(fitted):
    away = thetas(fitted) - TRUE
    bounds = np.array([fitted.interval_bps(facts(), d) for d in DEALERS]) / (150.0 * 0.2)
    assert np.sqrt(np.mean(away**2)) < 0.3 * TRUE.std()
    assert rank_correlation(thetas(fitted), TRUE) > 0.8
    assert (bounds[:, 0] >= 0).all() and (bounds[:, 0] < bounds[:, 1]).all()
    assert fitted.unrelated_terms[1] == pytest.approx(1.0, abs=0.05)
    assert fitted.noise == pytest.approx(0.5 * np.sqrt(300 / 23_400), rel=0.05)


def test_intervals_cover_about_as_often_as_they_say():
    """Over several logs: 90% intervals, made somewhat wide for contexts that stray, which here none does."""
    inside = []
    for seed in range(10, 14):
        found = fit_leakage(log(500, seed))
        bounds = np.array([found.interval_bps(facts(), d) for d in DEALERS]) / (150.0 * 0.2)
        inside.append((bounds[:, 0] <= TRUE) & (bounds[:, 1] >= TRUE))
    assert 0.82 <= np.mean(inside) <= 1.0


def test_all_horizons_together_know_more_than_one(fitted):
    """With only the mark-out at five minutes the same auctions leave wider intervals."""
    alone = fit_leakage([o.but(mark_outs_bps=(), controls_bps=()) for o in log(2500, 3)])
    width = [np.mean([f.high[d] - f.low[d] for d in DEALERS]) for f in (fitted, alone)]
    assert width[0] < 0.95 * width[1]


def test_shuffled_identities_tell_nobody_apart(fitted):
    rng = np.random.default_rng(5)
    shuffled = []
    for outcome in log(2500, 3):
        names = rng.permutation(len(DEALERS))[:4]
        asked = tuple(a.but(dealer=DEALERS[n]) for a, n in zip(outcome.asked, names, strict=True))
        shuffled.append(outcome.but(asked=asked))
    found = thetas(fit_leakage(shuffled))
    assert found.std() < 0.4 * thetas(fitted).std()
    assert abs(rank_correlation(found, TRUE)) < 0.75


def test_context_bends_leakage_as_it_was_made(fitted):
    """Made without a bend: none is found beyond its error, and sizes far from any seen are less sure."""
    errors = np.sqrt(np.diag(np.array(fitted.bend_covariance)))
    assert (np.abs(fitted.bend) < 3.0 * errors + 1e-9).all() and len(fitted.bend) == len(CONTEXT)
    near, far = (fitted.interval_bps(facts(size=s), DEALERS[0]) for s in (0.05, 0.0005))
    assert far[1] / near[1] > 1.05 * (0.0005 / 0.05) ** 0.5 * fitted.bend_at(facts(size=0.0005)) / fitted.bend_at(
        facts(size=0.05)
    )


def test_a_dealer_never_seen_is_like_its_peers_and_less_sure(fitted):
    stranger = DealerId("nobody")
    expected = fitted.expected_bps(facts(), [stranger])[0]
    known = fitted.expected_bps(facts(), DEALERS)
    assert known.min() < expected < known.max()
    low, high = fitted.interval_bps(facts(), stranger)
    assert low < known.mean() < high and high - low > np.mean([fitted.high[d] - fitted.low[d] for d in DEALERS]) * 30


def test_a_hidden_side_hardly_leaks(fitted):
    hidden = fitted.expected_bps(facts(two_way=True), DEALERS)
    assert hidden.max() < 0.1 * fitted.expected_bps(facts(), DEALERS).max()


def test_too_few_mark_outs_are_refused():
    with pytest.raises(BadInput, match="at least 50"):
        fit_leakage(log(49, 1))
    blank = [o.but(mark_out_bps=None) for o in log(200, 1)]
    with pytest.raises(BadInput, match="at least 50"):
        fit_leakage(blank)


def test_numbers_that_are_none_are_left_out():
    good = log(300, 2)
    broken = [o.but(mark_out_bps=float("nan")) if n % 10 == 0 else o for n, o in enumerate(good)]
    assert fit_leakage(broken).auctions == 270

"""Response times: recovered through the deadline that hides them, shrunk, and used where the window is too short."""

import math

import msgspec
import numpy as np
import pytest
from choosing import NO_DRAW, PANEL, request
from scipy.special import ndtr

from ml.choosing import Chooser
from ml.dealer_models import DealerModels
from ml.memory import PanelMemory
from ml.outcomes import Answer, Asked, Outcome, facts_of
from ml.response_times import DECLARED, ResponseTimes, _loss, _read, fit_response_times, log_score
from rfq.domain.values import DealerId, RfqId

MEDIANS_S = {DealerId("quick"): 1.0, DealerId("usual"): 4.0, DealerId("slow"): 12.0}
SPREAD = 0.5


def history(count: int, seed: int, windows=(10.0, 20.0), power: float = 0.0, willing: float = 0.8) -> list[Outcome]:
    """Every dealer is asked every time; those who would not quote say so half of the time."""
    rng, facts, made = np.random.default_rng(seed), facts_of(request()), []
    for number in range(count):
        window_s = float(rng.choice(windows))
        asked = []
        for dealer, median_s in MEDIANS_S.items():
            seconds = median_s * (window_s / 10.0) ** power * math.exp(SPREAD * rng.standard_normal())
            if rng.random() < willing:
                late = seconds > window_s
                asked.append(Asked(dealer, 1.0) if late else Asked(dealer, 1.0, Answer.QUOTED, seconds))
            else:
                asked.append(Asked(dealer, 1.0, response_s=0.5 if rng.random() < 0.5 else None))
        made.append(Outcome(RfqId(str(number)), facts.but(window_s=window_s), tuple(asked)))
    return made


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_medians_are_found_through_the_deadline(power):
    found = fit_response_times(history(900, 1, power=power))
    dealers = list(MEDIANS_S)
    np.testing.assert_allclose(found.median_s(10.0, dealers), list(MEDIANS_S.values()), rtol=0.15)
    assert found.power == pytest.approx(power, abs=0.12) and found.spread == pytest.approx(SPREAD, rel=0.1)
    np.testing.assert_allclose(found.median_s(20.0, dealers) / found.median_s(10.0, dealers), 2**found.power)
    seen = [a.response_s for o in history(900, 1, power=power) for a in o.asked
            if a.dealer == "slow" and a.answer is Answer.QUOTED and o.facts.window_s == 10.0]  # fmt: skip
    assert np.median(seen) < 9.0, "what is seen of a slow dealer looks quicker than it is"


def test_each_dealers_own_law_beats_one_for_all_on_later_quotes():
    learned, later = history(300, 2), history(300, 3)
    own, pooled = fit_response_times(learned), fit_response_times(learned, by_dealer=False)
    assert log_score(own, later) > log_score(pooled, later) + 0.2
    scaled, longer = history(300, 4, power=1.0), history(300, 5, power=1.0)
    constant = fit_response_times(scaled, by_window=False)
    assert constant.power == pytest.approx(0.0, abs=0.02)
    assert log_score(fit_response_times(scaled), longer) > log_score(constant, longer)


def test_little_history_is_shrunk_and_a_stranger_is_doubted():
    rare = DealerId("rare")
    twice = [o.but(asked=(Asked(rare, 1.0, Answer.QUOTED, 0.2),)) for o in history(2, 6)]
    found = fit_response_times([*history(300, 7), *twice])
    (own,), (peer,) = found.median_s(10.0, [rare]), found.median_s(10.0, [DealerId("nobody")])
    assert 0.2 < own < peer and found.unsure[rare] > found.unsure[DealerId("usual")]
    at, sure = np.array([peer]), found.log_density(np.array([4.0]), np.array([10.0]), [DealerId("usual")])
    assert found.log_density(at, np.array([10.0]), [DealerId("nobody")]) < sure


def test_the_slope_is_the_loss_es():
    names, seen = _read(history(40, 8))
    timed, size = ~np.isnan(seen.log_s), 3 * len(names) + 2
    x = np.array([0.3, 1.2, 2.0, 0.5, 1.0, 1.5, -0.5, 0.2, 0.9, 0.4, -0.3])
    centre, wide = np.zeros(size), np.ones(size)
    _, slope = _loss(x, seen, timed, centre, wide)
    for i, step in enumerate(1e-6 * np.eye(size)):
        up, down = (_loss(x + way * step, seen, timed, centre, wide)[0] for way in (1, -1))
        assert slope[i] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0, 0.0])
def test_times_that_are_no_times_count_as_unknown(wrong):
    good = history(200, 9)
    spoilt = [o.but(asked=tuple(a.but(response_s=wrong) for a in o.asked)) for o in history(50, 10)]
    found, clean = fit_response_times([*good, *spoilt]), fit_response_times(good)
    assert found.quotes == clean.quotes
    np.testing.assert_allclose(found.median_s(10.0, list(MEDIANS_S)), clean.median_s(10.0, list(MEDIANS_S)), rtol=0.1)
    assert math.isnan(log_score(clean, spoilt))


def test_where_nothing_was_timed_the_declared_law_stands():
    silent = [o.but(asked=tuple(Asked(a.dealer, 1.0) for a in o.asked)) for o in history(60, 11)]
    assert fit_response_times(silent) == fit_response_times([]) == DECLARED
    assert (DECLARED.left_of_answers(0.1, PANEL) == 1.0).all(), "nothing is known of any window"


def test_answers_are_lost_below_the_shortest_window_seen_as_they_are():
    found = fit_response_times(history(900, 12))
    assert (found.left_of_answers(10.0, list(MEDIANS_S)) == 1.0).all()
    left = found.left_of_answers(3.0, list(MEDIANS_S))
    middle = np.log(list(MEDIANS_S.values()))
    np.testing.assert_allclose(
        left, ndtr((math.log(3.0) - middle) / SPREAD) / ndtr((math.log(10.0) - middle) / SPREAD), atol=0.04
    )
    assert (np.diff(left) < 0).all()


# --- in the choice -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models() -> DealerModels:
    return DealerModels.load()


def test_shipped_models_know_how_long_dealers_take(models):
    metrics = models.manifest.metrics
    assert metrics["response_time_log_score"] > metrics["response_time_log_score_pooled"] + 0.3
    assert metrics["response_time_log_score_pooled"] > metrics["response_time_log_score_constant"]
    assert metrics["response_time_truth_error"] < 0.05
    made = Chooser(models, NO_DRAW).select(request(), PanelMemory())
    usual = {score.dealer_id: score.response_s for score in made.ranking}
    assert usual[DealerId("D08")] < usual[DealerId("D01")] < usual[DealerId("D09")]
    assert not any("quote_window_s" in note for note in made.notes)


def test_a_window_too_short_is_warned_of_and_lowers_the_answers_expected():
    models = DealerModels.load()
    chooser = Chooser(models, NO_DRAW)
    before = chooser.select(request(quote_window_s=1.0), PanelMemory())
    assert not any("quote_window_s" in note for note in before.notes), "its dealers take a share of what they are given"
    models.times = msgspec.structs.replace(models.times, power=0.0)
    made = chooser.select(request(quote_window_s=1.0), PanelMemory())
    (warned,) = [note for note in made.notes if note.startswith("quote_window_s 1 is less")]
    assert f"{np.median(models.times.median_s(1.0, PANEL)):.1f} s" in warned
    then, now = ({s.dealer_id: s.response_probability for s in one.ranking} for one in (before, made))
    assert now[DealerId("D01")] < 0.2 * then[DealerId("D01")] and now[DealerId("D08")] > 0.8 * then[DealerId("D08")]
    assert made.expected_cost_bps > before.expected_cost_bps


def test_a_law_survives_being_stored():
    law = fit_response_times(history(60, 13))
    assert msgspec.convert(msgspec.to_builtins(law), ResponseTimes) == law

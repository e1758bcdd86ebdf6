"""The win model: its features never look ahead, it takes what it never saw, and it earns its place on real RFQs."""

import math

import numpy as np
import pytest

from ml import scores
from ml.wins import choosing
from ml.wins.features import FEATURES, SURPRISES, level, quote_features, surprises
from ml.wins.model import WinModel, probability, ridge_logistic
from ml.wins.requests import NO_MIDS, Mids, Requests, read_mids, read_requests
from ml.wins.rolling import DAY_S, Fading
from rfq.domain.errors import BadInput

BOUNDS = (-2.0, 0.5)


def made(rows: int, seed: int = 1, start_s: float = 1.5e9) -> Requests:
    """RFQs of which better prices win more; some are asked several at once."""
    rng = np.random.default_rng(seed)
    edge = rng.normal(-0.3, 0.25, rows)
    side = rng.choice([-1.0, 1.0], rows)
    won = rng.random(rows) < probability(-2.0 + 3.0 * (edge + 0.3) / 0.25 / 2)
    return Requests(
        time_s=start_s + np.cumsum(rng.choice([0.0, 600.0, 7200.0], rows)),
        instrument=rng.choice(["A", "B", "C"], rows).astype(object),
        client=rng.choice(["X", "Y"], rows).astype(object),
        price=100 + side * edge / 10,
        mid=np.full(rows, 100.0),
        size_mm=10 ** rng.uniform(-2, 1, rows),
        dv01=np.full(rows, 10.0),
        dealers=rng.integers(3, 8, rows).astype(float),
        side=side,
        won=won.astype(float),
    )


def silent(_: str) -> None:
    pass


@pytest.fixture
def small(monkeypatch):
    """One plan only: choosing is not what is tested."""
    monkeypatch.setattr(choosing, "HALF_LIVES_DAYS", (20.0,))
    monkeypatch.setattr(choosing, "RIDGES", (50.0,))
    monkeypatch.setattr(choosing, "TREES", (20,))


@pytest.fixture(scope="module")
def real(data_folder) -> tuple[Requests, Mids]:
    folder = data_folder / "rfq_bbva"
    return read_requests(folder / "rfqs.csv", outcomes=True), read_mids(folder / "mids.csv")


# --- scores and regression ----------------------------------------------------------------------------------------


def test_scores_by_hand():
    happened, said = [1, 0, 1, 0], [0.9, 0.8, 0.35, 0.1]
    assert scores.auc(happened, said) == 0.75  # Of four pairs, one (.35 under .8) is the wrong way round.
    assert scores.brier(happened, said) == pytest.approx((0.01 + 0.64 + 0.4225 + 0.01) / 4)
    assert scores.log_loss(happened, said) == pytest.approx(-np.log([0.9, 0.2, 0.35, 0.9]).mean())
    assert scores.calibration_error(happened, said) == pytest.approx((0.1 + 0.8 + 0.65 + 0.1) / 4)
    # Two bins of two: said .85 and won half; said .225 and won half.
    assert scores.calibration_error(happened, said, bins=2) == pytest.approx((0.35 + 0.275) / 2)
    assert scores.calibration_error([1, 1], [1.0, 1.0]) == 0


def test_ridge_logistic_is_where_the_penalised_slope_is_zero():
    rng = np.random.default_rng(3)
    z, ridge = rng.normal(size=(200, 2)), 5.0
    happened = (rng.random(200) < probability(z[:, 0] - 1)).astype(float)
    found = ridge_logistic(z, happened, ridge)
    gap = probability(found[0] + z @ found[1:]) - happened
    assert gap.sum() == pytest.approx(0, abs=1e-4)
    assert z.T @ gap + ridge * found[1:] == pytest.approx(0, abs=1e-6)
    shifted = ridge_logistic(z, happened, ridge, offset=np.full(200, 2.0))
    assert shifted == pytest.approx(found - [2.0, 0, 0], abs=1e-6)


def test_what_is_remembered_fades_and_is_shrunk():
    kept = Fading(10.0)
    kept.add("x", 0.0, 4.0)
    assert kept.at("x", 10.0) == (0.5, 2.0, 8.0)
    assert kept.at("y", 10.0) == (0.0, 0.0, 0.0)
    mean, variance = kept.shrunk("x", 10.0, prior=(1.0, 0.5), weight=1.5)
    assert mean == pytest.approx((2 + 1.5) / 2)
    assert variance == pytest.approx((8 + 1.5 * 1.5) / 2 - mean**2)


# --- nothing ahead ------------------------------------------------------------------------------------------------


def test_features_do_not_change_with_anything_later():
    rfqs, mids = made(300), Mids(np.array([1.5e9]), np.array(["A"], dtype=object), np.array([100.0]))
    cut = 151
    assert rfqs.time_s[cut] > rfqs.time_s[cut - 1], "the cut is between two moments"
    rng = np.random.default_rng(2)
    other = Requests(*(np.concatenate((column[:cut], rng.permutation(column[cut:]))) for column in rfqs))
    other = other._replace(time_s=rfqs.time_s, price=np.where(np.arange(300) < cut, rfqs.price, 90.0))
    late = Mids(
        np.append(mids.time_s, rfqs.time_s[cut]), np.append(mids.instrument, "A").astype(object), np.array([100, 150.0])
    )
    one, two = quote_features(rfqs, mids, BOUNDS), quote_features(other, late, BOUNDS)
    assert one.shape == (300, len(FEATURES)) and np.isfinite(one).all()
    assert np.array_equal(one[:cut], two[:cut]) and not np.array_equal(one[cut:], two[cut:])


def test_a_switch_is_one_client_that_buys_and_sells_at_once():
    rfqs = made(5)._replace(
        time_s=np.array([0.0, 0.0, 5.0, 5.0, 9.0]),
        client=np.array(["X", "X", "X", "Y", "X"], dtype=object),
        side=np.array([1.0, -1, 1, -1, 1]),
    )
    assert quote_features(rfqs, NO_MIDS, BOUNDS)[:, FEATURES.index("two_sided")].tolist() == [1, 1, 0, 0, 0]


def test_outliers_of_a_price_or_a_dv01_are_held_to_the_bounds():
    rfqs = made(50)
    rfqs.price[20], rfqs.dv01[30] = 1.0, 1e-9
    x = quote_features(rfqs, NO_MIDS, BOUNDS)
    least, most = np.tanh(np.array(BOUNDS) / 0.5)
    assert np.isfinite(x).all()
    assert (x[:, FEATURES.index("edge_far")] >= least).all() and (x[:, FEATURES.index("edge_far")] <= most).all()


@pytest.mark.parametrize("row", [0, 57, 151, 299])
def test_surprises_know_outcomes_of_strictly_earlier_moments_only(row):
    rfqs = made(300)
    expected = np.full(300, 0.2)
    now = rfqs.time_s >= rfqs.time_s[row]
    rng = np.random.default_rng(4)
    for won in (1 - rfqs.won, np.full(300, math.nan), rng.permutation(rfqs.won)):
        other = rfqs._replace(won=np.where(now, won, rfqs.won))
        same_moment = rfqs.time_s <= rfqs.time_s[row]
        for measure in (lambda given: surprises(given, expected, 20.0), lambda given: level(given, expected)):
            assert np.array_equal(measure(rfqs)[same_moment], measure(other)[same_moment])


def test_surprises_by_hand():
    rfqs = made(3)._replace(
        time_s=np.array([0.0, 0.0, 10 * DAY_S]),
        client=np.array(["X", "Y", "X"], dtype=object),
        instrument=np.array(["A", "A", "B"], dtype=object),
        won=np.array([1.0, 0.0, math.nan]),
    )
    found = surprises(rfqs, np.array([0.2, 0.2, 0.9]), 10.0)
    assert not found[:2].any()
    assert found[2, SURPRISES.index("everyone")] == pytest.approx((0.8 - 0.2) / 2 / (2 * 0.16 / 2 + 2))
    assert found[2, SURPRISES.index("client")] == pytest.approx(0.8 / 2 / (0.16 / 2 + 2))
    assert found[2, SURPRISES.index("instrument")] == 0


def test_predictions_do_not_change_with_a_rows_own_or_later_outcomes(small):
    train, test = made(400), made(120, seed=2, start_s=1.6e9)
    found = choosing.fit_and_score(train, test, NO_MIDS, silent).probability
    row = 60
    flipped = test._replace(won=np.where(test.time_s >= test.time_s[row], 1 - test.won, test.won))
    other = choosing.fit_and_score(train, flipped, NO_MIDS, silent).probability
    until = test.time_s <= test.time_s[row]
    assert np.array_equal(found[until], other[until]), "and what was learned is from the training rows alone"
    assert not np.array_equal(found, other), "earlier outcomes do count"


def test_validation_parts_are_later_than_what_they_are_predicted_from():
    rfqs = made(200)
    parts = choosing.parts(rfqs)
    assert len(parts) == choosing.FOLDS and parts[-1][1] == 200
    for begin, end in parts:
        assert rfqs.time_s[begin - 1] < rfqs.time_s[begin] <= rfqs.time_s[end - 1]


# --- what it never saw, and too little ----------------------------------------------------------------------------


def test_clients_and_instruments_never_seen_are_scored(small):
    test = made(60, seed=2, start_s=1.6e9)
    client, instrument = (np.array([name] * 60, dtype=object) for name in "ZN")
    test = test._replace(client=client, instrument=instrument, dealers=test.dealers * 9)
    found = choosing.fit_and_score(made(400), test, NO_MIDS, silent).probability
    assert ((found > 0) & (found < 1)).all()
    assert scores.auc(test.won, found) > 0.7


def test_a_better_price_is_likelier_to_win(small):
    train, test = made(400), made(60, seed=2, start_s=1.6e9)
    better = test._replace(price=test.price + test.side * 0.01)
    x = [quote_features(rfqs, NO_MIDS, BOUNDS) for rfqs in (train, test, better)]
    model = WinModel.fit(x[0], train, choosing.Plan(20.0, 50.0, 40), seeds=(1,))
    last = slice(-1, None)  # Only of the last row are the recent quotes the same.
    both = [x[1], np.concatenate((x[1][:-1], x[2][last]))]
    expected = [model.predict(features, test)[-1] for features in both]
    assert expected[1] > expected[0]


def test_the_same_files_give_the_same_probabilities(small):
    train, test = made(300), made(50, seed=2, start_s=1.6e9)
    one, two = (choosing.fit_and_score(train, test, NO_MIDS, silent) for _ in range(2))
    assert np.array_equal(one.probability, two.probability) and one.model.calibration == two.model.calibration


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_training_rows_of_one_kind_are_refused(outcome):
    train = made(50)._replace(won=np.full(50, outcome))
    with pytest.raises(BadInput, match=r"train: '(0|50) of 50 won' must have both wins and losses"):
        choosing.fit_and_score(train, made(5, start_s=1.6e9), NO_MIDS, silent)


def test_too_little_to_choose_by_takes_the_cautious_plan_and_says_so():
    train = made(8)._replace(won=np.array([1.0, 0, 0, 0, 0, 0, 0, 0]))
    lines: list[str] = []
    chosen = choosing.fit_and_score(train, made(5, start_s=1.6e9), NO_MIDS, lines.append)
    assert chosen.model.plan == choosing.CAUTIOUS and not len(chosen.happened)
    assert "too few wins or losses" in lines[0] and np.isfinite(chosen.probability).all()


# --- real RFQs ----------------------------------------------------------------------------------------------------


def test_on_real_rfqs_it_beats_the_constant_each_clients_share_and_the_regression_alone(real, small):
    rfqs, mids = real
    cut = int(np.searchsorted(rfqs.time_s, rfqs.time_s[len(rfqs.won) * 45 // 100]))
    train, test = rfqs.take(slice(cut)), rfqs.take(slice(cut, len(rfqs.won) * 7 // 10))
    chosen = choosing.fit_and_score(train, test, mids, silent)
    shares = np.array([train.won[train.client == client].mean() for client in test.client])
    constant = np.full(len(test.won), train.won.mean())
    found = scores.brier(test.won, chosen.probability)
    assert found < scores.brier(test.won, constant) and found < scores.brier(test.won, shares)
    assert found < scores.brier(test.won, chosen.plain)
    assert scores.auc(test.won, chosen.probability) > max(0.72, scores.auc(test.won, shares))
    assert scores.auc(test.won, chosen.probability) < 0.9, "real wins are not that predictable: something leaks"


def test_with_outcomes_shuffled_nothing_is_predictable(real, small):
    rfqs, mids = real
    rfqs = rfqs.take(slice(2000))
    rfqs = rfqs._replace(won=np.random.default_rng(5).permutation(rfqs.won))
    chosen = choosing.fit_and_score(rfqs.take(slice(1200)), rfqs.take(slice(1200, 2000)), mids, silent)
    assert abs(scores.auc(rfqs.won[1200:], chosen.probability) - 0.5) < 0.1

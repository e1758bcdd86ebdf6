"""Predictions of the shipped models obey the signs that theory gives, whatever else is true of request or dealer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.dealer_models import DealerModels
from ml.features import FEATURES
from ml.outcomes import RequestFacts
from rfq.domain.values import Side
from rfq.studies.dealer_training import fleet_world

NAMES = ("probability of a quote", "cost of a quote", "leakage")
MODELS = DealerModels.load()
FACTS = next(fleet_world(5, 1).history()).facts.but(side=Side.BUY, two_way=False)

rows = st.lists(
    st.floats(-4.0, 4.0, width=32), min_size=len(FEATURES), max_size=len(FEATURES)
).map(lambda values: np.array(values, dtype=np.float32))  # fmt: skip


def said(name: str, x: np.ndarray) -> np.ndarray:
    """By row, and level of the quote."""
    if name == "probability of a quote":
        return MODELS.answer_probability(x)[:, None]
    if name == "cost of a quote":
        return MODELS.quote_quantiles(x)
    assert MODELS._predict_bend is not None
    return np.asarray(MODELS._predict_bend(x))[:, None]


@pytest.mark.parametrize("name", NAMES)
@given(row=rows, steps=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_each_signed_feature_moves_a_prediction_one_way(name, row, steps):
    for feature, sign in MODELS.manifest.signs[name].items():
        x = np.repeat(row[None], len(steps) + 1, axis=0)
        x[1:, FEATURES.index(feature)] += np.cumsum(steps, dtype=np.float32)
        moved = np.diff(said(name, x), axis=0) * sign
        assert (moved >= -2e-6).all(), (feature, sign, moved.min())


@given(
    size=st.floats(0.002, 0.35), times=st.floats(1.01, 3.0), window_s=st.sampled_from((5.0, 10.0, 20.0)),
    anonymous=st.booleans(), hidden=st.booleans(),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_dealer_leaks_more_the_larger_the_request(size, times, window_s, anonymous, hidden):
    def leaks(size: float) -> np.ndarray:
        facts: RequestFacts = FACTS.but(size=size, window_s=window_s, anonymous=anonymous, two_way=hidden)
        return MODELS.leakage.expected_bps(facts, tuple(MODELS.leakage.theta))

    assert (leaks(size * times) >= leaks(size)).all()


def test_the_signs_are_those_that_were_trained_with():
    assert set(MODELS.manifest.signs) == set(NAMES)
    assert MODELS.manifest.signs["probability of a quote"]["log_asked"] == -1
    assert MODELS.manifest.signs["leakage"]["log_size"] == 1

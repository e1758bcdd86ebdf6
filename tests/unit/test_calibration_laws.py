"""Calibration: thin cells are pooled and named, sizes and bursts keep their means."""

import numpy as np
import pytest

from lit_router.market import event_sizes
from lit_router.market.parameters import QUANTILES
from lit_router.market.pooled_rates import Bins, Rates, pool
from lit_router.market.stream import CANCEL, LIMIT, MARKET
from rfq.domain.errors import BadInput


def test_thin_bins_share_a_rate_with_the_next_and_the_last_with_those_before() -> None:
    counts = np.array([100.0, 10.0, 20.0, 50.0, 5.0, 0.0])
    found, errors, pooled = pool(counts, np.array([10.0, 20.0, 10.0, 5.0, 5.0, 0.0]))
    assert pooled == [[1, 2], [3, 4, 5]]
    assert found == pytest.approx([10.0, 1.0, 1.0, 5.5, 5.5, 5.5])
    assert errors == pytest.approx([1.0, *[30**0.5 / 30] * 2, *[55**0.5 / 10] * 3])


def test_no_event_in_all_the_exposure_is_a_rate_of_zero_with_the_error_of_one() -> None:
    found, errors, pooled = pool(np.zeros(2), np.array([30.0, 70.0]))
    assert (found.tolist(), errors.tolist(), pooled) == ([0, 0], [0.01, 0.01], [[0, 1]])


def test_what_was_pooled_is_said_and_an_empty_queue_is_not_pooled_with() -> None:
    bins = Bins((0, 1, 2))
    exposure = np.full((2, 3), 10.0)
    counts = {
        LIMIT: np.array([[30.0, 30, 30], [30, 3, 30]]),
        CANCEL: np.array([[0.0, 30, 30], [0, 30, 30]]),
        MARKET: np.array([[0.0, 30, 30], [0, 0, 0]]),
    }
    best = np.array([[0.0, 10, 10], [0, 0, 0]])
    found = Rates(bins, counts, {LIMIT: exposure, CANCEL: exposure, MARKET: best})
    assert found.thin == (
        "limit, level 1: 3, 30 events at 1 to 2+",
        "market, level 1: no exposure, the rates of level 0",
    )
    assert found.rates[LIMIT][1] == (3.0, 1.65, 1.65)
    assert found.rates[CANCEL] == ((0.0, 3.0, 3.0),) * 2
    assert found.rates[MARKET] == ((0.0, 3.0, 3.0),) * 2


def test_classes_keep_the_mean_and_the_order() -> None:
    values = np.random.default_rng(1).lognormal(0, 1, 1_001)
    means = event_sizes.classes(values)
    assert len(means) == QUANTILES and list(means) == sorted(means)
    assert np.mean(means) == pytest.approx(values.mean(), rel=1e-4)


def test_the_life_of_a_burst_is_found_again() -> None:
    """Seconds whose pace is redrawn with probability 1/4: the autocorrelation falls by a factor of 3/4 a second."""
    rng = np.random.default_rng(2)
    changes = rng.uniform(size=200 * 60) < 0.25
    paces = rng.choice([2.0, 10.0, 60.0], size=len(changes))[np.cumsum(changes)]
    counts = rng.poisson(paces)
    times = np.repeat(np.arange(len(counts), dtype=np.float64), counts)
    burst, burst_s = event_sizes.bursts(times, 0.0, float(len(counts)))
    assert burst_s == pytest.approx(-1 / np.log(0.75), rel=0.15)
    assert np.mean(burst) == pytest.approx(1.0, abs=1e-3)
    assert burst[0] < 0.1 and burst[-1] > 2.0


def test_gaps_are_those_within_a_burst_only() -> None:
    times = np.cumsum(np.tile([0.01, 0.02, 5.0], 100))
    gaps = event_sizes.gaps(times)
    assert gaps[0] == pytest.approx(0.01) and gaps[-1] == pytest.approx(0.02)
    assert event_sizes.gaps(times[:90]) == ()


def test_a_pace_of_zero_for_half_an_hour_is_refused() -> None:
    with pytest.raises(BadInput, match="half hour: 2 "):
        event_sizes.volume_curve(np.array([10.0, 20.0]), 3_600.0)
    assert event_sizes.volume_curve(np.array([10.0, 20.0, 30.0, 2_000.0]), 3_600.0) == (1.5, 0.5)

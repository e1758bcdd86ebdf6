"""Intervals of dependent values: as wide as the dependence makes them."""

import numpy as np
import pytest

from rfq.studies.block_bootstrap import interval_by_blocks


def test_of_independent_values_it_is_the_usual_interval() -> None:
    values = np.random.default_rng(1).normal(2.0, 1.0, 400)
    mean, low, high = interval_by_blocks([values[:150], values[150:]], 5)
    assert mean == pytest.approx(values.mean())
    assert (high - low) / (2 * 1.96 * values.std() / 20) == pytest.approx(1.0, abs=0.2)


def test_of_values_that_resemble_their_neighbours_it_is_wider() -> None:
    values = np.repeat(np.random.default_rng(2).normal(size=60), 6)
    alone, together = (interval_by_blocks([values], block) for block in (1, 12))
    assert together[2] - together[1] > 1.8 * (alone[2] - alone[1])


def test_a_block_longer_than_the_series_says_nothing_of_its_spread() -> None:
    assert interval_by_blocks([np.array([1.0, 2.0, 6.0])], 10) == pytest.approx((3.0, 3.0, 3.0))

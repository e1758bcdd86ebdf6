"""The study world's response kernel is held to what dealers' flows do in the simulated market, in paired markets."""

import numpy as np
import pytest

from lit_router.market.parameters import load
from rfq.studies.flow_kernel import ELAPSED_S, Kernel, fit, measure
from rfq.studies.impact_study import mid_after, warmed_markets

MARKETS = 240
WITHIN = 0.08
"""Of the move, from a minute on; beside it chance, at 3 standard errors."""


@pytest.fixture(scope="module")
def measured():
    return measure(load("small_tick"), MARKETS, 11, shares=(0.001, 0.004, 0.01), durations_s=(120.0, 300.0, 1200.0))


def test_the_kernel_is_the_flows_mean_move(measured):
    kernel = Kernel()
    for place, elapsed_s in enumerate(ELAPSED_S):
        told = kernel.move(1.0, measured.shares, measured.durations_s, elapsed_s)
        room = WITHIN * told if elapsed_s >= 60.0 else 0.3 * told
        off = np.abs(measured.moves[:, place] - told)
        assert (off <= room + 3 * measured.errors[:, place]).all(), (elapsed_s, measured.moves[:, place], told)
    assert (measured.moves > 5 * measured.errors)[:, 1:].all(), "it is measured, not noise"


def test_fitting_again_gives_the_kernel_that_ships(measured):
    found = fit(measured)
    assert found.level == pytest.approx(Kernel().level, rel=0.1)
    assert found.exponent == pytest.approx(Kernel().exponent, abs=0.03)


def test_two_dealers_at_once_move_less_than_the_sum_which_the_kernel_takes():
    """Stated in the kernel's description: added up, flows are the upper end; the square root of their sum the truth."""
    book, duration_s = load("small_tick"), 300.0
    lots, moves = round(0.003 * book.day_lots), []
    for flows in (0, 1, 2):
        made = warmed_markets(book, MARKETS, 12, 1)
        made.state.pending[:, :flows] = lots
        made.state.pace_lots[:, :flows] = lots * made.step_s / duration_s
        moves.append(mid_after(made, round(290.0 / made.step_s)))
    one, two = (np.nanmean(moves[n] - moves[0]) for n in (1, 2))
    assert two / one == pytest.approx(2**0.5, rel=0.08)

"""Draws and tables: uniform, independent, each market's own, and the laws that the tables were made from."""

import math

import numpy as np
import pytest
import torch
from batch_books import CHARACTER, HIT, REAL, STILL, fixed, market, play
from scipy.stats import chi2

from lit_router.market.batch import alias, book, draws
from lit_router.market.batch.laws import (
    COLUMNS,
    COUNT_COLUMNS,
    COUNTS,
    HALF_OCTAVE,
    LEAST_ARRIVALS,
    OCTAVE,
    PACE_REACH,
    PACES,
    laws_of,
)
from lit_router.market.batch.market import STEP_S, BatchedMarket
from lit_router.market.batch.news import HALT_S, HALTS_A_DAY
from lit_router.market.batch.strain import STRAINS
from lit_router.market.parameters import LARGEST

CPU = torch.device("cpu")
SIZES = LARGEST + 1


def uniform(counts: torch.Tensor) -> bool:
    """Whether counts of equally likely classes pass a chi-square test at one in a hundred thousand."""
    expected = float(counts.sum()) / len(counts)
    return float(((counts - expected) ** 2 / expected).sum()) < chi2.isf(1e-5, len(counts) - 1)


def law(entries: np.ndarray, outcomes: int) -> np.ndarray:
    """Laws of rows of packed alias entries, exactly: each column has equal weight, thresholds are in 2^-15."""
    threshold, first, other = entries >> 16, (entries >> 8) & 0xFF, entries & 0xFF
    rows = np.repeat(np.arange(len(entries)), entries.shape[1])
    found = np.zeros((len(entries), outcomes))
    np.add.at(found, (rows, first.ravel()), threshold.ravel() / 2.0**15 / entries.shape[1])
    np.add.at(found, (rows, other.ravel()), 1 / entries.shape[1] - threshold.ravel() / 2.0**15 / entries.shape[1])
    return found


# --- keys and words ----------------------------------------------------------------------------------------------


def test_a_markets_path_depends_on_its_seed_alone() -> None:
    eight = market(REAL, 8, conditions=True)
    alone = BatchedMarket(REAL, [3, 7], characters=CHARACTER)
    play(eight, 300)
    play(alone, 300)
    for name, field in alone.state._asdict().items():
        if name != "step":
            assert torch.equal(field, getattr(eight.state, name)[[3, 7]]), name
    paths = {tuple(row) for row in eight.state.queues.tolist()}
    assert len(paths) == 8, "different seeds differ"


def test_keys_of_near_seeds_have_nothing_in_common() -> None:
    keys = draws.keys_of(range(4096), CPU)
    assert len(set(keys.tolist())) == 4096
    for bit in range(64):
        assert uniform(torch.bincount(draws.bits(keys, bit, 1), minlength=2))
    assert torch.equal(keys, draws.keys_of(np.arange(4096), CPU))


def test_seeds_of_all_lengths_keep_every_bit_and_equal_seeds_give_equal_keys() -> None:
    seeds = [3, 2**64 - 1, 2**64 - 2, 3, 2**63, 5]
    keys = draws.keys_of(seeds, CPU)
    assert torch.equal(keys, torch.cat([draws.keys_of([seed], CPU) for seed in seeds]))
    assert len(set(keys.tolist())) == 5 and keys[0] == keys[3]


@pytest.mark.parametrize("slot", [draws.REFERENCE, draws.ARRIVALS, draws.POOLS, draws.SLOTS - 1])
def test_words_are_uniform_over_markets_and_over_steps(slot: int) -> None:
    over_markets = draws.words(draws.keys_of(range(1 << 14), CPU), torch.tensor([77]), slot)
    over_steps = draws.words(draws.keys_of([5], CPU), torch.arange(1 << 16), slot)
    for words in (over_markets, over_steps):
        for first in range(0, 64, 8):
            assert uniform(torch.bincount(draws.bits(words, first, 8), minlength=256)), first


def test_words_of_different_slots_steps_and_markets_are_independent() -> None:
    keys, steps = draws.keys_of(range(2), CPU)[:, None, None], torch.arange(1 << 14)[None, :, None]
    words = draws.words(keys, steps, torch.tensor([0, 1, 8, 9, 40]))
    pairs = [(words[0, :, i], words[0, :, j]) for i in range(5) for j in range(i)]
    pairs += [(words[0, 1:, 0], words[0, :-1, 0]), (words[0, :, 0], words[1, :, 0])]
    for one, other in pairs:
        for first in (0, 21, 42, 60):
            joint = draws.bits(one, first, 4) * 16 + draws.bits(other, first, 4)
            assert uniform(torch.bincount(joint, minlength=256))


def test_cells_that_share_a_word_are_independent() -> None:
    seed = draws.words(draws.keys_of([9], CPU), torch.arange(1 << 15), draws.ARRIVALS) & 0xFFFFFFFF
    parts = draws.mixed((seed[:, None] + torch.arange(10) * draws.CELL) & 0xFFFFFFFF)
    for first in range(0, 32, 4):
        for one, other in ((0, 1), (0, 9), (4, 5)):
            joint = draws.bits(parts[:, one], first, 4) * 16 + draws.bits(parts[:, other], first, 4)
            assert uniform(torch.bincount(joint, minlength=256))


def test_the_check_of_uniformity_sees_a_poor_generator() -> None:
    words = torch.arange(1 << 16) * 3 + 1
    assert not uniform(torch.bincount(draws.bits(words, 12, 8), minlength=256))


def test_no_two_draws_of_a_step_share_a_slot() -> None:
    m = market(REAL, 1)
    cells, (slots, pools) = m.state.queues.shape[1], (m.state.side.shape[1], m.state.hidden.shape[1])
    single = [draws.REFERENCE, draws.MARKET_ORDERS, draws.CONDITIONS, draws.SWITCHES, draws.SWITCHES + 1]
    single += [draws.FADES, draws.DEALERS, draws.ARRIVALS]
    many = [draws.FRESH + i for i in range(-(-cells // 3))] + [draws.POOLS + i for i in range(2 * pools)]
    many += [draws.QUEUE_PLACES + i for i in range(-(-slots // 2))]
    assert len(set(single + many)) == len(single + many) and max(many) < draws.SLOTS


# --- tables ------------------------------------------------------------------------------------------------------


def test_packed_tables_reproduce_their_laws() -> None:
    g = np.random.default_rng(4)
    laws = g.dirichlet(np.full(32, 0.3), size=200)
    laws[0] = np.eye(32)[7]
    found = law(alias.packed(laws, np.arange(32)), 32)
    assert np.abs(found - laws).max() < 2.0**-15
    assert found[0, 7] == 1.0 and found.sum(1) == pytest.approx(1)


def test_a_draw_is_the_entrys_outcome_for_its_uniform() -> None:
    entries = torch.tensor(alias.packed(np.array([[0.1, 0.2, 0.7]]), np.array([5, 9, 255]))[0])
    uniforms = torch.arange(1 << 15)
    drawn = torch.stack([alias.drawn(entry, uniforms) for entry in entries]).flatten()
    shares = torch.bincount(drawn, minlength=256).double() / len(drawn)
    assert shares[[5, 9, 255]].tolist() == pytest.approx([0.1, 0.2, 0.7], abs=1e-4)


def test_means_of_a_short_step_are_rate_times_step() -> None:
    step_s = 0.01
    table = laws_of(REAL, step_s, CPU).arrivals.numpy().reshape(len(STRAINS), PACES, REAL.levels, SIZES, COLUMNS)
    limit, cancel = REAL.by_size(REAL.limit), REAL.by_size(REAL.cancel)
    pairs = np.arange(256)
    for level in range(REAL.levels):
        found = law(table[STRAINS.index(0), PACES // 2, level], 256)
        assert found @ (pairs >> 4) == pytest.approx(limit[level] * step_s, rel=0.05, abs=2e-5)
        # Nothing is there to be cancelled at size 0, but what comes may go within the step.
        assert (found @ (pairs & 15))[1:] == pytest.approx(cancel[level, 1:] * step_s, rel=0.05, abs=2e-5)


def test_a_steps_law_is_that_of_the_birth_and_death_chain_played_event_by_event() -> None:
    """Brute force: exponential waiting times at the second level, for a size and a pace at which both happen."""
    level, size, pace, paths = 1, 3, 4.0, 20_000
    limit, cancel = (REAL.by_size(rates)[level] * pace for rates in (REAL.limit, REAL.cancel))
    g = np.random.default_rng(1)
    there, time = np.full(paths, size), np.zeros(paths)
    came, went = np.zeros((2, paths), int)
    while True:
        rate = limit[there] + cancel[there]
        time += g.exponential(1 / rate)
        going = time < STEP_S
        if not going.any():
            break
        up = (g.random(paths) < limit[there] / rate) & going
        down = going & ~up
        came, went, there = came + up, went + down, there + up - down
    table = laws_of(REAL, STEP_S, CPU).arrivals.numpy().reshape(len(STRAINS), PACES, REAL.levels, SIZES, COLUMNS)
    row = PACES // 2 + 2 * round(math.log2(pace))
    found = law(table[STRAINS.index(0), row, level], 256)[size]
    seen = np.bincount(came * 16 + went, minlength=256) / paths
    likely = found > 0.002
    assert likely.sum() > 5
    assert (np.abs(seen - found) < 4.5 * np.sqrt(found / paths) + 1e-4)[likely].all()
    assert found[~likely].sum() == pytest.approx(seen[~likely].sum(), abs=0.01)


def test_numbers_of_market_orders_are_poisson() -> None:
    table = laws_of(REAL, STEP_S, CPU).counts.numpy().reshape(COUNTS, COUNT_COLUMNS)
    found, many = law(table, COUNT_COLUMNS), np.arange(COUNT_COLUMNS)
    expected = 2.0 ** np.linspace(LEAST_ARRIVALS, -LEAST_ARRIVALS // 3, COUNTS)
    assert found @ many == pytest.approx(expected, rel=0.02)
    assert (found[:-2] @ many**2 - (found[:-2] @ many) ** 2) == pytest.approx(expected[:-2], rel=0.03)
    assert np.diff(found[:, 0]).max() < 0


def test_a_row_by_chance_gives_the_exact_mean() -> None:
    laws = laws_of(REAL, STEP_S, CPU)
    log, uniforms = torch.arange(-PACE_REACH * OCTAVE, PACE_REACH * OCTAVE + 1), torch.arange(256)
    rows = book.row_between(log[:, None], -PACE_REACH * OCTAVE, PACES, uniforms, laws)
    mean = (2.0 ** (rows.double() / 2 - PACE_REACH)).mean(1)
    assert mean.numpy() == pytest.approx(2.0 ** (log.numpy() / OCTAVE), rel=1e-3)
    assert int(rows.min()) == 0 and int(rows.max()) == PACES - 1 and HALF_OCTAVE == 128
    beyond = book.row_between(torch.tensor([-9999, 9999]), -PACE_REACH * OCTAVE, PACES, torch.zeros(2), laws)
    assert beyond.tolist() == [0, PACES - 1]


def test_a_strain_by_chance_gives_the_exact_mean() -> None:
    strain = torch.arange(STRAINS[0] * OCTAVE, STRAINS[-1] * OCTAVE + 1)
    rows = book.strain_row(strain[:, None], torch.arange(256))
    assert torch.equal(rows.double().mean(1) + STRAINS[0], strain.double() / OCTAVE)


def test_market_orders_come_at_their_rate_and_cancels_at_theirs() -> None:
    count, steps = 400, 40
    m = market(HIT, count, characters=fixed())
    m.state.queues[:, REAL.levels - 1 : REAL.levels + 1] = 1_000_000
    play(m, steps)
    traded = (2_000_000 - m.state.queues[:, REAL.levels - 1 : REAL.levels + 1].sum(1)).double() / CHARACTER.mean_lots
    expected = 2 * 0.8 * STEP_S * steps
    assert traded.mean().item() == pytest.approx(expected, abs=4 * (expected / count) ** 0.5)
    assert traded.var().item() == pytest.approx(expected, rel=0.3)
    assert torch.equal(m.state.volume, (traded * CHARACTER.mean_lots).long())


def test_halts_come_at_their_declared_rate() -> None:
    """From the rules themselves: a chance too small for its unit would be none."""
    m = market(STILL, 1, conditions=True)
    steps_a_day = 23_400 / STEP_S
    assert m.rules.halt_chance / 2**40 * steps_a_day == pytest.approx(HALTS_A_DAY, rel=0.01)
    assert m.rules.halt_steps == HALT_S / STEP_S

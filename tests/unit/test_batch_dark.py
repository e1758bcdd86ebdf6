"""Dark pools: hidden interest, met at the midpoint and seen only by a fill. In both definitions."""

import math

import pytest
import torch
from batch_books import BID, CHARACTER, DEFINITIONS, GRID, REAL, STILL, Definition, enter, fixed, market, play

from lit_router.market.batch import pools
from lit_router.market.batch.impact import DAY_S
from lit_router.market.batch.market import STEP_S, BatchedMarket

TWICE_MID = 2 * BID + GRID
BLOCK, BROKER, STREAM = 1, 2, 3
both = pytest.mark.parametrize("definition", DEFINITIONS)


def hide(m: BatchedMarket, venue: int, buys: int, sells: int) -> None:
    """Puts interest into a pool."""
    m.state.hidden[:, venue - 1] = torch.tensor([buys, sells], dtype=torch.int32)


@both
@pytest.mark.parametrize("side", [1, -1])
def test_a_fill_is_at_the_midpoint_the_smaller_of_both(definition: Definition, side: int) -> None:
    m = market()
    hide(m, BROKER, 70, 70)
    enter(m, 0, side, 100, venue=BROKER, rests=1, definition=definition)
    enter(m, 1, side, 10, venue=STREAM, rests=1, definition=definition)
    s = m.state
    assert s.filled[0, :2].tolist() == [70, 0] and int(s.paid[0, 0]) == 70 * TWICE_MID
    assert s.hidden[0, BROKER - 1].tolist() == ([70, 0] if side > 0 else [0, 70])
    assert int(s.leaves[0, 0]) == 30 and int(s.dark_volume[0]) == 70 and int(s.volume[0]) == 0


@both
def test_a_limit_worse_than_the_midpoint_waits_for_it(definition: Definition) -> None:
    m = market()
    hide(m, BROKER, 0, 70)
    enter(m, 0, 1, 50, BID, venue=BROKER, rests=1, definition=definition)
    enter(m, 1, 1, 20, BID + GRID // 2, venue=BROKER, definition=definition)
    assert m.state.filled[0, :2].tolist() == [0, 20]
    m.state.first_bid.sub_(GRID)
    hide(m, BROKER, 0, 70)
    enter(m, 2, 1, 1, venue=BROKER, definition=definition)
    assert m.state.filled[0, 0] == 50 and m.state.paid[0, 0] == 50 * (TWICE_MID - 2 * GRID)


@both
@pytest.mark.parametrize(("least", "filled"), [(71, 0), (70, 70), (0, 70)])
def test_no_fill_below_the_smallest_execution_wanted(definition: Definition, least: int, filled: int) -> None:
    m = market()
    hide(m, BROKER, 0, 70)
    enter(m, 0, 1, 100, venue=BROKER, least=least, rests=1, definition=definition)
    assert int(m.state.filled[0, 0]) == filled


@both
def test_a_pool_has_a_smallest_execution_of_its_own_but_takes_a_whole_order(definition: Definition) -> None:
    m = market()
    smallest = int(pools.BLOCK.least_of_day * CHARACTER.day_lots)
    hide(m, BLOCK, 0, smallest - 1)
    enter(m, 0, 1, 100, venue=BLOCK, rests=1, definition=definition)
    enter(m, 1, 1, smallest - 3, venue=BLOCK, rests=1, definition=definition)
    assert m.state.filled[0, :2].tolist() == [0, smallest - 3]


@both
def test_an_order_that_may_not_rest_goes(definition: Definition) -> None:
    m = market()
    enter(m, 0, 1, 100, venue=BROKER, rests=0, definition=definition)
    assert int(m.state.side[0, 0]) == 0 and int(m.state.leaves[0, 0]) == 0


@both
def test_first_come_first_served_whatever_the_slot(definition: Definition) -> None:
    m = market()
    enter(m, 1, 1, 50, venue=BROKER, rests=1, owner=1, definition=definition)
    enter(m, 0, 1, 50, venue=BROKER, rests=1, owner=2, definition=definition)
    hide(m, BROKER, 0, 50)
    enter(m, 2, 1, 1, venue=BROKER, owner=3, definition=definition)
    assert m.state.filled[0, :3].tolist() == [0, 50, 0]


@both
def test_without_a_midpoint_nothing_is_done(definition: Definition) -> None:
    m = market()
    m.state.queues[:, REAL.levels :] = 0
    hide(m, BROKER, 70, 70)
    enter(m, 0, 1, 50, venue=BROKER, rests=1, definition=definition)
    assert int(m.state.filled[0, 0]) == 0 and int(m.state.side[0, 0]) == 1


@both
def test_a_halt_stops_the_pools_as_well(definition: Definition) -> None:
    m = market(REAL, 30, conditions=True)
    enter(m, 0, 1, 500, venue=STREAM, rests=1, definition=definition)
    m.state.halt.fill_(50)
    hide(m, STREAM, 40, 40)
    play(m, 50, definition)
    assert (m.state.hidden[:, STREAM - 1] == 40).all() and not m.state.filled.any()
    play(m, 1, definition)
    assert (m.state.filled[:, 0] >= 40).sum() >= 28


@both
def test_nothing_of_hidden_interest_is_displayed(definition: Definition) -> None:
    """Pools full or empty, with an order resting there that does not trade: the displayed book is the same."""
    full, bare = (market(REAL, 10) for _ in range(2))
    for m in (full, bare):
        enter(m, 0, 1, 100, 2, venue=BLOCK, rests=1, definition=definition)
    for venue in (BLOCK, BROKER, STREAM):
        hide(full, venue, 1000, 1000)
    play(full, 30, definition)
    play(bare, 30, definition)
    for name in set(full.state._fields) - {"hidden"}:
        assert torch.equal(getattr(full.state, name), getattr(bare.state, name)), name


def test_most_interest_is_fleeting_but_meets_what_rests() -> None:
    """An order that rests meets all that passes through; what stands in the pool is what is not fleeting."""
    count, steps = 1500, 1200
    day = 10 * CHARACTER.day_lots
    resting, looking = (market(count=count, characters=fixed(day_lots=day)) for _ in range(2))
    enter(resting, 0, 1, 1_000_000, venue=STREAM, rests=1)
    play(resting, steps)
    play(looking, steps)
    met, seen = resting.state.filled[:, 0].double(), looking.state.hidden[:, STREAM - 1].double().sum(1)
    a_second = pools.STREAM.contra_of_day * day / DAY_S
    assert abs(met.mean() - a_second / 2 * steps * STEP_S) < 4 * met.std() / count**0.5
    life = pools.STREAM.life_s * (1 - math.exp(-steps * STEP_S / pools.STREAM.life_s))
    assert abs(seen.mean() - a_second * life * (1 - pools.STREAM.fleeting)) < 4 * seen.std() / count**0.5


def test_interest_leans_with_the_tilt_more_in_a_toxic_pool() -> None:
    """Buyers hide where the price is about to rise: a seller is filled before it."""
    count, steps = 6000, 40
    m = market(STILL, count, conditions=True)
    for _ in range(steps):
        m.state.flow[:] = torch.tensor([0.0, 0.0, 1.0])
        play(m, 1)
    hidden = (m.state.hidden > 0).double().sum(0)
    for place, character in enumerate(pools.POOLS):
        buys, seen = float(hidden[place, 0]), float(hidden[place].sum())
        expected = 1 / (1 + 2.0 ** (-2 * character.toxicity))
        assert abs(buys / seen - expected) < 4 * 0.5 / seen**0.5 + 0.02
    assert hidden[2].sum() > 100 and hidden[2, 0] > 3 * hidden[2, 1]


@pytest.mark.parametrize("pace", [1.0, 4.0, 0.25])
def test_a_days_hidden_interest_is_its_share_of_a_days_volume_at_any_pace(pace: float) -> None:
    """A market of four times the pace trades four times the lots a day, and its pools the same share of them."""
    count, steps = 2000, 1200
    day = 10 * CHARACTER.day_lots * pace
    m = market(count=count, characters=fixed(pace=pace, day_lots=day))
    for slot, venue in enumerate((BLOCK, BROKER, STREAM)):
        enter(m, slot, 1, 10_000_000, venue=venue, rests=1)
    play(m, steps)
    for slot, character in enumerate(pools.POOLS):
        met = m.state.filled[:, slot].double()
        expected = character.contra_of_day / 2 * day * steps * STEP_S / DAY_S
        assert abs(met.mean() - expected) < 4 * met.std() / count**0.5, character.name


def test_a_pools_size_law_has_its_declared_mean_and_heavy_tails() -> None:
    m = market(count=1)
    for place, character in enumerate(pools.POOLS):
        sizes = m.rules.pool_sizes[place]
        assert sizes.mean().item() == pytest.approx(character.mean_of_day) and sizes.max() > 5 * sizes.mean()


def test_a_toxic_pool_fills_before_the_price_moves_against_us_and_a_blind_one_does_not() -> None:
    """Mid ten seconds after a fill less the mid at it, in cells, for a buyer; our own impact switched off."""

    def mark_out(toxicity: float) -> tuple[float, float]:
        pool = pools.PoolCharacter("p", 0.3, 0.0001, 0.5, 0.0, 30.0, 0.0, toxicity)
        character = CHARACTER._replace(first_bid=200_000, sigma_cells=1e-9)
        m = market(REAL, 256, conditions=True, characters=character, pool_characters=(pool,))
        m.enter(0, m.ticket(1, 1 << 27, 400_000, venue=1, rests=1))
        mids, filled = [], [m.state.filled[:, 0].clone()]
        for _ in range(2400):
            mids.append(torch.from_numpy(m.processor.watch(1)[0][0].astype(float)))
            filled.append(m.state.filled[:, 0].clone())
        twice, hits = torch.stack(mids), (torch.stack(filled).diff(dim=0) > 0)[:-40]
        known = hits & (twice[:-40] > 0) & (twice[40:] > 0)
        moves = ((twice[40:] - twice[:-40]) / 2 / GRID * known).sum(0)
        mean = float(moves.sum() / known.sum())
        return mean, float((moves - mean * known.sum(0)).std()) * 256**0.5 / float(known.sum())

    (toxic, toxic_error), (blind, blind_error) = mark_out(3.0), mark_out(0.0)
    assert toxic < -3 * toxic_error
    assert abs(blind) < 3 * blind_error

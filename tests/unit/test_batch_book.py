"""The anonymous book: its law, how it follows the price, and what conditions do to it. Statistics over many markets."""

import math

import msgspec
import numpy as np
import pytest
import torch
from batch_books import BID, CHARACTER, DEEP, GRID, REAL, STILL, differing, enter, fixed, market, play, twin

from lit_router.market.batch import book, draws
from lit_router.market.batch.market import STEP_S, BatchedMarket
from lit_router.market.batch.orders import best_prices
from lit_router.market.batch.regimes import CALM, REGIMES, VOLATILE
from lit_router.market.batch.rules import CHANCE
from lit_router.market.parameters import LARGEST

LEVELS = REAL.levels
NOON_S = 9_000.0
UNIT = msgspec.structs.replace(
    REAL, name="unit", limit_sizes=None, cancel_sizes=None, market_sizes=None, occupancy=()
)
"""Every event has the average size: the chain that the invariant law is of."""


def spread(m: BatchedMarket) -> torch.Tensor:
    """Cells from the best anonymous bid to the best ask: 1 where they are neighbours."""
    return (book.best_of(m.state, True) + book.best_of(m.state, False) + 1).double()


def depth(m: BatchedMarket, bids: bool) -> torch.Tensor:
    """Lots in the two nearest cells of one side."""
    return book.side_of(m.state.queues, bids)[:, :2].sum(1).double()


def test_a_first_queue_that_nobody_moves_has_the_invariant_law() -> None:
    m = market(UNIT, 3000, characters=fixed())
    m.state.queues.fill_(DEEP)
    expected = np.zeros(LARGEST + 1)
    expected[:] = UNIT.laws()[0]
    seen = np.zeros(LARGEST + 1)
    play(m, 800)
    for _ in range(8):
        play(m, 100)
        sizes = (m.state.queues[:, LEVELS - 1 : LEVELS + 1] // CHARACTER.mean_lots).clamp(max=LARGEST).flatten()
        seen += np.bincount(sizes.numpy(), minlength=LARGEST + 1)
    seen /= seen.sum()
    assert np.abs(seen - expected).sum() / 2 < 0.05
    sizes = np.arange(LARGEST + 1)
    assert seen @ sizes == pytest.approx(expected @ sizes, rel=0.05)


def test_fresh_queues_are_drawn_from_the_law_of_their_level() -> None:
    m = market(UNIT, 4000)
    sizes = m.state.queues // CHARACTER.mean_lots
    for cell in range(2 * LEVELS):
        level = LEVELS - 1 - cell if cell < LEVELS else cell - LEVELS
        seen = np.bincount(sizes[:, cell].numpy(), minlength=LARGEST + 1) / 4000
        assert np.abs(seen - UNIT.laws()[level]).max() < 0.04
    assert abs(np.corrcoef(sizes.numpy().T) - np.eye(2 * LEVELS)).max() < 5 / 4000**0.5


@pytest.mark.parametrize("up", [True, False])
def test_a_book_that_follows_is_shifted_and_keeps_its_prices(up: bool) -> None:
    still = msgspec.structs.replace(STILL, theta_reinit=0.0)
    m = market(still, 1, characters=CHARACTER._replace(theta=1.0))
    ladder = torch.arange(1, 2 * LEVELS + 1) * 10
    m.state.queues[0] = ladder
    m.state.taken[0] = 1
    m.state.queues[0, LEVELS if up else LEVELS - 1] = 0
    play(m, 1)
    s, way = m.state, 1 if up else -1
    expected = (ladder.roll(-way)).tolist()
    expected[-1 if up else 0] = DEEP
    expected[LEVELS - 1 if up else LEVELS] = 0
    assert s.queues[0].tolist() == expected, "the far end is fresh, the cell that changed sides is empty"
    assert int(s.first_bid[0]) == BID + way * GRID
    assert s.taken[0, 0 if not up else -1] == 0 and s.taken[0, LEVELS - 1 if up else LEVELS] == 0
    assert s.taken.sum() >= 2 * LEVELS - 3
    before = twin(m)
    play(m, 1)
    assert torch.equal(before.first_bid, s.first_bid), "one move of the mid is followed once"


def test_a_book_drawn_anew_forgets_what_was_taken() -> None:
    again = msgspec.structs.replace(STILL, theta_reinit=1.0)
    m = market(again, 20, characters=CHARACTER._replace(theta=1.0))
    m.state.taken.fill_(7)
    m.state.queues[:10, LEVELS] = 0
    play(m, 1)
    assert (m.state.queues == DEEP).all() and not m.state.taken[:10].any() and (m.state.taken[10:] > 0).all()
    assert (m.state.first_bid[:10] == BID + GRID).all() and (m.state.first_bid[10:] == BID).all()


def test_the_reference_price_follows_by_its_chance_and_is_drawn_anew_by_its_own() -> None:
    some = msgspec.structs.replace(STILL, theta_reinit=0.25)
    m = market(some, 4000, characters=CHARACTER._replace(theta=0.6))
    m.state.queues[:, :] = 50
    m.state.queues[:, LEVELS] = 0
    play(m, 1)
    followed = (m.state.first_bid > BID).double()
    anew = (m.state.queues[:, 1] == DEEP).double()
    assert followed.mean().item() == pytest.approx(0.6, abs=0.03)
    assert anew.sum().item() / followed.sum().item() == pytest.approx(0.25, abs=0.03)
    assert (anew <= followed).all()


def test_prices_stay_positive_however_low_they_start() -> None:
    lowest = (LEVELS + 3) * GRID
    m = market(REAL, 200, characters=CHARACTER._replace(first_bid=lowest, pace=4.0))
    m.state.pending.fill_(-5000)
    m.state.pace_lots.fill_(5.0)
    for _ in range(30):
        play(m, 20)
        assert (m.state.first_bid - (LEVELS - 1) * GRID > 0).all()
    assert (m.state.first_bid > lowest).any(), "up is free"


def test_an_empty_side_has_no_mid() -> None:
    m = market(STILL, 3, characters=fixed())
    m.state.queues[0, LEVELS:] = 0
    m.state.queues[1, :LEVELS] = 0
    mids, volumes = m.processor.watch(2)
    assert mids.tolist() == [[-1, -1, 2 * BID + GRID]] * 2 and not volumes.any()
    bid, ask = best_prices(m.state)
    assert (bid.tolist(), ask.tolist()) == ([BID, -1, BID], [-1, BID + GRID, BID + GRID])


def test_a_halted_market_stands_still_and_goes_on_after_it() -> None:
    m = market(REAL, 50, conditions=True)
    enter(m, 0, 1, 10, BID - 1, rests=1)
    m.state.pending.fill_(100)
    m.state.pace_lots.fill_(1.0)
    m.state.halt[:25] = 40
    before = twin(m)
    weather = {"regime", "drift", "burst", "flow", "news", "halt", "step"}
    play(m, 40)
    for name in set(before._fields) - weather:
        assert torch.equal(getattr(m.state, name)[:25], getattr(before, name)[:25]), name
    assert {"queues", "pending", "volume"} <= set(differing(m.state, before))
    assert not m.state.halt.any()
    play(m, 40)
    assert (m.state.volume[:25] > before.volume[:25]).all()


# --- conditions --------------------------------------------------------------------------------------------------


def noon(count: int, regime: int = CALM, news: float = 0.0) -> BatchedMarket:
    """Markets in the middle of the day, some minutes in one regime, then some after news."""
    m = market(REAL, count, conditions=True, characters=CHARACTER._replace(opened_s=NOON_S))
    m.state.regime.fill_(regime)
    play(m, 200)
    m.state.news.fill_(news)
    play(m, 200)
    return m


def test_news_widens_the_spread_from_one_cell_to_three_thins_the_side_hit_and_drifts() -> None:
    usual, bad, good = noon(800), noon(800, news=-2.0), noon(800, news=2.0)
    assert spread(usual).mean() < 1.3
    assert 2.5 < spread(bad).mean() < 3.5 and 2.5 < spread(good).mean() < 3.5
    # The side that the news is against loses more, both lose.
    assert depth(bad, True).mean() < depth(bad, False).mean() < 0.8 * depth(usual, False).mean()
    assert depth(good, False).mean() < depth(good, True).mean() < 0.8 * depth(usual, True).mean()


def test_news_drifts_the_price_its_way_and_fades() -> None:
    usual, bad, good = noon(800), noon(800, news=-2.0), noon(800, news=2.0)
    moved = [(m.state.first_bid - BID).double() / GRID for m in (bad, usual, good)]
    wide = max(float(cells.std()) for cells in moved) / 800**0.5
    assert moved[0].mean() + 6 * wide < moved[1].mean() < moved[2].mean() - 6 * wide
    kept = good.state.news.median().item()
    assert kept == pytest.approx(2.0 * math.exp(-200 * STEP_S / 600.0), rel=1e-6)


def test_a_volatile_regime_is_more_volatile_and_busier() -> None:
    calm, volatile = noon(800, CALM), noon(800, VOLATILE)
    moves = [(m.state.first_bid - BID).double().std().item() for m in (calm, volatile)]
    traded = [m.state.volume.double().mean().item() for m in (calm, volatile)]
    assert moves[1] > 1.25 * moves[0]
    assert traded[1] / traded[0] == pytest.approx(REGIMES[VOLATILE].pace / REGIMES[CALM].pace, rel=0.4)


def test_regimes_are_drawn_by_their_shares() -> None:
    m = market(STILL, 4000, conditions=True)
    steps, switch = 2000, m.rules.regime_switch / CHANCE
    play(m, steps)
    shares = torch.bincount(m.state.regime.long(), minlength=len(REGIMES)).double() / 4000
    drawn = 1 - (1 - switch) ** steps
    for regime, (seen, declared) in enumerate(zip(shares.tolist(), REGIMES, strict=True)):
        expected = drawn * declared.share + (1 - drawn) * (regime == CALM)
        assert seen == pytest.approx(expected, abs=4 * 0.5 / 4000**0.5)


def test_volume_follows_the_curve_of_the_day() -> None:
    curve = np.array(REAL.volume_curve)
    open_at, noon_at = 0, int(curve.argmin())
    traded = []
    for half_hour in (open_at, noon_at):
        m = market(REAL, 1500, conditions=True, characters=CHARACTER._replace(opened_s=half_hour * 1800.0))
        play(m, 200)
        traded.append(m.state.volume.double().mean().item())
    assert traded[0] / traded[1] == pytest.approx(curve[open_at] / curve[noon_at], rel=0.25)
    assert curve[open_at] / curve[noon_at] > 1.5


def test_markets_of_another_pace_trade_so_much_more() -> None:
    traded = []
    for pace in (1.0, 2.0):
        m = market(REAL, 1000, characters=CHARACTER._replace(pace=pace))
        play(m, 200)
        traded.append(m.state.volume.double().mean().item())
    assert traded[1] / traded[0] == pytest.approx(2.0, rel=0.12)


def test_what_is_drawn_at_the_open_is_not_drawn_again() -> None:
    m = market(REAL, 2)
    assert int(m.state.step) == 0
    opening = book.redrawn(m.state._replace(step=torch.tensor([-1])), m.laws)
    assert torch.equal(opening, m.state.queues)
    assert not torch.equal(book.redrawn(m.state, m.laws), m.state.queues)
    assert draws.FRESH + 2 * LEVELS // 3 < draws.POOLS

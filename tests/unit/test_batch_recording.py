"""Recorded markets: their events are how their books changed, their times are those of the steps, and recording one
changes nothing in it."""

from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from batch_books import CHARACTER, REAL, differing, enter, market, twin

from lit_router.market.batch import recording
from lit_router.market.batch.market import STEP_S, BatchedMarket
from lit_router.market.batch.recording import SHOWN, days, record
from lit_router.market.parameters import BookParameters, load
from lit_router.market.stream import CANCEL, LIMIT, MARKET, BookStream
from rfq.domain.errors import BadInput

FINE = load("small_tick")
SETS = pytest.mark.parametrize("parameters", [REAL, FINE], ids=lambda one: one.name)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def opened(parameters: BookParameters = REAL, count: int = 1, *, warm_s: float = 0.0, **settings: Any) -> BatchedMarket:
    character = CHARACTER._replace(mean_lots=parameters.mean_lots)
    made = market(parameters, count, **{"characters": character, "pool_characters": ()} | settings)
    made.advance(round(warm_s / STEP_S))
    return made


def still(parameters: BookParameters = REAL, count: int = 1) -> BatchedMarket:
    """Markets whose reference price stands still: nothing comes into view or leaves it."""
    return opened(parameters, count, characters=CHARACTER._replace(mean_lots=parameters.mean_lots, theta=0.0))


def side_of(sample: np.ndarray) -> dict[int, int]:
    return {int(price): int(lots) for price, lots in sample if lots}


def replayed(made: BookStream) -> list[tuple[dict[int, int], dict[int, int], int]]:
    """The book after each event and its mid in half ticks, from the opening sample and the events alone."""
    book = {True: side_of(made.bids[0]), False: side_of(made.asks[0])}
    books = []
    for kind, bid, ticks, lots in zip(made.kinds, made.bid_queue.tolist(), made.ticks, made.lots, strict=True):
        mine, better = book[bid], (max, min)[not bid]
        best = better(mine)
        left = int(lots)
        if kind == MARKET:
            while left:
                best = better(mine)
                taken = min(left, mine[best])
                mine[best], left = mine[best] - taken, left - taken
                if not mine[best]:
                    del mine[best]
        else:
            price = best - ticks if bid else best + ticks
            mine[price] = mine.get(price, 0) + (left if kind == LIMIT else -left)
            assert mine[price] >= 0
            if not mine[price]:
                del mine[price]
        mid = max(book[True]) + min(book[False]) if book[True] and book[False] else -1
        books.append((dict(book[True]), dict(book[False]), mid))
    return books


def test_events_from_the_opening_book_give_every_sample_and_every_mid() -> None:
    (made,) = record(still(), 240.0, rng())
    books = replayed(made)
    assert len(books) > 1000 and {LIMIT, CANCEL, MARKET} == set(made.kinds.tolist())
    assert made.mids.tolist() == [mid for _, _, mid in books]
    before = np.searchsorted(made.times_s, made.sampled_s)
    assert len(before) == 241
    for sample, events in enumerate(before.tolist()):
        if events:
            bids, asks, _ = books[events - 1]
            assert (side_of(made.bids[sample]), side_of(made.asks[sample])) == (bids, asks)
    # Ranks are what is better at that time.
    for after, place in enumerate(range(1, 200)):
        bids, asks, _ = books[after]
        if made.kinds[place] != MARKET and made.ticks[place] > 0:
            mine, best = (bids, max(bids)) if made.bid_queue[place] else (asks, min(asks))
            nearer = sum(abs(price - best) < made.ticks[place] for price in mine)
            assert made.rank[place] == nearer


@SETS
def test_what_a_side_gained_is_what_its_events_say(parameters: BookParameters) -> None:
    made = still(parameters, 8)
    levels = parameters.levels
    before = made.state.queues.numpy().astype(np.int64)
    streams = record(made, 120.0, rng())
    gained = made.state.queues.numpy() - before
    for place, one in enumerate(streams):
        for bid, cells in ((True, slice(0, levels)), (False, slice(levels, None))):
            mine = one.bid_queue == bid
            change = one.lots[mine & (one.kinds == LIMIT)].sum() - one.lots[mine & (one.kinds != LIMIT)].sum()
            assert change == gained[place, cells].sum()


@pytest.mark.parametrize("conditions", [False, True])
@SETS
def test_recording_a_market_changes_nothing_in_it(parameters: BookParameters, conditions: bool) -> None:
    one, other = (opened(parameters, 6, conditions=conditions, warm_s=300.0) for _ in range(2))
    for m in (one, other):
        m.state.halt[0] = 100
    streams = record(one, 300.0, rng())
    other.advance(1200)
    assert not differing(one.state, twin(other)) and one.processor.events.tolist() == other.processor.events.tolist()
    assert bool((one.state.first_bid != CHARACTER.first_bid).any())
    assert not (streams[0].times_s < 25.0).any()  # Halted.


def test_events_are_those_that_the_market_counts() -> None:
    made = opened(REAL, 20)
    before = made.processor.events.copy()
    streams = record(made, 200.0, rng())
    assert [len(one.times_s) for one in streams] == (made.processor.events - before).tolist()
    fine = opened(FINE, 20)
    streams = record(fine, 200.0, rng())
    # Of several cancels at once the last may find nothing left.
    counted, seen = fine.processor.events, np.array([len(one.times_s) for one in streams])
    assert (seen <= counted).all() and seen.sum() > 0.97 * counted.sum()
    assert all((one.lots > 0).all() for one in streams)


@SETS
def test_times_lie_within_their_step_in_order_and_market_orders_come_first(parameters: BookParameters) -> None:
    made, mixed = opened(parameters, 10, conditions=True, warm_s=60.0), 0
    for number in range(240, 400):
        for one in record(made, STEP_S, rng(number), begins_s=number * STEP_S, every_s=STEP_S):
            times, orders = one.times_s, one.kinds == MARKET
            assert (np.diff(times) >= 0).all() and len(one.sampled_s) == 2
            assert len(times) == 0 or number * STEP_S <= times[0] <= times[-1] < (number + 1) * STEP_S
            mixed += bool(orders.any() and not orders.all())
            assert (np.diff(orders.astype(int)) <= 0).all()
    assert mixed > 5


def test_events_of_a_step_follow_each_other_at_the_gaps_of_the_set() -> None:
    gaps = (0.001,) * 32 + (0.003,) * 32
    (made,) = record(opened(msgspec.structs.replace(REAL, gaps_s=gaps)), 400.0, rng())
    step = (made.times_s // STEP_S).astype(int)
    between = np.diff(made.times_s)[np.diff(step) == 0]
    assert len(between) > 300
    assert np.isclose(between[:, None], [0.001, 0.003]).any(axis=1).all()
    assert np.isclose(between, 0.001).mean() == pytest.approx(0.5, abs=0.1)
    crowded = msgspec.structs.replace(REAL, gaps_s=(0.2,) * 64)
    (made,) = record(opened(crowded), 100.0, rng())
    assert (made.times_s < 100.0).all() and (np.diff(made.times_s) >= 0).all()
    (made,) = record(opened(REAL), 400.0, rng())
    assert np.mean(made.times_s % STEP_S) == pytest.approx(STEP_S / 2, rel=0.05)


def test_orders_show_at_any_tick_of_their_cell_and_never_across_the_spread() -> None:
    streams = record(opened(FINE, 4, conditions=True, warm_s=300.0), 600.0, rng())
    bids, asks = (np.concatenate([getattr(one, name) for one in streams]) for name in ("bids", "asks"))
    both = (bids[:, 0, 1] > 0) & (asks[:, 0, 1] > 0)
    spreads = (asks[:, 0, 0] - bids[:, 0, 0])[both]
    assert both.mean() > 0.9 and (spreads > 0).all() and set((spreads % 5).tolist()) == set(range(5))
    prices = bids[:, :, 0][bids[:, :, 1] > 0]
    assert np.bincount(prices % 5) / len(prices) == pytest.approx(np.full(5, 0.2), abs=0.05)
    for side, sign in ((bids, -1), (asks, 1)):
        shown = side[:, :, 1] > 0
        assert (np.diff(shown.astype(int), axis=1) <= 0).all()  # No gap in the list,
        deeper = np.diff(side[:, :, 0], axis=1) * sign
        assert (deeper[shown[:, 1:]] > 0).all()  # and the best first.
    assert bids.shape[1:] == (SHOWN, 2)
    grid = still(REAL)
    (coarse,) = record(grid, 10.0, rng())
    assert coarse.bids[0, 0, 0] <= CHARACTER.first_bid // CHARACTER.grid < coarse.asks[0, 0, 0]


def test_a_cell_of_several_ticks_has_the_ticks_nearest_to_its_price() -> None:
    """As the calibration sorts them: `cells.Grid.prices`."""
    from lit_router.market.cells import TICK, Grid

    grid = Grid(FINE.grid_ticks, FINE.levels, FINE.follow)
    made = still(FINE, 4)
    first = CHARACTER.first_bid // CHARACTER.grid
    filled = made.state.queues.numpy() > 0
    for place, one in enumerate(record(made, 1.0, rng(), every_s=1.0)):
        for side, bid in ((one.bids[0], True), (one.asks[0], False)):
            prices = side[side[:, 1] > 0, 0]
            cells = grid.prices(prices * TICK, bid) - first + FINE.levels - 1
            assert filled[place, cells].all() and ((cells < FINE.levels) == bid).all()


def test_the_same_generator_gives_the_same_recording_and_another_the_same_market() -> None:
    one, again, other = (days(FINE, [5, 6], 3600.0, 3660.0, rng(seed)) for seed in (1, 1, 2))
    for a, b, c in zip(one, again, other, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        assert len(a.times_s) == len(c.times_s) and a.lots.sum() == c.lots.sum()
        assert not np.array_equal(a.times_s, c.times_s)
    assert not np.array_equal(one[0].lots, one[1].lots)
    assert (one[0].begins_s, one[0].ends_s) == (3600.0, 3660.0)
    assert one[0].sampled_s.tolist() == list(range(3600, 3661))
    assert one[0].times_s.min() >= 3600.0 and one[0].times_s.max() < 3660.0


def test_days_are_opened_at_their_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "WARM_UP_S", 60.0)
    curve = np.ones(13)
    curve[4:] = 3.0
    set_by_hour = msgspec.structs.replace(REAL, volume_curve=tuple(curve))
    early, late = (days(set_by_hour, range(30), at, at + 120.0, rng()) for at in (1800.0, 9000.0))
    busy = [sum(len(one.times_s) for one in streams) for streams in (early, late)]
    assert 2.0 < busy[1] / busy[0] < 4.0


@pytest.mark.parametrize(("begins_s", "ends_s"), [(-1.0, 5.0), (5.0, 5.0), (9.0, 5.0), (0.5, 5.0), (0.0, 5.25)])
def test_days_of_no_whole_seconds_are_refused(begins_s: float, ends_s: float) -> None:
    with pytest.raises(BadInput, match="whole seconds"):
        days(REAL, [1], begins_s, ends_s, rng())


@pytest.mark.parametrize(("lasts_s", "every_s"), [(1.1, 1.0), (1.0, 0.3), (1.0, 0.0)])
def test_a_recording_of_no_whole_steps_is_refused(lasts_s: float, every_s: float) -> None:
    with pytest.raises(BadInput, match="whole steps"):
        record(opened(), lasts_s, rng(), every_s=every_s)


def test_markets_in_which_somebody_takes_part_are_refused() -> None:
    made = opened()
    enter(made, 0, 1, 10, CHARACTER.first_bid, rests=1)
    with pytest.raises(BadInput, match="anonymous"):
        record(made, 1.0, rng())
    made.cancel(0, torch.tensor([True]))
    record(made, 1.0, rng())
    enter(made, 0, 1, 10)
    with pytest.raises(BadInput, match="anonymous"):
        record(made, 1.0, rng())

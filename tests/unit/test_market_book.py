"""The queue-reactive book: its rates, its law, its own-order rules, and what participants do to it."""

import time
from copy import deepcopy

import numpy as np
import pytest

from lit_router.market.level_book import Walk
from lit_router.market.own_orders import UNKNOWN_AHEAD, CancelAssumption, OwnOrder, OwnQueue
from lit_router.market.queue_reactive import QueueReactiveBook
from lit_router.market.rates import invariant_law, level_rates

LOT = 100


def book(seed: int = 1, **changes: object) -> QueueReactiveBook:
    settings: dict = {"best_bid": 20_000, "grid": 10, "mean_lots": LOT} | changes
    return QueueReactiveBook(np.random.SeedSequence(seed), **settings)


def bid(price: int | None, lots: int, who: str = "desk", order_id: str = "1") -> OwnOrder:
    return OwnOrder(who, order_id, True, price, lots)


def ask(price: int | None, lots: int, who: str = "desk", order_id: str = "1") -> OwnOrder:
    return OwnOrder(who, order_id, False, price, lots)


def take(one: QueueReactiveBook, buys: bool, lots: int, limit: int | None, who: str) -> Walk:
    return one.execute(OwnOrder(who, "t", buys, limit, lots), rests=False)


def test_rates_are_the_published_ones_at_published_sizes_and_linear_between() -> None:
    first, second, third, fourth = level_rates(4)
    assert (first.limit[10], first.cancel[10], first.market[10]) == (0.638, 0.648, 0.081)
    assert (second.limit[0], third.cancel[50]) == (2.8, 0.60)
    assert first.limit[3] == pytest.approx((0.63 + 0.575) / 2)
    assert fourth == third


def test_invariant_law_balances_arrivals_and_departures_at_every_size() -> None:
    for rates in level_rates(3):
        law = invariant_law(rates)
        mass = np.diff([0.0, *law])
        for size in (0, 1, 4, 20, 60):
            up = mass[size] * rates.limit[size]
            down = mass[size + 1] * (rates.cancel[size + 1] + rates.market[size + 1])
            assert up == pytest.approx(down, rel=1e-9)


def test_time_spent_at_each_second_level_size_follows_the_rates() -> None:
    """With the reference price pinned, the second queue is a plain birth-death chain: compare with its law."""
    one = book(3, theta=0.0)
    seen = []
    for second in range(1, 20_001):
        one.advance(second * 2.0)
        seen.append(one.queues[1] // LOT)
    law = invariant_law(level_rates(2)[1])
    mean = sum(size * mass for size, mass in enumerate(np.diff([0.0, *law])))
    assert np.mean(seen) == pytest.approx(mean, rel=0.25)
    assert np.mean(np.array(seen) == 0) < 0.02


def test_three_hours_of_market_time_step_in_seconds() -> None:
    """Typically 0.3 s; the bound leaves room for a busy machine, and would catch a change of complexity."""
    one = book(1)
    began = time.perf_counter()
    one.advance(10_800.0)
    assert time.perf_counter() - began < 4.0


def test_path_is_a_function_of_the_seed_and_not_of_how_it_is_stepped() -> None:
    whole, pieces, other = book(5), book(5), book(6)
    whole.advance(600.0)
    other.advance(600.0)
    for step in range(1, 6001):
        pieces.advance(step * 0.1)
    assert list(whole.tape.trades) == list(pieces.tape.trades)
    assert whole.queues == pieces.queues
    assert list(whole.tape.trades) != list(other.tape.trades)


def test_deepcopy_replays_the_same_future_and_leaves_the_original_alone() -> None:
    one = book(8)
    one.advance(300.0)
    resting = bid(one.first_bid, 500)
    one.execute(resting, rests=True)
    twin = deepcopy(one)
    one.advance(900.0)
    assert twin.now_s == 300.0
    twin.advance(900.0)
    assert (one.queues, one.first_bid, one.tape.volume) == (twin.queues, twin.first_bid, twin.tape.volume)
    assert [f[2:] for f in one.passive_fills] == [f[2:] for f in twin.passive_fills]
    assert all(f.order is not resting for f in twin.passive_fills)


def test_market_order_walks_levels_in_price_order_and_takes_each_lot_once() -> None:
    one = book(2)
    one.advance(60.0)
    before = one.depth(False)
    wanted = before[0][1] + before[1][1] + 1
    walk = one.walk(True, wanted, None, "desk")
    assert walk.taken == [before[0], before[1], (before[2][0], 1)]
    one.recount()
    assert one.depth(False, 1) == [(before[2][0], before[2][1] - 1)]


def test_limit_stops_the_walk() -> None:
    one = book(2)
    one.advance(60.0)
    price, lots = one.depth(False, 1)[0]
    walk = take(one, True, lots + 50, price, "desk")
    assert walk.taken == [(price, lots)]


def test_sweeping_a_side_moves_the_reference_price_up_on_average() -> None:
    moves = []
    for seed in range(60):
        one = book(seed)
        one.advance(30.0)
        before = one.first_bid
        take(one, True, sum(lots for _, lots in one.depth(False, 3)), None, "desk")
        moves.append(one.first_bid - before)
    assert min(moves) >= 0
    assert 10.0 < np.mean(moves) < 30.0, "three levels of ten units, each followed with probability 0.7"


def test_own_order_waits_for_what_was_ahead_and_then_trades_before_what_came_later() -> None:
    one = book(2)
    one.advance(60.0)
    price, shown = one.depth(True, 1)[0]
    mine = bid(price, 250)
    one.execute(mine, rests=True)
    assert mine.ahead == shown
    one.queues[0] += 700
    one.recount()
    assert one.walk(False, shown, None, None).lots == shown
    assert (mine.filled, mine.ahead) == (0, 0)
    one.walk(False, 300, None, None)
    assert mine.filled == 250
    assert one.queues[0] == 700 - 50
    assert not one.bids


def test_several_own_orders_at_one_price_trade_first_in_first_out() -> None:
    one = book(2)
    one.advance(60.0)
    price = one.first_bid + 2
    first, second = bid(price, 100, "desk"), bid(price, 100, "dealer")
    one.execute(first, rests=True)
    one.execute(second, rests=True)
    one.walk(False, 150, None, None)
    assert (first.filled, second.filled) == (100, 50)
    assert [fill.lots for fill in one.passive_fills] == [100, 50]
    assert one.tape.last is not None and one.tape.last.price == price


def test_an_order_never_trades_with_its_own_participant() -> None:
    one = book(2)
    one.advance(60.0)
    one.execute(bid(one.first_bid + 2, 100, "desk"), rests=True)
    walk = take(one, False, 300, None, "desk")
    assert walk.met_itself and walk.taken == []
    assert take(one, False, 60, None, "dealer").taken == [(one.first_bid + 2, 60)]


def test_anonymous_seller_meets_an_aggressive_resting_bid() -> None:
    """A bid above the whole anonymous bid side is hit by sellers who would have posted at or below it."""
    for seed in range(40):
        one = book(seed)
        one.advance(20.0)
        take(one, True, one.queues[one.levels], one.first_bid + one.grid, "other")
        price = one.first_bid + one.grid
        if one.queues[one.levels]:
            continue
        mine = bid(price, 10)
        one.execute(mine, rests=True)
        for second in range(21, 81):
            one.advance(float(second))
            best_bid, best_ask = one.best(True), one.best(False)
            assert best_bid is None or best_ask is None or best_bid < best_ask
        assert all((fill.order, fill.price) == (mine, price) for fill in one.passive_fills)
        if mine.filled:
            return
    pytest.fail("no seed let an anonymous order cross a bid above the market")


@pytest.mark.parametrize(("assumption", "ahead"), [(CancelAssumption.FRONT, 60), (CancelAssumption.BACK, 100)])
def test_cancels_fall_where_the_assumption_says(assumption: CancelAssumption, ahead: int) -> None:
    queue = OwnQueue()
    mine = bid(1, 10)
    queue.join(mine, 100)
    queue.cancelled(40, 150, assumption, 0.5)
    assert mine.ahead == ahead


def test_random_cancels_are_ahead_in_proportion_to_what_is_ahead() -> None:
    rng = np.random.default_rng(4)
    ahead = 0
    for uniform in rng.random(4000):
        queue = OwnQueue()
        first, second = bid(1, 10), bid(1, 10)
        queue.join(first, 20)
        queue.join(second, 50)
        queue.cancelled(1, 100, CancelAssumption.RANDOM, float(uniform))
        ahead += first.ahead == 19
        assert second.ahead in (49, 50) and second.ahead - first.ahead in (29, 30, 31)
    assert ahead / 4000 == pytest.approx(0.2, abs=0.03)


def test_an_order_beyond_the_modelled_levels_learns_its_place_when_the_level_comes_into_view() -> None:
    one = book(2)
    far = bid(one.first_bid - 7 * one.grid, 100)
    one.execute(far, rests=True)
    assert far.ahead == UNKNOWN_AHEAD
    one.first_bid -= 3 * one.grid
    one.clamp_own()
    assert far.ahead == one.queues[4]


def test_halted_book_stands_still() -> None:
    one = book(2)
    one.advance(60.0)
    one.halted = True
    before = (list(one.queues), one.tape.volume)
    one.advance(600.0)
    assert (list(one.queues), one.tape.volume) == before
    one.halted = False
    one.advance(700.0)
    assert one.tape.volume > before[1]


def test_mid_history_answers_for_the_past_and_not_before_the_start() -> None:
    one = book(2)
    marks = []
    for minute in range(1, 41):
        one.advance(minute * 60.0)
        marks.append((minute * 60.0, one.mid))
    assert [one.tape.mids.at(at) for at, _ in marks] == [mid for _, mid in marks]
    assert one.tape.mids.at(-1.0) is None

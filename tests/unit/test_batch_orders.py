"""Participants' orders in the batched book, in both definitions: who trades with whom, at what price, and what then
comes back. Books of `batch_books` in which nothing, or only one kind of thing, happens by itself."""

import pytest
import torch
from batch_books import (
    BID,
    CANCELLED,
    CHARACTER,
    DEEP,
    DEFINITIONS,
    GRID,
    HIT,
    REAL,
    Definition,
    differing,
    enter,
    fixed,
    market,
    play,
    twin,
)

from lit_router.market.batch import impact, orders, replenishment
from lit_router.market.batch.market import STEP_S, BatchedMarket
from lit_router.market.batch.orders import UNKNOWN_AHEAD
from lit_router.market.batch.rules import CancelAssumption

ASK, LEVELS = BID + GRID, REAL.levels
both = pytest.mark.parametrize("definition", DEFINITIONS)


def bids(m: BatchedMarket) -> torch.Tensor:
    """Anonymous lots at the best bid cell."""
    return m.state.queues[:, LEVELS - 1].long()


# --- incoming orders ---------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("side", [1, -1])
def test_a_market_order_walks_level_by_level_at_each_levels_price(definition: Definition, side: int) -> None:
    m = market()
    enter(m, 0, side, 250, definition=definition)
    best = ASK if side > 0 else BID
    paid = DEEP * best + DEEP * (best + side * GRID) + 50 * (best + 2 * side * GRID)
    s = m.state
    assert (int(s.filled[0, 0]), int(s.paid[0, 0]), int(s.side[0, 0])) == (250, 2 * paid, 0)
    taken = s.taken[0].tolist()[LEVELS:] if side > 0 else s.taken[0].tolist()[LEVELS - 1 :: -1]
    assert taken == [DEEP, DEEP, 50, 0, 0]
    assert int(s.net[0]) == side * 250 and int(s.volume[0]) == 250
    assert (s.queues == DEEP).all(), "the anonymous book is not disturbed"


@both
def test_a_limit_holds_and_what_is_left_rests_or_goes(definition: Definition) -> None:
    m = market()
    enter(m, 0, 1, 250, ASK + GRID, definition=definition)
    enter(m, 1, -1, 250, BID, rests=1, definition=definition)
    s = m.state
    assert s.filled[0, :2].tolist() == [200, 100]
    assert s.side[0, :2].tolist() == [0, -1] and s.leaves[0, :2].tolist() == [0, 150]
    assert orders.best_prices(s)[1].tolist() == [BID]


@both
def test_a_market_order_larger_than_the_book_gets_what_is_displayed(definition: Definition) -> None:
    m = market()
    enter(m, 0, 1, 10_000, definition=definition)
    enter(m, 1, 1, 10, definition=definition)
    assert m.state.filled[0, :2].tolist() == [LEVELS * DEEP, 0]
    assert m.state.leaves[0].tolist() == [0] * 6


@both
def test_what_was_taken_is_not_there_again_and_comes_back_with_its_declared_life(definition: Definition) -> None:
    m = market(count=400, characters=CHARACTER._replace(sigma_cells=1e-9))
    enter(m, 0, 1, 100, ASK, definition=definition)
    enter(m, 1, 1, 100, ASK, definition=definition)
    assert (m.state.filled[:, 0] == 100).all() and (m.state.filled[:, 1] == 0).all()
    steps = round(replenishment.LIFE_S / STEP_S)
    play(m, steps, definition)
    left = m.state.taken[:, LEVELS].double().mean()
    assert left == pytest.approx(100 * torch.e**-1, rel=0.02)
    shown = 100 - m.state.taken[:, LEVELS]
    enter(m, 1, 1, 100, ASK, definition=definition)
    assert torch.equal(m.state.filled[:, 1], shown)


@both
def test_an_order_stops_before_one_of_its_own_owner(definition: Definition) -> None:
    m = market()
    enter(m, 0, -1, 30, ASK, rests=1, owner=1, definition=definition)
    enter(m, 1, 1, 200, ASK + 2 * GRID, rests=1, owner=1, definition=definition)
    enter(m, 2, 1, 20, owner=2, definition=definition)
    s = m.state
    assert s.filled[0, :3].tolist() == [20, 100, 20] and s.side[0, 1] == 0, "the rest of it would meet its own order"
    assert s.paid[0, :3].tolist() == [2 * 20 * ASK, 2 * 100 * ASK, 2 * 20 * ASK]


@both
def test_an_order_that_does_not_reach_its_owners_other_order_rests(definition: Definition) -> None:
    m = market()
    m.state.queues[:, LEVELS - 1 : LEVELS + 1] = 0
    enter(m, 0, -1, 10, ASK, rests=1, owner=1, definition=definition)
    enter(m, 1, 1, 10, BID, rests=1, owner=1, definition=definition)
    assert m.state.side[0, :2].tolist() == [-1, 1], "a quote has two sides"


@both
def test_an_order_that_ends_at_its_limit_before_its_owners_other_order_rests(definition: Definition) -> None:
    m = market()
    m.state.queues[:, LEVELS + 1] = 0
    enter(m, 0, -1, 10, ASK + GRID, rests=1, owner=1, definition=definition)
    enter(m, 1, 1, 150, ASK, rests=1, owner=1, definition=definition)
    assert m.state.filled[0, 1] == 100 and m.state.leaves[0, 1] == 50 and m.state.side[0, 1] == 1


@both
def test_an_order_in_a_halt_is_dropped_and_nothing_is_said_to_be_filled(definition: Definition) -> None:
    m = market()
    enter(m, 0, 1, 10, definition=definition)
    m.state.halt.fill_(3)
    enter(m, 0, 1, 10, rests=1, price=BID, definition=definition)
    s = m.state
    assert (int(s.side[0, 0]), int(s.leaves[0, 0]), int(s.filled[0, 0]), int(s.paid[0, 0])) == (0, 0, 0, 0)
    assert int(s.volume[0]) == 10


# --- resting orders ----------------------------------------------------------------------------------------------


@both
def test_a_new_order_stands_behind_what_is_displayed_at_its_price(definition: Definition) -> None:
    m = market()
    enter(m, 3, -1, 40, BID, definition=definition)
    for slot, price in enumerate((BID, BID - GRID, BID - 20 * GRID)):
        enter(m, slot, 1, 10, price, rests=1, definition=definition)
    assert m.state.ahead[0, :3].tolist() == [60, 100, UNKNOWN_AHEAD]
    enter(m, 3, 1, 10, BID + 1, rests=1, definition=definition)
    assert m.state.ahead[0, 3] == 0 and orders.best_prices(m.state)[0].tolist() == [BID + 1]


@both
def test_executions_in_front_bring_an_order_forward_and_only_then_it_trades(definition: Definition) -> None:
    """Lots hit the front of the queue first: a hundred stand before the order, a thousand come behind it."""
    m = market(HIT, 40, characters=fixed())
    enter(m, 0, 1, 50, BID, rests=1, definition=definition)
    m.state.queues[:, LEVELS - 1] += 1000
    for _ in range(70):
        play(m, 1, definition)
        executed = 1100 - bids(m)
        assert torch.equal(m.state.filled[:, 0].long(), (executed - 100).clamp(0, 50))
        resting = m.state.side[:, 0] != 0
        assert torch.equal(m.state.ahead[resting, 0].long(), (100 - executed[resting]).clamp(min=0))
    assert (m.state.filled[:, 0] == 50).any() and (m.state.filled[:, 0] > 0).sum() > 20
    assert torch.equal(m.state.paid[:, 0], 2 * BID * m.state.filled[:, 0].long())


@both
def test_what_participants_take_in_front_brings_an_order_forward_too(definition: Definition) -> None:
    m = market()
    enter(m, 0, 1, 50, BID, rests=1, owner=1, definition=definition)
    m.state.queues[:, LEVELS - 1] += 100
    enter(m, 1, -1, 60, BID, owner=2, definition=definition)
    play(m, 1, definition)
    assert m.state.ahead[0, 0] == 40 and m.state.filled[0, 0] == 0
    enter(m, 1, -1, 60, BID, owner=2, definition=definition)
    assert m.state.filled[0, :2].tolist() == [20, 60]


@both
def test_price_comes_before_time(definition: Definition) -> None:
    m = market()
    for slot, price in ((2, BID), (1, BID), (0, BID + 1)):
        enter(m, slot, 1, 30, price, rests=1, owner=slot, definition=definition)
    enter(m, 3, -1, 30 + 100 + 30 + 10, BID, owner=9, definition=definition)
    s = m.state
    assert s.filled[0].tolist() == [30, 10, 30, 170, 0, 0], "the better price, the queue, the earlier order, the later"
    assert s.paid[0].tolist()[3] == 2 * (30 * (BID + 1) + 140 * BID)
    assert s.side[0, :3].tolist() == [0, 1, 0], "an order with nothing left frees its slot"
    assert int(s.volume[0]) == 170 and int(s.net[0]) == -100, "between participants nothing is pressed"


@both
@pytest.mark.parametrize("cancels", CancelAssumption)
def test_cancels_bring_an_order_forward_as_assumed(definition: Definition, cancels: CancelAssumption) -> None:
    m = market(CANCELLED, 400, characters=fixed(), cancels=cancels)
    enter(m, 0, 1, 10, BID, rests=1, definition=definition)
    m.state.queues[:, LEVELS - 1] += 300
    play(m, 40, definition)
    gone, ahead = (400 - bids(m)).double(), m.state.ahead[:, 0].double()
    assert gone.min() > 0 and gone.max() < 300
    if cancels == CancelAssumption.FRONT:
        assert torch.equal(ahead, (100 - gone).clamp(min=0))
    elif cancels == CancelAssumption.BACK:
        assert (ahead == 100).all()
    else:
        # In front in proportion to what stands there: the share ahead is a martingale.
        share = ahead / bids(m)
        assert share.mean().item() == pytest.approx(0.25, abs=4 * share.std().item() / 20)
        assert ahead.std() > 1


@both
def test_of_two_orders_at_one_price_the_earlier_stays_in_front(definition: Definition) -> None:
    m = market(CANCELLED, 200, characters=fixed())
    enter(m, 1, 1, 10, BID, rests=1, definition=definition)
    enter(m, 0, 1, 10, BID, rests=1, definition=definition)
    m.state.queues[:, LEVELS - 1] += 200
    for _ in range(20):
        play(m, 1, definition)
        assert (m.state.ahead[:, 0] >= m.state.ahead[:, 1]).all()


@both
def test_priority_is_kept_between_decisions_and_lost_by_a_new_order(definition: Definition) -> None:
    m = market(HIT, 20, characters=fixed())
    enter(m, 0, 1, 10, BID, rests=1, definition=definition)
    m.state.queues[:, LEVELS - 1] += 900
    play(m, 20, definition)
    m.cancel(0, torch.arange(20) % 2 == 0)
    enter(m, 0, torch.tensor([1, 0]).repeat(10), 10, BID, rests=1, definition=definition)
    kept, anew = m.state.ahead[1::2, 0], m.state.ahead[::2, 0]
    assert (kept <= 100).all() and (anew > 700).all()


@both
def test_a_cancelled_order_trades_no_more(definition: Definition) -> None:
    m = market(HIT, 4, characters=fixed())
    enter(m, 0, 1, 1000, BID + 1, rests=1, definition=definition)
    m.cancel(0, torch.tensor([True, True, False, False]))
    play(m, 50, definition)
    assert (m.state.filled[:2, 0] == 0).all() and (m.state.filled[2:, 0] > 0).all()
    assert (m.state.side[:2, 0] == 0).all() and (m.state.leaves[:2, 0] == 0).all()


@both
def test_an_order_at_the_front_gets_what_comes_and_no_more(definition: Definition) -> None:
    """A bid between the cells is met first; the same market orders also walk the anonymous queue, nobody sees twice."""
    m = market(HIT, 30, characters=fixed())
    enter(m, 0, 1, 10_000, BID + 1, rests=1, definition=definition)
    alone = market(HIT, 30, characters=fixed())
    play(m, 40, definition)
    play(alone, 40, definition)
    sold = DEEP * LEVELS - alone.state.queues[:, :LEVELS].sum(1)
    assert (sold > 0).any() and torch.equal(m.state.filled[:, 0].long(), sold)
    assert torch.equal(m.state.volume, alone.state.volume)


@both
def test_a_book_that_moves_to_an_order_trades_with_it_at_its_price(definition: Definition) -> None:
    m = market()
    enter(m, 0, 1, 150, BID - GRID, rests=1, definition=definition)
    m.state.first_bid.sub_(2 * GRID)
    play(m, 1, definition)
    s = m.state
    assert int(s.filled[0, 0]) == 100 and int(s.paid[0, 0]) == 2 * 100 * (BID - GRID)
    assert int(s.side[0, 0]) == 1 and int(s.leaves[0, 0]) == 50 and int(s.volume[0]) == 100


@both
def test_a_book_that_moves_to_several_orders_serves_price_then_time(definition: Definition) -> None:
    m = market()
    m.state.queues[:, LEVELS] = 50
    enter(m, 0, 1, 40, BID - GRID, rests=1, owner=1, definition=definition)
    enter(m, 2, 1, 30, BID, rests=1, owner=2, definition=definition)
    enter(m, 1, 1, 30, BID, rests=1, owner=3, definition=definition)
    m.state.first_bid.sub_(2 * GRID)
    play(m, 1, definition)
    assert m.state.filled[0, :3].tolist() == [0, 30, 30]


@both
def test_an_order_far_away_learns_its_place_when_its_price_comes_into_view(definition: Definition) -> None:
    m = market()
    enter(m, 0, 1, 10, BID - LEVELS * GRID, rests=1, definition=definition)
    play(m, 1, definition)
    assert m.state.ahead[0, 0] == UNKNOWN_AHEAD
    m.state.first_bid.sub_(GRID)
    play(m, 1, definition)
    assert m.state.ahead[0, 0] == DEEP


# --- dealers' flows and impact -----------------------------------------------------------------------------------


@both
def test_dealers_trade_what_they_have_pending_at_their_pace_and_press(definition: Definition) -> None:
    m = market(REAL, 200, characters=CHARACTER)
    m.state.pending[:, 0], m.state.pending[:, 1] = 120, -40
    m.state.pace_lots[:, 0], m.state.pace_lots[:, 1] = 2.5, 0.5
    play(m, 20, definition)
    traded = 120 - m.state.pending[:, 0].double()
    assert traded.mean().item() == pytest.approx(50, abs=1) and (m.state.pending[:, 1] < 0).all()
    play(m, 100, definition)
    assert (m.state.pending == 0).all()
    pressed = m.state.shift.double()
    assert pressed.mean() > 4 * pressed.std() / 200**0.5


@both
def test_impact_has_the_side_of_the_trades_and_decays(definition: Definition) -> None:
    m = market(count=300, characters=CHARACTER._replace(sigma_cells=60))
    side = torch.where(torch.arange(300) % 2 == 0, 1, -1)
    for _ in range(20):
        enter(m, 0, side, 40, definition=definition)
        play(m, 4, definition)
    peak = (m.state.shift * side).double().mean()
    expected = (m.state.kernel.sum(1) * side).double().mean()
    assert peak > 1 and peak.item() == pytest.approx(expected.item(), abs=0.3)
    play(m, 240)
    later = (m.state.shift * side).double().mean()
    play(m, 1200)
    last = (m.state.shift * side).double().mean()
    assert later > last > 0, "executions are spread over SMOOTHED_S, so that the peak comes a little later"
    assert torch.equal(m.state.first_bid, BID + GRID * m.state.shift)


def test_impact_of_a_steady_pace_is_the_square_root_law() -> None:
    """A metaorder at a constant pace: Y sigma / (1 - BETA) (Q/V)^1/2 T^(1/2 - BETA), times in days."""
    m, steps = market(), 2400
    for _ in range(steps):
        m.state.pressed.fill_(2.0 / m.rules.pressed_decay)
        play(m, 1)
    days, share = steps * STEP_S / impact.DAY_S, 2.0 * steps * STEP_S / CHARACTER.day_lots
    expected = impact.LEVEL * CHARACTER.sigma_cells / (1 - impact.BETA) * share**0.5 * days ** (0.5 - impact.BETA)
    assert m.state.kernel.sum(1).item() == pytest.approx(expected, rel=0.03)
    assert abs(int(m.state.shift[0]) - expected) < 1.2


@both
def test_the_anonymous_flow_is_the_same_whatever_participants_do(definition: Definition) -> None:
    acting, idle = (market(REAL, 16, conditions=True) for _ in range(2))
    ours = {"first_bid", "taken", "net", "pressed", "kernel", "shift", "volume", "side", "venue", "price", "leaves"}
    ours |= {"ahead", "least", "owner", "rank", "filled", "paid", "hidden", "dark_volume", "pending", "pace_lots"}
    ours |= {"last_price", "last_lots"}
    acting.state.pending.fill_(500)
    acting.state.pace_lots.fill_(3.0)
    for number in range(24):
        slot = number % 4
        acting.cancel(slot, torch.ones(16, dtype=torch.bool))
        side = torch.where(torch.arange(16) % 2 == 0, 1, -1)
        price = acting.state.first_bid + GRID * (torch.arange(16) % 3)
        enter(acting, slot, side, 90, price, rests=1, venue=number % 4 if slot == 3 else 0, definition=definition)
        play(acting, 2, definition)
        play(idle, 2, definition)
        assert not set(differing(acting.state, idle.state)) - ours, f"decision {number}"
    assert acting.state.shift.any() and acting.state.filled.any() and acting.state.taken.any()
    assert not set(differing(twin(acting), acting.state))

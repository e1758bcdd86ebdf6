"""The two definitions of a step, tensor operations and compiled code, are equal bit by bit."""

import numpy as np
import pytest
import torch
from batch_books import CHARACTER, REAL, differing, market, numbers, twin

from lit_router.market.batch import entering
from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.rules import CancelAssumption
from lit_router.market.batch.state import State
from lit_router.market.batch.step import step
from lit_router.market.parameters import BookParameters, load

MARKETS, SLOTS = 32, 6


def disturb(m: BatchedMarket, g: np.random.Generator) -> None:
    """Halts in some markets, dealers' flows in most."""
    m.state.halt.copy_(numbers(g.choice([0, 0, 0, 5], MARKETS)))
    m.state.pending.copy_(numbers(g.integers(-400, 400, (MARKETS, 2))))
    m.state.pace_lots.copy_(torch.as_tensor(g.uniform(0, 5, (MARKETS, 2))))


def trade(m: BatchedMarket, t: State, slot: int, g: np.random.Generator) -> None:
    """Cancels some orders of a slot and enters new ones in free slots, in both definitions alike."""
    where = torch.as_tensor(g.random(MARKETS) < 0.2)
    m.cancel(slot, where)
    entering.cancel(t, slot, where)
    side = numbers(g.choice([1, -1, 0, 0], MARKETS)) * (m.state.side[:, slot] == 0)
    at_market = numbers(g.random(MARKETS) < 0.2).bool()
    price = m.state.first_bid.long() + numbers(g.integers(-14, 16, MARKETS))
    ticket = m.ticket(
        side,
        numbers(g.integers(1, 300, MARKETS)),
        torch.where(at_market, entering.market_price(side), price),
        venue=numbers(g.choice([0, 0, 0, 1, 2, 3], MARKETS)),
        rests=numbers(g.integers(0, 2, MARKETS)) * ~at_market,
        least=numbers(g.integers(0, 50, MARKETS)),
        owner=numbers(g.integers(1, 4, MARKETS)),
    )
    m.enter(slot, ticket)
    entering.enter(t, m.rules, slot, ticket)


SMALL = load("small_tick")
"""Events of many sizes, empty cells, and a reference price that follows two of them."""


@pytest.mark.parametrize(
    ("book", "conditions", "cancels"),
    [(REAL, conditions, cancels) for conditions in (False, True) for cancels in CancelAssumption]
    + [(SMALL, conditions, CancelAssumption.RANDOM) for conditions in (False, True)],
)
def test_both_definitions_are_equal_bit_by_bit(
    book: BookParameters, conditions: bool, cancels: CancelAssumption
) -> None:
    m = market(book, MARKETS, conditions=conditions, cancels=cancels)
    g = np.random.default_rng(10 * conditions + cancels)
    disturb(m, g)
    t, halted = twin(m), 0
    for number in range(100):
        trade(m, t, number % SLOTS, g)
        assert not differing(m.state, t), f"entering at step {number}"
        if number == 50:
            for state in (m.state, t):
                state.halt[::7] = 9
                state.pending[::3, 0] = 200
        m.advance(1)
        step(t, m.laws, m.rules)
        assert not differing(m.state, t), f"step {number}"
        halted += int((m.state.halt > 0).sum())
    # All that could differ has happened.
    s = m.state
    assert halted and int(s.dark_volume.sum()) and int(s.filled.sum()) and bool(s.shift.any())
    assert bool((s.pending == 0).any()) and bool((s.ahead > 0).any()) and bool((s.taken > 0).any())


def test_a_quiet_market_goes_through_all_regimes_alike() -> None:
    m = market(REAL, 32, conditions=True)
    m.state.regime.copy_(torch.arange(32) % 4)
    m.state.news.copy_(torch.linspace(-2, 2, 32))
    t = twin(m)
    for _ in range(200):
        step(t, m.laws, m.rules)
    m.advance(200)
    assert not differing(m.state, t)
    assert int((m.state.volume > 0).sum()) > 24


def test_steps_in_one_go_or_one_by_one_or_shared_between_threads_are_the_same_steps() -> None:
    one, many, shared = (market(REAL, 9, conditions=True, threads=threads) for threads in (1, 1, 2))
    for m in (one, many, shared):
        m.state.pending.fill_(300)
        m.state.pace_lots.fill_(1.5)
    many.advance(101)
    shared.advance(101)
    for _ in range(101):
        one.advance(1)
    assert not differing(one.state, many.state)
    assert not differing(one.state, shared.state)
    assert int(one.state.pending.sum()) < 9 * 600


def test_the_comparison_sees_a_single_lot() -> None:
    m = market(REAL, 2, characters=CHARACTER)
    t = twin(m)
    t.queues[1, 3] += 1
    t.flow[0, 1] = 1e-300
    assert differing(m.state, t) == ["queues", "flow"]

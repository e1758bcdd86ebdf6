"""Residuals worked in the batched market: every lot is accounted for, and policies meet the same market."""

import numpy as np
import pytest
import torch

from lit_router.market.parameters import load
from ml.slicer.episodes import EpisodeLaw, drawn
from ml.slicer.execution import ADDED, CROSSING, FIRST_POOL, POOLS, RESTING, SLOTS, Execution, Intent
from ml.slicer.rules import SUBMIT_AND_LEAVE, TWAP, Rule, intend, worked
from rfq.domain.errors import BadInput

LAW = EpisodeLaw(horizon_s=120.0, decisions=8, warm_up_s=30.0)
SET = load("large_tick")


def execution(count: int = 16, first: int = 0, law: EpisodeLaw = LAW) -> Execution:
    return Execution(SET, range(first, first + count), law)


def anything(run: Execution, g: np.random.Generator) -> Intent:
    """An intent of no sense at all, far beyond what is left."""
    count = run.market.markets

    def lots() -> torch.Tensor:
        return torch.as_tensor(g.integers(-5, 2 * run.lots.numpy() + 5) * (g.random(count) < 0.6))

    price = run.market.state.first_bid + torch.as_tensor(g.integers(-6, 8, count))
    return Intent(lots() // 20, lots(), price.long(), torch.stack([lots() for _ in range(POOLS)], 1))


def test_whatever_is_intended_every_lot_is_filled_once_and_none_is_promised_twice() -> None:
    run, g = execution(64), np.random.default_rng(3)
    while not run.over:
        run._send(anything(run, g))
        s = run.market.state
        promised = (s.leaves * (s.side != 0)).sum(1)
        assert (promised <= run.left).all() and (run.left >= 0).all()
        assert ((s.side == 0) | (s.side == run.side[:, None])).all()
        run.step(anything(run, g))
    assert (run.filled == run.lots).all() and not run.left.any()
    assert (run.by_slot.sum(1) == run.filled).all() and (run.by_slot >= 0).all()
    assert not run.market.state.side.any(), "nothing rests at the end"
    assert (run.by_slot.sum(0)[[RESTING, FIRST_POOL + 2, CROSSING]] > 0).all()


def test_rewards_telescope_to_the_shortfall_and_it_is_what_was_paid_beyond_arrival() -> None:
    run, g = execution(), np.random.default_rng(4)
    assert run.shortfall().abs().max() == 0
    steps = []
    before = run.shortfall()
    while not run.over:
        run.step(anything(run, g))
        now = run.shortfall()
        steps.append(now - before)
        before = now
    assert torch.allclose(torch.stack(steps).sum(0), run.shortfall())
    per_lot = run.side * (run._cash / run.lots - run.arrival)
    assert torch.allclose(run.shortfall() - per_lot, run._fees / run.lots)
    assert (run._fees.abs() / run._cash < 1e-4 * 0.31).all()


def test_policies_meet_the_same_market_and_the_same_seed_gives_the_same_costs() -> None:
    begun = execution()
    one, other, again = begun.copy(), begun.copy(), execution()
    cost = worked(TWAP, one, 2.0)
    left = worked(SUBMIT_AND_LEAVE, other, 2.0)
    assert torch.equal(worked(TWAP, again, 2.0), cost) and not torch.equal(left, cost)
    assert torch.equal(one.market.state.queues, other.market.state.queues), "the anonymous flow is the same"
    assert not begun.filled.any() and begun.decision == 0
    assert cost.mean() > left.mean()


def test_market_orders_alone_rest_nowhere_and_passive_ones_make_the_spread() -> None:
    hasty, patient = execution(64), execution(64)
    worked(TWAP, hasty, 2.0)
    worked(Rule(grace=0.5, lead=0.5, block=0.2, broker=0.0, stream=0.0), patient, 2.0)
    assert (hasty.by_slot[:, CROSSING] == hasty.lots).all()
    made = patient.by_slot[:, [RESTING, ADDED]].sum()
    assert made > 0.5 * patient.lots.sum() and patient.by_slot[:, FIRST_POOL].sum() > 0
    assert not patient.by_slot[:, FIRST_POOL + 1 : FIRST_POOL + POOLS].any() and len(patient.by_slot[0]) == SLOTS


def test_an_order_keeps_its_place_while_its_price_is_wanted_and_what_is_added_stands_behind() -> None:
    run = execution(8)
    nothing = torch.zeros(8, POOLS, dtype=torch.int64)
    seen, zero = run.view(), torch.zeros(8, dtype=torch.int64)
    price = (torch.where(run.side > 0, seen.bid, seen.ask) - 4 * run.side * run.market.state.grid).long()
    run.lots.fill_(50)
    run._send(Intent(zero, zero + 20, price, nothing))
    rank = run.market.state.rank[:, RESTING].clone()
    run._send(Intent(zero, zero + 30, price, nothing))
    s = run.market.state
    assert torch.equal(s.rank[:, RESTING], rank)
    assert (s.leaves[:, RESTING] == 20).all() and (s.leaves[:, ADDED] == 10).all()
    run._send(Intent(zero, zero + 8, price, nothing))
    assert (s.leaves[:, RESTING] == 8).all() and torch.equal(s.rank[:, RESTING], rank) and not s.side[:, ADDED].any()
    run._send(Intent(zero, zero + 8, price - run.side, nothing))
    assert (s.rank[:, RESTING] > rank).all()


def test_episodes_come_from_their_seeds_alone_and_laws_that_cannot_be_are_refused() -> None:
    day = torch.full((200,), 1e6, dtype=torch.float64)
    drawn_once, later = drawn(LAW, range(200), day), drawn(LAW, range(100, 300), day)
    assert all(torch.equal(a[100:], b[:100]) for a, b in zip(drawn_once, later, strict=True))
    share = drawn_once.lots / (1e6 * LAW.horizon_s / 23_400)
    assert share.min() > 0.004 and share.max() < 0.21 and 0.3 < (drawn_once.side > 0).double().mean() < 0.7
    ahead = drawn_once.ahead_lots
    assert 0.15 < (ahead != 0).double().mean() < 0.45 and (ahead * drawn_once.side >= 0).all()
    for law in (LAW._replace(participation=(0.0, 0.1)), LAW._replace(decisions=0), LAW._replace(horizon_s=0.0)):
        with pytest.raises(BadInput):
            drawn(law, [1], day[:1])


def test_a_rule_hurries_at_the_end_and_minds_its_signals_before() -> None:
    run = execution(32)
    seen = run.view()
    calm = Rule(grace=1.0, lead=0.0, alarm=2.0)
    alarmed = calm._replace(alarm=-1.0, rush=0.1)
    assert not intend(calm, run, seen, 2.0).cross.any()
    assert (intend(alarmed, run, seen, 2.0).cross == (0.1 * run.lots.double()).ceil().long()).all()
    assert not intend(alarmed._replace(patience=1.0), run, seen, 2.0).cross.any()
    run.decision = LAW.decisions - 1
    assert (intend(calm, run, seen, 2.0).cross == run.lots).all()

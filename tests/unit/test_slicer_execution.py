"""Residuals worked in the batched market: every lot is accounted for, and policies meet the same market."""

import numpy as np
import pytest
import torch

from lit_router.market.parameters import load
from ml.slicer.actions import DARK, allowed
from ml.slicer.episodes import EpisodeLaw, day_share, drawn
from ml.slicer.execution import ADDED, CROSSING, FIRST_POOL, RESTING, SLOTS, Execution
from ml.slicer.playing import by_rule
from ml.slicer.rules import POV, SUBMIT_AND_LEAVE, TWAP, VWAP, Rule, intend
from ml.slicer.situation import POOLS, Intent
from rfq.domain.errors import BadInput

LAW = EpisodeLaw(horizon_s=120.0, decisions=8, warm_up_s=30.0, missing=0.0)
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
    per_lot = run.side * (run._cash / run.lots - run.residual.arrival)
    assert torch.allclose(run.shortfall() - per_lot, run._fees / run.lots)
    assert (run._fees.abs() / run._cash < 1e-4 * 0.31).all()


def test_policies_meet_the_same_market_and_the_same_seed_gives_the_same_costs() -> None:
    begun = execution()
    one, other, again = begun.copy(), begun.copy(), execution()
    cost = by_rule(TWAP, one)
    left = by_rule(SUBMIT_AND_LEAVE, other)
    assert torch.equal(by_rule(TWAP, again), cost) and not torch.equal(left, cost)
    assert torch.equal(one.market.state.queues, other.market.state.queues), "the anonymous flow is the same"
    assert not begun.filled.any() and begun.decision == 0
    assert cost.mean() > left.mean()


def test_market_orders_alone_rest_nowhere_and_passive_ones_make_the_spread() -> None:
    hasty, patient = execution(64), execution(64)
    by_rule(TWAP, hasty)
    by_rule(Rule(grace=0.5, lead=0.5, block=0.2, broker=0.0, stream=0.0), patient)
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
    law = LAW._replace(missing=0.1, risk=(0.0, 1.0))
    drawn_once, later = drawn(law, range(400)), drawn(law, range(100, 500))
    assert all(torch.equal(a[100:], b[:300]) for a, b in zip(drawn_once, later, strict=True))
    share = drawn_once.participation
    assert share.min() > 0.005 and share.max() < 0.2 and 0.4 < (drawn_once.side > 0).double().mean() < 0.6
    assert 0.2 < (drawn_once.ahead > 0).double().mean() < 0.4 and drawn_once.ahead.max() < 0.4
    assert torch.bincount(drawn_once.regime).min() > 70, "evenly"
    assert 0.05 < (~drawn_once.pools).double().mean() < 0.15
    assert 0.4 < (drawn_once.risk == 0).double().mean() < 0.6 and drawn_once.risk.max() > 0.9
    assert drawn_once.pace.min() >= 0.5 and drawn_once.pace.max() <= 2.0
    often = drawn(law._replace(evenly=False), range(400)).regime
    assert (often == 0).sum() > 150 and (often == 3).sum() < 50
    wrong = {"participation": (0.0, 0.1), "decisions": 0, "horizon_s": 0.0, "risk": (0.5, 0.2), "pace": (0, 1)}
    for field, value in wrong.items():
        with pytest.raises(BadInput):
            drawn(LAW._replace(**{field: value}), [1])


def test_a_lot_is_a_share_of_what_usually_trades_over_the_horizon_at_that_time_of_day() -> None:
    run = execution(256, law=LAW._replace(participation=(0.1, 0.1), pace=(1.0, 1.0)))
    opened = drawn(LAW, range(256)).opened_s + LAW.warm_up_s
    whole = day_share(SET, np.zeros(1), np.array([23_400.0]))
    assert whole == pytest.approx(1.0)
    share = day_share(SET, opened.numpy(), opened.numpy() + LAW.horizon_s)
    wanted = 0.1 * SET.day_lots * share
    assert np.abs(run.lots.numpy() - wanted).max() <= 0.51
    last = run.law.decisions - 1
    run.decision = last
    assert (run.moment().curve_later == 1).all() and run.moment().last.all()


def test_a_rule_hurries_at_the_end_and_minds_its_signals_before() -> None:
    run = execution(32)
    seen, residual, now = run.view(), run.residual, run.moment()
    calm = Rule(grace=1.0, lead=0.0, alarm=2.0)
    alarmed = calm._replace(alarm=-1.0, rush=0.1)
    assert not intend(calm, residual, seen, now).cross.any()
    assert (intend(alarmed, residual, seen, now).cross == (0.1 * residual.lots).ceil().long()).all()
    assert not intend(alarmed._replace(patience=1.0), residual, seen, now).cross.any()
    run.decision = LAW.decisions - 1
    assert (intend(calm, residual, seen, run.moment()).cross == run.lots).all()


def test_schedules_follow_the_clock_the_curve_or_the_volume() -> None:
    run = execution(32)
    seen, residual, now = run.view(), run.residual, run.moment()
    by_clock = intend(TWAP, residual, seen, now).cross
    assert (by_clock == (residual.lots / LAW.decisions).ceil().long()).all()
    curve = now._replace(curve_later=now.later * 2)
    assert (intend(VWAP, residual, seen, curve).cross >= by_clock).all()
    busy = seen._replace(volume=residual.volume_s * residual.horizon_s * 0.5)
    wanted = (residual.lots * (0.5 + now.step)).ceil()
    assert ((intend(POV, residual, busy, now).cross - wanted).abs() <= 1).all()
    run.decision = LAW.decisions - 1
    assert (intend(POV, residual, seen, run.moment()).cross == run.lots).all()


def test_a_pool_that_is_not_at_hand_gets_nothing() -> None:
    run = execution(64, law=LAW._replace(missing=0.5, decisions=4))
    open_pools = run.residual.pools
    may = allowed(run.residual)[:, -len(DARK) :]
    assert torch.equal(may[:, 2:5], open_pools) and torch.equal(may[:, 5], open_pools.any(1)) and may[:, :2].all()
    zero = torch.zeros(64, dtype=torch.int64)
    run._send(Intent(zero, zero, zero + 20_000, run.lots[:, None].expand(-1, POOLS)))
    waiting = run.market.state.side[:, FIRST_POOL : FIRST_POOL + POOLS] != 0
    assert not (waiting & ~open_pools).any() and waiting.any()

"""The study world's truth is what its dealers do, one at a socket and all of a panel alike."""

import math

import numpy as np
import pytest
from study_world import after, asking, view_of

from dealers.behaviour import SimulatedDealer
from dealers.behaviour_traits import Quoting
from ml.outcomes import Answer
from rfq.domain.selection import QUANTILES
from rfq.domain.values import Side
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import DeskHabit
from rfq.studies.world_auction import MARK
from rfq.studies.world_truth import Truth


def test_the_truth_is_what_a_simulated_dealer_does():
    """Over many draws of the scalar dealer: how often it quotes in time, at what cost, how often it leaks and fades."""
    world = DealerWorld(7)
    request = after(world, 20, two_way=False, sector="energy")
    f, truth, rng = request.facts, Truth(world), np.random.default_rng(1)
    answers = truth.answer_probability(request, 4)
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    quantiles = truth.quote_quantiles(request, 4, levels)
    view = view_of(request, rivals=3)
    tested = [place for place, t in enumerate(world.panel) if not t.coverage][:3]
    for place in tested:
        dealer = SimulatedDealer(world.panel[place], rng, (), {f.sector: world.seen(f, 4).breadth})
        dealer._inventory[f.sector] = world.inventory[place, request.sector]
        plans = [dealer.on_request(view, rng) for _ in range(2500)]
        quotes = [p for p in plans if isinstance(p, Quoting) and p.delay_s <= f.window_s]
        assert len(quotes) / len(plans) == pytest.approx(answers[place], abs=0.035)
        prices = [p.offer if f.side is Side.BUY else p.bid for p in quotes]
        costs = [f.sign * (price / view.mid - 1) * 1e4 for price in prices if price is not None]
        width = quantiles[place][-1] - quantiles[place][0]
        np.testing.assert_allclose(np.quantile(costs, levels), quantiles[place], atol=0.09 * width)
        led = [dealer.after_losing(view, rng) for _ in range(4000)]
        lots = np.array([0.0 if c is None else c.lots / request.instrument.adv for c in led])
        ahead, _ = world.kernels(f.window_s)
        moves = f.volatility_bps * lots**world.kernel.exponent * ahead[MARK][place]
        expected = truth.expected_leakage_bps(world.dealers[place], f)
        assert moves.mean() == pytest.approx(expected, abs=4 * moves.std() / math.sqrt(len(moves)))


def test_the_truth_is_what_the_world_does():
    world = DealerWorld(8)
    request = after(world, 20, two_way=False)
    truth, redraws = Truth(world), 1500
    everybody = asking(*world.dealers)
    plays = [world.play(world.requests.redrawn(request, k), everybody) for k in range(1, redraws + 1)]
    quoted = np.array([[a.answer is Answer.QUOTED for a in p.outcome.asked] for p in plays])
    np.testing.assert_allclose(quoted.mean(0), truth.answer_probability(request, 30), atol=0.055)
    lifted = np.array([[a.lifted for a in p.outcome.asked] for p in plays])
    faded = np.array([[a.lifted and not a.confirmed for a in p.outcome.asked] for p in plays])
    fades = truth.fade_probability(request.facts)
    told = lifted.sum(0) * fades
    assert told.sum() > 50
    assert faded.sum() == pytest.approx(told.sum(), abs=3 * (told * (1 - fades)).sum() ** 0.5)
    assert not faded[:, fades == 0].any()


def test_who_does_not_know_inventories_is_right_on_average():
    """Intervals of the truth without hidden state hold what it says over many requests; knowing makes them shorter."""
    world, inside, widths = DealerWorld(9), [], []
    truth = Truth(world)
    for auction in world.run(DeskHabit(world.terms), 160):
        request = auction.request
        costs = [(world.place[a.dealer], a.cost_bps) for a in auction.outcome.asked if a.cost_bps is not None]
        asked = len(auction.outcome.asked)
        world.inventory[:, request.sector], now = auction.inventory_after, world.inventory[:, request.sector].copy()
        blind = truth.quote_quantiles(request, asked, (0.05, 0.95), knowing=False)
        knowing = truth.quote_quantiles(request, asked, (0.05, 0.95))
        world.inventory[:, request.sector] = now
        inside += [blind[p][0] <= cost <= blind[p][1] for p, cost in costs]
        widths.append(np.diff(knowing).mean() / np.diff(blind).mean())
    assert np.mean(inside) == pytest.approx(0.9, abs=0.04)
    assert 0.4 < np.mean(widths) < 0.9


def test_the_forecast_of_the_truth_has_the_models_shape():
    world = DealerWorld(9)
    made = Truth(world).forecast(after(world, 3), [2, 5])
    assert made.cost_bps.shape == (2, 30, len(QUANTILES)) and made.response.shape == made.leakage_bps.shape == (2, 30)
    assert (np.diff(made.cost_bps, axis=2) >= 0).all() and (made.response[0] >= made.response[1]).all()
    assert (made.quoted_size > 0).all() and ((made.fade >= 0) & (made.fade < 1)).all()

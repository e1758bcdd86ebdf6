"""The study world: one set of laws for panels and single dealers, exact logs, common chances, closed loops."""

from itertools import combinations, pairwise
from time import process_time

import numpy as np
import pytest
from study_world import after, asking, view_of

from dealers.behaviour_pricing import charges
from dealers.circumstances import circumstances
from dealers.drawn_panel import LEAK_LEVEL, drawn_panel
from dealers.panel import SECTORS
from ml.memory import PanelMemory
from ml.outcomes import MARK_OUT_S, Answer
from rfq.domain.errors import BadInput
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import DealerId
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Chosen, DeskHabit, inclusion_by_rank, probability_of
from rfq.studies.world_auction import MARK
from rfq.studies.world_requests import WorldTerms


def by_dealer(auction) -> dict:
    return {a.dealer: a for a in auction.outcome.asked}


def test_a_seed_gives_one_history_and_another_seed_another():
    one, two = (list(DealerWorld(3, WorldTerms(requests=60)).history()) for _ in range(2))
    assert one == two
    assert one != list(DealerWorld(4, WorldTerms(requests=60)).history())
    assert all(a.facts.at < b.facts.at for a, b in pairwise(one))


def test_what_one_dealer_does_depends_on_others_by_their_number_alone():
    world = DealerWorld(5)
    request = after(world, 30)
    d = world.dealers
    first, swapped = (by_dealer(world.play(request, asking(*d[:4], other))) for other in (d[10], d[20]))
    for dealer in d[:4]:
        same = ("answer", "response_s", "cost_bps", "quoted_size")
        assert all(getattr(first[dealer], name) == getattr(swapped[dealer], name) for name in same)
    more = by_dealer(world.play(request, asking(*d[:9])))
    both = [x for x in d[:4] if first[x].answer is more[x].answer is Answer.QUOTED]
    shading = [more[x].cost_bps - first[x].cost_bps for x in both]
    seen = {n: world.seen(request.facts, n, world.inventory[:, request.sector], request.belief_bps) for n in (5, 9)}
    for dealer, moved in zip(both, shading, strict=True):
        at = world.place[dealer]
        told = [np.asarray(charges(world.columns, seen[n], 1, first[dealer].quoted_size).total)[at] for n in (5, 9)]
        noise_moves_by = abs(moved - (told[1] - told[0]))
        assert noise_moves_by < 1e-9, "a rival shades the price, and does nothing else"


def test_playing_changes_nothing_and_settling_only_what_winners_hold():
    world = DealerWorld(5)
    request = after(world, 30, two_way=False)
    before = world.inventory.copy()
    auctions = [world.play(request, asking(*world.dealers[:8])) for _ in range(2)]
    assert auctions[0].outcome == auctions[1].outcome and auctions[0].cost_bps == auctions[1].cost_bps
    np.testing.assert_array_equal(world.inventory, before)
    winners = [world.place[a.dealer] for a in auctions[0].outcome.asked if not a.lost]
    assert winners
    world.settle(auctions[0])
    changed = np.argwhere(world.inventory != before)
    assert {int(d) for d, _ in changed} <= set(winners) and {int(s) for _, s in changed} == {request.sector}
    sign = request.facts.sign
    assert all(sign * (world.inventory - before)[d, request.sector] <= 0 for d in winners)


def test_the_panel_and_the_dealer_at_its_socket_see_and_price_alike():
    """The same laws take both; here it is shown that both are given the same circumstances."""
    world = DealerWorld(6)
    for n in range(12):
        request = after(world, 5)
        f, sector = request.facts, request.sector
        seen = world.seen(f, 4, world.inventory[:, sector], request.belief_bps)
        for place, traits in list(enumerate(world.panel))[n::5]:
            one = circumstances(traits, view_of(request, rivals=3), world.inventory[place, sector], seen.breadth)
            for name, value in one._asdict().items():
                panels = np.broadcast_to(getattr(seen, name), len(world.panel))[place]
                assert value == pytest.approx(panels, rel=1e-3), name  # rest: whole lots
            terms = charges(traits, one, f.sign, 0.02), charges(world.columns, seen, f.sign, 0.02)
            assert float(terms[0].total) == pytest.approx(np.asarray(terms[1].total)[place], rel=1e-3)


# --- logs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [(0.15, 0.15), (0.6, 0.0), (0.0, 1.0)])
def test_propensities_are_how_often_each_dealer_is_asked(shares):
    terms = WorldTerms(explored=shares[0], recounted=shares[1], dealers=12, most=6)
    world = DealerWorld(10, terms)
    habit = DeskHabit(terms, world.requests.unusual)
    for _ in world.run(habit, 150):
        pass
    facts, rng, draws = world.next_request().facts, np.random.default_rng(2), 6000
    often, told = np.zeros(12), None
    for _ in range(draws):
        chosen = habit.choose(facts, world.dealers, None, rng)
        often[[world.place[d] for d in chosen.asked]] += 1
        assert told in (None, chosen.propensities) and len(set(chosen.asked)) == len(chosen.asked)
        told = chosen.propensities
    assert told is not None
    np.testing.assert_allclose(often / draws, told, atol=0.025)
    assert often.sum() / draws == pytest.approx(sum(told), abs=0.06)
    assert (min(told) > 0) is (shares[0] > 0)


def test_the_probability_of_a_set_is_how_often_just_these_are_asked():
    """All sets of a small panel: they add up to one, and to each dealer's own probability."""
    how = {"candidates": 6, "usual": 3, "least": 1, "most": 4, "explored": 0.3, "recounted": 0.4}
    sets = [set(ranks) for count in range(1, 5) for ranks in combinations(range(6), count)]
    likely = [probability_of(ranks, **how) for ranks in sets]
    assert sum(likely) == pytest.approx(1.0, abs=1e-12) and min(likely) > 0
    alone = [sum(p for ranks, p in zip(sets, likely, strict=True) if rank in ranks) for rank in range(6)]
    np.testing.assert_allclose(alone, inclusion_by_rank(**how), atol=1e-12)
    outcomes = list(DealerWorld(11, WorldTerms(requests=300)).history())
    assert all(o.set_propensity is not None and 0 < o.set_propensity < 1 for o in outcomes)
    habitual = [o.set_propensity for o in outcomes if o.set_propensity and o.set_propensity > 0.2]
    assert 0.3 < len(habitual) / len(outcomes) < 0.6, "no slot and no number at random: .85^(1 + about 4.5)"


def test_a_desk_log_without_exploration_is_certain_and_everyone_stands_in_the_log():
    desk, explored = (
        list(DealerWorld(11, WorldTerms(requests=150, explored=e, recounted=e)).history()) for e in (0.0, 0.15)
    )
    assert {p for o in desk for p in o.propensities} == {0.0, 1.0}
    for o in explored:
        assert len(o.candidates) == len(o.propensities) == 30
        likely = dict(zip(o.candidates, o.propensities, strict=True))
        assert all(a.propensity == likely[a.dealer] > 0 for a in o.asked)
        assert all(0 < p < 1 for p in o.propensities)
    assert {a.dealer for o in explored for a in o.asked} == set(explored[0].candidates)


def test_mark_outs_stand_in_the_log_at_every_horizon_with_their_controls():
    outcomes = list(DealerWorld(12, WorldTerms(requests=400, missing=0.1)).history())
    missing = [o for o in outcomes if o.mark_out_bps is None]
    assert 0.05 < len(missing) / 400 < 0.16 and all(set(o.mark_outs_bps) == {None} for o in missing)
    kept = [o for o in outcomes if o.mark_out_bps is not None]
    assert all(o.mark_out_bps == o.mark_outs_bps[MARK] and o.control_bps == o.controls_bps[MARK] for o in kept)
    assert MARK_OUT_HORIZONS_S[MARK] == MARK_OUT_S
    deviation = np.std([np.array(o.mark_outs_bps) / o.facts.volatility_bps for o in kept], axis=0)
    np.testing.assert_allclose(deviation, np.sqrt(np.array(MARK_OUT_HORIZONS_S) / 23_400), rtol=0.25)
    together = np.corrcoef([(o.mark_out_bps, o.control_bps) for o in kept], rowvar=False)[0, 1]
    assert 0.6 < together < 0.95, "the control is a part of the move, and measured with an error"


def test_a_policy_runs_in_closed_loop_and_learns():
    class Everyone:
        learned = 0

        def choose(self, facts, candidates, memory, rng):
            assert memory is not None and 0 < facts.size < 1
            return Chosen(tuple(candidates), (1.0,) * len(candidates))

        def learn(self, outcome):
            self.learned += 1

    world, memory, policy = DealerWorld(13), PanelMemory(), Everyone()
    auctions = list(world.run(policy, 5, memory))
    assert policy.learned == 5 and memory.knows(world.dealers[-1])
    for auction in auctions:
        assert auction.cost_bps == pytest.approx(auction.paid_bps + auction.rest_bps + auction.moved_bps)
        assert 0 <= auction.left <= 1 and len(auction.outcome.asked) == 30


def test_nobody_asked_costs_what_working_the_block_costs():
    world = DealerWorld(13)
    request = world.next_request()
    auction = world.play(request, asking())
    assert auction.cost_bps == world.rest_cost_bps(request.facts, 1.0) and auction.left == 1.0
    mean = world.expected_cost_bps(request, world.dealers[:4], 40)
    assert mean == world.expected_cost_bps(request, world.dealers[:4], 40) != auction.cost_bps


def test_redraws_are_independent_of_the_stream():
    world = DealerWorld(14)
    request = world.next_request()
    draws = [world.requests.redrawn(request, k) for k in range(70)]
    assert all(d.facts == request.facts for d in draws)
    np.testing.assert_array_equal(draws[0].chances.answer_u, request.chances.answer_u)
    noise = np.array([d.chances.noise for d in draws])
    assert len(np.unique(noise)) == noise.size


def test_a_world_plays_more_than_twenty_thousand_auctions_a_minute():
    world = DealerWorld(15)
    habit = DeskHabit(world.terms, world.requests.unusual)
    for _ in world.run(habit, 100):
        pass
    began, played = process_time(), 600
    for _ in world.run(habit, played):
        pass
    assert 60 * played / (process_time() - began) > 20_000


# --- what cannot be ----------------------------------------------------------------------------------------------


def test_impossible_worlds_and_choices_are_refused():
    with pytest.raises(BadInput, match="explored"):
        WorldTerms(explored=1.5)
    with pytest.raises(BadInput, match="noise"):
        WorldTerms(noise=0.0)
    with pytest.raises(BadInput, match="most"):
        DealerWorld(1, WorldTerms(dealers=5))
    with pytest.raises(BadInput, match="n: "):
        drawn_panel(1, 0)
    world = DealerWorld(1)
    request = world.next_request()
    with pytest.raises(BadInput, match="not a dealer"):
        world.play(request, asking(DealerId("D99")))
    with pytest.raises(BadInput, match="twice"):
        world.play(request, asking(world.dealers[0], world.dealers[0]))


def test_panels_are_drawn_by_seed_and_leak_alike_in_all():
    assert drawn_panel(1) != drawn_panel(2) and drawn_panel(1) == drawn_panel(1)
    panels = [drawn_panel(seed) for seed in range(5)]
    for panel in panels:
        assert np.mean([t.leak_rate * t.leak_share**0.5 for t in panel]) == pytest.approx(LEAK_LEVEL, rel=0.02)
        assert sum(t.fade_rate >= 0.24 for t in panel) == 3
        assert {s for t in panel for s in t.specialisms} == set(SECTORS)
    leaking = [tuple(np.argsort([t.leak_rate for t in p])[-3:]) for p in panels]
    assert len(set(leaking)) == 5

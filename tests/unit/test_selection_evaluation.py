"""The studies of choosing, very small: what they print is whole and fair. How good a choice is, is not judged here."""

import numpy as np
import pytest
from study_world import after

from ml.dealer_models import DealerModels
from ml.expected_cost import BlockTerms, default_rest
from ml.memory import PanelMemory
from ml.waves import InHand, Waiting, known, worth_asking
from rfq import cli
from rfq.domain.errors import BadInput
from rfq.studies import exploration_evaluation, scoring_bench, selection_evaluation, wave_evaluation
from rfq.studies import selection_policies as ways
from rfq.studies.dealer_world import DealerWorld, FirstWave
from rfq.studies.desk_habit import Chosen, DeskHabit
from rfq.studies.figures import Figures
from rfq.studies.selection_loop import Lane, side_by_side
from rfq.studies.spread_over import interval
from rfq.studies.world_requests import WorldTerms

TINY = selection_evaluation.Plan(worlds=1, log=500, early=420, tuning=10, requests=8, redraws=1)


@pytest.fixture(scope="module")
def world() -> DealerWorld:
    world = DealerWorld(31, WorldTerms(dealers=12, most=8))
    for _ in world.run(DeskHabit(world.terms), 60):
        pass
    return world


def test_a_fork_meets_the_same_requests_and_leads_its_own_life(world):
    one, other = world.fork(), world.fork()
    first, second = one.next_request(), other.next_request()
    assert first.facts == second.facts
    one.settle(one.play(first, Chosen(one.dealers, ())))
    assert not np.array_equal(one.inventory, other.inventory)
    assert world.number == one.number - 1


def test_the_same_policy_twice_costs_the_same(world):
    made = {name: world.fork() for name in ("one", "other")}
    lanes = {name: Lane(own, ways.ByHitRate((), True, 4), ()) for name, own in made.items()}
    costs, asked = side_by_side(lanes, 10, 1)
    np.testing.assert_array_equal(costs["one"], costs["other"])
    assert asked["one"] == pytest.approx(4)


def test_an_all_knowing_oracle_is_cheaper_than_rules(world):
    lanes = {}
    for name in ("oracle", "hits", "all"):
        own = world.fork()
        made = {
            "oracle": lambda own=own: ways.Oracle(own, knowing=True),
            "hits": lambda: ways.ByHitRate((), True, 4),
            "all": ways.ask_all,
        }
        lanes[name] = Lane(own, made[name](), ())
    costs, asked = side_by_side(lanes, 40, 2)
    assert costs["oracle"].mean() < costs["hits"].mean() < costs["all"].mean()
    assert asked["all"] == pytest.approx(12)


def test_a_small_table_is_whole():
    found = selection_evaluation.closed_loop(TINY, 77)
    plain = selection_evaluation.pure_log(TINY, 77)
    figures = Figures("tiny")
    selection_evaluation.describe(figures, [found], [plain])
    for name, cost in found.cost_bps.items():
        assert figures.figures[f"{name}_cost_bps"] == pytest.approx(cost, rel=1e-4)
    share = (found.cost_bps["rule"] - found.cost_bps["models"]) / (found.cost_bps["rule"] - found.cost_bps["oracle"])
    assert figures.figures["models_share_of_gap"] == pytest.approx(share, rel=1e-3)
    assert {goal.name for goal in figures.goals} >= {"models_share_of_gap", "pure_log_excess_high_bps"}


def test_exploring_online_and_off_policy_is_told_whole():
    plan = exploration_evaluation.Plan(requests=12, retrained=(), off_policy_log=840)
    found = exploration_evaluation.online(plan, 5)
    assert set(found) == {"greedy", "fixed", "thompson"} and min(found.values()) > 0
    estimate, true = exploration_evaluation.off_policy(plan, 5)["pure_habit"]
    assert estimate.effective > 30 and abs(estimate.mean_bps - true) < 6 * (estimate.high_bps - estimate.mean_bps)


def test_an_interval_holds_its_mean():
    mean, low, high = interval(np.array([1.0, 2.0, 4.0]))
    assert low < mean < high


# --- waves ---------------------------------------------------------------------------------------------------------


def test_quotes_of_the_first_wave_stand_in_the_second_and_others_are_dearer(world):
    own = world.fork()
    request = after(own, 0, two_way=False)
    chosen = Chosen(own.dealers[:6], ())
    free = own.play(request, chosen)
    held = np.zeros(12, dtype=bool)
    gone = own.play(request, chosen, FirstWave([0, 1, 2], np.full(12, np.inf), held, 5.0))
    said = {a.dealer: a.cost_bps for a in free.outcome.asked}
    for asked in gone.outcome.asked:
        if asked.dealer in own.dealers[:3]:
            assert asked.cost_bps is None
        elif asked.cost_bps is not None:
            assert asked.cost_bps == pytest.approx(said[asked.dealer] + 5.0)
    assert own.talked_bps(request, own.dealers, 2) >= own.talked_bps(request, own.dealers[:2], 2) >= 0


def test_more_are_asked_only_where_it_pays_for_what_waiting_risks(world):
    models, own = DealerModels.load(), world.fork()
    facts = own.next_request().facts.but(size=0.05, two_way=False)
    forecast = models.forecast(facts, own.dealers, PanelMemory(), ways.COUNTS)
    block, rest = BlockTerms(size=0.05), default_rest(0.05, facts.volatility_bps, facts.spread_bps)

    def asked(cost_bps: float, holds: float = 1.0, moved_bps: float = 0.0) -> tuple[int, ...]:
        in_hand = {0: InHand(cost_bps, 0.05), 1: None}
        return worth_asking(forecast, in_hand, Waiting(holds, moved_bps), block, rest, 6, 1).further

    assert len(asked(-5.0)) < len(asked(40.0))
    assert not {0, 1} & set(asked(40.0))
    middling = float(np.median(forecast.cost_bps[0, :, 2]))
    assert len(asked(middling, holds=0.3)) <= len(asked(middling))
    assert not asked(middling, holds=0.3, moved_bps=30.0)
    assert known(forecast, {0: None}, Waiting(0.5)).response[0, 0] == 0.0
    with pytest.raises(BadInput, match="holds"):
        Waiting(1.5)
    with pytest.raises(BadInput, match="moved_bps"):
        Waiting(0.5, float("nan"))


def test_waves_are_told_by_case():
    found = wave_evaluation.waves(wave_evaluation.Plan(log=420, requests=3, redraws=1), 3)
    assert set(found) == {case.name for case in wave_evaluation.CASES}
    assert all(np.isfinite(saving) and 0 <= share <= 1 for saving, share in found.values())


# --- commands ------------------------------------------------------------------------------------------------------


def test_the_scoring_bench_measures_both_ways():
    figures = scoring_bench.run(scoring_bench.Plan(decisions=4, naive=2, history=30, ages=(20, 40), lookups=3))
    for dealers in scoring_bench.PANELS:
        assert (
            0
            < figures.figures[f"decision_{dealers}_dealers_p50_ms"]
            < figures.figures[f"naive_{dealers}_dealers_p50_ms"]
        )
    assert {goal.bound for goal in figures.goals} == {"< 3", "< 15", ">= 20", "<= 1.5"}


def test_a_number_of_worlds_that_cannot_be_is_one_line(capsys):
    assert cli.main(["evaluate", "selection", "--worlds", "0"]) == 1
    assert "--worlds" in capsys.readouterr().err

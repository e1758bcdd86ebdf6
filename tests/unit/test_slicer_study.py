"""Rules are tuned, seeds are trained and policies are judged as the commands say, on a few short episodes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from slicers import a_slicer

from lit_router.market.batch.regimes import REGIMES
from lit_router.market.parameters import load
from ml.slicer import weights
from ml.slicer.ablation import TAKEN, UNGUARDED
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.guard import Guard
from ml.slicer.rules import SUBMIT_AND_LEAVE, TWAP, Rule, read
from ml.slicer.tuning import Bench, tuned
from rfq.domain.errors import BadInput
from rfq.studies import slicer_evaluation as evaluation
from rfq.studies import slicer_report as report
from rfq.studies import slicer_training as training
from rfq.studies import slicer_tuning as tuning
from rfq.studies.figures import Figures
from rfq.studies.slicer_evaluation import Candidate, Costs, Stress

SHORT = ((1.0, EpisodeLaw(horizon_s=60.0, decisions=4, warm_up_s=15.0)),)
RULES = {"twap_market": TWAP, "submit_and_leave": SUBMIT_AND_LEAVE, "strong": Rule(grace=0.5, lead=0.5)}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.json"
    tuning.write({name: tuning.Tuned(rule, 0.1, 3, 30) for name, rule in RULES.items()}, path)
    return path


@pytest.fixture
def slicer(tmp_path: Path) -> Path:
    path = tmp_path / "slicer.safetensors"
    weights.save(a_slicer(), path)
    return path


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (evaluation, training):
        monkeypatch.setattr(module, "STANDARD", SHORT)


def heard(_: str) -> None: ...


def test_a_descent_takes_what_is_better_and_tells_what_it_tried() -> None:
    bench = Bench([load("large_tick")], SHORT, 48)
    told: list[str] = []
    found = tuned(bench, TWAP, {"market": (0, 1), "lead": (0.0, 0.5)}, 2, told.append)
    start = float(bench.shortfalls(TWAP).mean())
    assert found.shortfall_spreads < start and found.rule.market == 0
    assert float(bench.shortfalls(found.rule).mean()) == found.shortfall_spreads
    assert found.trials == 5 and found.episodes == 5 * 48 and len(told) == 5


def test_rules_are_written_and_read_and_other_files_refused(rules: Path, tmp_path: Path) -> None:
    assert read(rules) == RULES
    rules.write_text('{"strong": {"rule": {"nonsense": 1}}}')
    with pytest.raises(BadInput, match="must be a file of tuned rules"):
        read(rules)
    with pytest.raises(BadInput, match="must be writable"):
        tuning.write({}, Path("/proc/none/rules.json"))


def test_policies_meet_the_same_episodes_and_what_was_played_is_not_played_again(
    rules: Path, slicer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = [Candidate("strong", rule="strong"), Candidate("slicer", slicer=slicer)]
    policies += [Candidate("twap", rule="twap_market"), Candidate("no_dark", slicer=slicer, taken="no_dark")]
    found = evaluation.costs(["large_tick"], policies, 8, heard, file=rules, keep=tmp_path / "kept")
    assert np.bincount(found.regime).tolist() == [8] * len(REGIMES) and set(found.market) == {"large_tick"}
    assert all(len(cost) == 32 and np.isfinite(cost).all() for cost in found.by_policy.values())
    assert found.by_policy["twap"].mean() > found.by_policy["strong"].mean()
    assert (found.by_policy["no_dark"] != found.by_policy["slicer"]).any()
    assert not any(found.left.values())
    monkeypatch.setattr(evaluation, "played", lambda part: pytest.fail("played again"))
    again = evaluation.costs(["large_tick"], policies, 8, heard, file=rules, keep=tmp_path / "kept")
    assert all((again.by_policy[name] == cost).all() for name, cost in found.by_policy.items())
    monkeypatch.undo()


def test_a_market_under_stress_is_another(rules: Path) -> None:
    policies = [Candidate("twap", rule="twap_market")]

    def mean(stress: Stress) -> float:
        found = evaluation.costs(["large_tick"], policies, 16, heard, stress=stress, file=rules)
        return float(found.by_policy["twap"].mean())

    assert mean(Stress(impact=4.0)) > mean(Stress())


def synthetic(gain: float) -> Costs:
    g = np.random.default_rng(1)
    regime, market = np.arange(4000) % 4, np.array(["a", "b"])[np.arange(4000) // 2000]
    rule = g.normal(0.2, 1.0, 4000)
    by_policy = {"strong": rule, "other": rule + 0.5, "slicer": rule - gain + g.normal(0, 0.1, 4000)}
    by_policy |= {name: by_policy["slicer"] + 0.02 for name in (*TAKEN, UNGUARDED)}
    return Costs(regime, market, by_policy, dict.fromkeys(by_policy, 0))


@pytest.mark.parametrize(("gain", "met"), [(0.1, True), (-0.05, False)])
def test_goals_are_met_by_a_gain_and_not_without_one(gain: float, met: bool) -> None:
    figures = Figures("test")
    report.beside(figures, synthetic(gain), "strong")
    goals = {goal.name: goal.met for goal in figures.goals}
    assert goals["slicer_less_best_rule_spreads"] is met and goals["slicer_saves_share"] is met
    assert all(goals[f"{regime.name}_upper_bound_spreads"] is met for regime in REGIMES)
    assert figures.figures["slicer_less_best_rule_spreads"] == pytest.approx(-gain, abs=0.01)
    assert figures.figures["a_slicer_less_best_rule_spreads"] == pytest.approx(-gain, abs=0.02)


def test_the_table_says_what_each_choice_is_worth() -> None:
    figures = Figures("test")
    report.table(figures, synthetic(0.1), "strong")
    assert figures.figures["best_rule"] == "strong"
    assert figures.figures["slicer_less_no_dark_spreads"] == pytest.approx(-0.02)
    assert figures.figures["slicer_less_other_spreads"] == pytest.approx(-0.6, abs=0.01)
    assert [(goal.name, goal.met) for goal in figures.goals] == [("left_lots", True)]


def test_what_cannot_be_trained_is_refused_and_the_median_is_kept(rules: Path, tmp_path: Path) -> None:
    run = training.Run(tmp_path / "run", sets=("large_tick",), changes=("updates=1", "rate=2e-3"), rules=rules)
    assert run.plan == training.ppo.Plan(updates=1, rate=2e-3)
    wrong = ("updates=0", "updates=1.5", "rate=-1", "rate=nan", "rate", "pace=3")
    for change in (*({"changes": (one,)} for one in wrong), {"algorithm": "none"}):
        with pytest.raises(BadInput):
            _ = run._replace(**change).plan  # type: ignore[arg-type]
    judged = [training.Judged(cost, 0.2, 0.0, 0.1) for cost in (0.1, 0.2, 0.3)]
    three = [(seed, tmp_path, one) for seed, one in enumerate(judged)]
    assert training.median(three)[2].shortfall == 0.2 and training.median(three[:2])[2].shortfall == 0.2


def test_a_seed_comes_with_its_card(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = training.ppo.Plan(updates=1, groups=4, group=2)
    monkeypatch.setattr(training.ppo, "Plan", lambda: small)
    monkeypatch.setattr(training, "VALIDATION_EPISODES", 16)
    run = training.Run(tmp_path / "run", sets=("large_tick",), seeds=(5, 6), rules=rules, code="abc")
    found = training.all_seeds(run, heard)
    (seed, path, judged), (last, other, worse) = found
    slicer = weights.load(path)
    assert {seed, last} == {5, 6} and judged.shortfall <= worse.shortfall
    assert slicer.card["seed"] == seed and slicer.card["code"] == "abc"
    assert slicer.card["validation"] == pytest.approx(judged._asdict()) and slicer.version.startswith("slicer-")
    assert (slicer.envelope.low <= slicer.envelope.high).all() and slicer.rule == RULES["strong"]
    assert json.loads(json.dumps(slicer.card))["episodes"] == 8
    # The median is kept, of two the worse; and what the other's critic says of the cost.
    kept, median, ground = training.kept(found, training.ground_of(run)), weights.load(other), training.ground_of(run)
    assert kept.card["seed"] == last and kept.card["opinions_of_seeds"] == [seed]
    assert set(kept.card["validation_by_seed"]) == {"5", "6"}
    assert kept.version != median.version
    # What it is named by is all that decides, where it hands over included.
    lenient = kept._replace(envelope=kept.envelope._replace(high=kept.envelope.high + 1))
    assert training.named(kept).version == kept.version != training.named(lenient).version
    x = training.visited(kept.actor, ground, 64)
    assert torch.equal(kept.opinions[0](x), slicer.critic.quantiles(x))
    within = (Guard(kept).apart(x) <= kept.envelope.apart).float().mean()
    assert within > 0.99 and 0 < kept.envelope.apart < torch.inf
    alone = training.kept(found[:1], ground)
    assert alone.opinions == () and alone.envelope.apart == torch.inf and alone.version == slicer.version

"""`rfq evaluate dealers`, tiny: its shape, and what must hold however little was played."""

import json

import numpy as np
import pytest

from ml import leakage_prior
from rfq.domain.errors import BadInput
from rfq.studies import dealer_evaluation as evaluation
from rfq.studies import leakage_evaluation, quote_evaluation
from rfq.studies.dealer_evaluation import Plan
from rfq.studies.world_requests import WorldTerms


@pytest.fixture(scope="module")
def found() -> dict:
    plan = Plan(worlds=2, small=150, usual=450)
    with pytest.MonkeyPatch.context() as less:
        less.setattr(evaluation, "played", _played_here)
        less.setattr(quote_evaluation, "PROBES", 30)
        less.setattr(leakage_evaluation, "HELD_OUT", 100)
        less.setattr(leakage_prior, "SWEEPS", 60)
        return json.loads(evaluation.run(plan).json())


def _played_here(tables, seeds, processes):
    return {name: [table(seed) for seed in seeds] for name, table in tables.items()}


def test_one_object_of_figures_with_intervals_and_goals(found):
    figures, goals = found["figures"], found["goals"]
    for way in ("constant", "plain", "model", "knowing"):
        for size in ("150", "450"):
            name = f"leakage_{way}_rmse_bps_{size}"
            assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
    assert figures["leakage_constant_rmse_of_constant_450"] == pytest.approx(1.0, abs=1e-3)
    assert {"name", "value", "bound", "met"} == set(goals[0])
    named = [goal["name"] for goal in goals]
    assert "leakage_model_spearman_450" in named and "quotes_below_raw_trees" in named
    assert all(np.isfinite(goal["value"]) for goal in goals)


def test_the_world_is_as_noisy_as_declared_and_noisier_beside(found):
    figures = found["figures"]
    assert figures["leakage_noise_to_leakage"] > 7
    noisier = figures["leakage_noisier_noise_to_leakage"]
    assert noisier == pytest.approx(1.5 * figures["leakage_noise_to_leakage"], rel=0.2)


def test_whoever_knows_more_does_better(found):
    figures = found["figures"]
    assert figures["quotes_truth_knowing_pinball"] < figures["quotes_truth_unknowing_pinball"]
    assert figures["quotes_truth_unknowing_pinball"] < figures["quotes_model_pinball"]
    assert figures["quotes_model_pinball"] < figures["quotes_constant_pinball"]
    assert figures["quotes_model_told_hidden_pinball"] < figures["quotes_model_pinball"]
    assert figures["quotes_answers_knowing_auc"] > figures["quotes_answers_model_auc"]


def test_the_interval_is_of_the_mean_over_worlds():
    low, high = evaluation.interval(np.array([1.0, 2.0, 3.0, 4.0]))
    assert 1.0 <= low < 2.5 < high <= 4.0
    assert evaluation.interval(np.array([2.0, 2.0])) == (2.0, 2.0)


def test_one_world_has_no_interval():
    with pytest.raises(BadInput, match="at least 2"):
        evaluation.run(Plan(worlds=1))


def test_the_same_seed_gives_the_same_table():
    one, two = (leakage_evaluation.table(5, (200,), WorldTerms(), cheat=False) for _ in range(2))
    assert one == two


def test_tables_come_from_processes_of_their_own():
    """In the order of the seeds, whoever finishes first; told how far it is."""
    found = evaluation.played({"name": leakage_evaluation.shown}, [2000, 150], processes=1)  # type: ignore[dict-item]
    assert found == {"name": ["2k", "150"]}

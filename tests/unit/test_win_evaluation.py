"""`rfq evaluate wins`: its figures, what it says where there is nothing to judge, and its refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from ml import scores
from ml.wins import choosing
from ml.wins.features import FEATURES, RISING, SURPRISES
from rfq import cli
from rfq.studies.figures import shown
from rfq.studies.win_card import LIMITS
from rfq.studies.win_evaluation import SEED, interval
from rfq.studies.win_reliability import reliability

HEAD = "date_time,instrument,client,price,mid,vol_MM,dv01,num_dealers,side,won"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(choosing, "HALF_LIVES_DAYS", (20.0,))
    monkeypatch.setattr(choosing, "RIDGES", (50.0,))
    monkeypatch.setattr(choosing, "TREES", (0, 20))


def written(path, month, rows=150, seed=1, won=None):
    rng = np.random.default_rng(seed)
    lines = [HEAD]
    for row in range(rows):
        edge, side = rng.normal(-0.3, 0.25), rng.choice((-1, 1))
        happened = int(rng.random() < 1 / (1 + np.exp(-(6 * edge)))) if won is None else won
        lines.append(
            f"2019-{month:02}-{1 + row % 28:02} {8 + row % 9:02}:00:00.0,A,{'XY'[row % 2]},"
            f"{100 + side * edge / 10:.4f},100,1.5,10,5,{side},{happened}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def files(tmp_path):
    return written(tmp_path / "train.csv", 2), written(tmp_path / "test.csv", 3, seed=2)


def evaluate(capsys, train, test, *more):
    status = cli.main(["evaluate", "wins", "--train", str(train), "--test", str(test), *map(str, more)])
    return status, capsys.readouterr()


def test_json_is_one_object_of_figures_and_goals_and_progress_goes_beside_it(capsys, files):
    status, printed = evaluate(capsys, *files, "--json")
    said = json.loads(printed.out)
    assert status == 0
    figures = said["figures"]
    assert {"auc", "brier", "ece", "validation_auc", "constant_brier", "plain_auc"} <= figures.keys()
    assert figures["auc_low"] <= figures["auc"] <= figures["auc_high"]
    assert figures["brier_low"] <= figures["brier"] <= figures["brier_high"]
    assert figures["auc"] > 0.7 and figures["brier"] < figures["constant_brier"]
    assert [(goal["name"], goal["bound"]) for goal in said["goals"]] == [("auc", ">= 0.74"), ("brier", "<= 0.09")]
    assert "validation:" in printed.err and "reliability:" in printed.err


def test_without_outcomes_rfqs_are_scored_and_nothing_is_judged(capsys, files):
    train, test = files
    test.write_text("\n".join(line.rsplit(",", 1)[0] for line in test.read_text().splitlines()))
    status, printed = evaluate(capsys, train, test, "--json")
    said = json.loads(printed.out)
    assert status == 0 and said["goals"] == []
    assert said["figures"]["test_rfqs"] == 150 and said["figures"]["test_outcomes_known"] == 0
    assert not {"auc", "brier", "ece"} & said["figures"].keys()
    assert "no outcome is known in the test file" in printed.err


def test_outcomes_all_alike_have_no_auc(capsys, files, tmp_path):
    status, printed = evaluate(capsys, files[0], written(tmp_path / "lost.csv", 3, won=0), "--json")
    said = json.loads(printed.out)
    assert status == 0 and "auc" not in said["figures"] and "brier" in said["figures"]
    assert [goal["name"] for goal in said["goals"]] == ["brier"]
    assert "auc is not defined" in printed.err


def test_mids_and_a_page(capsys, files, tmp_path):
    mids = tmp_path / "mids.csv"
    mids.write_text("date_time,mid,instrument\n2019-02-01 07:00:00,100,A\n2019-03-01 07:00:00,100.5,A\n")
    page = tmp_path / "wins.png"
    status, printed = evaluate(capsys, *files, "--mids", mids, "--page", page)
    assert status == 0 and "goals" in printed.out
    assert page.read_bytes().startswith(b"\x89PNG") and not list(tmp_path.glob("*.part"))


def test_a_card_beside_the_page_says_what_was_found(capsys, files, tmp_path):
    _, printed = evaluate(capsys, *files, "--page", tmp_path / "wins.png", "--json")
    found, told = json.loads(printed.out), (tmp_path / "wins.md").read_text()
    for name in ("auc", "auc_low", "auc_high", "brier", "plain_brier", "constant_brier", "ece"):
        assert shown(found["figures"][name]) in told
    for goal in found["goals"]:
        assert f"{goal['name']} {goal['bound']}: {'met' if goal['met'] else 'not met'}" in told
    assert "150 RFQs until 2019-02" in told and f"seed of the bootstrap | {SEED}" in told


def test_the_committed_card_is_of_the_model_as_it_is():
    told = (Path(__file__).parents[2] / "docs/win-model-card.md").read_text()
    assert ", ".join(f"`{name}`" for name in (*FEATURES, *SURPRISES)) in told
    assert ", ".join(f"`{name}`" for name in sorted(RISING)) in told
    assert all(f"- {limit}" in told for limit in LIMITS)


@pytest.mark.parametrize("missing", ["--train", "--test", "--mids"])
def test_a_file_that_is_not_there_is_one_line_and_a_non_zero_exit(capsys, files, tmp_path, missing):
    train, test = files
    absent = tmp_path / "absent.csv"
    given = {"--train": train, "--test": test} | {missing: absent}
    status = cli.main(["evaluate", "wins", *(str(part) for pair in given.items() for part in pair)])
    printed = capsys.readouterr()
    assert status == 1 and printed.out == ""
    assert printed.err.count("\n") == 1 and "absent.csv' must be readable" in printed.err


def test_pages_that_cannot_be_are_refused_before_the_work(capsys, files, tmp_path):
    status, printed = evaluate(capsys, *files, "--page", tmp_path / "no" / "wins.png")
    assert status == 1 and "must be in a folder that exists" in printed.err and "validation" not in printed.err
    train, test = files
    test.write_text("\n".join(line.rsplit(",", 1)[0] for line in test.read_text().splitlines()))
    status, printed = evaluate(capsys, train, test, "--page", tmp_path / "wins.png")
    assert status == 1 and "needs outcomes in the test file" in printed.err


def test_an_earlier_test_file_and_a_training_file_without_wins_are_refused(capsys, files, tmp_path):
    train, test = files
    status, printed = evaluate(capsys, test, train)
    assert status == 1 and "must not begin before the training file ends" in printed.err
    status, printed = evaluate(capsys, written(tmp_path / "lost.csv", 1, won=0), test)
    assert status == 1 and "must have both wins and losses" in printed.err


def test_intervals_resample_whole_days():
    happened, said = np.array([1.0, 0, 1, 0]), np.array([0.9, 0.9, 0.1, 0.1])
    low, high = interval(scores.brier, happened, said, np.array([1, 1, 2, 2]))
    assert (low, high) == (pytest.approx(0.41), pytest.approx(0.41)), "each day has the same score, row by row not"
    assert interval(scores.brier, happened, said, np.array([1, 1, 1, 1])) == (None, None)


def test_reliability_by_hand():
    said = np.linspace(0.01, 0.4, 40)
    happened = np.zeros(40)
    happened[38:] = 1
    bins = reliability(happened, said)
    assert bins.count.tolist() == [4] * 10
    assert bins.said[0] == pytest.approx(0.025) and bins.won.tolist() == [0] * 9 + [0.5]
    assert bins.low[-1] == pytest.approx(0.15, abs=0.005) and bins.high[-1] == pytest.approx(0.85, abs=0.005)
    lines = list(bins.lines())
    assert len(lines) == 11 and "|" in lines[1]
    assert reliability(np.array([1.0]), np.array([0.3])).count.tolist() == [1]

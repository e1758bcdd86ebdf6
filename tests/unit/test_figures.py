"""Figures and goals: one shape for every bench and evaluation."""

import json
import math

import pytest

from rfq.domain.errors import BadInput
from rfq.studies.figures import Figures


def some() -> Figures:
    figures = Figures("a bench")
    figures.add("award_p99_ms", 123.456789)
    figures.add("fsync", "on")
    figures.add("rfqs_count", 10_000)
    figures.add("spare_ratio", None)
    figures.goal("award_p99_ms", 249.9999999, "<", 250.0)
    figures.goal("ratio", 3.0001, "<=", 3.0)
    return figures


def test_json_is_one_object_of_figures_and_goals():
    said = json.loads(some().json())
    assert said["figures"] == {"award_p99_ms": 123.46, "fsync": "on", "rfqs_count": 10_000, "spare_ratio": None}
    assert said["goals"] == [
        {"name": "award_p99_ms", "value": 250.0, "bound": "< 250", "met": True},
        {"name": "ratio", "value": 3.0001, "bound": "<= 3", "met": False},
    ]


@pytest.mark.parametrize(
    ("value", "how", "bound", "met"),
    [
        (3.0, "<=", 3.0, True), (3.0, "<", 3.0, False), (3.0, ">=", 3.0, True), (3.0, ">", 3.0, False),
        (2.9, "<", 3.0, True), (2.9, ">", 3.0, False), (math.nan, "<=", 3.0, False), (math.nan, ">=", 3.0, False),
    ],
)  # fmt: skip
def test_a_goal_is_judged_by_its_bound_and_nothing_meets_it_without_a_number(value, how, bound, met):
    figures = Figures("a bench")
    figures.goal("ratio", value, how, bound)
    assert figures.goals[0].met is met


def test_the_table_names_every_figure_and_verdict_and_prints_on_request(capsys):
    figures = some()
    figures.print(as_json=False)
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == "a bench" and "10,000" in shown
    assert any(line.split() == ["ratio", "3", "<=", "3", "NOT", "MET"] for line in lines)
    assert any(line.split() == ["award_p99_ms", "250", "<", "250", "met"] for line in lines)
    figures.print(as_json=True)
    assert json.loads(capsys.readouterr().out)["goals"][0]["met"] is True


def test_a_name_is_given_once():
    figures = some()
    with pytest.raises(BadInput, match="given twice"):
        figures.add("fsync", "off")


def test_a_report_names_the_code_and_holds_the_table(tmp_path):
    path = tmp_path / "deep" / "report.md"
    some().write(path, "abc123")
    written = path.read_text()
    assert written.startswith("# a bench\n\nCode version: abc123.\n") and some().table() in written
    with pytest.raises(BadInput, match="must be writable"):
        some().write(tmp_path, "abc123")

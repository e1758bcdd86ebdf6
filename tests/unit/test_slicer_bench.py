"""The bench of the slicer, very small: what it prints is whole and adds up. How fast it was is not judged here."""

import json

import pytest

from lit_router.market.batch.pools import POOLS
from rfq import cli
from rfq.studies import slicer_bench as bench

TINY = bench.Plan(decisions=(4, 2, 1), rounds=1, groups=2, alone=1)


def test_a_small_bench_measures_everything_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "QUICK", TINY)
    monkeypatch.setattr(bench, "LAW", bench.LAW._replace(horizon_s=60.0, decisions=4, warm_up_s=5.0))
    cli.main(["bench", "slicer", "--json", "--quick"])
    said = json.loads(capsys.readouterr().out)
    figures, goals = said["figures"], {goal["name"]: goal for goal in said["goals"]}
    for parents in bench.PARENTS:
        for name in ("", "processor_"):
            low, high = (figures[f"decision_{parents}_parents_{name}p{level}_ms"] for level in (50, 99))
            assert 0 < low <= high
    for way in ("batched", "loop"):
        assert 0 < figures[f"{way}_training_steps_per_s"] < figures[f"{way}_environment_steps_per_s"]
    for what in ("environment", "training"):
        both = figures[f"batched_{what}_steps_per_s"] / figures[f"loop_{what}_steps_per_s"]
        assert figures[f"batched_over_loop_{what}_ratio"] == pytest.approx(both, rel=1e-3)
    assert {name: goal["bound"] for name, goal in goals.items()} == {
        "decision_1_parents_p99_ms": "< 1",
        "decision_64_parents_p99_ms": "< 5",
    }


def test_orders_that_are_timed_differ_move_and_fill():
    rounds = bench.situations(12)
    first, second = next(rounds), next(rounds)
    assert len({one.order.symbol for one in first}) == 6 and len({one.order.quantity for one in first}) > 6
    for before, after in zip(first, second, strict=True):
        assert before.order == after.order and before.at < after.at and before.filled < after.filled
        assert {child.venue for child in after.resting} == {"lit", *(pool.name for pool in POOLS)}
        assert after.free + after.filled + sum(child.leaves for child in after.resting) == after.order.quantity
    assert any(before.bid != after.bid for before, after in zip(first, second, strict=True))

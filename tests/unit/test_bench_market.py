"""The market bench, very small: what it prints is whole and adds up. How fast it was is not judged here."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lit_router.market import lobster
from rfq import cli
from rfq.domain.errors import BadInput
from rfq.studies import market_bench as bench
from rfq.studies.market_workload import LOOK_STEPS, Load, Workload, quiet_day


def test_a_small_bench_measures_everything_once():
    said = json.loads(bench.run(bench.Plan(rounds=1, round_s=0.01, each_s=0.01, messages=2000)).json())
    figures, goals = said["figures"], {goal["name"]: goal for goal in said["goals"]}

    measured = {name: value for name, value in figures.items() if name.endswith("_per_s") and value != "none"}
    assert len(measured) >= 35 and min(measured.values()) > 0
    for markets in bench.SIZES:
        assert f"reference_{markets}_markets_1_threads_events_per_s" in figures
    # The book of the reference has some ten events a second, 2.5 a step.
    for name in ("exact", "reference", "reference_4096_markets_1_threads", "no_pools_1_threads"):
        steps, events = (figures[f"{name}_{what}_per_s"] for what in ("market_steps", "events"))
        assert events / steps == pytest.approx(2.5, rel=0.1), name
    assert 200 < figures["state_bytes_per_market"] < 2000

    ratio = goals["reference_over_exact_ratio"]
    assert ratio["value"] == pytest.approx(figures["reference_events_per_s"] / figures["exact_events_per_s"], rel=1e-3)
    low, high = goals["step_at_16384_over_1024_ratio_low"], goals["step_at_16384_over_1024_ratio_high"]
    assert low["value"] == high["value"]
    assert low["value"] == pytest.approx(figures["step_at_16384_ns"] / figures["step_at_1024_ns"], rel=1e-3)
    bounds = {name: goal["bound"] for name, goal in goals.items()}
    assert bounds == {
        "reference_over_exact_ratio": ">= 2",
        "one_market_hour_s": "< 15",
        "replay_events_per_s": ">= 1e+06",
        "step_at_16384_over_1024_ratio_low": ">= 0.5",
        "step_at_16384_over_1024_ratio_high": "<= 1.5",
    }


def test_the_reference_really_has_an_order_in_every_market_and_three_pools():
    load = Load(Workload(markets=200))
    filled = 0
    for _ in range(9):
        load.stretch()
        filled += int((load.markets.state.leaves == 0).sum())
    state = load.markets.state
    assert filled > 100, "orders trade"
    load._look()
    assert (state.side[:, 0].numpy() == np.tile([1, -1], 100)).all(), "and are sent again"
    assert (state.hidden[:, :3] > 0).any(2).any(0).all() and not state.hidden[:, 3:].any()
    assert load.markets.steps == 9 * LOOK_STEPS


def test_tensors_play_the_same_as_what_is_compiled():
    compiled, tensors = (Load(Workload(markets=20, tensors=which)) for which in (False, True))
    for load in (compiled, tensors):
        load.stretch()
        load.stretch()
    assert (compiled.markets.state.queues == tensors.markets.state.queues).all()
    assert (compiled.markets.state.filled == tensors.markets.state.filled).all()


def test_the_made_recording_is_one_that_could_have_been_recorded(tmp_path: Path):
    day = quiet_day(500)
    for buys, book in ((True, day.bids), (False, day.asks)):
        mine, sizes = day.buys == buys, book[:, 0, 1]
        signed = np.where(day.kinds == lobster.ADD, day.sizes, -day.sizes)
        assert (np.diff(sizes) == (signed * mine)[1:]).all() and sizes.min() > 0
    assert set(day.kinds) == {lobster.ADD, lobster.PARTIAL_CANCEL, lobster.EXECUTION}


def test_a_book_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    broken = tmp_path / "day.zip"
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("nothing.csv", "")
    with pytest.raises(BadInput, match="exactly one message"):
        bench.run(bench.QUICK, broken)
    assert cli.main(["bench", "market", "--quick", "--book", str(broken)]) == 1
    assert "exactly one message" in capsys.readouterr().err

"""The auction bench, very small: what it prints is whole and adds up. How fast it was is not judged here."""

import json

import pytest

from rfq.domain.errors import BadInput
from rfq.studies import auction_bench as bench


async def test_a_small_bench_measures_everything_once():
    plan = bench.Plan(rfqs=40, in_flight=5, warm_up=5, rounds=1, round_rfqs=20, floor_rfqs=20, half_s=0.5)
    said = json.loads((await bench.run(plan)).json())
    figures, goals = said["figures"], {goal["name"]: goal for goal in said["goals"]}

    assert figures["database_fsync"] == figures["database_synchronous_commit"] == "on"
    assert figures["database_full_page_writes"] == "on" and figures["cores_count"] >= 1
    assert figures["rfqs_count"] >= 40
    assert figures["floor_frames_to_dealers_per_rfq"] == 21 and figures["floor_frames_from_dealers_per_rfq"] == 11
    assert figures["floor_commits_per_rfq"] == 4
    # 10 requests, 1 lift, 9 notices and a trade; 10 quotes, a confirmation and an acknowledgement; heartbeats.
    assert 21 <= figures["frames_to_dealers_per_rfq"] < 23 and 12 <= figures["frames_from_dealers_per_rfq"] < 14
    assert figures["events_per_rfq"] == 22 and 3 <= figures["commits_per_rfq"] <= 22
    assert figures["chosen_by_models_percent"] == 100 and figures["failed_rfqs_count"] == 0

    fastest = max(figures["floor_rfqs_per_s"], figures["floor_grouped_commits_rfqs_per_s"])
    ratio = goals["faster_floor_over_ours_ratio"]
    assert ratio["value"] == pytest.approx(fastest / figures["saturation_rfqs_per_s"], rel=1e-3)
    assert ratio["met"] == (ratio["value"] <= 3) and ratio["bound"] == "<= 3"
    assert 0 < figures["post_to_award_at_half_rate_p50_ms"] <= figures["post_to_award_at_half_rate_p99_ms"]
    assert 0 < figures["post_to_award_at_saturation_p50_ms"] <= figures["post_to_award_at_saturation_p99_ms"]
    assert goals["service_memory_most_mb"]["bound"] == "< 700" and 50 < figures["service_memory_most_mb"] < 2000
    assert "service_memory_growth_percent" not in goals, "judged over 10,000 RFQs only"


def test_what_is_measured_can_be_chosen():
    assert bench.plan() == bench.Plan() and bench.plan(quick=True) == bench.QUICK
    assert bench.plan(rfqs=500).rfqs == 500
    with pytest.raises(BadInput, match="at least 100"):
        bench.plan(rfqs=10)

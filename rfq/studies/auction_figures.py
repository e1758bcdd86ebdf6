"""What the auction bench found, as figures and goals."""

from collections.abc import Sequence
from statistics import median

import asyncpg
import numpy as np

from rfq.studies.auction_load import AuctionLoad, Round
from rfq.studies.figures import Figures
from rfq.studies.floor import FloorRun

RFQS_FOR_MEMORY = 10_000
"""From here on growth is judged: before, buffers that are bounded are still filling up."""
TRANSACTIONS = "SELECT xact_commit AS found FROM pg_stat_database WHERE datname = current_database()"


def say_speed(figures: Figures, each: Sequence[FloorRun], grouped: Sequence[FloorRun], ours: Sequence[Round]) -> float:
    """Throughput beside the floor; returns the saturation rate. The floor that is faster is the one judged against."""
    add = figures.add
    floor, faster = median(r.rfqs_per_s for r in each), median(r.rfqs_per_s for r in grouped)
    saturation = median(r.rfqs_per_s for r in ours)
    ratio = max(floor, faster) / saturation
    add("floor_rfqs_per_s", floor)
    add("floor_grouped_commits_rfqs_per_s", faster)
    add("saturation_rfqs_per_s", saturation)
    add("saturation_slowest_round_rfqs_per_s", min(r.rfqs_per_s for r in ours))
    add("floor_over_ours_ratio", floor / saturation)
    add("faster_floor_over_ours_ratio", ratio)
    awards_ms = np.array([s for r in ours for s in r.award_s]) * 1e3
    add("post_to_award_at_saturation_p50_ms", float(np.percentile(awards_ms, 50)))
    add("post_to_award_at_saturation_p99_ms", float(np.percentile(awards_ms, 99)))
    add("service_cpu_per_rfq_ms", median(r.cpu_ms for r in ours))
    add("floor_cpu_per_rfq_ms", median(r.cpu_ms for r in each))
    add("floor_grouped_commits_cpu_per_rfq_ms", median(r.cpu_ms for r in grouped))
    add("bench_cpu_per_rfq_ms", median(r.bench_cpu_ms for r in ours))
    figures.goal("faster_floor_over_ours_ratio", ratio, "<=", 3.0)
    return saturation


def say_half_rate(figures: Figures, award_s: Sequence[float], for_s: float) -> None:
    awards_ms = np.array(award_s) * 1e3
    p99 = float(np.percentile(awards_ms, 99))
    figures.add("half_rate_rfqs_per_s", len(award_s) / for_s)
    figures.add("post_to_award_at_half_rate_p50_ms", float(np.percentile(awards_ms, 50)))
    figures.add("post_to_award_at_half_rate_p99_ms", p99)
    figures.goal("post_to_award_at_half_rate_p99_ms", p99, "<", 250.0)


async def say_counts(
    figures: Figures, connection: asyncpg.Connection, floor: FloorRun, ours: Round, rfqs: int, transactions_before: int
) -> None:
    """Ours beside the floor's, for each RFQ. Of the record: over the whole run, mark-outs and acknowledgements too."""
    add = figures.add
    add("floor_frames_to_dealers_per_rfq", floor.frames_out)
    add("frames_to_dealers_per_rfq", ours.frames_out)
    add("floor_frames_from_dealers_per_rfq", floor.frames_in)
    add("frames_from_dealers_per_rfq", ours.frames_in)
    add("floor_commits_per_rfq", floor.commits)
    # The transaction that wrote a row is in the row: how many each RFQ's events are spread over, and how many
    # there were in all, grouped commits of several RFQs counted once.
    spread = await fetched(
        connection,
        "SELECT avg(commits) AS commits, avg(events) AS events FROM (SELECT count(DISTINCT xmin::text) AS commits,"
        " count(*) AS events FROM events WHERE stream_kind = 'rfq' GROUP BY stream_name) AS one",
    )
    add("commits_per_rfq", float(spread["commits"]))
    add("events_per_rfq", float(spread["events"]))
    written = await fetched(
        connection,
        "SELECT count(DISTINCT xmin::text) AS commits, count(*) FILTER (WHERE stream_kind <> 'rfq') AS others"
        " FROM events",
    )
    add("other_events_per_rfq", written["others"] / rfqs)
    add("writing_transactions_per_rfq", written["commits"] / rfqs)
    add("all_transactions_per_rfq", ((await fetched(connection, TRANSACTIONS))["found"] - transactions_before) / rfqs)
    marks = await fetched(connection, "SELECT count(*) AS found FROM mark_outs")
    add("mark_outs_per_rfq", marks["found"] / rfqs)
    chosen = await fetched(connection, "SELECT 100 * avg((model_version <> 'priors')::int) AS found FROM decisions")
    add("chosen_by_models_percent", float(chosen["found"]))


def say_memory(figures: Figures, load: AuctionLoad, end_mb: float, early: int) -> None:
    """The service with its processes. Flat means: after the last RFQ less than 5% above what it was after `early`."""
    most_mb = max([*load.memory_mb.values(), end_mb])
    figures.add("rfqs_count", load.done)
    figures.add("failed_rfqs_count", load.failed)
    figures.add("service_memory_most_mb", most_mb)
    figures.add("service_memory_at_the_end_mb", end_mb)
    figures.goal("service_memory_most_mb", most_mb, "<", 700.0)
    early_mb = load.memory_mb.get(early)
    if early_mb is not None and load.done >= RFQS_FOR_MEMORY:
        growth = (end_mb / early_mb - 1) * 100
        figures.add(f"service_memory_after_{early}_rfqs_mb", early_mb)
        figures.add("service_memory_growth_percent", growth)
        figures.goal("service_memory_growth_percent", growth, "<", 5.0)


async def fetched(connection: asyncpg.Connection, query: str) -> asyncpg.Record:
    row = await connection.fetchrow(query)
    assert row is not None
    return row

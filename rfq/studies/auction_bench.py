"""The speed and memory of auctions: a real service in a process of its own, beside a floor measured in the same run.

Ten dealers on loopback WebSockets answer at once, a desk posts over HTTP, and PostgreSQL commits durably. Rounds of the
floor and of the service alternate, so that a machine that slows down slows both. See `run`.
"""

import asyncio
import math
import os
import random
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import asyncpg
import numpy as np

from db.embedded import temporary_postgres
from rfq import keys
from rfq.domain.errors import BadInput, OurFault
from rfq.domain.values import Frozen
from rfq.studies.bench_dealers import BenchDealers, BenchDesk, Sourced
from rfq.studies.child_process import ChildProcess
from rfq.studies.figures import Figures, progress
from rfq.studies.floor import DEALERS, FloorRun, run_floor

DESKS = 4
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "server_version")
RFQS_FOR_MEMORY = 10_000
"""From here on memory is judged: before, buffers that are bounded are still filling up."""


class Plan(Frozen, frozen=True):
    """How much is measured."""

    rfqs: int = 10_000
    """In all, at the least: what is left after the measurements is run at saturation, for the sake of memory."""
    in_flight: int = 100
    warm_up: int = 200
    rounds: int = 3
    round_rfqs: int = 800
    floor_rfqs: int = 1500
    half_s: float = 60.0
    """Seconds at half the saturation rate."""


def plan(*, quick: bool = False, rfqs: int | None = None) -> Plan:
    """Raises BadInput for fewer RFQs than one round has."""
    chosen = QUICK if quick else Plan()
    if rfqs is None:
        return chosen
    if rfqs < chosen.in_flight:
        raise BadInput("rfqs", rfqs, f"must be at least {chosen.in_flight}")
    return chosen.but(rfqs=rfqs)


QUICK = Plan(rfqs=1200, rounds=2, round_rfqs=300, floor_rfqs=600, half_s=10.0)


class Round(Frozen, frozen=True):
    """Ours, at saturation."""

    rfqs_per_s: float
    cpu_ms: float
    bench_cpu_ms: float
    award_s: tuple[float, ...]
    frames_out: float
    frames_in: float


async def run(plan: Plan) -> Figures:
    """Measures according to `plan`. Raises OurFault where it could not measure."""
    figures = Figures("auction bench: 10 dealers on loopback, durable commits")
    with tempfile.TemporaryDirectory(prefix="sotto-bench-") as folder:
        async with temporary_postgres() as database:
            progress("database up, starting the service")
            connection = await asyncpg.connect(database.url)
            try:
                await connection.execute("CREATE DATABASE floor")
                for name in SETTINGS:
                    figures.add(f"database_{name}", await connection.fetchval(f"SHOW {name}"))
                figures.add("cores_count", len(os.sched_getaffinity(0)))
                figures.add("in_flight_rfqs", plan.in_flight)
                await _measure(plan, figures, Path(folder), database.url, connection)
            finally:
                await connection.close()
    return figures


async def _measure(
    plan: Plan, figures: Figures, folder: Path, url: str, connection: "asyncpg.Connection[Any]"
) -> None:
    dealers = [keys.KeyEntry(f"bench-dealer-{i}", "dealer", keys.new_key()) for i in range(DEALERS)]
    desks = [keys.KeyEntry(f"bench-desk-{i}", "desk", keys.new_key()) for i in range(DESKS)]
    keys.write(folder / "keys.toml", [*dealers, *desks])
    serve = ("-m", "rfq.cli", "serve", "--with-parent")
    async with ChildProcess(*serve, environ=_environ(folder, url), log=folder / "service.log") as child:
        port = await _port(child)
        bench = BenchDealers()
        desk = BenchDesk("127.0.0.1", port, [e.key for e in desks], bench, [e.name for e in dealers])
        try:
            await bench.connect("127.0.0.1", port, [e.key for e in dealers])
            await _Run(plan, figures, child, desk, bench, url, connection, folder).all()
        except OurFault as fault:
            raise OurFault(f"{fault} (service: {child.last_words()})") from fault
        finally:
            desk.close()
            bench.close()


class _Run:
    """One bench while it runs."""

    def __init__(
        self,
        plan: Plan,
        figures: Figures,
        child: ChildProcess,
        desk: BenchDesk,
        dealers: BenchDealers,
        url: str,
        connection: "asyncpg.Connection[Any]",
        folder: Path,
    ) -> None:
        self.plan, self.figures, self.child, self.desk, self.dealers = plan, figures, child, desk, dealers
        self.connection, self.folder = connection, folder
        self.floor_url = url.rpartition("/")[0] + "/floor"
        self.done = 0
        self.memory_mb: dict[int, float] = {}

    async def all(self) -> None:
        plan = self.plan
        transactions = await self._transactions()
        await self._sourced(plan.warm_up)
        floors: dict[bool, list[FloorRun]] = {False: [], True: []}
        ours: list[Round] = []
        for number in range(plan.rounds):
            for grouped in (False, True):
                floors[grouped].append(await self._floor(grouped))
            ours.append(await self._round())
            progress(
                f"round {number + 1} of {plan.rounds}: floor {floors[False][-1].rfqs_per_s:.0f} and grouped "
                f"{floors[True][-1].rfqs_per_s:.0f} RFQs/s, ours {ours[-1].rfqs_per_s:.1f}"
            )
        for grouped in (False, True):
            floors[grouped].append(await self._floor(grouped))
        saturation = median(r.rfqs_per_s for r in ours)
        half = await self._half(saturation / 2)
        long_run = await self._long_run()
        self._say_speed(floors, ours, half, saturation, long_run)
        await self._say_counts(floors[True][-1], ours[-1], transactions)
        self._say_memory()

    # --- the parts -------------------------------------------------------------------------------------------------

    async def _floor(self, grouped: bool) -> FloorRun:
        return await run_floor(
            self.floor_url, self.plan.floor_rfqs, self.plan.in_flight, grouped=grouped, log=self.folder / "floor.log"
        )

    async def _sourced(self, count: int) -> list[Sourced]:
        """`count` RFQs, as many in flight as planned: whoever ends one begins the next."""
        found: list[Sourced] = []
        numbers = iter(range(count))

        async def one_after_another() -> None:
            for _ in numbers:
                found.append(await self.desk.source())
                self._one_done()

        await _together(one_after_another() for _ in range(min(self.plan.in_flight, count)))
        return found

    async def _round(self) -> Round:
        count, clock = self.plan.round_rfqs, asyncio.get_running_loop().time
        began, cpu, own = clock(), self.child.cpu_s(), process_time()
        out, back = self.dealers.received, self.dealers.sent
        found = await self._sourced(count)
        took_s = clock() - began
        return Round(
            rfqs_per_s=count / took_s,
            cpu_ms=(self.child.cpu_s() - cpu) / count * 1e3,
            bench_cpu_ms=(process_time() - own) / count * 1e3,
            award_s=tuple(s.award_s for s in found),
            frames_out=(self.dealers.received - out) / count,
            frames_in=(self.dealers.sent - back) / count,
        )

    async def _half(self, rate: float) -> list[float]:
        """Seconds to award with RFQs arriving at random (Poisson) at `rate` a second, whatever becomes of them."""
        progress(f"half the saturation rate, {rate:.1f} RFQs/s, for {self.plan.half_s:.0f} s")
        rng, clock = random.Random(1), asyncio.get_running_loop().time
        tasks: list[asyncio.Task[float]] = []

        async def one() -> float:
            sourced = await self.desk.source()
            self._one_done()
            return sourced.award_s

        due = clock()
        until = due + self.plan.half_s
        while due < until:
            await asyncio.sleep(max(0.0, due - clock()))
            tasks.append(asyncio.create_task(one()))
            due += rng.expovariate(rate)
        await _together(tasks)
        return [task.result() for task in tasks]

    async def _long_run(self) -> float:
        """The rest of the RFQs at saturation; RFQs per second."""
        left = self.plan.rfqs - self.done
        if left <= 0:
            return math.nan
        clock = asyncio.get_running_loop().time
        began = clock()
        progress(f"{left} RFQs more, for memory")
        await self._sourced(left)
        return left / (clock() - began)

    def _one_done(self) -> None:
        self.done += 1
        step = max(1, self.plan.rfqs // 10)
        if self.done % step == 0:
            self.memory_mb[self.done] = self.child.resident_mb()
            progress(f"{self.done} RFQs, the service holds {self.memory_mb[self.done]:.0f} MB")

    async def _transactions(self) -> int:
        query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        return await self.connection.fetchval(query)

    async def _fetched(self, what: str, table: str) -> float:
        return float(await self.connection.fetchval(f"SELECT {what} FROM {table}"))

    # --- what was found ----------------------------------------------------------------------------------------------

    def _say_speed(
        self,
        floors: dict[bool, list[FloorRun]],
        ours: Sequence[Round],
        half: Sequence[float],
        saturation: float,
        long_run: float,
    ) -> None:
        add, goal = self.figures.add, self.figures.goal
        each, grouped = (median(r.rfqs_per_s for r in floors[how]) for how in (False, True))
        ratio = max(each, grouped) / saturation
        add("floor_rfqs_per_s", each)
        add("floor_grouped_commits_rfqs_per_s", grouped)
        add("saturation_rfqs_per_s", saturation)
        add("saturation_slowest_round_rfqs_per_s", min(r.rfqs_per_s for r in ours))
        add("faster_floor_over_ours_ratio", ratio)
        if not math.isnan(long_run):
            add("long_run_rfqs_per_s", long_run)
        awards = np.array([s for r in ours for s in r.award_s]) * 1e3
        add("post_to_award_at_saturation_p50_ms", float(np.percentile(awards, 50)))
        add("post_to_award_at_saturation_p99_ms", float(np.percentile(awards, 99)))
        awards = np.array(half) * 1e3
        p99 = float(np.percentile(awards, 99))
        add("half_rate_rfqs_per_s", len(half) / self.plan.half_s)
        add("post_to_award_at_half_rate_p50_ms", float(np.percentile(awards, 50)))
        add("post_to_award_at_half_rate_p99_ms", p99)
        add("service_cpu_per_rfq_ms", median(r.cpu_ms for r in ours))
        add("floor_cpu_per_rfq_ms", median(r.cpu_ms for r in floors[False]))
        add("floor_grouped_commits_cpu_per_rfq_ms", median(r.cpu_ms for r in floors[True]))
        add("bench_cpu_per_rfq_ms", median(r.bench_cpu_ms for r in ours))
        goal("faster_floor_over_ours_ratio", ratio, "<=", 3.0)
        goal("post_to_award_at_half_rate_p99_ms", p99, "<", 250.0)

    async def _say_counts(self, floor: FloorRun, ours: Round, transactions_before: int) -> None:
        """Ours beside the floor's, for each RFQ. Ours are of the whole run, mark-outs and acknowledgements included."""
        add, count = self.figures.add, self.done
        add("floor_frames_to_dealers_per_rfq", floor.frames_out)
        add("frames_to_dealers_per_rfq", ours.frames_out)
        add("floor_frames_from_dealers_per_rfq", floor.frames_in)
        add("frames_from_dealers_per_rfq", ours.frames_in)
        add("floor_commits_per_rfq", floor.commits)
        # The transaction that wrote a row is in the row: how many each RFQ's events are spread over, and how many
        # there were in all, grouped commits of several RFQs counted once.
        spread = await self.connection.fetchrow(
            "SELECT avg(commits) AS commits, avg(events) AS events FROM (SELECT count(DISTINCT xmin::text) AS commits,"
            " count(*) AS events FROM events WHERE stream_kind = 'rfq' GROUP BY stream_name) AS one"
        )
        add("commits_per_rfq", float(spread["commits"]))
        add("events_per_rfq", float(spread["events"]))
        written = await self.connection.fetchrow(
            "SELECT count(DISTINCT xmin::text) AS commits, count(*) FILTER (WHERE stream_kind <> 'rfq') AS others"
            " FROM events"
        )
        add("other_events_per_rfq", written["others"] / count)
        add("writing_transactions_per_rfq", written["commits"] / count)
        add("all_transactions_per_rfq", (await self._transactions() - transactions_before) / count)
        add("chosen_by_models_percent", await self._fetched("100 * avg((model_version <> 'priors')::int)", "decisions"))
        add("mark_outs_per_rfq", await self._fetched("count(*)", "mark_outs") / count)

    def _say_memory(self) -> None:
        add, goal = self.figures.add, self.figures.goal
        end, most = self.child.resident_mb(), max(self.memory_mb.values())
        add("rfqs_count", self.done)
        add("service_memory_most_mb", max(most, end))
        add("service_memory_at_the_end_mb", end)
        goal("service_memory_most_mb", max(most, end), "<", 700.0)
        early = self.memory_mb.get(self.plan.rfqs // 5)
        if early is not None and self.plan.rfqs >= RFQS_FOR_MEMORY:
            growth = (end / early - 1) * 100
            add("service_memory_after_a_fifth_mb", early)
            add("service_memory_growth_from_a_fifth_percent", growth)
            goal("service_memory_growth_from_a_fifth_percent", growth, "<", 5.0)


async def _together(work: "Sequence[Awaitable[Any]] | Any") -> None:
    """Waits for all; the first to fail ends the others and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _environ(folder: Path, url: str) -> dict[str, str]:
    """The service's: its defaults but for addresses, keys and quieter logs. It stops when we are gone."""
    ours = {
        "SOTTO_DATA_DIR": str(folder / "data"),
        "SOTTO_DATABASE_URL": url,
        "SOTTO_KEYS_FILE": str(folder / "keys.toml"),
        "SOTTO_PORT": "0",
        "SOTTO_EXCHANGE_PORT": "0",
        "SOTTO_LOG_LEVEL": "warning",
    }
    return {k: v for k, v in os.environ.items() if not k.startswith("SOTTO_")} | ours


async def _port(child: ChildProcess) -> int:
    while True:
        line = await child.line()
        if line.startswith("serving http"):
            child.drain()
            return int(line.split()[1].rpartition(":")[2])

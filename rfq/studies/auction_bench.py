"""The speed and memory of auctions: a real service in a process of its own, beside a floor measured in the same run.

Ten dealers on loopback WebSockets answer at once, a desk posts over HTTP, and PostgreSQL commits durably. Rounds of the
floor and of the service alternate, so that a machine that slows down slows both. See `run`.
"""

import os
import tempfile
from pathlib import Path

import asyncpg

from db.embedded import temporary_postgres
from rfq import keys
from rfq.domain.errors import BadInput, OurFault
from rfq.domain.values import Frozen
from rfq.studies import auction_figures as say
from rfq.studies.auction_load import AuctionLoad, Round
from rfq.studies.bench_dealers import BenchDealers, BenchDesk
from rfq.studies.child_process import ChildProcess
from rfq.studies.figures import Figures, progress
from rfq.studies.floor import DEALERS, FloorRun, run_floor

DESKS = 4
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "server_version")


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


async def run(plan: Plan) -> Figures:
    """Measures according to `plan`. Raises OurFault or PeerGone where it could not measure."""
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
                await _with_service(plan, figures, Path(folder), database.url, connection)
            finally:
                await connection.close()
    return figures


async def _with_service(
    plan: Plan, figures: Figures, folder: Path, url: str, connection: asyncpg.Connection
) -> None:
    dealers = [keys.KeyEntry(f"bench-dealer-{i}", "dealer", keys.new_key()) for i in range(DEALERS)]
    desks = [keys.KeyEntry(f"bench-desk-{i}", "desk", keys.new_key()) for i in range(DESKS)]
    keys.write(folder / "keys.toml", [*dealers, *desks])
    serve = ("-m", "rfq.cli", "serve", "--with-parent")
    async with ChildProcess(*serve, environ=_environ(folder, url), log=folder / "service.log") as child:
        port = await _port(child)
        bench = BenchDealers()
        desk = BenchDesk("127.0.0.1", port, [e.key for e in desks], bench, [e.name for e in dealers])
        load = AuctionLoad(child, desk, bench, every=max(1, plan.rfqs // 10))
        try:
            await bench.connect("127.0.0.1", port, [e.key for e in dealers])
            await _measure(plan, figures, load, child, connection, url.rpartition("/")[0] + "/floor", folder)
        except OurFault as fault:
            raise OurFault(f"{fault} (service: {child.last_words()})") from fault
        finally:
            desk.close()
            bench.close()


async def _measure(
    plan: Plan,
    figures: Figures,
    load: AuctionLoad,
    child: ChildProcess,
    connection: asyncpg.Connection,
    floor_url: str,
    folder: Path,
) -> None:
    async def floor(grouped: bool) -> FloorRun:
        log = folder / "floor.log"
        return await run_floor(floor_url, plan.floor_rfqs, plan.in_flight, grouped=grouped, log=log)

    transactions = (await say.fetched(connection, say.TRANSACTIONS))["found"]
    await load.sourced(plan.warm_up, plan.in_flight)
    each, grouped, ours = [await floor(False)], [await floor(True)], list[Round]()
    for number in range(1, plan.rounds + 1):
        ours.append(await load.round(plan.round_rfqs, plan.in_flight))
        each.append(await floor(False))
        grouped.append(await floor(True))
        progress(
            f"round {number} of {plan.rounds}: floor {each[-1].rfqs_per_s:.0f} and with grouped commits "
            f"{grouped[-1].rfqs_per_s:.0f} RFQs/s, ours {ours[-1].rfqs_per_s:.1f}"
        )
    saturation = say.say_speed(figures, each, grouped, ours)
    progress(f"half the saturation rate, {saturation / 2:.1f} RFQs/s, for {plan.half_s:.0f} s")
    say.say_half_rate(figures, await load.arriving(saturation / 2, plan.half_s), plan.half_s)
    if (left := plan.rfqs - load.done) > 0:
        progress(f"{left} RFQs more, for memory")
        long_run = await load.round(left, plan.in_flight)
        figures.add("long_run_rfqs_per_s", long_run.rfqs_per_s)
    await say.say_counts(figures, connection, grouped[-1], ours[-1], load.done, transactions)
    say.say_memory(figures, load, child.resident_mb(), plan.rfqs // 5)


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

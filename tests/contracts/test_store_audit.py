"""Audits of the store: tampering is found wherever it is, and a rebuild finds what the events do not say."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from examples import MID, at
from stored_blocks import Pen, life_of

from db.audit import rebuild, verify
from db.database import Database
from db.rfq_store import PostgresRfqStore
from db.tables import STATE_TABLES
from rfq.domain import events as ev
from rfq.domain.fill import MarkOut
from rfq.domain.values import DealerId, LiftId, RfqId
from rfq.ports import StreamId

TABLES = ("events", *STATE_TABLES)


@pytest.fixture(scope="module")
def played_url(postgres_url: str) -> Iterator[str]:
    """Three blocks (two whole, one begun), mark-outs, an acknowledgement and the kill switch; and a copy of it all."""
    url = urlunsplit(urlsplit(postgres_url)._replace(path="/audited"))

    async def play() -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("CREATE DATABASE audited")
        await connection.close()
        database = await Database.open(url)
        async with PostgresRfqStore.open(database, "engine-a") as store:
            for name, upto in (("rfq-1", None), ("rfq-2", None), ("rfq-3", 7)):
                await Pen(store, name).tell(life_of(name)[:upto])
            mark = MarkOut("rfq-1/d1", RfqId("rfq-1"), 1.0, at(1), MID, None, None)
            await store.append_next(StreamId("markout", "rfq-1"), ev.MarkOutsTaken((mark,)), at(1), at(1))
            dealer = StreamId("dealer", DealerId("d1"))
            await store.append_next(dealer, ev.TradeAcknowledged(LiftId("rfq-1/lift")), at(1), at(1))
            await store.append_next(StreamId("system", "kill"), ev.KillSwitchThrown("kim", "drill"), at(2), at(2))
        async with database.raw() as connection:
            for table in TABLES:
                await connection.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")
        await database.close()

    asyncio.run(play())
    yield url


@pytest.fixture
async def database(played_url: str) -> AsyncIterator[Database]:
    """What was played, put back as it was after the test."""
    database = await Database.open(played_url)
    yield database
    async with database.raw() as connection:
        for table in TABLES:
            await connection.execute(f"DELETE FROM {table}")
            await connection.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
    await database.close()


async def change(database: Database, sql: str) -> None:
    async with database.raw() as connection:
        assert await connection.execute(sql) not in ("UPDATE 0", "DELETE 0", "INSERT 0 0")


async def test_an_untouched_log_has_no_fault_and_gives_the_same_tables(database: Database) -> None:
    seen: list[int] = []
    found = await verify(database, seen.append)
    assert (found.streams, found.events, found.faults) == (6, 26 + 26 + 11 + 3, ())
    again = await rebuild(database)
    assert (again.streams, again.events, again.differences, again.repaired) == (6, 66, (), False)
    assert again.rows == 40


@pytest.mark.parametrize(
    ("sql", "stream", "sequence", "what"),
    [
        ("UPDATE events SET payload = replace(payload::text, '64', '65')::bytea WHERE stream_name = 'rfq-1'"
         " AND type = 'QuoteLifted'", "rfq-1", 11, "hash"),
        ("UPDATE events SET session_at = session_at + interval '1 microsecond' WHERE stream_name = 'rfq-2'"
         " AND sequence = 3", "rfq-2", 3, "hash"),
        ("UPDATE events SET epoch = 2 WHERE stream_name = 'kill'", "kill", 1, "hash"),
        ("UPDATE events SET type = 'RfqDone' WHERE stream_name = 'rfq-1' AND sequence = 2", "rfq-1", 2, "hash"),
        ("DELETE FROM events WHERE stream_name = 'rfq-1' AND sequence = 4", "rfq-1", 5, "follows event 3"),
        ("DELETE FROM events WHERE stream_name = 'rfq-1' AND sequence = 1", "rfq-1", 2, "does not begin"),
        ("DELETE FROM events WHERE stream_name = 'rfq-1' AND sequence > 20 AND stream_kind = 'rfq'",
         "rfq-1", 20, "seen event 26"),
        ("DELETE FROM events WHERE stream_name = 'rfq-3'", "rfq-3", 11, "no event of it is left"),
        ("INSERT INTO events SELECT stream_kind, stream_name, 2, schema_version, type, payload, session_at,"
         " market_at, epoch, hash, hash FROM events WHERE stream_name = 'kill'", "kill", 2, "hash"),
        ("UPDATE events SET hash = sha256('forged') WHERE stream_name = 'rfq-2' AND sequence = 9",
         "rfq-2", 10, "not linked"),
    ],
)  # fmt: skip
async def test_tampering_is_found(database: Database, sql: str, stream: str, sequence: int, what: str) -> None:
    await change(database, sql)
    found = await verify(database)
    assert found.fault_count >= 1
    assert any(f.stream.name == stream and f.sequence == sequence and what in f.what for f in found.faults), found


@pytest.mark.parametrize(
    ("sql", "table", "what"),
    [
        ("UPDATE rfqs SET filled = filled + 1 WHERE rfq_id = 'rfq-1'", "rfqs", "differs"),
        ("UPDATE quotes SET noun = '{}' WHERE quote_id = 'rfq-2/d1/q'", "quotes", "differs"),
        ("DELETE FROM fills WHERE fill_id = 'rfq-1/work'", "fills", "missing"),
        ("DELETE FROM children", "children", "missing"),
        ("INSERT INTO trade_acknowledgements VALUES ('rfq-2/lift', 'd1')", "trade_acknowledgements", "extra"),
        ("UPDATE mark_outs SET mid = 20001", "mark_outs", "differs"),
        ("UPDATE awards SET residual = 0 WHERE rfq_id = 'rfq-1'", "awards", "differs"),
    ],
)
async def test_a_rebuild_finds_and_repairs_what_the_events_do_not_say(
    database: Database, sql: str, table: str, what: str
) -> None:
    await change(database, sql)
    found = await rebuild(database)
    assert {(d.table, d.what) for d in found.differences} == {(table, what)}
    assert (await rebuild(database)).difference_count == found.difference_count > 0
    repaired = await rebuild(database, repair=True)
    assert repaired.repaired and repaired.difference_count == found.difference_count
    assert (await rebuild(database)).difference_count == 0


async def test_a_stream_that_does_not_fold_is_named(database: Database) -> None:
    await change(database, "DELETE FROM events WHERE stream_name = 'rfq-2' AND sequence = 2")
    found = await rebuild(database)
    assert any(d.table == "events" and d.key == "rfq:rfq-2" and "fold" in d.what for d in found.differences)

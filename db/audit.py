"""Checks of what is stored: is the log as it was written, and do the state tables say what it says."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise

import asyncpg
import msgspec

from db.database import Database
from db.fold import nouns_of
from db.hash_chain import GENESIS, link
from db.mapping import Row, rows_of
from db.rfq_store import stamped
from db.statements import columns_of, key_of, latest
from db.tables import STATE_TABLES
from rfq.domain import events as ev
from rfq.domain.errors import SottoError
from rfq.domain.values import Frozen
from rfq.ports import StreamId

MOST_LISTED = 100
"""Faults and differences described one by one; all are counted."""

_EVENTS = """
SELECT stream_kind, stream_name, sequence, schema_version, type, payload, session_at, market_at, epoch,
       previous_hash, hash
FROM events ORDER BY stream_kind, stream_name, sequence"""

_ENDS = "SELECT rfq_id, sequence FROM rfqs"


class Fault(Frozen, frozen=True):
    """One event that is not what was written."""

    stream: StreamId
    sequence: int
    what: str


class Verification(Frozen, frozen=True):
    streams: int
    events: int
    faults: tuple[Fault, ...]
    fault_count: int


class Difference(Frozen, frozen=True):
    """A row that the events do not give ('extra'), one they give that is not there ('missing'), or another one."""

    table: str
    key: str
    what: str


class Rebuild(Frozen, frozen=True):
    streams: int
    events: int
    rows: int
    differences: tuple[Difference, ...]
    difference_count: int
    repaired: bool


async def verify(database: Database, progress: Callable[[int], None] | None = None) -> Verification:
    """Recomputes every hash, and checks that no event is missing, added or unreadable.

    The end of an RFQ's stream is checked against its state row; the end of other streams cannot be. `progress` is
    told the number of events read. Raises StoreUnavailable.
    """
    faults: list[Fault] = []
    streams = events = 0
    async with database.auditing() as connection:
        ends = {row["rfq_id"]: row["sequence"] for row in await connection.fetch(_ENDS)}
        async for stream, rows in _streams(connection, progress):
            streams += 1
            events += len(rows)
            faults += _faults(stream, rows)
            if stream.kind == "rfq" and (end := ends.pop(stream.name, 0)) != rows[-1]["sequence"]:
                faults.append(Fault(stream, rows[-1]["sequence"], f"its RFQ has seen event {end}"))
        faults += [Fault(StreamId("rfq", name), end, "no event of it is left") for name, end in ends.items()]
    return Verification(streams, events, tuple(faults[:MOST_LISTED]), len(faults))


async def rebuild(
    database: Database, *, repair: bool = False, progress: Callable[[int], None] | None = None
) -> Rebuild:
    """Folds every stream anew and compares each state table with what comes out.

    `repair` replaces the state tables' contents by it; appends wait meanwhile. Raises StoreUnavailable.
    """
    streams = events = rows_made = 0
    listed: list[Difference] = []
    count: Counter[str] = Counter()
    async with database.auditing(lock=repair) as connection:
        for table in STATE_TABLES:
            await connection.execute(f"CREATE TEMP TABLE again_{table} (LIKE {table}) ON COMMIT DROP")
        async for stream, rows in _streams(connection, progress):
            streams += 1
            events += len(rows)
            try:
                history = [stamped(r["sequence"], r["schema_version"], r["payload"], *_times(r)) for r in rows]
                made = latest(rows_of(stream.name, history, nouns_of(stream, history)))
            except (SottoError, msgspec.MsgspecError) as error:
                listed.append(Difference("events", f"{stream.kind}:{stream.name}", f"does not fold: {error}"))
                count["events"] += 1
                continue
            for table, again in made.items():
                rows_made += len(again)
                await connection.copy_records_to_table(f"again_{table}", records=again)
        for table in STATE_TABLES:
            found = await connection.fetch(_difference(table), MOST_LISTED)
            count[table] += found[0]["total"] if found else 0
            listed += [Difference(table, row["key"], row["what"]) for row in found]
        if repair:
            for table in STATE_TABLES:
                await connection.execute(f"DELETE FROM {table}")
                await connection.execute(f"INSERT INTO {table} SELECT * FROM again_{table}")
    total = count.total()
    return Rebuild(streams, events, rows_made, tuple(listed[:MOST_LISTED]), total, repair and total > 0)


async def _streams(
    connection: asyncpg.Connection, progress: Callable[[int], None] | None
) -> AsyncIterator[tuple[StreamId, list[asyncpg.Record]]]:
    """Every stream with all its events, one stream at a time."""
    rows: list[asyncpg.Record] = []
    read = 0
    async for row in connection.cursor(_EVENTS, prefetch=2000):
        if rows and _stream_of(rows[0]) != _stream_of(row):
            yield _stream_of(rows[0]), rows
            rows = []
        rows.append(row)
        read += 1
        if progress and read % 10_000 == 0:
            progress(read)
    if rows:
        yield _stream_of(rows[0]), rows


def _stream_of(row: asyncpg.Record) -> StreamId:
    return StreamId(row["stream_kind"], row["stream_name"])


def _times(row: asyncpg.Record) -> Row:
    return row["session_at"], row["market_at"]


def _faults(stream: StreamId, rows: Sequence[asyncpg.Record]) -> list[Fault]:
    faults: list[Fault] = []
    if rows[0]["sequence"] != 1 or rows[0]["previous_hash"] != GENESIS:
        faults.append(Fault(stream, rows[0]["sequence"], "does not begin its stream"))
    for before, row in pairwise(rows):
        if row["sequence"] != before["sequence"] + 1:
            faults.append(Fault(stream, row["sequence"], f"follows event {before['sequence']}"))
        elif row["previous_hash"] != before["hash"]:
            faults.append(Fault(stream, row["sequence"], "is not linked to the event before it"))
    for row in rows:
        if what := _fault(stream, row):
            faults.append(Fault(stream, row["sequence"], what))
    return faults


def _fault(stream: StreamId, row: asyncpg.Record) -> str:
    names = ("sequence", "schema_version", "type", "session_at", "market_at", "epoch", "payload")
    if link(row["previous_hash"], stream.kind, stream.name, *(row[name] for name in names)) != row["hash"]:
        return "is not what its hash was made of"
    try:
        event = ev.from_bytes(row["payload"])
    except msgspec.MsgspecError as error:
        return f"cannot be read: {error}"
    if ev.to_bytes(event) != row["payload"] or type(event).__name__ != row["type"]:
        return "is not in canonical form"
    return ""


def _difference(table: str) -> str:
    """Rows that differ between a state table and its rebuilt twin, at most $1, with the total beside each."""
    names = [name for name, _ in columns_of(table)]
    keys = [names[i] for i in key_of(table)]
    key = " || ' ' || ".join(f"coalesce(was.{k}, again.{k})::text" for k in keys)
    # json has no equality of its own; its text was written by us and is canonical.
    was, again = (
        ", ".join(f"{side}.{n}::text" if t == "JSON" else f"{side}.{n}" for n, t in columns_of(table))
        for side in ("was", "again")
    )
    return f"""
SELECT {key} AS key, count(*) OVER () AS total,
       CASE WHEN again.{keys[0]} IS NULL THEN 'extra' WHEN was.{keys[0]} IS NULL THEN 'missing'
            ELSE 'differs' END AS what
FROM {table} was FULL JOIN again_{table} again ON {" AND ".join(f"was.{k} = again.{k}" for k in keys)}
WHERE ({was}) IS DISTINCT FROM ({again}) ORDER BY 1 LIMIT $1"""

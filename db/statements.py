"""The SQL of an append: one statement for a whole batch, so one round trip and one transaction.

Arrays go in, one per column; unnest makes rows of them. Nothing is written unless every lease named still holds.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from sqlalchemy.dialects import postgresql
from sqlmodel import SQLModel

from db.mapping import Place, Row
from db.tables import STATE_TABLES

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@lru_cache
def columns_of(table: str) -> tuple[tuple[str, str], ...]:
    """Each column's name and PostgreSQL type, in order."""
    columns = SQLModel.metadata.tables[table].columns
    return tuple((c.name, c.type.compile(dialect=_DIALECT)) for c in columns)


@lru_cache
def key_of(table: str) -> tuple[int, ...]:
    """Positions of the primary key's columns."""
    return tuple(i for i, c in enumerate(SQLModel.metadata.tables[table].columns) if c.primary_key)


def _insert(table: str, first: int, *, latest_wins: bool) -> str:
    """INSERT of arrays $first, $first+1, ...; where the key exists already, the newer row replaces it."""
    columns = columns_of(table)
    names = ", ".join(name for name, _ in columns)
    arrays = ", ".join(f"${first + i}::{kind}[]" for i, (_, kind) in enumerate(columns))
    sql = f"INSERT INTO {table} ({names}) SELECT {names} FROM unnest({arrays}) AS u({names})"
    sql += " WHERE (SELECT fit FROM verdict)"
    if latest_wins:
        keys = [columns[i][0] for i in key_of(table)]
        rest = ", ".join(f"{name} = excluded.{name}" for name, _ in columns if name not in keys)
        sql += f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {rest}"
    return sql


@lru_cache(maxsize=512)
def append_statement(state: tuple[str, ...]) -> str:
    """The statement for a batch that touches these state tables. Returns whether all leases held.

    $1..$3 leases that must hold (rfq, holder, epoch), $4..$6 leases of RFQs that begin here, then the columns of
    events, of idempotency_keys and of each state table. FOR SHARE keeps a lease from being claimed until we commit.
    """
    first = 7
    parts = []
    for table in ("events", "idempotency_keys", *state):
        parts.append(f"{table}_in AS ({_insert(table, first, latest_wins=table in state)})")
        first += len(columns_of(table))
    inserts = ",\n".join(parts)
    return f"""
WITH held AS (
  SELECT 1 FROM leases JOIN unnest($1::text[], $2::text[], $3::bigint[]) AS w(rfq_id, holder, epoch)
    ON leases.rfq_id = w.rfq_id AND leases.holder = w.holder AND leases.epoch = w.epoch
  FOR SHARE OF leases
), begun AS (
  INSERT INTO leases (rfq_id, holder, epoch)
  SELECT * FROM unnest($4::text[], $5::text[], $6::bigint[])
  ON CONFLICT (rfq_id) DO UPDATE SET holder = excluded.holder
    WHERE leases.holder = excluded.holder AND leases.epoch = excluded.epoch
  RETURNING 1
), verdict AS (
  SELECT (SELECT count(*) FROM held) = cardinality($1::text[])
     AND (SELECT count(*) FROM begun) = cardinality($4::text[]) AS fit
),
{inserts}
SELECT fit FROM verdict"""


LOST_LEASES = """
SELECT w.rfq_id, w.epoch FROM unnest($1::text[], $2::text[], $3::bigint[]) AS w(rfq_id, holder, epoch)
WHERE NOT EXISTS (SELECT 1 FROM leases WHERE leases.rfq_id = w.rfq_id
                  AND leases.holder = w.holder AND leases.epoch = w.epoch)"""
"""Which of the leases named do not hold."""

TAILS = """
SELECT DISTINCT ON (stream_kind, stream_name) stream_kind, stream_name, sequence, hash
FROM events JOIN unnest($1::text[], $2::text[]) AS w(stream_kind, stream_name) USING (stream_kind, stream_name)
ORDER BY stream_kind, stream_name, sequence DESC"""
"""The last event's sequence and hash of each stream named."""

HASH_AT = "SELECT hash FROM events WHERE stream_kind = $1 AND stream_name = $2 AND sequence = $3"
"""The hash of one event: tells whether a write of unknown outcome was ours and went through."""


def latest(places: Iterable[Place]) -> dict[str, list[Row]]:
    """Rows by table, in the tables' fixed order, only the last of each key: a statement may touch a row once."""
    found: dict[str, dict[Row, Row]] = {}
    for table, row in places:
        found.setdefault(table, {})[tuple(row[i] for i in key_of(table))] = row
    return {table: list(found[table].values()) for table in STATE_TABLES if table in found}


def as_arrays(rows: Sequence[Row], width: int) -> list[list[object]]:
    """Rows of `width` columns turned into one list per column."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]

"""`rfq audit` and `rfq keys`, as an operator gives them: a verdict, an exit status, a key printed once."""

from pathlib import Path

import asyncpg
import pytest
from stored_blocks import Pen, life_of

from db.api_keys import PostgresKeyStore
from db.database import Database
from db.rfq_store import PostgresRfqStore
from rfq import cli, records
from rfq.domain.errors import BadInput
from rfq.ports import Principal
from rfq.settings import Settings


@pytest.fixture
async def given(database_url: str) -> Settings:
    """Of a database with one whole block."""
    database = await Database.open(database_url)
    async with PostgresRfqStore.open(database, "engine-a") as store:
        await Pen(store, "rfq-1").tell(life_of("rfq-1"))
    await database.close()
    return Settings(database_url=database_url)


async def change(given: Settings, sql: str) -> None:
    connection = await asyncpg.connect(given.database_url)
    try:
        assert await connection.execute(sql) not in ("UPDATE 0", "DELETE 0")
    finally:
        await connection.close()


async def test_a_sound_record_and_one_that_was_written_to(given: Settings) -> None:
    lines: list[str] = []
    assert await records.verify(given, lines.append) == 0
    assert lines == ["sound: 26 events of 1 streams, every hash recomputed"]
    await change(given, "UPDATE events SET session_at = session_at + interval '1 second' WHERE sequence = 7")
    lines.clear()
    assert await records.verify(given, lines.append) == 1
    assert lines == [
        "FAULT rfq:rfq-1 event 7: is not what its hash was made of",
        "NOT SOUND: 1 faults in 26 events of 1 streams",
    ]


async def test_tables_that_differ_are_told_and_put_right(given: Settings) -> None:
    lines: list[str] = []
    assert await records.rebuild(given, False, lines.append) == 0
    assert lines[-1].startswith("no difference: 26 events of 1 streams give ")
    await change(given, "UPDATE rfqs SET status = 'working'")
    lines.clear()
    assert await records.rebuild(given, False, lines.append) == 1
    assert lines[0] == "DIFFERENCE rfqs rfq-1: differs" and lines[-1].startswith("DIFFERENT in 1 rows")
    assert await records.rebuild(given, True, lines.append) == 0
    assert await records.rebuild(given, False, lines.append) == 0


async def test_a_key_is_printed_once_and_works(given: Settings) -> None:
    lines: list[str] = []
    assert await records.add_key(given, "equities", "desk", lines.append) == 0
    (key,) = lines
    database = await Database.open(given.database_url or "")
    assert await PostgresKeyStore(database).who(key) == Principal("equities", "desk")
    await database.close()
    for name, role, rule in (
        ("equities", "desk", "has a desk key already"),
        ("equities", "boss", "must be one of"),
        ("two words", "desk", "without spaces"),
    ):
        with pytest.raises(BadInput, match=rule):
            await records.add_key(given, name, role, lines.append)
    assert lines == [key]


def test_no_database_is_made_by_looking_at_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "verify", "--data-dir", str(tmp_path / "none")]) == 1
    assert "none was ever started there" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()

"""A migrated database of one's own, and its store as one engine has it open."""

from collections.abc import AsyncIterator

import pytest

from db.database import Database
from db.rfq_store import PostgresRfqStore


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url)
    yield database
    await database.close()


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresRfqStore]:
    async with PostgresRfqStore.open(database, "engine-a") as store:
        yield store

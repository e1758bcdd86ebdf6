"""Every story gets a whole house on a database with nothing in it, on virtual time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from house import House, World
from virtual_time import VirtualClock, VirtualMarketClock

_EMPTY = """
DO $$ BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid();
  EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('%I', tablename), ', ') FROM pg_tables
           WHERE schemaname = 'public' AND tablename <> 'alembic_version');
END $$"""


def _execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(run())


@pytest.fixture(scope="session")
def stories_url(postgres_url: str, migrated_template: str) -> str:
    """One database for all the stories, one after the other: making one takes longer than a story."""
    _execute(postgres_url, f'CREATE DATABASE stories TEMPLATE "{migrated_template}"')
    return urlunsplit(urlsplit(postgres_url)._replace(path="/stories"))


@pytest.fixture
def database_url(stories_url: str) -> Iterator[str]:
    """Emptied after each story, and whoever is still connected to it is thrown out."""
    yield stories_url
    _execute(stories_url, _EMPTY)


@pytest.fixture
async def world(clock: VirtualClock, market_clock: VirtualMarketClock) -> AsyncIterator[World]:
    world = World(clock, market_clock)
    yield world
    await world.close()


@pytest.fixture
async def house(database_url: str, world: World) -> AsyncIterator[House]:
    async with House.open(database_url, world) as house:
        yield house

"""Fixtures of every suite: virtual time, a real PostgreSQL with a fresh database a test, the recorded data."""

import one_thread  # noqa: F401, I001  # The first of all.
import asyncio
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import structlog
from hypothesis import settings
from virtual_time import START, SeededIds, VirtualClock, VirtualMarketClock, VirtualTimeLoop

from db.database import Database
from db.embedded import temporary_postgres

# A slow machine must not fail a property; how much is tried is each property's own choice.
settings.register_profile("sotto", deadline=None, print_blob=True)
settings.load_profile("sotto")

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = Path(__file__).parent / "scenarios"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: run on an event loop whose time jumps when nothing is in flight")
    config.addinivalue_line("markers", "real_time: a scenario that keeps the ordinary event loop")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Scenarios, and what is marked `virtual_time`, run on virtual time; everything else on asyncio's own loop."""
    told = item.get_closest_marker("virtual_time") or SCENARIOS in item.path.parents
    if not told or item.get_closest_marker("real_time"):
        return {"asyncio": asyncio.new_event_loop}
    return {"virtual_time": VirtualTimeLoop}


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Commands and services set up the process's logs; the next test must not find them so."""
    yield
    structlog.reset_defaults()


# --- time and ids ------------------------------------------------------------------------------------------------


@pytest.fixture
async def virtual_loop() -> VirtualTimeLoop:
    """The running loop, for `Counted` and `in_flight`."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop), "mark the test with virtual_time, or put it under tests/scenarios"
    return loop


@pytest.fixture
async def clock(virtual_loop: VirtualTimeLoop) -> VirtualClock:
    return VirtualClock(virtual_loop, START)


@pytest.fixture
async def market_clock(virtual_loop: VirtualTimeLoop) -> VirtualMarketClock:
    """Sixty market seconds a second, except while an auction is open."""
    return VirtualMarketClock(virtual_loop, speed=60.0, start=START)


@pytest.fixture
def ids() -> SeededIds:
    return SeededIds(seed=20260302)


# --- PostgreSQL --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One real server for the whole run, with the settings it ships with."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        serving = temporary_postgres()
        server = runner.run(serving.__aenter__())
        yield server.url
        runner.run(serving.__aexit__(None, None, None))


_databases = itertools.count(1)


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database of this test's own, with nothing in it."""
    yield from _database(postgres_url, "template1")


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> Iterator[str]:
    """Name of a database with our schema and no rows, to be copied."""
    name = "test_template"
    _execute(postgres_url, f'CREATE DATABASE "{name}"')
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_migrate(urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))))
    yield name


async def _migrate(url: str) -> None:
    await (await Database.open(url)).close()


@pytest.fixture
def database_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """A database of this test's own, with our schema and no rows."""
    yield from _database(postgres_url, migrated_template)


@pytest.fixture
def another_database_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """A second one, for tests that compare two."""
    yield from _database(postgres_url, migrated_template)


def _database(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{next(_databases)}"
    _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def _execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(run())


# --- recorded data -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The recorded market data: SOTTO_DATA, or shared/data beside the repository.

    Without it the test is skipped, saying so; with SOTTO_REQUIRE_DATA=1 it fails.
    """
    folder = Path(os.environ.get("SOTTO_DATA") or ROOT.parent / "shared" / "data")
    if folder.is_dir():
        return folder
    reason = f"no recorded data at {folder}: set SOTTO_DATA"
    if os.environ.get("SOTTO_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)

"""Virtual time against a real PostgreSQL: a slow commit never expires a deadline."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from virtual_time import START, VirtualClock, VirtualTimeLoop, counted

pytestmark = pytest.mark.virtual_time


class SlowStore:
    """Commits a row, and takes `slow_s` real seconds over it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def commit(self, quote: str, slow_s: float) -> None:
        async with self._connection.transaction():
            await self._connection.execute("INSERT INTO quotes VALUES ($1)", quote)
            await self._connection.execute("SELECT pg_sleep($1)", slow_s)

    async def count(self) -> int:
        return await self._connection.fetchval("SELECT count(*) FROM quotes")


@pytest.fixture
async def store(empty_database_url: str, virtual_loop: VirtualTimeLoop) -> AsyncIterator[SlowStore]:
    with virtual_loop.in_flight("connecting"):
        connection = await asyncpg.connect(empty_database_url)
        await connection.execute("CREATE TABLE quotes (quote text)")
    yield counted(SlowStore(connection), virtual_loop)
    with virtual_loop.in_flight("closing"):
        await connection.close()


async def test_a_slow_commit_never_expires_a_quote(store: SlowStore, virtual_loop: VirtualTimeLoop) -> None:
    clock = VirtualClock(virtual_loop)
    expires = START + timedelta(milliseconds=10)
    expired_at_count: list[int] = []

    async def expire() -> None:
        await clock.sleep_until(expires)
        expired_at_count.append(await store.count())

    waiting = asyncio.create_task(expire())
    await store.commit("first", 0.08)
    assert clock.now() == START and not waiting.done()
    await waiting
    assert expired_at_count == [1]
    assert clock.now() == expires


async def test_many_waits_and_commits_interleave_in_the_order_of_virtual_time(
    store: SlowStore, virtual_loop: VirtualTimeLoop
) -> None:
    clock = VirtualClock(virtual_loop)
    turn = asyncio.Lock()
    written: list[int] = []

    async def dealer(number: int) -> None:
        await clock.sleep_until(START + timedelta(seconds=30 - number))
        async with turn:
            await store.commit(f"dealer {number}", 0.002 * (number % 3))
        written.append(number)

    await asyncio.gather(*(dealer(n) for n in range(20)))
    assert written == list(range(19, -1, -1))
    assert await store.count() == 20
    assert clock.now() == START + timedelta(seconds=30)

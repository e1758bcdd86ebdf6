"""A floor to measure auctions against: the same traffic and commits, with no logic at all.

For each RFQ: 10 requests, 10 quotes, 1 lift, 1 confirm and 10 notices over WebSockets, and 4 commits. Frames are of
the size of ours, sent as constant bytes and not decoded. Run as a process of its own: `python -m rfq.studies.floor`.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import asyncpg
from websockets.asyncio.server import ServerConnection, serve

DEALERS = 10
REQUEST, LIFT, NOTICE = b"R" * 330, b"L" * 210, b"N" * 120
QUOTE_SIZE, CONFIRM_SIZE = 190, 70
ROW = b"E" * 600
"""The payload of one commit: what an event of ours weighs."""


class GroupedCommits:
    """Commits that wait while another is being written share the next one: one transaction, many rows."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._waiting: list[asyncio.Future[None]] = []
        self._arrived = asyncio.Event()

    async def commit(self) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._arrived.set()
        await done

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            await self._connection.execute("INSERT INTO floor (payload) SELECT unnest($1::bytea[])", [ROW] * len(batch))
            for done in batch:
                done.set_result(None)


class Floor:
    """The server's end. Dealers connect; `rfqs` runs so many at a time and is timed by the caller."""

    def __init__(self, commit: Callable[[], Awaitable[None]]) -> None:
        self._commit = commit
        self.lines: list[ServerConnection] = []
        self.quotes: list[asyncio.Queue[bytes | str]] = []
        self.full = asyncio.Event()
        self.sent = self.received = self.commits = 0

    async def on_dealer(self, line: ServerConnection) -> None:
        said: asyncio.Queue[bytes | str] = asyncio.Queue(10_000)
        self.lines.append(line)
        self.quotes.append(said)
        if len(self.lines) == DEALERS:
            self.full.set()
        async for frame in line:
            self.received += 1
            said.put_nowait(frame)

    async def rfq(self, number: int) -> None:
        await self._committed()
        await self._committed()
        for line in self.lines:
            await line.send(REQUEST)
        for said in self.quotes:
            await said.get()
        await self._committed()
        winner = number % DEALERS
        await self.lines[winner].send(LIFT)
        await self.quotes[winner].get()
        await self._committed()
        for line in self.lines:
            await line.send(NOTICE)
        self.sent += 2 * DEALERS + 1

    async def _committed(self) -> None:
        self.commits += 1
        await self._commit()

    async def rfqs(self, count: int, in_flight: int) -> float:
        """Runs `count` RFQs, `in_flight` at a time; the seconds it took."""
        loop = asyncio.get_running_loop()
        numbers = iter(range(count))

        async def one_after_another() -> None:
            for number in numbers:
                await self.rfq(number)

        began = loop.time()
        await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
        return loop.time() - began


async def main(url: str, port: int, count: int, in_flight: int, grouped: bool) -> None:
    """Serves until the dealers are there, runs, prints one line: seconds, frames sent, frames received, commits."""
    pool = await asyncpg.create_pool(url, min_size=8, max_size=8)
    await pool.execute("CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, payload bytea NOT NULL)")
    tasks: list[asyncio.Task[None]] = []
    if grouped:
        commits = GroupedCommits(await asyncpg.connect(url))
        tasks.append(asyncio.create_task(commits.run()))
        commit = commits.commit
    else:

        async def commit() -> None:
            await pool.execute("INSERT INTO floor (payload) VALUES ($1)", ROW)

    floor = Floor(commit)
    async with serve(floor.on_dealer, "127.0.0.1", port, compression=None):
        await asyncio.wait_for(floor.full.wait(), 30)
        await floor.rfqs(max(in_flight, count // 10), in_flight)
        floor.sent = floor.received = floor.commits = 0
        took_s = await floor.rfqs(count, in_flight)
        print(took_s, floor.sent, floor.received, floor.commits, flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    _, database_url, at_port, rfqs, at_once, how = sys.argv
    asyncio.run(main(database_url, int(at_port), int(rfqs), int(at_once), how == "grouped"))

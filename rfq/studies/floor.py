"""A floor to measure auctions against: the same traffic and commits, with no logic at all.

For each RFQ: 10 requests, 10 quotes, 1 lift, 1 confirm and 10 notices over WebSockets, and 4 commits. Frames are of
the size of ours, sent as constant bytes and not decoded. The server's end is a process of its own
(`python -m rfq.studies.floor`), with the WebSocket library that carries the service's lines; `run_floor` is the
bench's end: it starts that process, connects its dealers and returns what it measured.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import process_time

import asyncpg
import msgspec
from websockets.asyncio.server import ServerConnection, serve

from rfq.domain.values import Frozen
from rfq.studies.child_process import ChildProcess
from rfq.studies.lean_clients import LeanSocket

DEALERS = 10
REQUEST, LIFT, NOTICE = b"R" * 270, b"L" * 290, b"N" * 80
QUOTE, CONFIRM = b"Q" * 150, b"C" * 55
ROW = b"E" * 600
"""The payload of one commit: what an event of ours weighs."""
CONNECTIONS = 8
"""To the database, where each commit is a transaction of its own: as many as the service has for reads."""


class FloorRun(Frozen, frozen=True):
    """What one run took; counts are for each RFQ, frames as the server sees them."""

    rfqs_per_s: float
    cpu_ms: float
    frames_out: float
    frames_in: float
    commits: float


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


async def run_floor(url: str, count: int, in_flight: int, *, grouped: bool, log: Path) -> FloorRun:
    """One run of the floor against the database at `url`. Raises OurFault when its process fails."""
    arguments = ("-m", "rfq.studies.floor", url, str(count), str(in_flight), "grouped" if grouped else "each")

    def on_frame(line: LeanSocket, payload: bytes) -> None:
        if payload[0] == REQUEST[0]:
            line.send(QUOTE)
        elif payload[0] == LIFT[0]:
            line.send(CONFIRM)

    async with ChildProcess(*arguments, environ=os.environ, log=log) as child:
        port = int(await child.line())
        lines = [await LeanSocket.connect("127.0.0.1", port, on_frame) for _ in range(DEALERS)]
        try:
            return msgspec.json.decode(await child.line(600.0), type=FloorRun)
        finally:
            for line in lines:
                line.close()


async def main(url: str, count: int, in_flight: int, *, grouped: bool) -> None:
    """Says its port, waits for the dealers, runs, and says a FloorRun as JSON."""
    pool = await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    await pool.execute("CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, payload bytea NOT NULL)")
    commits = GroupedCommits(await asyncpg.connect(url))
    writing = asyncio.create_task(commits.run())

    async def each() -> None:
        await pool.execute("INSERT INTO floor (payload) VALUES ($1)", ROW)

    floor = Floor(commits.commit if grouped else each)
    async with serve(floor.on_dealer, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.wait_for(floor.full.wait(), 30)
        await floor.rfqs(max(in_flight, count // 10), in_flight)
        floor.sent = floor.received = floor.commits = 0
        used = process_time()
        took_s = await floor.rfqs(count, in_flight)
        used = process_time() - used
        frames = floor.sent / count, floor.received / count
        run = FloorRun(count / took_s, used / count * 1e3, *frames, floor.commits / count)
        print(msgspec.json.encode(run).decode(), flush=True)
    writing.cancel()


if __name__ == "__main__":
    _, database_url, rfqs, at_once, how = sys.argv
    asyncio.run(main(database_url, int(rfqs), int(at_once), grouped=how == "grouped"))

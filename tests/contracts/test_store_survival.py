"""What was acknowledged survives: the server killed under the store, and processes that fight over RFQs."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from stored_blocks import Pen, life_of

from db.audit import rebuild, verify
from db.database import Database
from db.embedded import EmbeddedPostgres
from db.rfq_store import PostgresRfqStore
from rfq.domain import events as ev
from rfq.domain.values import RfqId
from rfq.ports import StreamId

TESTS = Path(__file__).parents[1]

RIVAL = """
import asyncio, sys
from stored_blocks import Pen, life_of
from db.database import Database
from db.rfq_store import PostgresRfqStore
from rfq.domain import events as ev
from rfq.domain.errors import LeaseLost, StreamConflict
from rfq.domain.values import RfqId

async def lift_what_it_can(url, holder, lease_s, mode):
    database = await Database.open(url)
    async with PostgresRfqStore.open(database, holder, lease_s=lease_s) as store:
        print("ready", flush=True)
        for rfq_id in [line.strip() for line in iter(sys.stdin.readline, "\\n")]:
            try:
                pen = Pen(store, rfq_id, await store.claim(RfqId(rfq_id)))
            except LeaseLost:
                print("lost", rfq_id, flush=True)
                continue
            pen.take_up(await store.load(pen.stream))
            if mode == "pause":
                print("claimed", rfq_id, flush=True)
                sys.stdin.readline()
            try:
                if pen.block.lifts:
                    print("found lifted", rfq_id, flush=True)
                    continue
                await pen.note(life_of(rfq_id)[6])
                print("lifted", rfq_id, flush=True)
            except (LeaseLost, StreamConflict) as error:
                print(type(error).__name__, rfq_id, flush=True)
    await database.close()

asyncio.run(lift_what_it_can(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]))
"""


class Rival:
    """Another process with a store of its own, told what to do over its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout
        self.process, self._in, self._out = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, url: str, holder: str, lease_s: float = 6.0, mode: str = "run") -> "Rival":
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
        command = (sys.executable, "-c", RIVAL, url, holder, str(lease_s), mode)
        pipe = subprocess.PIPE
        rival = cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=env))
        assert await rival.hear() == "ready"
        return rival

    def say(self, *lines: str) -> None:
        self._in.write("".join(f"{line}\n" for line in lines).encode())

    async def hear(self) -> str:
        return (await asyncio.wait_for(self._out.readline(), 30)).decode().strip()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="sotto-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url)
    yield database
    await database.close()


async def test_the_server_is_killed_again_and_again_under_load(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir, restarts=20) as server:
        watch = asyncio.create_task(server.watch())
        database = await Database.open(server.url)
        async with PostgresRfqStore.open(database, "engine-a") as store:
            acknowledged: dict[str, int] = {}
            appends = 0

            async def play(first: int) -> None:
                nonlocal appends
                for rfq_id in (f"rfq-{number}" for number in range(first, first + 4)):
                    pen = Pen(store, rfq_id)
                    for events in life_of(rfq_id):
                        await pen.note(events)
                        acknowledged[rfq_id] = pen.block.sequence
                        appends += 1

            playing = asyncio.gather(*(play(100 * lane) for lane in range(20)))
            for kill_at in (100, 500):
                async with asyncio.timeout(30):
                    while appends < kill_at:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                assert server.server_pid and not playing.done()
                os.kill(server.server_pid, signal.SIGKILL)
            await asyncio.wait_for(playing, 60)
            assert appends == 80 * len(life_of("rfq"))
            for rfq_id, sequence in acknowledged.items():
                assert len(await store.load(StreamId("rfq", rfq_id))) == sequence
            assert await store.unfinished() == []
        assert (await verify(database)).fault_count == 0
        assert (await rebuild(database)).difference_count == 0
        await database.close()
        watch.cancel()


async def test_two_processes_never_both_lift(database_url: str, database: Database) -> None:
    async with PostgresRfqStore.open(database, "engine-dead") as store:
        rfq_ids = [f"rfq-{i}" for i in range(40)]
        for rfq_id in rfq_ids:
            await Pen(store, rfq_id).tell(life_of(rfq_id)[:6])
    # Their owner is gone; both rivals go for all of them at once.
    rivals = await asyncio.gather(*(Rival.start(database_url, f"engine-{i}") for i in range(2)))
    for rival in rivals:
        rival.say(*rfq_ids, "")
    said = [[await rival.hear() for _ in rfq_ids] for rival in rivals]
    await asyncio.gather(*(rival.process.wait() for rival in rivals))
    async with PostgresRfqStore.open(database, "engine-after") as store:
        for at, rfq_id in enumerate(rfq_ids):
            assert sum(lines[at].startswith("lifted") for lines in said) == 1, [lines[at] for lines in said]
            history = await store.load(StreamId("rfq", rfq_id))
            assert sum(isinstance(s.event, ev.QuoteLifted) for s in history) == 1


async def test_a_process_that_slept_past_its_lease_writes_nothing(
    database_url: str, database: Database
) -> None:
    async with PostgresRfqStore.open(database, "engine-awake") as store:
        pen = Pen(store, "rfq-1")
        await pen.tell(life_of("rfq-1")[:6])
        await store.release(pen.lease)
        sleeper = await Rival.start(database_url, "engine-sleeper", 0.5, "pause")
        try:
            sleeper.say("rfq-1", "")
            assert await sleeper.hear() == "claimed rfq-1"
            sleeper.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.7)
            taken = Pen(store, "rfq-1", await store.claim(RfqId("rfq-1")))
            assert taken.lease.epoch == 3
            sleeper.process.send_signal(signal.SIGCONT)
            sleeper.say("now")
            assert await sleeper.hear() == "LeaseLost rfq-1"
        finally:
            await sleeper.end()
        taken.take_up(await store.load(taken.stream))
        assert not taken.block.lifts
        await taken.tell(life_of("rfq-1")[6:])


async def test_the_leases_of_a_killed_process_are_free_at_once(database_url: str, database: Database) -> None:
    async with PostgresRfqStore.open(database, "engine-next") as store:
        pen = Pen(store, "rfq-1")
        await pen.tell(life_of("rfq-1")[:6])
        await store.release(pen.lease)
        owner = await Rival.start(database_url, "engine-owner", 60.0, "pause")
        owner.say("rfq-1", "")
        assert await owner.hear() == "claimed rfq-1"
        owner.process.kill()
        await owner.process.wait()
        async with asyncio.timeout(5):
            while True:
                try:
                    lease = await store.claim(RfqId("rfq-1"))
                    break
                except Exception:
                    await asyncio.sleep(0.02)
        assert lease.epoch == 3

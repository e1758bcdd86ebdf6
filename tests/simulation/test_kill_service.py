"""`kill -9` of the whole service, as its operator and its desks see it: real processes, real sockets, real time."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from witness import BLOCK, SETTINGS, Witness, ended, rfq, sound

from db.cluster import Cluster
from db.embedded import EmbeddedPostgres
from rfq.demo import manned
from rfq.domain.block import Block
from rfq.domain.quote import LiftStatus
from rfq.domain.rfq import RequestSide
from rfq.stage import Stage, scratch


@asynccontextmanager
async def house(say: Callable[[str], None] = print) -> AsyncIterator[tuple[Stage, Witness, Path]]:
    """Service and fleet as processes on a scratch database, a desk at work, and the database's data directory."""
    with scratch() as folder:
        async with Stage(folder, say, SETTINGS) as stage, stage.client("desk") as desk:
            await manned(desk)
            witness = Witness(desk)
            try:
                yield stage, witness, folder
            finally:
                witness.close()


async def recorded(folder: Path, witness: Witness) -> dict[str, Block]:
    async with EmbeddedPostgres(folder) as server:
        return await sound(server.url, witness)


async def test_service_killed_while_asking_while_working_and_while_lifting() -> None:
    async with house() as (stage, witness, folder):
        block = await witness.post(BLOCK)
        small = [
            await witness.post(rfq("NVEC", RequestSide.BUY, 20_000, quote_window_s=4.0)),
            await witness.post(rfq("BRKF", RequestSide.SELL, 20_000, quote_window_s=4.0, all_or_none=True)),
        ]
        asked = [block, *small]
        await witness.until(lambda: all(witness.count(r, "DealersAsked") for r in asked))
        await witness.until(lambda: any(witness.count(r, "QuoteReceived") for r in asked))
        os.kill(stage.pid("service"), signal.SIGKILL)  # Auctions are open.
        await stage.ready()
        await witness.until(lambda: all(witness.count(r, "AuctionClosed") for r in asked))

        await witness.until(lambda: witness.count(block, "ChildFilled") > 0)
        os.kill(stage.pid("service"), signal.SIGKILL)  # The residual is being worked.
        await stage.ready()

        # Its dealers are slow to answer: the service dies between the lift and the word on it.
        await manned(witness.desk)
        lifted = await quoted(witness)
        os.kill(stage.pid("fleet"), signal.SIGSTOP)
        await witness.until(lambda: witness.count(lifted, "QuoteLifted") > 0)
        os.kill(stage.pid("service"), signal.SIGKILL)
        os.kill(stage.pid("fleet"), signal.SIGCONT)
        await stage.ready()
        await witness.until(lambda: witness.count(lifted, "LiftUnknown") > 0)

        await witness.until_over()
        assert stage.died == 3

        blocks = await recorded(folder, witness)
        lifts = list(blocks[lifted].lifts.values())
        assert lifts and all(x.status in (LiftStatus.CONFIRMED, LiftStatus.REFUSED) for x in lifts)
        assert blocks[block].parents, "nothing was worked"


async def test_database_killed_while_asking_and_working() -> None:
    async with house() as (stage, witness, folder):
        service = stage.pid("service")
        block = await witness.post(BLOCK)
        await witness.until(lambda: witness.count(block, "QuoteReceived") > 0)
        server = Cluster(folder).postmaster()
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)  # The whole server, while the auction is open.
        await witness.until(lambda: witness.count(block, "ChildFilled") > 0)
        again = Cluster(folder).postmaster()
        assert again is not None and again.pid != server.pid
        os.kill(backend_of(again.pid), signal.SIGKILL)  # One of its processes: it throws all of them out.
        posted = await witness.post(rfq("NVEC", RequestSide.BUY, 20_000, quote_window_s=2.0))
        await stage.ready()
        await witness.until_over()
        assert stage.died == 0 and stage.pid("service") == service, "the service did not live on"
        blocks = await recorded(folder, witness)
        assert blocks[posted].fills and blocks[block].parents


async def quoted(witness: Witness) -> str:
    """An RFQ with a quote and its auction still open. Dealers that do not see the market yet decline."""
    for _ in range(4):
        rfq_id = await witness.post(rfq("NVEC", RequestSide.SELL, 20_000, quote_window_s=2.0))
        told = witness.told[rfq_id]
        await witness.until(lambda told=told: any(e.event == "QuoteReceived" for e in told) or ended(told))
        if not ended(told):
            return rfq_id
    pytest.fail("nobody quotes")


def backend_of(postmaster: int) -> int:
    """A process of this server that serves a connection of ours."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat, open(f"/proc/{entry}/cmdline") as words:
                    parent, title = int(stat.read().rpartition(")")[2].split()[1]), words.read()
            except OSError:
                continue
            if parent == postmaster and "127.0.0.1(" in title:
                return int(entry)
    pytest.fail("no backend found")

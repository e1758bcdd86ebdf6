"""Two services on one database: each keeps to its own RFQs, and one takes over when the other is killed."""

import asyncio
import os
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from witness import BLOCK, SETTINGS, Witness, rfq, sound

from rfq.api.messages import RfqBody
from rfq.client import Unavailable
from rfq.clocks import SystemClock
from rfq.demo import manned
from rfq.domain.rfq import RequestSide
from rfq.stage import Stage, scratch

EPOCHS = """
SELECT stream_name, epoch, count(*), min(session_at), max(session_at) FROM events
WHERE stream_kind = 'rfq' GROUP BY 1, 2 ORDER BY 1, 2"""


async def test_second_service_takes_over_and_nothing_is_done_twice(database_url: str) -> None:
    settings = SETTINGS | {"SOTTO_DATABASE_URL": database_url}
    with scratch() as first_folder, scratch() as second_folder:
        async with Stage(first_folder, print, settings, lives=0) as first:
            share_keys(first_folder, second_folder)
            async with (
                Stage(second_folder, print, settings) as second,
                first.client("desk") as desk,
                second.client("desk") as other_desk,
            ):
                await asyncio.gather(manned(desk), manned(other_desk))
                ours, theirs = Witness(desk), Witness(other_desk)
                mine = [await ours.post(BLOCK), await ours.post(small("NVEC")), await ours.post(small("OLEN"))]
                its = [await theirs.post(small("HALM")), await theirs.post(small("BRKF"))]
                await ours.until(lambda: any(ours.count(r, "QuoteReceived") for r in mine))
                assert (await other_desk.get(mine[0])).rfq_id == mine[0], "both serve reads"
                with pytest.raises(Unavailable, match="another engine"):
                    await other_desk.cancel(mine[0])
                killed_at = SystemClock().now()
                os.kill(first.pid("service"), signal.SIGKILL)
                # What the first was told is now read off the second.
                ours.turn_to(other_desk)
                await ours.until_over()
                await theirs.until_over()
                ours.close()
                theirs.close()
                await sound(database_url, ours)
                await sound(database_url, theirs)
                await owned_one_after_the_other(database_url, mine, its, killed_at)


def small(symbol: str) -> RfqBody:
    return rfq(symbol, RequestSide.BUY, 10_000, quote_window_s=4.0)


def share_keys(first: Path, second: Path) -> None:
    """Callers and simulated dealers have one key each on one database."""
    for name in ("keys.toml", "fleet.toml"):
        shutil.copy(first / name, second / name)


async def owned_one_after_the_other(url: str, mine: list[str], its: list[str], killed_at: datetime) -> None:
    """Each RFQ was written under one epoch at a time, the survivor's under one alone."""
    connection = await asyncpg.connect(url)
    try:
        spans: dict[str, list[asyncpg.Record]] = {}
        for row in await connection.fetch(EPOCHS):
            spans.setdefault(row["stream_name"], []).append(row)
    finally:
        await connection.close()
    assert set(spans) == {*mine, *its}
    for rfq_id in its:
        assert [row["epoch"] for row in spans[rfq_id]] == [1], "taken from a service that lives"
    for rfq_id in mine:
        epochs = [row["epoch"] for row in spans[rfq_id]]
        assert epochs == list(range(1, len(epochs) + 1)) and len(epochs) <= 2
        assert spans[rfq_id][0]["max"].astimezone(UTC) <= killed_at, "written after its death"
        for after in spans[rfq_id][1:]:
            assert after["min"].astimezone(UTC) >= killed_at, "taken over while its owner lived"
    assert any(len(spans[rfq_id]) == 2 for rfq_id in mine), "nothing was taken over"

"""The event log against a real PostgreSQL: durable, ordered, fenced, and one fault never another's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from examples import MID, at, stamp
from stored_blocks import Pen, life_of

from db.database import Database
from db.event_log import EventLog
from db.mapping import from_json
from db.rfq_reader import PostgresRfqReader
from db.rfq_store import PostgresRfqStore
from rfq.domain import events as ev
from rfq.domain.award import Award
from rfq.domain.errors import BadInput, Inconsistent, LeaseLost, StoreUnavailable, StreamConflict
from rfq.domain.rfq import Rfq, RfqStatus
from rfq.domain.values import DeskId, LiftId, RfqId
from rfq.ports import Idempotency, StreamId

SYSTEM = StreamId("system", "kill")


@asynccontextmanager
async def writing(database: Database, **options: Any) -> AsyncIterator[EventLog]:
    log = EventLog(database, **options)
    writer = asyncio.create_task(log.run())
    yield log
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)


def released(by: str = "kim") -> ev.KillSwitchReleased:
    return ev.KillSwitchReleased(by)


async def test_a_block_is_read_back_as_it_was_folded(database: Database, store: PostgresRfqStore) -> None:
    pen, life = Pen(store, "rfq-1"), life_of("rfq-1")
    await pen.tell(life)
    history = await store.load(pen.stream)
    assert [s.event for s in history] == [event for group in life for event in group]
    assert [s.sequence for s in history] == list(range(1, len(history) + 1))
    assert [(s.session_at, s.market_at) for s in history] == [(at(i), at(i)) for i in range(len(history))]

    read, block, rfq_id = PostgresRfqReader(database), pen.block, RfqId("rfq-1")
    assert await read.rfq(rfq_id) == block.rfq
    assert await read.auctions(rfq_id) == list(block.auctions.values())
    assert {r.request_id: r for r in await read.requests(rfq_id)} == block.requests
    assert {q.quote_id: q for q in await read.quotes(rfq_id)} == block.quotes
    assert {x.lift_id: x for x in await read.lifts(rfq_id)} == block.lifts
    assert {f.fill_id: f for f in await read.fills(rfq_id)} == block.fills
    assert await read.awards(rfq_id) == block.awards
    assert await read.selection(rfq_id) == block.selection
    parent, child = await read.orders(rfq_id)
    assert (parent["kind"], parent["status"], parent["quantity"], parent["filled"]) == ("parent", "done", 60, 50)
    assert (child["kind"], child["status"], child["price"], child["filled"]) == ("child", "cancelled", MID, 50)
    assert await read.events(rfq_id, after=3, limit=2) == history[3:5]
    assert await read.rfq(RfqId("rfq-2")) is None
    assert await read.latest_market_time() == history[-1].market_at


async def test_waiting_appends_share_a_transaction(database: Database) -> None:
    batches: list[int] = []
    async with PostgresRfqStore.open(database, "engine-a", observe=lambda size, _: batches.append(size)) as store:
        lives = [(Pen(store, f"rfq-{i}"), life_of(f"rfq-{i}")) for i in range(40)]
        await asyncio.gather(*(pen.tell(life) for pen, life in lives))
        for pen, life in lives:
            assert len(await store.load(pen.stream)) == sum(map(len, life))
    assert sum(batches) == sum(len(life) for _, life in lives)
    assert len(batches) <= 3 * len(lives[0][1])


async def test_several_queued_appends_of_one_stream_keep_their_order(store: PostgresRfqStore) -> None:
    pen, life = Pen(store, "rfq-1"), life_of("rfq-1")
    waiting = [pen.note(group) for group in life]
    await waiting[-1]
    assert [s.event for s in await store.load(pen.stream)] == [event for group in life for event in group]


async def test_a_caller_that_stops_waiting_does_not_stop_the_write(store: PostgresRfqStore) -> None:
    pen, life = Pen(store, "rfq-1"), life_of("rfq-1")
    pen.note(life[0]).cancel()
    await pen.note(life[1])
    assert len(await store.load(pen.stream)) == 4


async def test_a_conflict_fails_only_its_own_stream_and_all_that_follows_there(store: PostgresRfqStore) -> None:
    good, bad = Pen(store, "rfq-1"), Pen(store, "rfq-2")
    await good.tell(life_of("rfq-1")[:1])
    await bad.tell(life_of("rfq-2")[:1])
    bad.block.sequence += 1
    outcomes = await asyncio.gather(
        good.note(life_of("rfq-1")[1]),
        bad.note(life_of("rfq-2")[1]),
        bad.note([ev.CancelRequested("desk-1")]),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    assert [type(outcome) for outcome in outcomes[1:]] == [StreamConflict, StreamConflict]
    with pytest.raises(StreamConflict):
        await bad.note([ev.PersonNeeded("later")])
    assert len(await store.load(bad.stream)) == 1

    # Claimed and loaded anew, it goes on, with a higher epoch.
    again = Pen(store, "rfq-2", await store.claim(RfqId("rfq-2")))
    again.take_up(await store.load(again.stream))
    assert again.lease.epoch == 2
    await again.tell(life_of("rfq-2")[1:])
    with pytest.raises((StreamConflict, LeaseLost)):
        await bad.note([ev.PersonSettled("kim", "none")])


async def test_the_database_refuses_a_second_lift_of_one_quote(database: Database, store: PostgresRfqStore) -> None:
    pen, life = Pen(store, "rfq-1"), life_of("rfq-1")
    await pen.tell(life[:7])
    twice = life[6][0].lift.but(lift_id=LiftId("another"))
    event = ev.QuoteLifted(twice)
    with pytest.raises(StreamConflict, match="quote_id"):
        await store.append(pen.stream, [stamp(pen.block.sequence + 1, event)], [twice], pen.lease)
    assert len(await PostgresRfqReader(database).lifts(RfqId("rfq-1"))) == 1


async def test_one_idempotency_key_creates_one_rfq(database: Database, store: PostgresRfqStore) -> None:
    key = Idempotency(DeskId("desk-1"), "k", "digest", RfqId("rfq-1"))
    other = key.but(rfq_id=RfqId("rfq-2"))
    first, second, third = Pen(store, "rfq-1"), Pen(store, "rfq-2"), Pen(store, "rfq-3")
    outcomes = await asyncio.gather(
        first.note(life_of("rfq-1")[0], key),
        second.note(life_of("rfq-2")[0], other),
        third.note(life_of("rfq-3")[0], key.but(desk_id=DeskId("desk-2"), rfq_id=RfqId("rfq-3"))),
        return_exceptions=True,
    )
    assert outcomes[0] is outcomes[2] is None and isinstance(outcomes[1], StreamConflict)
    read = PostgresRfqReader(database)
    assert await read.idempotent(DeskId("desk-1"), "k") == key
    assert await read.idempotent(DeskId("desk-1"), "other") is None
    assert await read.rfq(RfqId("rfq-2")) is None


async def test_only_the_owner_writes(database: Database, store: PostgresRfqStore) -> None:
    pen = Pen(store, "rfq-1")
    await pen.tell(life_of("rfq-1")[:2])
    async with PostgresRfqStore.open(database, "engine-b") as other:
        with pytest.raises(LeaseLost, match="engine-a"):
            await other.claim(RfqId("rfq-1"))
        stranger = Pen(other, "rfq-1")
        with pytest.raises((LeaseLost, StreamConflict)):
            await stranger.note(life_of("rfq-1")[0])
        await store.release(pen.lease)
        lease = await other.claim(RfqId("rfq-1"))
        assert lease.epoch == 2
        taken = Pen(other, "rfq-1", lease)
        taken.take_up(await other.load(taken.stream))
        bystander = Pen(store, "rfq-2")
        outcomes = await asyncio.gather(
            pen.note(life_of("rfq-1")[2]), bystander.note(life_of("rfq-2")[0]), return_exceptions=True
        )
        assert isinstance(outcomes[0], LeaseLost) and outcomes[1] is None
        await taken.tell(life_of("rfq-1")[2:])
    assert len(await store.load(pen.stream)) == sum(map(len, life_of("rfq-1")))
    # Its session has ended, so what it had is free at once, though its time has not run out.
    assert (await store.claim(RfqId("rfq-1"))).epoch == 3


async def test_a_silent_holder_loses_its_leases_and_a_fresh_lease_is_only_for_the_first(database: Database) -> None:
    async with (
        PostgresRfqStore.open(database, "engine-a", lease_s=1.5) as silent,
        PostgresRfqStore.open(database, "engine-b") as other,
    ):
        pen = Pen(silent, "rfq-1")
        await pen.tell(life_of("rfq-1")[:1])
        await silent.renew()
        with pytest.raises(LeaseLost):
            await other.claim(RfqId("rfq-1"))
        await asyncio.sleep(1.6)
        assert (await other.claim(RfqId("rfq-1"))).epoch == 2
        with pytest.raises(LeaseLost):
            await pen.note(life_of("rfq-1")[1])


async def test_a_lost_answer_of_a_commit_is_neither_a_failure_nor_a_second_write(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server commits, the line breaks before it can say so: the log must find its own events there."""
    async with PostgresRfqStore.open(database, "engine-a") as store:
        pen, other = Pen(store, "rfq-1"), Pen(store, "rfq-2")
        real = EventLog._transact
        broken: list[int] = []

        async def loses_the_answer(log: EventLog, connection: asyncpg.Connection, batch: Any) -> bool:
            done = await real(log, connection, batch)
            if len(broken) < 3:
                broken.append(len(batch))
                raise asyncpg.ConnectionDoesNotExistError("the line broke")
            return done

        monkeypatch.setattr(EventLog, "_transact", loses_the_answer)
        lives = life_of("rfq-1"), life_of("rfq-2")
        await asyncio.gather(pen.tell(lives[0]), other.tell(lives[1]))
        assert len(broken) == 3
        for one, life in zip((pen, other), lives, strict=True):
            assert [s.event for s in await store.load(one.stream)] == [event for group in life for event in group]


async def test_a_full_backlog_and_an_absent_server_refuse_new_risk(database: Database) -> None:
    async with writing(database, backlog=2, ride_out_s=0.2) as log:
        waiting = [log.append(SYSTEM, [stamp(i, released())], ()) for i in (1, 2, 3)]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(outcomes[2], StoreUnavailable)
    gone = Database("postgresql://nobody:x@127.0.0.1:1/none", database._engine, 1.0)
    async with writing(gone, ride_out_s=0.2) as log:
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            await asyncio.wait_for(log.append(SYSTEM, [stamp(1, released())], ()), 5)
    with pytest.raises(StoreUnavailable, match="closed"):
        await log.append(SYSTEM, [stamp(2, released())], ())


async def test_two_processes_may_write_a_stream_without_leases(database: Database, store: PostgresRfqStore) -> None:
    async with PostgresRfqStore.open(database, "engine-b") as other:
        writes = [s.append_next(SYSTEM, released(str(i)), at(i), at(i)) for i in range(10) for s in (store, other)]
        await asyncio.gather(*writes)
        history = await other.load(SYSTEM)
    assert [s.sequence for s in history] == list(range(1, 21))
    assert sorted(s.event.by for s in history) == sorted(2 * [str(i) for i in range(10)])  # type: ignore[union-attr]


async def test_what_is_unfinished_is_found_oldest_first(database: Database, store: PostgresRfqStore) -> None:
    lives = {name: life_of(name, desk=f"desk-{name[-1]}") for name in ("rfq-a", "rfq-b", "rfq-c")}
    for name, upto in (("rfq-b", 3), ("rfq-a", 99), ("rfq-c", 1)):
        await Pen(store, name).tell(lives[name][:upto])
    assert await store.unfinished() == ["rfq-b", "rfq-c"]
    read = PostgresRfqReader(database)
    assert [await read.open_count(DeskId(f"desk-{x}")) for x in "abc"] == [0, 1, 1]
    page, cursor = await read.rfqs(None, None, None, 2)
    rest, end = await read.rfqs(None, None, cursor, 2)
    assert [r.rfq_id for r in [*page, *rest]] == ["rfq-c", "rfq-b", "rfq-a"] and cursor and end is None
    done, _ = await read.rfqs(DeskId("desk-a"), RfqStatus.DONE, None, 10)
    assert [r.rfq_id for r in done] == ["rfq-a"]
    with pytest.raises(BadInput, match="cursor"):
        await read.rfqs(None, None, "nonsense", 2)


async def test_a_gap_inside_one_append_is_a_bug_of_the_caller(store: PostgresRfqStore) -> None:
    with pytest.raises(Inconsistent):
        store.append(SYSTEM, [stamp(1, released()), stamp(3, released())], (), None)


async def test_nothing_of_a_noun_is_lost_in_its_row(store: PostgresRfqStore, database: Database) -> None:
    await Pen(store, "rfq-1").tell(life_of("rfq-1"))
    async with database.raw() as connection:
        rfq = from_json(await connection.fetchval("SELECT noun::text FROM rfqs"), Rfq)
        award = from_json(await connection.fetchval("SELECT noun::text FROM awards"), Award)
        row = await connection.fetchrow("SELECT quantity, filled, unfilled, sequence FROM rfqs")
        assert tuple(row) == (rfq.terms.leg.quantity, rfq.filled, rfq.unfilled, rfq.sequence) == (100, 90, 10, 26)
        assert award.residual == 60
        declined = await connection.fetchval("SELECT noun::text FROM requests WHERE dealer_id = 'd3'")
        assert "\\u0000" in declined

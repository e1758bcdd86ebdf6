"""What stands beside the RFQs: keys, limits, the kill switch, trades to acknowledge, history, the schema itself."""

import asyncio
from datetime import datetime

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from examples import MID, at, terms
from sqlmodel import SQLModel
from stored_blocks import Pen, life_of

from db.api_keys import PostgresKeyStore
from db.control_store import PostgresControlStore
from db.database import Database
from db.history import PostgresHistory
from db.rfq_reader import PostgresRfqReader
from db.rfq_store import PostgresRfqStore
from db.trade_ledger import PostgresTradeLedger
from rfq.domain import events as ev
from rfq.domain.errors import BadInput, NotFound, StoreUnavailable
from rfq.domain.fill import MARK_OUT_HORIZONS_S, MarkOut
from rfq.domain.rfq import RequestSide
from rfq.domain.values import DealerId, DeskId, LiftId, Price, RfqId, Side
from rfq.ports import DealerOutcome, Principal, StreamId


class Fixed:
    def now(self) -> datetime:
        return at(100)


async def test_the_migrations_give_exactly_the_declared_schema(empty_database_url: str) -> None:
    # Two processes starting at once on an empty database.
    both = await asyncio.gather(*(Database.open(empty_database_url) for _ in range(2)))
    async with both[0]._engine.connect() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), SQLModel.metadata)
        )
    assert difference == []
    settings = await both[0].settings("fsync", "full_page_writes", "synchronous_commit")
    assert settings == {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
    for database in both:
        await database.close()


async def test_a_url_that_leads_nowhere_says_so(empty_database_url: str) -> None:
    with pytest.raises(BadInput, match="postgresql://"):
        await Database.open("mysql://x@y/z")
    with pytest.raises(BadInput, match="postgresql://"):
        await Database.open("what is this")
    with pytest.raises(StoreUnavailable):
        await Database.open("postgresql://x:y@127.0.0.1:1/none", deadline_s=2.0)
    for wrong in (
        empty_database_url.replace("sotto:", "stranger:"),
        empty_database_url.rpartition("/")[0] + "/not_there",
    ):
        with pytest.raises(StoreUnavailable):
            await Database.open(wrong)


async def test_reads_fail_plainly_without_a_server_and_recover_with_it(database: Database) -> None:
    read = PostgresRfqReader(database)
    assert await read.rfq(RfqId("rfq-1")) is None
    async with database.raw() as connection:
        other = await asyncpg.connect(database._url)
        mine = await connection.fetchval("SELECT pg_backend_pid()")
        await other.execute("SELECT pg_terminate_backend($1)", mine)
        await other.close()
        with pytest.raises(StoreUnavailable):
            async with database.raw():
                raise asyncpg.ConnectionDoesNotExistError("gone")
    assert await read.rfq(RfqId("rfq-1")) is None


async def test_keys(database: Database) -> None:
    keys = PostgresKeyStore(database)
    kim, dealer = Principal("kim", "desk"), Principal("kim", "dealer")
    await keys.add(kim, "a long random key")
    await keys.add(dealer, "another")
    assert (await keys.who("a long random key"), await keys.who("another"), await keys.who("guess")) == (
        kim, dealer, None,
    )  # fmt: skip
    assert await keys.who("\udcff\x00") is None
    for clash in ((kim, "a third"), (Principal("lee", "desk"), "another")):
        with pytest.raises(BadInput):
            await keys.add(*clash)
    assert await keys.names("desk") == ["kim"] and await keys.names("operator") == []
    async with database.raw() as connection:
        row = await connection.fetchrow("SELECT * FROM api_keys WHERE role = 'desk'")
        assert b"random" not in row["key_hash"] and len(row["key_hash"]) == 32
        await connection.execute("DELETE FROM api_keys")
    assert await PostgresKeyStore(database).who("another") is None


async def test_controls_are_kept_in_order(store: PostgresRfqStore) -> None:
    controls, limits = PostgresControlStore(store), StreamId("limit", "desk-1")
    events = [ev.LimitSet(DeskId("desk-1"), "open_rfqs", str(i), "kim") for i in range(20)]
    await asyncio.gather(*(controls.record(limits, event, at(1), at(2)) for event in events))
    history = await controls.history(limits)
    assert [s.event for s in history] == events and history[0].market_at == at(2)
    assert await controls.history(StreamId("limit", "desk-2")) == []


async def test_trades_are_due_until_acknowledged(database: Database, store: PostgresRfqStore) -> None:
    ledger = PostgresTradeLedger(database, store, Fixed(), Fixed())  # type: ignore[arg-type]
    pens = [Pen(store, name) for name in ("rfq-1", "rfq-2")]
    await pens[0].tell(life_of("rfq-1"))
    await pens[1].tell(life_of("rfq-2")[:7])
    (trade,) = await ledger.unacknowledged(DealerId("d1"))
    assert trade.lift == pens[0].block.lifts[LiftId("rfq-1/lift")]
    assert trade.fill == next(f for f in pens[0].block.fills.values() if f.lift_id)
    assert await ledger.unacknowledged(DealerId("d2")) == []
    with pytest.raises(NotFound):
        await ledger.acknowledge(DealerId("d2"), trade.lift.lift_id)
    with pytest.raises(NotFound):
        await ledger.acknowledge(DealerId("d1"), LiftId("never"))
    for _ in range(2):
        await ledger.acknowledge(DealerId("d1"), trade.lift.lift_id)
    assert await ledger.unacknowledged(DealerId("d1")) == []
    assert len(await store.load(StreamId("dealer", "d1"))) == 1


async def marked(store: PostgresRfqStore, rfq_id: str, subject: str, mids: dict[float, int | None]) -> None:
    marks = tuple(
        MarkOut(subject, RfqId(rfq_id), s, at(s), MID, None if mid is None else Price(mid), 2.5)
        for s, mid in mids.items()
    )
    await store.append_next(StreamId("markout", rfq_id), ev.MarkOutsTaken(marks), at(1), at(1))


async def test_mark_outs_still_owed_are_found(database: Database, store: PostgresRfqStore) -> None:
    await Pen(store, "rfq-1").tell(life_of("rfq-1"))
    await marked(store, "rfq-1", "rfq-1/d1", {s: MID for s in MARK_OUT_HORIZONS_S})
    await marked(store, "rfq-1", "rfq-1/work", {1.0: None, 60.0: MID})
    owed = {u.subject: u for u in await store.unmarked(at(-1))}
    assert set(owed) == {"rfq-1/d2", "rfq-1/d3", "rfq-1/fill", "rfq-1/work"}
    assert owed["rfq-1/work"].missing_s == (10.0, 300.0, 1800.0)
    assert owed["rfq-1/d2"].missing_s == MARK_OUT_HORIZONS_S
    assert (owed["rfq-1/d2"].reference, owed["rfq-1/d2"].at, owed["rfq-1/d2"].symbol) == (MID, at(0), "ACME")
    assert {u.subject for u in await store.unmarked(at(5))} == {"rfq-1/fill", "rfq-1/work"}
    marks = await PostgresRfqReader(database).mark_outs(RfqId("rfq-1"))
    assert [m.mid for m in marks if m.subject == "rfq-1/work"] == [None, MID]
    assert marks[0] == MarkOut("rfq-1/d1", RfqId("rfq-1"), 1.0, at(1), MID, MID, 2.5)


async def gathered(database: Database, since: datetime, limit: int = 100) -> list[DealerOutcome]:
    return [outcome async for outcome in PostgresHistory(database).outcomes(since, limit)]


async def test_history_holds_what_came_of_asking(database: Database, store: PostgresRfqStore) -> None:
    await Pen(store, "rfq-1").tell(life_of("rfq-1"))
    await marked(store, "rfq-1", "rfq-1/d1", {1.0: MID + 20, 10.0: None})
    won, lost, declined = await gathered(database, at(-1))
    assert (won.dealer_id, won.side, won.asked, won.propensity, won.quantity) == ("d1", Side.BUY, 3, 0.5, 100)
    assert (won.answered, won.response_s, won.quote_price, won.mid_at_quote) == (True, 1.0, MID + 4, MID)
    assert (won.lifted, won.confirmed, won.refused) == (True, True, False)
    assert won.mark_outs == (10.0, None, None, None, None) and won.controls == (2.5, 2.5, None, None, None)
    # The late revision is not what the auction saw.
    assert (lost.quote_price, lost.lifted, lost.confirmed, lost.refused) == (MID + 6, False, False, False)
    assert (declined.answered, declined.quote_price, declined.mark_outs) == (True, None, (None,) * 5)
    assert declined.anonymous and declined.shown_side is RequestSide.BUY
    assert await gathered(database, at(0.5)) == []


async def test_history_is_paged_in_time_order_and_bounded(
    database: Database, store: PostgresRfqStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await Pen(store, f"rfq-{number}").tell(life_of(f"rfq-{number}", terms()))
    whole = await gathered(database, at(-1))
    monkeypatch.setattr("db.history._PAGE", 5)
    assert await gathered(database, at(-1)) == whole
    assert [o.request_id for o in whole] == sorted(o.request_id for o in whole) and len(whole) == 12
    assert await gathered(database, at(-1), 7) == whole[-7:]


async def test_the_last_mid_of_an_instrument_is_known(database: Database, store: PostgresRfqStore) -> None:
    await Pen(store, "rfq-1").tell(life_of("rfq-1"))
    reader = PostgresRfqReader(database)
    assert set(await reader.latest_mids(at(-1))) == {"ACME"}
    assert await reader.latest_mids(at(1_000_000)) == {}

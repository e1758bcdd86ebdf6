"""The append-only log: one writer gathers every waiting append into one transaction (group commit).

An append is durable when its awaitable returns. A short loss of the server is ridden out: a batch whose fate is
unknown is looked up by its hashes when the server is back, and written again only if it is not there.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import asyncpg
import structlog

from db import statements
from db.database import DOWN, Database
from db.hash_chain import GENESIS, link
from db.mapping import Row, check, rows_of_all
from rfq.domain import events as ev
from rfq.domain.errors import Inconsistent, LeaseLost, SottoError, StoreUnavailable, StreamConflict
from rfq.ports import Idempotency, Lease, StreamId

_log = structlog.get_logger()

_WIDTH = len(statements.columns_of("events"))

_Run: TypeAlias = tuple[StreamId, int]
"""A stretch of one stream written by one owner: the lease's epoch, or minus a count of loads where none is needed."""


class _Append:
    """One caller's events, waiting. Its rows and its hashes are made when its turn comes."""

    __slots__ = ("done", "events", "key", "lease", "rows", "run", "settled", "stream", "touched", "unsure")

    def __init__(
        self,
        stream: StreamId,
        events: Sequence[ev.Stamped],
        touched: Sequence[object],
        lease: Lease | None,
        key: Idempotency | None,
        run: _Run,
    ) -> None:
        self.stream, self.events, self.touched, self.lease, self.key = stream, events, touched, lease, key
        self.run = run
        self.rows: list[Row] = []
        self.settled = self.unsure = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever waited may have gone; a failure nobody reads any more is not a fault of the loop.
        self.done.add_done_callback(lambda future: future.cancelled() or future.exception())

    @property
    def first(self) -> int:
        return self.events[0].sequence

    @property
    def begins(self) -> bool:
        """Whether it begins an RFQ, so that its lease is written with it."""
        return self.lease is not None and self.lease.epoch == 1 and self.first == 1

    def settle(self, error: Exception | None = None) -> None:
        """Tells the caller, if it still waits. A caller that gave up waiting does not stop the write."""
        self.settled = True
        if not self.done.done():
            self.done.set_exception(error) if error else self.done.set_result(None)


class EventLog:
    """The single writer of one process. `append` queues; `run()` writes until cancelled."""

    def __init__(
        self,
        database: Database,
        *,
        backlog: int = 20_000,
        batch: int = 500,
        batch_within_s: float = 10.0,
        ride_out_s: float = 10.0,
        remembered: int = 10_000,
        observe: Callable[[int, float], None] | None = None,
    ) -> None:
        """`backlog`: appends that may wait; `batch`: appends in one transaction; `ride_out_s`: how long a server
        that is away is waited for; `remembered`: streams whose tail is kept in memory; `observe` is told each
        batch's size and seconds.
        """
        self._database, self._backlog, self._batch = database, backlog, batch
        self._batch_within_s, self._ride_out_s, self._remembered = batch_within_s, ride_out_s, remembered
        self._observe = observe
        self._waiting: list[_Append] = []
        self._arrived, self._idle = asyncio.Event(), asyncio.Event()
        self._connection: asyncpg.Connection | None = None
        self._tails: OrderedDict[StreamId, tuple[int, bytes]] = OrderedDict()
        self._broken: OrderedDict[_Run, SottoError] = OrderedDict()
        self._runs: OrderedDict[StreamId, int] = OrderedDict()
        self._closed = False

    def append(
        self,
        stream: StreamId,
        events: Sequence[ev.Stamped],
        touched: Sequence[object],
        lease: Lease | None = None,
        created_by: Idempotency | None = None,
    ) -> Awaitable[None]:
        """See rfq.ports.RfqStore.append. A full backlog, and a writer that is gone, are StoreUnavailable."""
        for before, after in pairwise(events):
            if after.sequence != before.sequence + 1:
                raise Inconsistent(f"{stream}: event {after.sequence} after {before.sequence}")
        run = (stream, lease.epoch if lease else -self._runs.get(stream, 0))
        check(touched)
        item = _Append(stream, events, touched, lease, created_by, run)
        if not events:
            item.settle()
        elif self._closed:
            self._refuse(item, StoreUnavailable("the writer is closed"))
        elif len(self._waiting) >= self._backlog:
            self._refuse(item, StoreUnavailable(f"{self._backlog} appends are waiting already"))
        else:
            self._waiting.append(item)
            self._idle.clear()
            self._arrived.set()
        return item.done

    def forget(self, stream: StreamId) -> None:
        """Begins a new run of a stream: its end is read again, and appends of earlier runs keep failing.

        For a leased stream the new lease's epoch makes the new run; this drops only the remembered end.
        """
        self._tails.pop(stream, None)
        self._runs[stream] = self._runs.pop(stream, 0) + 1
        _bound(self._runs, self._remembered)

    def end(self, stream: StreamId) -> int | None:
        """The sequence at which a stream ended when this process last wrote it; None if that is not remembered."""
        tail = self._tails.get(stream)
        return tail[0] if tail else None

    async def drained(self) -> None:
        """Returns when nothing waits and nothing is being written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Writes batch after batch until cancelled; then what waits fails with StoreUnavailable."""
        try:
            while True:
                if not self._waiting:
                    self._arrived.clear()
                    self._idle.set()
                    await self._arrived.wait()
                batch, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
                try:
                    await self._write(batch)
                except BaseException:
                    self._waiting = batch + self._waiting
                    raise
        finally:
            self._closed = True
            for item in self._waiting:
                if not item.settled:
                    self._refuse(item, StoreUnavailable("the writer is closed"))
            self._disconnect()

    # --- one batch ---------------------------------------------------------------------------------------------

    async def _write(self, batch: list[_Append]) -> None:
        """Settles every append of the batch, one way or the other."""
        clock = asyncio.get_running_loop().time
        began, size, away = clock(), len(batch), False
        while batch := [item for item in batch if not item.settled]:
            try:
                async with asyncio.timeout(self._batch_within_s):
                    await self._try_batch(await self._connected(), batch)
            except (*DOWN, TimeoutError, asyncpg.PostgresError) as error:
                # The commit may have gone through: _already_written finds out once the server is back.
                self._disconnect()
                for item in batch:
                    item.unsure = bool(item.rows)
                if clock() - began > self._ride_out_s:
                    fault = StoreUnavailable(f"the database cannot be written: {error or type(error).__name__}")
                    for item in batch:
                        if not item.settled:
                            self._refuse(item, fault)
                    return
                if not away:
                    _log.warning("database away, appends wait", waiting=len(batch), reason=repr(error))
                away = True
                await asyncio.sleep(0.05)
        if self._observe:
            self._observe(size, clock() - began)

    async def _try_batch(self, connection: asyncpg.Connection, batch: list[_Append]) -> None:
        """One transaction for all; where that fails for a reason of its own, one for each, in order."""
        batch = await self._chain(connection, batch)
        if not batch:
            return
        try:
            if await self._transact(connection, batch):
                self._settle(batch)
            else:
                await self._fence(connection, batch)
            return
        except (asyncpg.PostgresError, ValueError, OverflowError) as error:
            if isinstance(error, DOWN) and not isinstance(error, ValueError):
                raise
            if len(batch) == 1:
                await self._fault(connection, batch[0], error)
                return
        for item in batch:
            while not item.settled:
                await self._try_batch(connection, [item])

    async def _chain(self, connection: asyncpg.Connection, batch: list[_Append]) -> list[_Append]:
        """Gives every event its hash. Appends that do not join the end of their stream fail."""
        unknown = {(a.stream.kind, a.stream.name) for a in batch if a.first != 1 and a.stream not in self._tails}
        if unknown:
            for row in await connection.fetch(statements.TAILS, *statements.as_arrays(list(unknown), 2)):
                stream = StreamId(row["stream_kind"], row["stream_name"])
                self._tails[stream] = (row["sequence"], row["hash"])
        ends: dict[StreamId, tuple[int, bytes]] = {}
        joined = []
        for item in batch:
            if error := self._broken.get(item.run):
                item.settle(type(error)(*error.args))
                continue
            sequence, previous = ends.get(item.stream) or self._tails.get(item.stream) or (0, GENESIS)
            if item.first != sequence + 1:
                if not await self._already_written(connection, item):
                    self._refuse(item, StreamConflict(f"{item.stream} ends at {sequence}, not at {item.first - 1}"))
                continue
            item.rows = []
            for stamped in item.events:
                row = _event_row(item, stamped, previous)
                previous = row[-1]
                item.rows.append(row)
            ends[item.stream] = (item.events[-1].sequence, previous)
            joined.append(item)
        return joined

    async def _transact(self, connection: asyncpg.Connection, batch: list[_Append]) -> bool:
        """Runs the one statement. False: a lease is lost, and nothing of the batch was written."""
        begun = {_lease_row(a.lease) for a in batch if a.lease and a.begins}
        held = {_lease_row(a.lease) for a in batch if a.lease and not a.begins} - begun
        state = statements.latest(rows_of_all([(item.stream.name, item.events, item.touched) for item in batch]))
        keys = [(k.desk_id, k.key, k.body_digest, k.rfq_id) for a in batch if (k := a.key)]
        arguments = [
            *statements.as_arrays(list(held), 3),
            *statements.as_arrays(list(begun), 3),
            *statements.as_arrays([row for item in batch for row in item.rows], _WIDTH),
            *statements.as_arrays(keys, 4),
        ]
        for rows in state.values():
            arguments += statements.as_arrays(rows, len(rows[0]))
        return bool(await connection.fetchval(statements.append_statement(tuple(state)), *arguments))

    async def _fence(self, connection: asyncpg.Connection, batch: list[_Append]) -> None:
        """Fails the appends whose lease is lost; the others are left to be tried again."""
        leases = {_lease_row(a.lease) for a in batch if a.lease}
        found = await connection.fetch(statements.LOST_LEASES, *statements.as_arrays(list(leases), 3))
        lost = {(row["rfq_id"], row["epoch"]) for row in found}
        for item in batch:
            if item.lease and (item.lease.rfq_id, item.lease.epoch) in lost:
                self._refuse(item, LeaseLost(f"RFQ {item.lease.rfq_id}: epoch {item.lease.epoch} no longer holds"))

    # --- outcomes ----------------------------------------------------------------------------------------------

    async def _fault(self, connection: asyncpg.Connection, item: _Append, error: Exception) -> None:
        if not isinstance(error, asyncpg.IntegrityConstraintViolationError):
            self._refuse(item, StoreUnavailable(f"the database refused the write: {error}"))
        elif not await self._already_written(connection, item):
            self._refuse(item, StreamConflict(f"{item.stream} from {item.first}: {error}"))

    async def _already_written(self, connection: asyncpg.Connection, item: _Append) -> bool:
        """Whether this very append is in the log, from a try whose answer was lost; then it is settled."""
        if not item.unsure:
            return False
        kind, name, sequence, *_, expected = item.rows[-1]
        if await connection.fetchval(statements.HASH_AT, kind, name, sequence) != expected:
            return False
        self._settle([item])
        return True

    def _settle(self, batch: list[_Append]) -> None:
        for item in batch:
            self._tails[item.stream] = (item.events[-1].sequence, item.rows[-1][-1])
            self._tails.move_to_end(item.stream)
            item.settle()
        _bound(self._tails, self._remembered)

    def _refuse(self, item: _Append, error: SottoError) -> None:
        """Fails it and its whole run: after a gap nothing may follow."""
        self._broken[item.run] = error
        _bound(self._broken, self._remembered)
        self._tails.pop(item.stream, None)
        item.settle(error)

    # --- the connection ----------------------------------------------------------------------------------------

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect()
            # What we remember of the streams' ends may lack a commit whose answer was lost.
            self._tails.clear()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.terminate()
            self._connection = None


def _bound(remembered: OrderedDict[Any, Any], most: int) -> None:
    while len(remembered) > most:
        remembered.popitem(last=False)


def _lease_row(lease: Lease) -> Row:
    return lease.rfq_id, lease.holder, lease.epoch


def _event_row(item: _Append, stamped: ev.Stamped, previous: bytes) -> Row:
    epoch = item.lease.epoch if item.lease else 0
    payload, kind = ev.to_bytes(stamped.event), type(stamped.event).__name__
    stream, times = item.stream, (stamped.session_at, stamped.market_at)
    hashed = link(
        previous, stream.kind, stream.name, stamped.sequence, ev.SCHEMA_VERSION, kind, *times, epoch, payload
    )
    return (
        *(stream.kind, stream.name, stamped.sequence, ev.SCHEMA_VERSION, kind, payload),
        *(*times, epoch, previous, hashed),
    )

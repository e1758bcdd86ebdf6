"""The operator's own commands on the database: check the record, rebuild what follows from it, add a caller."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from db import audit
from db.api_keys import PostgresKeyStore
from db.cluster import default_data_dir
from db.database import Database
from db.embedded import EmbeddedPostgres
from db.history import PostgresHistory
from rfq import keys
from rfq.domain.errors import BadInput
from rfq.instruments import directory
from rfq.ports import Principal, Role
from rfq.settings import Settings

if TYPE_CHECKING:
    from ml.dealer_models import DealerModels

Say = Callable[[str], None]


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """The database of these settings, whether or not a service runs on it; its own server is started if need be.

    Raises BadInput where there is none yet, StoreUnavailable if it cannot be reached.
    """
    async with contextlib.AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            data_dir = (settings.data_dir or default_data_dir()).absolute()
            if not (data_dir / "postgres").is_dir():
                raise BadInput("data_dir", str(data_dir), "must hold a database: none was ever started there")
            url = (await stack.enter_async_context(EmbeddedPostgres(data_dir))).url
        database = await Database.open(url, pool=2)
        stack.push_async_callback(database.close)
        yield database


async def verify(settings: Settings, say: Say) -> int:
    """Every event as it was written, none missing or added? 0 if so, 1 with the faults."""
    async with opened(settings) as database:
        found = await audit.verify(database, lambda events: say(f"{events:,} events read"))
    for fault in found.faults:
        say(f"FAULT {fault.stream.kind}:{fault.stream.name} event {fault.sequence}: {fault.what}")
    if found.fault_count:
        say(f"NOT SOUND: {found.fault_count:,} faults in {found.events:,} events of {found.streams:,} streams")
        return 1
    say(f"sound: {found.events:,} events of {found.streams:,} streams, every hash recomputed")
    return 0


async def rebuild(settings: Settings, repair: bool, say: Say) -> int:
    """Folds the log anew and compares the state tables with it. 0 if they agree, or were repaired; else 1."""
    async with opened(settings) as database:
        found = await audit.rebuild(database, repair=repair, progress=lambda events: say(f"{events:,} events read"))
    for one in found.differences:
        say(f"DIFFERENCE {one.table} {one.key}: {one.what}")
    made = f"{found.events:,} events of {found.streams:,} streams give {found.rows:,} rows"
    if found.difference_count:
        done = "the tables were replaced by them" if found.repaired else "--repair puts them right"
        say(f"DIFFERENT in {found.difference_count:,} rows: {made}; {done}")
        return 0 if found.repaired else 1
    say(f"no difference: {made}, and those are there")
    return 0


async def add_key(settings: Settings, name: str, role: str, say: Say) -> int:
    """Makes a key for a caller and says it, this once: only its hash is kept. Raises BadInput."""
    if role not in get_args(Role):
        raise BadInput("ROLE", role, f"must be one of {', '.join(get_args(Role))}")
    if not 1 <= len(name) <= 64 or not name.isascii() or not name.isprintable() or " " in name:
        raise BadInput("NAME", name, "must be 1 to 64 printable ASCII characters without spaces")
    key = keys.new_key()
    async with opened(settings) as database:
        await PostgresKeyStore(database).add(Principal(name, role), key)  # type: ignore[arg-type]  # Looked at above.
    say(key)
    return 0


async def train(settings: Settings, folder: Path, seed: int) -> "DealerModels":
    """Trains the dealer models on all recorded history, saved to `folder`. Raises BadInput if it is too little."""
    # The other commands need no models, and would wait seconds for their libraries.
    from rfq.studies.dealer_training import train_from_history

    instruments = {symbol: listing.instrument for symbol, listing in directory(settings.instruments).items()}
    async with opened(settings) as database:
        begin = datetime(2000, 1, 1, tzinfo=UTC)
        return await train_from_history(PostgresHistory(database), instruments, begin, folder, seed)

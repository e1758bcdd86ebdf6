"""The connection to PostgreSQL: its schema brought up to date, an engine for reads, raw connections for writes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from rfq.domain.errors import BadInput, StoreUnavailable

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x50_77_0A_01

# InternalClientError: asyncpg finds its own state odd when the server dies at the wrong moment.
DOWN = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.OperatorInterventionError,
        asyncpg.CannotConnectNowError, asyncpg.InsufficientResourcesError, asyncpg.InternalClientError)  # fmt: skip
"""What asyncpg raises when the server is away, going or overfull, rather than when a statement is wrong."""

_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


@contextmanager
def store_faults() -> Iterator[None]:
    """Turns what the drivers raise when the server is away into StoreUnavailable."""
    try:
        yield
    except (*DOWN, *_REFUSED, TimeoutError) as error:
        raise StoreUnavailable(f"the database cannot be reached: {error or type(error).__name__}") from error
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error.orig and error.orig.__cause__, (*DOWN, *_REFUSED)):
            raise StoreUnavailable(f"the database cannot be reached: {error.orig}") from error
        raise


LOOKUPS = 4
"""Connections for single rows looked up by their key."""


async def _as_it_is(_: asyncpg.Connection) -> None:
    """Lookups leave nothing behind on a connection that would need a round trip to be cleared away."""


class Database:
    """One PostgreSQL database with our schema. `await Database.open(url)`, and `close()` at the end."""

    def __init__(self, url: str, engine: AsyncEngine, deadline_s: float) -> None:
        self._url, self._engine, self._deadline_s = url, engine, deadline_s
        self._lookups = asyncpg.create_pool(
            url, min_size=0, max_size=LOOKUPS, timeout=int(deadline_s), command_timeout=deadline_s, reset=_as_it_is
        )

    @classmethod
    async def open(cls, url: str, *, pool: int = 8, deadline_s: float = 10.0) -> Self:
        """Connects to `postgresql://...` and applies the migrations that are missing.

        `pool`: connections for reads; `deadline_s` bounds every read and the wait for a connection. Raises
        StoreUnavailable if the server cannot be reached or refuses us, BadInput if the URL is not one.
        """
        try:
            parsed = make_url(url)
        except SQLAlchemyError:
            raise BadInput("database_url", "(not shown)", "must be postgresql://user:password@host/name") from None
        if parsed.get_backend_name() != "postgresql":
            raise BadInput("database_url", parsed.get_backend_name(), "must begin with postgresql://")
        engine = create_async_engine(
            parsed.set(drivername="postgresql+asyncpg"),
            pool_size=pool,
            max_overflow=0,
            pool_timeout=deadline_s,
            # A server that was restarted is met with a fresh connection, not with an error.
            pool_pre_ping=True,
            connect_args={"timeout": deadline_s, "command_timeout": deadline_s},
        )
        database = cls(parsed.set(drivername="postgresql").render_as_string(hide_password=False), engine, deadline_s)
        try:
            with store_faults():
                await database._lookups
            await database._migrate()
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        self._lookups.terminate()
        await self._engine.dispose()

    async def connect(self) -> asyncpg.Connection:
        """A raw connection of the caller's own, for the hot path. Raises as asyncpg does.

        Its statements are planned once and not for every execution: they touch rows by their keys, whatever the values.
        """
        return await asyncpg.connect(
            self._url,
            timeout=int(self._deadline_s),
            command_timeout=self._deadline_s,
            server_settings={"jit": "off", "plan_cache_mode": "force_generic_plan"},
        )

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session on one snapshot of committed state. Raises StoreUnavailable."""
        with store_faults():
            async with asyncio.timeout(self._deadline_s):
                async with AsyncSession(self._engine, expire_on_commit=False) as session:
                    yield session

    async def lookup(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of a query with $1, $2: one round trip without the ORM, for what every RFQ asks.

        Raises StoreUnavailable.
        """
        with store_faults():
            async with asyncio.timeout(self._deadline_s):
                return await self._lookups.fetchrow(query, *arguments)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[asyncpg.Connection]:
        """A pooled raw connection in a transaction, for statements SQLModel has no words for.

        Unbounded in time as a whole (an audit reads everything); each statement has the deadline.
        """
        with store_faults():
            async with self._engine.begin() as connection:
                wrapped: Any = await connection.get_raw_connection()
                yield wrapped.driver_connection

    @asynccontextmanager
    async def auditing(self, *, lock: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """A raw connection of its own in a transaction that sees one moment throughout, without deadlines.

        `lock` makes appends wait until it is over.
        """
        with store_faults():
            connection = await asyncpg.connect(self._url, timeout=int(self._deadline_s))
            try:
                async with connection.transaction(isolation="repeatable_read"):
                    if lock:
                        await connection.execute("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE")
                    yield connection
            finally:
                await connection.close(timeout=int(self._deadline_s))

    async def settings(self, *names: str) -> dict[str, str]:
        """Server settings, as SHOW gives them."""
        async with self.reading() as session:
            query = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
            return {name: value for name, value in await session.execute(query, {"names": list(names)})}

    async def _migrate(self) -> None:
        with store_faults():
            async with self._engine.begin() as connection:
                # Two processes may start at once; the second finds nothing left to do.
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

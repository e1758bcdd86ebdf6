"""PostgreSQL as our own child process: made at the first start, stopped with us, never outliving us.

It listens on loopback TCP only, with SCRAM authentication and a random password kept in a 0600 file. What was
committed survives the death of either process: fsync, full_page_writes and synchronous_commit are on.
"""

import asyncio
import contextlib
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import asyncpg
import structlog

from db.cluster import NAME, Cluster, default_data_dir
from rfq.domain.errors import OurFault, StoreUnavailable

_log = structlog.get_logger()

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# The shell becomes the server (exec), so that the server is our direct child. Before, it leaves a watcher on
# the read end of our pipe: when we die, however we die, the pipe ends without the farewell line and the
# watcher stops the server. PR_SET_PDEATHSIG would need Linux, and its starting thread to stay alive.
_LAUNCH = """
exec 3<&0 </dev/null
( (
  read -r farewell <&3 && exit 0
  n=0
  while kill -INT $$ 2>/dev/null && [ $n -lt 20 ]; do n=$((n+1)); sleep 0.5; done
  kill -QUIT $$
) >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
"""


class EmbeddedPostgres:
    """The database server of one data directory. `async with EmbeddedPostgres(dir) as pg:` then `pg.url`.

    The first process on a directory owns the server; a second one is its guest and shares it. Run `watch()`
    beside the work: it starts the server again when it dies, on the same port, so the URL stays good.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        start_within_s: float = 60.0,
        stop_within_s: float = 15.0,
        restarts: int = 5,
        steady_after_s: float = 60.0,
        run_as: str | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        """`restarts`: tries in a row before `watch` gives up; counted anew after `steady_after_s` of life.

        `run_as`: the server's account if we are root and the cluster is new. `settings`: on top of SETTINGS.
        """
        self._cluster = Cluster(data_dir or default_data_dir(), run_as)
        self._start_within_s, self._stop_within_s = start_within_s, stop_within_s
        self._restarts, self._steady_after_s = restarts, steady_after_s
        self._settings = SETTINGS | (settings or {})
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0
        self._stopping = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def url(self) -> str:
        """postgresql://user:password@127.0.0.1:port/database. Secret: it carries the password."""
        return f"postgresql://{NAME}:{self._cluster.password()}@127.0.0.1:{self._port}/{NAME}"

    @property
    def data_dir(self) -> Path:
        return self._cluster.data_dir

    @property
    def owned(self) -> bool:
        """Whether this process runs the server, rather than sharing another's."""
        return self._cluster.owned

    @property
    def server_pid(self) -> int | None:
        running = self._cluster.postmaster()
        return running.pid if running else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Makes the cluster if there is none, and starts or joins its server.

        Raises StoreUnavailable if that does not succeed within `start_within_s`, OurFault if it cannot.
        """
        self._stopping.clear()
        try:
            async with self._turn:
                await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops the server if it is ours: fast, then at once, then by force. Bounded; a guest just leaves."""
        self._stopping.set()
        async with self._turn:
            await self._halt()
            self._cluster.disown()

    async def watch(self) -> None:
        """Runs until cancelled or stopped; starts the server again whenever it dies.

        Raises StoreUnavailable once `restarts` tries in a row have failed.
        """
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            since = loop.time()
            if await self._stopped_before_death():
                return
            tries = 1 if loop.time() - since > self._steady_after_s else tries + 1
            while tries <= self._restarts:
                _log.warning("database died, starting it again", attempt=tries, of=self._restarts)
                try:
                    async with self._turn:
                        if self._stopping.is_set():
                            return
                        await self._halt()
                        await self._start()
                    break
                except OurFault as fault:
                    _log.error("database did not start", reason=str(fault))
                    tries += 1
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), min(0.2 * 2**tries, 5.0))
                        return
            else:
                tail = self._cluster.log_tail()
                raise StoreUnavailable(f"PostgreSQL failed {tries} times in a row; its log ends: {tail}")

    async def _stopped_before_death(self) -> bool:
        """Waits for the server to die or for stop(), and says whether it was the latter."""
        death = asyncio.ensure_future(self._process.wait() if self._process else self._cluster.deserted())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((death, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            death.cancel()
            stopped.cancel()
        return self._stopping.is_set()

    async def _start(self) -> None:
        # Our lock, once taken, is kept while we restart the server: no guest takes it over in between.
        cluster = self._cluster
        try:
            async with asyncio.timeout(self._start_within_s):
                await asyncio.to_thread(cluster.prepare)
                # Neither the owner's place free nor a server to join: the owner is starting, or stopping.
                while not (cluster.own() or await self._joined()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                if cluster.owned:
                    await cluster.end_abandoned()
                    await cluster.initialise()
                    await self._launch()
        except TimeoutError:
            within, tail = self._start_within_s, cluster.log_tail()
            raise StoreUnavailable(f"no PostgreSQL within {within} s; its log ends: {tail}") from None

    async def _joined(self) -> bool:
        running = self._cluster.postmaster()
        if not running or not running.ready or not self._cluster.password():
            return False
        self._port = running.port
        return await self._answers()

    async def _launch(self) -> None:
        """Starts the server and waits until it answers. Keeps the last port if that is free."""
        cluster = self._cluster
        self._port = self._port or cluster.last_port()
        while True:
            if not self._port or not _is_free(self._port):
                self._port = _free_port()
            self._process = await cluster.spawn(
                *("/bin/sh", "-c", _LAUNCH, "sotto-postgres"),
                *cluster.serve_command(self._port, self._settings),
                stdin=asyncio.subprocess.PIPE,
            )
            while self._process.returncode is None:
                if (running := cluster.postmaster()) and running.ready and await self._answers():
                    cluster.remember_port(self._port)
                    return
                await asyncio.sleep(0.02)
            await self._halt()
            tail = cluster.log_tail()
            if "Address already in use" in tail:
                self._port = 0
            elif "shared memory block" not in tail:
                raise StoreUnavailable(f"PostgreSQL stopped while starting; its log ends: {tail}")
            # Backends of a killed server take a moment to notice; the caller's deadline bounds the tries.
            await asyncio.sleep(0.05)

    async def _halt(self) -> None:
        """Ends our child, if there is one, and tells its watcher that there is nothing left to stop."""
        process, self._process = self._process, None
        if not process:
            return
        for order in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(order)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self._stop_within_s)
                break
        if process.stdin and not process.stdin.is_closing():
            process.stdin.write(b"\n")
            process.stdin.close()

    async def _answers(self) -> bool:
        """Whether the server takes our password and has our database (made if missing)."""
        address: dict[str, Any] = {"host": "127.0.0.1", "port": self._port, "user": NAME}
        secret = self._cluster.password()
        try:
            connection = await asyncpg.connect(database="postgres", password=secret, timeout=5, **address)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        except asyncpg.InvalidPasswordError:
            raise OurFault(f"the database of {self.data_dir} refuses the password kept there") from None
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", NAME):
                with contextlib.suppress(asyncpg.DuplicateDatabaseError):
                    await connection.execute(f'CREATE DATABASE "{NAME}"')
        finally:
            await connection.close(timeout=5.0)
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.asynccontextmanager
async def temporary_postgres(**options: Any) -> AsyncIterator[EmbeddedPostgres]:
    """A server on a fresh directory, removed at the end: for tests and benches. Options: EmbeddedPostgres."""
    folder = Path(tempfile.mkdtemp(prefix="sotto-postgres-"))
    try:
        async with EmbeddedPostgres(folder, **options) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)

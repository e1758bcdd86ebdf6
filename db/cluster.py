"""One PostgreSQL cluster on disk: its directory, its owner's lock, its first making, who is serving it."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
from pathlib import Path
from typing import IO, NamedTuple

from db.postgres_install import MAJOR, ServerUser, reachable_install, require_reach, server_user
from rfq.domain.errors import OurFault, StoreUnavailable

NAME = "sotto"
"""Name of the cluster, of its superuser and of the database."""

_OPTS_MARK = f"cluster_name={NAME}"
_LOG_LIMIT_BYTES = 10_000_000


def default_data_dir(environ: dict[str, str] | None = None) -> Path:
    """`SOTTO_DATA_DIR`, else the XDG data home; for root /var/lib: the server's user cannot enter /root."""
    env = os.environ if environ is None else environ
    if chosen := env.get("SOTTO_DATA_DIR"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib") / NAME
    return Path(env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / NAME


class Postmaster(NamedTuple):
    """What a running server says of itself in postmaster.pid."""

    pid: int
    port: int
    ready: bool


class Cluster:
    """The files below one data directory. Who holds the lock on it may make, start and stop its server."""

    def __init__(self, data_dir: Path, run_as: str | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.path = self.data_dir / "postgres"
        self._log_path = self.data_dir / "postgres.log"
        self._run_as = run_as
        self._user: ServerUser | None = None
        self._lock: IO[bytes] | None = None
        self._bin = Path()

    # -- directory and lock -------------------------------------------------------------------------

    def prepare(self) -> None:
        """Makes the directory and finds binaries its user can run. Blocks. Raises OurFault if it cannot."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._user = server_user(self.path, self._run_as)
            if self.data_dir.stat().st_uid == os.geteuid():
                self.data_dir.chmod(0o755 if self._user else 0o700)
            (self.data_dir / "owner.lock").open("ab").close()
        except OSError as error:
            raise OurFault(f"the data directory {self.data_dir} cannot be used: {error}") from None
        require_reach(self._user, self.data_dir)
        self._bin = reachable_install(self._user, self.data_dir / "binaries") / "bin"

    @property
    def owned(self) -> bool:
        return self._lock is not None

    def own(self) -> bool:
        """Takes the directory's lock if it is free. The kernel frees it when its holder dies."""
        if self._lock:
            return True
        lock = (self.data_dir / "owner.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def disown(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None

    # -- what is remembered -------------------------------------------------------------------------

    def password(self) -> str:
        """The superuser's password, or '' if there is none yet."""
        try:
            return (self.data_dir / "password").read_text().strip()
        except FileNotFoundError:
            return ""
        except PermissionError:
            raise OurFault(f"{self.data_dir} belongs to another user: its password cannot be read") from None

    def last_port(self) -> int:
        """The port of the last run, or 0."""
        try:
            return int((self.data_dir / "port").read_text())
        except (OSError, ValueError):
            return 0

    def remember_port(self, port: int) -> None:
        (self.data_dir / "port").write_text(f"{port}\n")

    def log_tail(self) -> str:
        """The last lines of the server's log, for error messages."""
        try:
            return " | ".join(self._log_path.read_text(errors="replace").splitlines()[-5:])
        except OSError:
            return "(no log)"

    # -- who is serving it --------------------------------------------------------------------------

    def postmaster(self) -> Postmaster | None:
        """The live server of this cluster, or None. A pid file of a dead one, or a reused pid, is none."""
        try:
            lines = (self.path / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
            os.kill(pid, 0)
        except (OSError, ValueError, IndexError):
            return None
        if Path("/proc/self").exists():
            try:
                if Path(f"/proc/{pid}/cwd").readlink() != self.path.resolve():
                    return None
            except OSError:
                return None
        return Postmaster(pid, port, len(lines) > 7 and lines[7].strip() == "ready")

    async def deserted(self, every_s: float = 0.2) -> None:
        """Returns when nobody serves this cluster."""
        while self.postmaster():  # noqa: ASYNC110 - another process's file: there is no event to wait for
            await asyncio.sleep(every_s)

    async def end_abandoned(self) -> None:
        """Waits for a server whose owner was killed: its watcher is stopping it. Else stops it ourselves.

        Raises OurFault if the server is not one of ours, StoreUnavailable if it does not stop.
        """
        for order, wait_s in ((None, 3.0), (signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)):
            running = self.postmaster()
            if not running:
                break
            if _OPTS_MARK not in (self.path / "postmaster.opts").read_text():
                raise OurFault(
                    f"a PostgreSQL that Sotto did not start (process {running.pid}) uses {self.path}: stop it"
                )
            if order:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, order)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.deserted(every_s=0.02), wait_s)
        if running := self.postmaster():
            raise StoreUnavailable(f"process {running.pid} still serves {self.path} and does not stop")
        # Left by a kill -9. PostgreSQL would judge it by the pid alone, which may be another process by now;
        # that no process still uses the cluster's shared memory it checks for itself.
        (self.path / "postmaster.pid").unlink(missing_ok=True)

    # -- making and running -------------------------------------------------------------------------

    async def initialise(self) -> None:
        """Makes the cluster if there is none, all or nothing: it gets its final name when it is complete.

        Raises OurFault if it exists and is not one we can serve, or cannot be made.
        """
        secret = self.data_dir / "password"
        if (version := self.path / "PG_VERSION").exists():
            if (made_by := version.read_text().strip()) != MAJOR:
                raise OurFault(f"{self.path} was made by PostgreSQL {made_by}, not {MAJOR}: upgrade it first")
            if not self.password():
                raise OurFault(f"the password file {secret} of an existing database is missing")
            return
        draft, given = self.data_dir / "postgres.draft", self.data_dir / "password.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        given.unlink(missing_ok=True)
        given.touch(mode=0o600)
        given.write_text(secrets.token_urlsafe(24) + "\n")
        if self._user:
            os.chown(draft, self._user.uid, self._user.gid)
            os.chown(given, self._user.uid, self._user.gid)
        made = await self.spawn(
            *(str(self._bin / "initdb"), "-D", str(draft), "-U", NAME, f"--pwfile={given}"),
            *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-instructions"),
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            failed = await made.wait()
        finally:
            if made.returncode is None:
                made.kill()
        if failed:
            raise OurFault(f"initdb failed: {self.log_tail()}")
        if self._user:
            os.chown(given, os.geteuid(), os.getegid())
        given.rename(secret)
        draft.rename(self.path)

    def serve_command(self, port: int, settings: dict[str, str]) -> list[str]:
        """The server's command line. The mark by which we know our own server again is among its settings."""
        marked = (*(f"{name}={value}" for name, value in settings.items()), _OPTS_MARK)
        options = [word for setting in marked for word in ("-c", setting)]
        return [str(self._bin / "postgres"), "-D", str(self.path), "-p", str(port), *options]

    async def spawn(self, *command: str, stdin: int) -> asyncio.subprocess.Process:
        """Runs `command` as the server's user in a session of its own, its output appended to the log."""
        if self._log_path.exists() and self._log_path.stat().st_size > _LOG_LIMIT_BYTES:
            self._log_path.replace(self._log_path.with_suffix(".log.old"))
        with self._log_path.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=stdin,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"},
                # A Ctrl-C meant for us must not stop the database before we have finished with it.
                start_new_session=True,
                **(self._user.spawn if self._user else {}),  # type: ignore[arg-type]
            )

"""A whole house for a demonstration: service and dealer fleet as child processes, and keys to talk to them."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from rfq import keys
from rfq.client import Client, ClientError
from rfq.domain.errors import OurFault
from rfq.ports import Role

T = TypeVar("T")

SERVING = re.compile(r"^serving (http\S+) .*: (ws\S+)\)$", re.MULTILINE)
CONNECTED = re.compile(r"^.*dealers are connected.*$", re.MULTILINE)
START_S = 90.0
STOP_S = 20.0
LIVES = 5
"""Times a child process is started again before the stage gives up on it."""
QUIET_S = 10.0
"""A warning of the service is said once; again when its like was not heard for so long."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A data directory that is gone afterwards. The database's own user may pass through it."""
    with tempfile.TemporaryDirectory(prefix="sotto-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


class Stage:
    """`async with Stage(...) as stage`: then `stage.client("desk")`. A child that dies is started again.

    The logs of the children go to `<data_dir>/service.log` and `fleet.log`.
    """

    def __init__(
        self, data_dir: Path, say: Callable[[str], None], settings: Mapping[str, str], *, lives: int = LIVES
    ) -> None:
        """`settings`: environment of the service, SOTTO_...; `lives`: how often each child is started again."""
        data_dir.mkdir(parents=True, exist_ok=True)
        self._data_dir, self._say, self._lives = data_dir.absolute(), say, lives
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("SOTTO_")}
        own = {"SOTTO_DATA_DIR": str(self._data_dir), "SOTTO_KEYS_FILE": str(self._data_dir / "keys.toml")}
        self._environ |= {**own, **settings}
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._keeping: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self.url = self.exchange_url = ""
        self.died = 0
        """How often a child had to be started again."""

    async def __aenter__(self) -> Self:
        self._keys = self._own_keys()
        try:
            await self._serve()
            self._keeping.append(asyncio.create_task(self._keep("service", self._serve)))
            self._keeping.append(asyncio.create_task(self._relay()))
            await self._fleet()
            self._keeping.append(asyncio.create_task(self._keep("fleet", self._fleet)))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    def client(self, role: Role) -> Client:
        """A client of the HTTP API under our own key of that role."""
        return Client(self.url, self._keys[role])

    def key(self, role: Role) -> str:
        return self._keys[role]

    async def standing(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits `work`. Raises OurFault once a child is dead for good, with its last words."""
        working = asyncio.ensure_future(work)
        try:
            await asyncio.wait([working, *self._keeping], return_when=asyncio.FIRST_COMPLETED)
            for keeping in self._keeping:
                if keeping.done() and not working.done():
                    keeping.result()
            return await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    def pid(self, child: Literal["service", "fleet"]) -> int:
        """That child's process, as it is now."""
        return self._children[child].pid

    async def ready(self, within_s: float = START_S) -> None:
        """Returns when RFQs can be taken. Raises OurFault if that takes too long."""
        try:
            async with asyncio.timeout(within_s), self.client("operator") as client:
                while True:
                    with contextlib.suppress(ClientError):
                        if (await client.ready()).ready:
                            return
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise OurFault(f"the service is not ready after {within_s:.0f} s: see {self._data_dir}") from None

    def _own_keys(self) -> dict[Role, str]:
        path = self._data_dir / "keys.toml"
        if not path.exists():
            roles: tuple[Role, ...] = ("desk", "supervisor", "operator")
            keys.write(path, [keys.KeyEntry(f"demo-{role}", role, keys.new_key()) for role in roles])
        return {entry.role: entry.key for entry in keys.read(path)}

    async def _serve(self) -> None:
        await self._start("service", "serve")
        line = await self._said("service", SERVING)
        self.url, self.exchange_url = line[1], line[2]
        # The same addresses the next time, so that clients and dealers find it again.
        port = self.url.rpartition(":")[2]
        exchange_port = self.exchange_url.rstrip("/").rpartition(":")[2]
        self._environ |= {"SOTTO_PORT": port, "SOTTO_EXCHANGE_PORT": exchange_port}
        await self.ready()

    async def _fleet(self) -> None:
        at = ("--url", self.url, "--exchange", self.exchange_url, "--keys", str(self._data_dir / "fleet.toml"))
        await self._start("fleet", "dealers", *at)
        self._say((await self._said("fleet", CONNECTED))[0])

    async def _start(self, name: str, *arguments: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        # Its own words go to a file: what it starts in turn may outlive it and would keep a pipe open.
        with (
            os.fdopen(os.open(self._words(name), flags, 0o600), "wb") as words,
            (self._data_dir / f"{name}.log").open("ab") as log,
        ):
            self._children[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rfq.cli", *arguments, "--with-parent",
                env=self._environ, stdin=asyncio.subprocess.PIPE, stdout=words, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _words(self, name: str) -> Path:
        return self._data_dir / f"{name}.out"

    async def _said(self, name: str, pattern: re.Pattern[str]) -> re.Match[str]:
        """Waits for a line of a child. Raises OurFault with its last words if it ends or says nothing in time."""
        try:
            async with asyncio.timeout(START_S):
                while not (found := pattern.search(self._words(name).read_text())):
                    if self._children[name].returncode is not None:
                        raise OurFault(f"the {name} ended: {self._last_words(name)}")
                    await asyncio.sleep(0.05)
                return found
        except TimeoutError:
            raise OurFault(f"the {name} did not start: {self._last_words(name)}") from None

    async def _keep(self, name: str, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Starts the child again whenever it dies. Raises OurFault once that is to no avail."""
        for left in reversed(range(self._lives + 1)):
            code = await self._children[name].wait()
            if self._ended.is_set():
                return
            self.died += 1
            self._say(f"!! the {name} died ({_how(code)}): {'starting it again' if left else 'it is left dead'}")
            if not left:
                break
            try:
                await start()
            except OurFault as fault:
                if self._children[name].returncode is None:
                    raise
                self._say(f"!! {fault}")
            else:
                self._say(f"!! the {name} is back")
        raise OurFault(f"the {name} died {self._lives + 1} times: {self._last_words(name)}")

    async def _relay(self) -> None:
        """Says what the service's log warns of, one of each kind in a while. Until cancelled."""
        clock = asyncio.get_running_loop().time
        heard: dict[str, float] = {}
        with (self._data_dir / "service.log").open() as log:
            log.seek(0, os.SEEK_END)
            begun = ""
            while True:
                begun += log.read(65_536)
                *lines, begun = begun.split("\n")
                for line in lines:
                    warning = _warning(line)
                    if warning and clock() - heard.get(warning, -QUIET_S) >= QUIET_S:
                        self._say(f"!! service: {warning}")
                    if warning:
                        heard[warning] = clock()
                await asyncio.sleep(0.2)

    async def _stop(self) -> None:
        self._ended.set()
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        for name in ("fleet", "service"):
            child = self._children.get(name)
            if child is None:
                continue
            if child.returncode is None:
                child.send_signal(signal.SIGTERM)
                try:
                    async with asyncio.timeout(STOP_S):
                        await child.wait()
                except TimeoutError:
                    child.kill()
                    await child.wait()
            assert child.stdin is not None
            child.stdin.close()
            with contextlib.suppress(ConnectionError):
                await child.stdin.wait_closed()

    def _last_words(self, name: str) -> str:
        lines = (self._data_dir / f"{name}.log").read_text().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _warning(line: str) -> str:
    """What one line of the service's log warns of; nothing for the others."""
    try:
        said = json.loads(line)
        return said["event"] if said["level"] in ("warning", "error", "critical") else ""
    except (ValueError, KeyError, TypeError):
        return ""


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"

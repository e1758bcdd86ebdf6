"""A child process under measurement: what it says, the memory it holds, the processor time it has used."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rfq.domain.errors import OurFault

START_S = 90.0
STOP_S = 15.0


class ChildProcess:
    """`async with ChildProcess("-m", "rfq.cli", ...)`: a Python of our own interpreter, ended with us.

    Its standard input is a pipe of ours: where it closes, we are gone. Standard error goes to `log`.
    """

    def __init__(self, *arguments: str, environ: Mapping[str, str], log: Path) -> None:
        self._arguments, self._environ, self._log = arguments, environ, log
        self._process: asyncio.subprocess.Process | None = None
        self._said: deque[str] = deque(maxlen=200)
        self._draining: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self._arguments),
                env=self._environ,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._draining is not None:
            self._draining.cancel()
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def line(self, within_s: float = START_S) -> str:
        """The next line it says. Raises OurFault, with its last words, if it ends or says nothing in time."""
        assert self._process is not None and self._process.stdout is not None
        try:
            raw = await asyncio.wait_for(self._process.stdout.readline(), within_s)
        except TimeoutError:
            raise OurFault(f"{self._named} said nothing for {within_s:.0f} s: {self.last_words()}") from None
        if not raw:
            raise OurFault(f"{self._named} ended: {self.last_words()}")
        return raw.decode().strip()

    def drain(self) -> None:
        """From now on nobody reads what it says: kept from blocking it."""
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        while await self._process.stdout.readline():
            pass

    @property
    def _named(self) -> str:
        return " ".join(self._arguments[1:3])

    def last_words(self) -> str:
        try:
            return " | ".join(self._log.read_text(errors="replace").splitlines()[-3:]) or "(nothing logged)"
        except OSError:
            return "(no log)"

    def resident_mb(self) -> float:
        """Resident memory now, in units of 10^6 bytes, of this process and its children. Linux: /proc."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._family())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_s(self) -> float:
        """Processor seconds used so far by this process and its children, all threads, user and system."""
        return sum(_cpu_ticks(pid) for pid in self._family()) / os.sysconf("SC_CLK_TCK")

    def _family(self) -> list[int]:
        """This process and every process that descends from it."""
        family = [self.pid]
        for pid in family:
            for task in Path(f"/proc/{pid}/task").iterdir():
                family += map(int, (task / "children").read_text().split())
        return family


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])

"""The chooser in a process of its own: models never hold the interpreter that the event loop runs in.

What waits while a batch is under way is chosen for in the next one, together. Frames over the child's standard input
and output are a length (4 bytes) and a pickle; both ends are this program. `python -m ml.model_process HOW [folder]`,
where HOW is the exploration as JSON.
"""

import asyncio
import contextlib
import itertools
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog

from ml.choosing import Chooser
from ml.dealer_models import DealerModels
from ml.memory import PanelMemory
from ml.selection import Exploration
from ml.thompson import Thompson
from rfq.domain.errors import OurFault
from rfq.domain.selection import Selection, WaveDecision
from rfq.ports import SelectionRequest, WaveRequest

log = structlog.get_logger(__name__)

MOST_TOGETHER = 16
"""Requests chosen for in one go; more would only make the first of them wait."""
MOST_WAITING = 2_000
START_S = 60.0
END_S = 5.0
RESTART_S = 1.0
"""Pause before a process that died is started again."""


class ModelsAway(OurFault):
    """The models' process is not there, or has more to do than it should ever have."""


class ModelProcess:
    """`async with ModelProcess(folder) as models:` then `await models.select(...)`. Started again if it dies."""

    def __init__(self, folder: Path | None = None, exploration: Exploration | Thompson | None = None) -> None:
        self._folder, self._exploration = folder, exploration or Exploration()
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._memory = PanelMemory()
        self._keeping: asyncio.Task[None] | None = None
        self.version = ""

    async def __aenter__(self) -> Self:
        """Raises OurFault if the models cannot be loaded, with the reason."""
        await self._start()
        self._keeping = asyncio.create_task(self._keep(), name="models: process")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._end("closed")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def remember(self, memory: PanelMemory) -> None:
        """From now on choices are made with this memory."""
        self._memory = memory
        with contextlib.suppress(ModelsAway):  # It is told when it starts again.
            self._send((0, memory, ()))

    async def select(self, request: SelectionRequest, notes: tuple[str, ...]) -> Selection:
        """See Chooser.select. Raises ModelsAway, and OurFault for what went wrong in choosing."""
        return await self._asked(request, notes)

    async def further(self, wave: WaveRequest, holds: float) -> WaveDecision:
        """See Chooser.further. Raises as `select` does."""
        return await self._asked(wave, holds)

    async def _asked(self, what: object, more: object) -> Any:
        if len(self._waiting) >= MOST_WAITING:
            raise ModelsAway(f"{MOST_WAITING} requests wait for the models already")
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send((number, what, more))
        self._waiting[number] = answer
        try:
            return await answer
        finally:
            self._waiting.pop(number, None)

    # --- the process -------------------------------------------------------------------------------------------------

    def _send(self, message: object) -> None:
        writer = self._process.stdin if self._process is not None and self._process.returncode is None else None
        if writer is None or writer.is_closing():
            raise ModelsAway("the models' process is not running")
        writer.write(_framed(message))

    async def _start(self) -> None:
        arguments = [
            msgspec.json.encode(self._exploration).decode(),
            *([] if self._folder is None else [str(self._folder)]),
        ]
        # It ends when its input does: with us, however we end.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ml.model_process", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(START_S):
                loaded, said = await self._receive()
        except (EOFError, TimeoutError):
            await self._end("did not start")
            raise OurFault("the models' process did not start") from None
        if not loaded:
            await self._end("ended")
            raise OurFault(f"the models cannot be used: {said}")
        self.version = said
        self._send((0, self._memory, ()))

    async def _keep(self) -> None:
        """Hands answers over; starts the process again when it has ended."""
        while True:
            with contextlib.suppress(EOFError):
                while True:
                    for number, chosen, fault in await self._receive():
                        answer = self._waiting.get(number)
                        if answer is None or answer.done():
                            continue
                        if chosen is not None:
                            answer.set_result(chosen)
                        else:
                            answer.set_exception(OurFault(fault))
            log.error("models.process_ended", requests_waiting=len(self._waiting))
            await self._end("ended")
            while True:
                await asyncio.sleep(RESTART_S)
                try:
                    await self._start()
                    break
                except (OurFault, OSError) as fault:
                    log.error("models.process_not_started", why=str(fault))

    async def _receive(self) -> Any:
        assert self._process is not None and self._process.stdout is not None
        head = await self._process.stdout.readexactly(4)
        return pickle.loads(await self._process.stdout.readexactly(int.from_bytes(head, "big")))

    async def _end(self, how: str) -> None:
        process, self._process = self._process, None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ModelsAway(f"the models' process {how}"))
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), END_S)


def _framed(message: object) -> bytes:
    raw = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(raw).to_bytes(4, "big") + raw


# --- in the process ----------------------------------------------------------------------------------------------


def main(exploration: Exploration | Thompson, folder: Path | None) -> None:
    """Says its version, then answers until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends our input.
    try:
        chooser = Chooser(DealerModels.load(folder), exploration)
    except Exception as error:
        os.write(1, _framed((False, str(error))))
        return
    os.write(1, _framed((True, chooser.version)))
    memory, buffer = PanelMemory(), b""
    while more := os.read(0, 1 << 20):
        buffer += more
        waiting: list[tuple[int, SelectionRequest, tuple[str, ...]]] = []
        waves: list[tuple[int, WaveRequest, float]] = []
        while len(buffer) >= 4 and len(buffer) >= (end := 4 + int.from_bytes(buffer[:4], "big")):
            number, what, more = pickle.loads(buffer[4:end])
            buffer = buffer[end:]
            if not number:
                memory = what
            elif isinstance(what, WaveRequest):
                waves.append((number, what, more))
            else:
                waiting.append((number, what, more))
        for wave in waves:  # Their quotes are running out.
            _write(_framed([_further(chooser, *wave, memory)]))
        for first in range(0, len(waiting), MOST_TOGETHER):
            _write(_framed(_chosen(chooser, waiting[first : first + MOST_TOGETHER], memory)))


def _write(raw: bytes) -> None:
    while raw:
        raw = raw[os.write(1, raw) :]


def _chosen(
    chooser: Chooser, waiting: list[tuple[int, SelectionRequest, tuple[str, ...]]], memory: PanelMemory
) -> list[tuple[int, Selection | None, str]]:
    """Number and choice, or what went wrong. A request that breaks a batch breaks only itself."""
    try:
        chosen = chooser.select_all([(request, notes) for _, request, notes in waiting], memory)
        return [(number, one, "") for (number, _, _), one in zip(waiting, chosen, strict=True)]
    except Exception as error:
        if len(waiting) == 1:
            return [(waiting[0][0], None, f"{type(error).__name__}: {error}")]
        return [_chosen(chooser, [one], memory)[0] for one in waiting]


def _further(
    chooser: Chooser, number: int, wave: WaveRequest, holds: float, memory: PanelMemory
) -> tuple[int, WaveDecision | None, str]:
    try:
        return number, chooser.further(wave, memory, holds), ""
    except Exception as error:
        return number, None, f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(
        msgspec.json.decode(sys.argv[1], type=Exploration | Thompson),
        Path(sys.argv[2]) if len(sys.argv) > 2 else None,
    )

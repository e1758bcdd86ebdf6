"""Structured logs: one line an event, carrying the RFQ it is about, written off the event loop."""

import logging
import queue
import sys
import threading
from contextlib import AbstractContextManager
from logging.handlers import QueueHandler
from typing import IO, Any, Literal

import structlog

WAITING_LINES = 10_000
"""Lines waiting to be written before further ones are dropped and counted: a full pipe never stops the engine."""
STOP_S = 2.0


class DroppingQueueHandler(QueueHandler):
    """Hands lines to the writing thread; when it cannot keep up, drops them and counts."""

    def __init__(self, lines: "queue.Queue[logging.LogRecord | None]") -> None:
        super().__init__(lines)
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Rendered here, where the context variables are; only the text crosses to the thread."""
        record.msg, record.args = self.format(record), None
        record.exc_info = record.exc_text = record.stack_info = None
        return record


class Logs:
    """The process's logging, from `start` to `stop`. Standard-library loggers (uvicorn's too) go the same way."""

    def __init__(
        self,
        level: str = "info",
        form: Literal["json", "console"] = "json",
        stream: IO[str] | None = None,
        waiting_lines: int = WAITING_LINES,
    ) -> None:
        self._level = level.upper()
        self._stream = stream if stream is not None else sys.stderr
        before: list[Any] = [
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        ]
        render: list[Any]
        if form == "json":
            # Tracebacks as text: structured ones carry local variables, and those hold keys.
            render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        else:
            plain = structlog.dev.plain_traceback
            colors = self._stream.isatty()
            render = [structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="at", exception_formatter=plain)]
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                *before,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=False,
        )
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(waiting_lines)
        self._handler = DroppingQueueHandler(self._lines)
        self._handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=before,
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
            )
        )
        self._writing = threading.Thread(target=self._write, name="log writer", daemon=True)

    @property
    def dropped(self) -> int:
        """Lines lost because the writer could not keep up."""
        return self._handler.dropped

    def start(self) -> None:
        """Takes over the root logger. Access lines are metrics here, so uvicorn's own are silenced."""
        root = logging.getLogger()
        root.handlers[:] = [self._handler]
        root.setLevel(self._level)
        for name in ("uvicorn", "uvicorn.error"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
        logging.getLogger("uvicorn.access").disabled = True
        for noisy in ("httpx", "httpcore", "websockets", "asyncio"):
            logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
        self._writing.start()

    def stop(self) -> None:
        """Lets go of the root logger and writes what waits, giving up on a stream that hangs."""
        logging.getLogger().removeHandler(self._handler)
        try:
            self._lines.put(None, timeout=STOP_S)
        except queue.Full:
            return
        self._writing.join(STOP_S)

    def _write(self) -> None:
        out = logging.StreamHandler(self._stream)
        while (record := self._lines.get()) is not None:
            out.handle(record)


def about(**context: str) -> AbstractContextManager[None]:
    """Every line logged inside carries `context`; e.g. `with about(rfq_id=...)`. Inherited by tasks started inside."""
    return structlog.contextvars.bound_contextvars(**context)


def bind(**context: str) -> None:
    """From here on every line of this task carries `context`."""
    structlog.contextvars.bind_contextvars(**context)


def logger(name: str) -> Any:
    """A structlog logger: `log.info("what happened", field=value)`. Never pass a key or a password."""
    return structlog.stdlib.get_logger(name)

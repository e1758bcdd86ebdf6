"""Logs: one object a line with the RFQ it is about, nothing secret, and never a wait."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from rfq.logs import Logs, about, logger


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("uvicorn.access").disabled = False


def lines(logs: Logs, stream: io.StringIO) -> list[dict[str, object]]:
    logs.stop()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def started(level: str = "info", **more: object) -> tuple[Logs, io.StringIO]:
    stream = io.StringIO()
    logs = Logs(level, "json", stream, **more)  # type: ignore[arg-type]
    logs.start()
    return logs, stream


def test_a_line_carries_its_rfq_and_its_fields() -> None:
    logs, stream = started()
    with about(rfq_id="rfq-1"):
        logger("rfq.engine").info("auction opened", asked=5)
        logging.getLogger("uvicorn.error").warning("odd: %s", 3)
    logger("rfq.engine").info("elsewhere")
    first, second, third = lines(logs, stream)
    assert (first["event"], first["asked"], first["rfq_id"], first["level"]) == ("auction opened", 5, "rfq-1", "info")
    assert (second["event"], second["rfq_id"], second["logger"]) == ("odd: 3", "rfq-1", "uvicorn.error")
    assert "rfq_id" not in third
    assert str(first["at"]).endswith("Z")


def test_below_the_level_nothing_is_written() -> None:
    logs, stream = started("warning")
    logger("x").info("no")
    logger("x").warning("yes")
    assert [line["event"] for line in lines(logs, stream)] == ["yes"]


def test_a_traceback_is_written_without_local_variables() -> None:
    logs, stream = started()
    key = "s3cret-key"
    try:
        raise ValueError(f"of length {len(key)}")
    except ValueError:
        logger("x").exception("failed")
    (line,) = lines(logs, stream)
    assert "ValueError: of length 10" in str(line["exception"])
    assert "s3cret" not in stream.getvalue()


def test_a_writer_that_hangs_costs_lines_and_not_time() -> None:
    release = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            release.wait(10)
            return super().write(text)

    stream = Stuck()
    logs = Logs("info", "json", stream, waiting_lines=10)
    logs.start()
    for n in range(100):
        logger("x").info("line", n=n)
    assert logs.dropped >= 85
    release.set()
    told = lines(logs, stream)
    assert len(told) == 100 - logs.dropped


def test_for_people() -> None:
    stream = io.StringIO()
    logs = Logs("info", "console", stream)
    logs.start()
    logger("x").info("started", port=8080)
    logs.stop()
    assert "started" in stream.getvalue() and "port=8080" in stream.getvalue()

"""The service as a process: its HTTP server, the signals that end it, its event loop. `rfq serve` is `serve`."""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
import uvloop

from rfq.api.create import create_api, server_config
from rfq.app import Service, running
from rfq.logs import Logs
from rfq.settings import Settings

log = structlog.get_logger()


class HttpServer(uvicorn.Server):
    """Leaves signals to the service, which has more to put in order than its HTTP edge.

    uvicorn's own way ends the process as soon as it has stopped serving: nothing after it would be closed.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """The service until it is told to stop (SIGINT, SIGTERM) or cancelled. Raises what stops it otherwise."""
    logs, server, told = Logs(settings.log_level, settings.log_format), None, False
    starting = asyncio.current_task()
    assert starting is not None

    def stop() -> None:
        nonlocal told
        if server is not None:
            server.should_exit = True
        elif not told:
            starting.cancel()
        told = True

    for order in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(order, stop)
    logs.start()
    try:
        async with running(settings, say) as service:
            server = HttpServer(server_config(create_api(service.edge), settings))
            await _serve_http(server, service, say)
            log.info("stopping")
    except asyncio.CancelledError:
        if not told:
            raise
        starting.uncancel()  # Told to stop while it was starting: that is an end in order.
    finally:
        logs.stop()


async def _serve_http(server: HttpServer, service: Service, say: Callable[[str], None]) -> None:
    """Until the server stops or a part of the service has failed; raises what that part did."""
    serving = asyncio.create_task(server.serve())
    _settle_memory()
    announcing = asyncio.create_task(_announce(server, service, say))
    try:
        await asyncio.wait([serving, service.failed], return_when=asyncio.FIRST_COMPLETED)
    finally:
        announcing.cancel()
        service.edge.close_streams()
        server.should_exit = True
        await serving
    if service.failed.done():
        service.failed.result()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs the service on uvloop, which spends a third less on sockets than asyncio's own loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _settle_memory() -> None:
    """What was made at the start stays: the collector need not walk all of it again and again under load."""
    gc.collect()
    gc.freeze()


async def _announce(server: uvicorn.Server, service: Service, say: Callable[[str], None]) -> None:
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it.
        await asyncio.sleep(0.05)
    address = server.servers[0].sockets[0].getsockname()
    scheme = "https" if service.settings.tls_cert else "http"
    market = f" (market data for simulated dealers: {service.exchange_url})" if service.exchange_url else ""
    say(f"serving {scheme}://{address[0]}:{address[1]}{market}")

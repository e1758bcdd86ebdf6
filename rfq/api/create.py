"""The HTTP application: routes, guard, errors, time limits, OpenAPI."""

import asyncio
from time import perf_counter
from typing import Any

import uvicorn
from litestar import Litestar, Response, Router, get
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from rfq.api import auth
from rfq.api.auth import Guard
from rfq.api.control import Control, Plans, Reference
from rfq.api.controllers import Rfqs
from rfq.api.edge import Edge
from rfq.api.house_answers import Live, Ready
from rfq.api.link import dealer_link
from rfq.api.problems import answer
from rfq.api.routes import TheEdge
from rfq.metrics import Metrics
from rfq.settings import Settings

SHUTDOWN_S = 3
LARGEST_DEALER_FRAME = 65_536
NO_STORE = (b"cache-control", b"no-store")


def create_api(edge: Edge) -> Litestar:
    """The application. Nothing runs until a server calls it."""
    guard = Guard(edge.keys)

    @get("/metrics", roles=auth.OPERATORS, guards=[guard], include_in_schema=False)
    async def metrics(edge: TheEdge) -> Response[bytes]:
        return Response(edge.metrics.page(), media_type=Metrics.CONTENT_TYPE)

    v1 = Router(
        "/v1",
        route_handlers=[Rfqs, Plans, Reference, Control],
        guards=[guard],
        security=[{"key": []}],
    )
    return Litestar(
        route_handlers=[v1, dealer_link(guard), metrics, live, ready],
        dependencies={"edge": Provide(lambda: edge, use_cache=True, sync_to_thread=False)},
        exception_handlers={Exception: answer},
        middleware=[_watch_of(edge.metrics, edge.settings.request_timeout_s)],
        request_max_body_size=edge.settings.body_bytes,
        openapi_config=OpenAPIConfig(
            title="Sotto",
            version="1",
            description="Block liquidity: RFQs, sealed auctions and the working of the residual.",
            path="/schema",
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
            use_handler_docstrings=True,
            operation_id_creator=lambda handler, _, __: handler.handler_name,
            components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        ),
        logging_config=None,
        debug=False,
    )


def server_config(app: Litestar, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to serve it. Our own logging stays as it is; no signal is given to lines that say nothing."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        limit_concurrency=settings.http_connections,
        timeout_graceful_shutdown=SHUTDOWN_S,
        ws_max_size=LARGEST_DEALER_FRAME,
        ws_per_message_deflate=False,
        server_header=False,
        access_log=False,
        log_config=None,
        lifespan="on",
    )


@get("/health/live", tags=["Health"])
async def live() -> Live:
    """The process answers."""
    return Live(live=True)


@get("/health/ready", tags=["Health"])
async def ready(edge: TheEdge) -> Response[Ready]:
    """200 when RFQs can be taken, else 503 and why."""
    if edge.engine.ready:
        return Response(Ready(ready=True))
    return Response(Ready(ready=False, why="the engine is starting, stopping or without its database"), status_code=503)


def _watch_of(metrics: Metrics, limit_s: float) -> Any:
    """Middleware: a deadline for every request, and its count and time. Streams and dealers' lines keep their own."""

    def wrap(app: Any) -> Any:
        async def watch(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or scope["route_handler"].opt.get("stream"):
                await app(scope, receive, send)
                return
            status, began = 0, perf_counter()

            async def noting(message: Any) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    message["headers"] = [*message["headers"], NO_STORE]
                await send(message)

            try:
                async with asyncio.timeout(limit_s):
                    await app(scope, receive, noting)
            except TimeoutError:
                status = status or 503
                raise
            finally:
                route, method = scope["path_template"], scope["method"]
                metrics.requests.labels(route, method, str(status or 500)).inc()
                metrics.request_s.labels(route, method).observe(perf_counter() - began)

        return watch

    return wrap

"""The one map from errors to HTTP: RFC 9457 problem details. Nothing of our insides goes out with a 5xx."""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from rfq.api.house_answers import Problem
from rfq.domain import errors as e
from rfq.logs import logger

MEDIA_TYPE = "application/problem+json"
LONGEST_VALUE = 200

log = logger("rfq.api")


class Unauthenticated(e.PeerFault):
    """No key, or one that nobody has."""


class TooMany(e.PeerFault):
    """The caller holds as much open as it may."""


class Kind(NamedTuple):
    status: int
    slug: str
    title: str
    blame: Literal["caller", "us", "state"]


KINDS: Mapping[type[BaseException], Kind] = {
    e.BadInput: Kind(400, "bad-input", "A field breaks a rule", "caller"),
    Unauthenticated: Kind(401, "unauthenticated", "No valid key", "caller"),
    e.NotAllowed: Kind(403, "not-allowed", "Not for this role", "caller"),
    e.NotFound: Kind(404, "not-found", "No such thing", "caller"),
    e.KeyReused: Kind(422, "key-reused", "Idempotency-Key used with another body", "caller"),
    TooMany: Kind(429, "too-many", "Too much at once", "caller"),
    e.WrongState: Kind(409, "wrong-state", "Not in this state", "state"),
    e.LimitBreached: Kind(409, "limit-breached", "A limit forbids it", "state"),
    e.MarketUnfit: Kind(409, "market-unfit", "The market is not fit", "state"),
    e.NoNewRisk: Kind(409, "no-new-risk", "Nothing new is begun now", "state"),
    e.PeerGone: Kind(409, "peer-gone", "The counterparty cannot be reached", "state"),
    e.Refusal: Kind(409, "refused", "Refused", "state"),
    e.PeerFault: Kind(400, "bad-request", "Bad request", "caller"),
    e.StoreUnavailable: Kind(503, "store-unavailable", "The database is away", "us"),
    e.LeaseLost: Kind(503, "elsewhere", "In the hands of another engine", "us"),
    e.StreamConflict: Kind(503, "conflict", "Interrupted; ask again", "us"),
    TimeoutError: Kind(503, "timeout", "It took too long", "us"),
    Exception: Kind(500, "internal", "An error on our side", "us"),
}
HTTP_SLUGS: Mapping[int, tuple[str, str]] = {
    404: ("not-found", "No such route"),
    405: ("method-not-allowed", "Not this method"),
    413: ("too-large", "The body is too large"),
}
HIDDEN = {
    "store-unavailable": "the database cannot be reached: nothing new is begun until it is back",
    "timeout": "the answer was not ready in time: with the same Idempotency-Key it is safe to ask again",
    "internal": "an internal error: it has been logged",
}

AnyRequest: TypeAlias = Request[Any, Any, Any]


def problem(error: Exception, query: Mapping[str, object] | None = None) -> Problem:
    """What a caller is told of an error. `query` shows the value of a parameter that the framework refused."""
    if isinstance(error, HTTPException):
        return _of_framework(error, query or {})
    kind = next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)
    field = value = rule = state = None
    match error:
        case e.BadInput():
            field, value, rule = error.field, error.value, error.rule
        case e.KeyReused():
            field, value, rule = "Idempotency-Key", error.key, "must not be used again with another body"
        case e.WrongState():
            state = error.state
        case e.LimitBreached():
            field, value, rule = error.limit, error.asked, f"must not exceed {error.bound}"
        case _:
            pass
    return Problem(
        type=f"urn:sotto:problem:{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=HIDDEN.get(kind.slug) or str(error) or kind.title,
        blame=kind.blame,
        field=field,
        value=None if value is None else _shown(value),
        rule=rule,
        state=state,
    )


def answer(request: AnyRequest, error: Exception) -> Response[bytes]:
    """The exception handler of every route."""
    told = problem(error, request.query_params)
    if told.status >= 500:
        path = request.scope["path"]
        if told.status == 500:
            log.error("request failed", path=path, exc_info=error)
        else:
            log.warning("request not served", path=path, status=told.status, error=f"{type(error).__name__}: {error}")
    headers = dict(getattr(error, "headers", None) or {})
    if told.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="sotto"'
    elif told.status == 503:
        headers["Retry-After"] = "1"
    return Response(encode(told), status_code=told.status, media_type=MEDIA_TYPE, headers=headers)


encode = msgspec.json.Encoder().encode


def _of_framework(error: HTTPException, query: Mapping[str, object]) -> Problem:
    """Litestar's own refusals: unknown route or method, a path or query parameter of the wrong type, a large body."""
    status = error.status_code
    slug, title = HTTP_SLUGS.get(status, ("bad-request", "Bad request") if status < 500 else ("internal", "An error"))
    field = value = rule = None
    detail = title if status in HTTP_SLUGS else error.detail
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict):
        first: dict[str, object] = extra[0]
        field = {"data": "body"}.get(str(first.get("key")), str(first.get("key", "")))
        value = query.get(field)
        rule = re.sub("^Expected ", "must be ", str(first.get("message", "")).replace("`", ""))
        slug, title, detail = "bad-input", KINDS[e.BadInput].title, f"{field}: {rule}"
    return Problem(
        type=f"urn:sotto:problem:{slug}",
        title=title,
        status=status,
        detail=HIDDEN["internal"] if status >= 500 else detail,
        blame="us" if status >= 500 else "caller",
        field=field,
        value=None if value is None else _shown(value),
        rule=rule,
    )


def _shown(value: object) -> str:
    """As it was sent: text as it is, lists and objects and true and false as JSON."""
    text = encode(value).decode() if isinstance(value, bool | list | dict) else str(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."

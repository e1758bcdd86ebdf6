"""Who is calling, and what that role may do. Roles and ownership are enforced here and nowhere else."""

import asyncio
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from rfq.api.ports import Engine
from rfq.api.problems import Unauthenticated
from rfq.domain.errors import BadInput, NotAllowed, NotFound, StoreUnavailable
from rfq.domain.rfq import Rfq
from rfq.domain.values import DeskId, RfqId
from rfq.ports import Clock, KeyStore, Principal, Role

Connection = ASGIConnection[Any, Any, Any, Any]

EVERYONE: tuple[Role, ...] = ("desk", "dealer", "supervisor", "operator")
DESKS: tuple[Role, ...] = ("desk",)
DESKS_AND_SUPERVISORS: tuple[Role, ...] = ("desk", "supervisor")
STAFF: tuple[Role, ...] = ("desk", "supervisor", "operator")
SUPERVISORS: tuple[Role, ...] = ("supervisor",)
SUPERVISORS_AND_OPERATORS: tuple[Role, ...] = ("supervisor", "operator")
OPERATORS: tuple[Role, ...] = ("operator",)

LONGEST_ID = 128
LONGEST_KEY = 256
MOST_KEYS = 2048
STORE_S = 2.0


class Keys:
    """Answers of the key store, believed for `fresh_s`; while the store is away, for `grace_s`.

    The grace lets a desk cancel and a supervisor throw the kill switch when the database is down. Unknown keys are
    remembered apart from known ones, so that guessing evicts nobody.
    """

    def __init__(self, store: KeyStore, clock: Clock, fresh_s: float, grace_s: float) -> None:
        self._store, self._clock = store, clock
        self._fresh, self._grace = timedelta(seconds=fresh_s), timedelta(seconds=grace_s)
        self._known: dict[bytes, tuple[Principal, datetime]] = {}
        self._unknown: dict[bytes, datetime] = {}
        self._asking: dict[bytes, asyncio.Task[Principal | None]] = {}

    async def who(self, key: str) -> Principal:
        """Raises Unauthenticated, and StoreUnavailable when the key is not remembered and the store is away."""
        if not key or len(key) > LONGEST_KEY:
            raise Unauthenticated("this key is not known")
        digest, now = sha256(key.encode("utf-8", "surrogatepass")).digest(), self._clock.now()
        known = self._known.get(digest)
        if known is not None and now - known[1] <= self._fresh:
            return known[0]
        refused = self._unknown.get(digest)
        if refused is not None and now - refused <= self._fresh:
            raise Unauthenticated("this key is not known")
        try:
            found = await self._ask(digest, key)
        except StoreUnavailable:
            if known is not None and now - known[1] <= self._grace:
                return known[0]
            raise
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        if found is None:
            _remember(self._unknown, digest, now)
            raise Unauthenticated("this key is not known")
        _remember(self._known, digest, (found, now))
        return found

    async def _ask(self, digest: bytes, key: str) -> Principal | None:
        """One question to the store for each key at a time, however many requests wait for it."""
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.create_task(self._ask_store(key))
            asking.add_done_callback(lambda task: _done(self._asking, digest, task))
        return await asyncio.shield(asking)

    async def _ask_store(self, key: str) -> Principal | None:
        try:
            async with asyncio.timeout(STORE_S):
                return await self._store.who(key)
        except TimeoutError:
            raise StoreUnavailable("the key store did not answer") from None


def _done(asking: dict[bytes, asyncio.Task[Principal | None]], digest: bytes, task: "asyncio.Task[Any]") -> None:
    asking.pop(digest, None)
    if not task.cancelled():
        task.exception()  # Looked at, so that nobody having waited is no complaint.


def _remember(held: dict[bytes, Any], digest: bytes, value: object) -> None:
    if len(held) >= MOST_KEYS:
        del held[next(iter(held))]
    held[digest] = value


class Guard:
    """Runs before every /v1 handler: names the caller, checks its role against the handler's `roles`, and refuses
    query parameters that the handler does not take. A handler that declares no roles is closed to all."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def __deepcopy__(self, _: object) -> "Guard":
        """Litestar copies what it registers; there is one guard, with one cache and one database behind it."""
        return self

    async def __call__(self, connection: Connection, handler: BaseRouteHandler) -> None:
        principal = await self.identify(connection)
        roles: tuple[Role, ...] = handler.opt.get("roles", ())
        if principal.role not in roles:
            raise NotAllowed(f"this is not for a {principal.role}; it is for {', '.join(roles) or 'nobody'}")
        connection.scope["user"] = principal
        if connection.scope["query_string"]:
            takes = handler.parsed_fn_signature.parameters
            for name in connection.query_params:
                if name not in takes:
                    raise BadInput(name, connection.query_params[name], "is not a query parameter here")

    async def identify(self, connection: Connection) -> Principal:
        """Raises Unauthenticated."""
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("an 'Authorization: Bearer <key>' header is needed")
        return await self._keys.who(key.strip())


def caller(connection: Connection) -> Principal:
    """Who the guard found."""
    return cast(Principal, connection.scope["user"])


def by(principal: Principal) -> str:
    """How a caller is named in the record."""
    return f"{principal.role}:{principal.name}"


def desk_of(principal: Principal) -> DeskId | None:
    """The desk whose RFQs a caller is held to; None for a supervisor, who sees every desk's."""
    return DeskId(principal.name) if principal.role == "desk" else None


async def own_rfq(engine: Engine, principal: Principal, rfq_id: str) -> Rfq:
    """The RFQ if the caller may see it. Raises NotFound otherwise, alike for a foreign one and for none."""
    if not 0 < len(rfq_id) <= LONGEST_ID or not rfq_id.isprintable():
        raise NotFound("RFQ", rfq_id[:LONGEST_ID])
    rfq = await engine.rfq(RfqId(rfq_id))
    desk = desk_of(principal)
    if desk is not None and rfq.desk_id != desk:
        raise NotFound("RFQ", rfq_id)
    return rfq

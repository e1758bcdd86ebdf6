"""Callers and their keys. Implements rfq.ports.KeyStore. A key is stored as its sha256 only."""

import asyncio
from collections import OrderedDict
from hashlib import sha256

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from db.database import Database
from db.tables import ApiKeyRow
from rfq.domain.errors import BadInput
from rfq.ports import Principal, Role

_KEPT_S, _KEPT = 10.0, 10_000


class PostgresKeyStore:
    """Answers are remembered for ten seconds: a key taken out of the table works no longer than that."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def who(self, key: str) -> Principal | None:
        """Whose key it is, or None."""
        hashed = sha256(key.encode("utf-8", "surrogateescape")).digest()
        now = asyncio.get_running_loop().time()
        until, principal = self._known.get(hashed, (now, None))
        if principal and now < until:
            return principal
        async with self._database.reading() as session:
            row = await session.get(ApiKeyRow, hashed)
        self._known.pop(hashed, None)
        if row is None:
            return None
        principal = Principal(row.name, row.role)  # type: ignore[arg-type]  # Only `add` writes roles.
        self._known[hashed] = (now + _KEPT_S, principal)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return principal

    async def add(self, principal: Principal, key: str) -> None:
        """Raises BadInput if the name has a key of that role already, or somebody has this very key."""
        hashed = sha256(key.encode("utf-8", "surrogateescape")).digest()
        try:
            async with self._database.reading() as session:
                session.add(ApiKeyRow(key_hash=hashed, role=principal.role, name=principal.name))
                await session.commit()
        except IntegrityError:
            raise BadInput("name", principal.name, f"has a {principal.role} key already") from None

    async def names(self, role: Role) -> list[str]:
        async with self._database.reading() as session:
            query = select(ApiKeyRow.name).where(ApiKeyRow.role == role).order_by(col(ApiKeyRow.name))
            return list((await session.execute(query)).scalars())

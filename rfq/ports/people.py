"""Who is calling."""

from typing import Literal, Protocol, TypeAlias

from rfq.domain.values import Frozen

Role: TypeAlias = Literal["desk", "dealer", "supervisor", "operator"]


class Principal(Frozen, frozen=True):
    """Who is calling: a role, and the desk or dealer it acts for."""

    name: str
    role: Role


class KeyStore(Protocol):
    async def who(self, key: str) -> Principal | None: ...

    async def add(self, principal: Principal, key: str) -> None:
        """Stores a hash of the key. Raises BadInput if the name already has one of that role."""
        ...

    async def names(self, role: Role) -> list[str]: ...

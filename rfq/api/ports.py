"""What the HTTP edge calls: the engine's commands, and the dealers' lines. Wired by rfq.app."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias

from rfq.domain.award import Award
from rfq.domain.limits import DeskLimits
from rfq.domain.rfq import Rfq, RfqTerms
from rfq.domain.values import ChildId, DealerId, DeskId, LiftId, Price, Quantity, RfqId
from rfq.engine.commands import CancelAnswer, Pick
from rfq.engine.plan import PlanAnswer


class Engine(Protocol):
    """rfq.engine.engine.Engine, as far as the edge sees it. Every command may raise any SottoError."""

    @property
    def ready(self) -> bool: ...

    @property
    def killed(self) -> str | None:
        """Why nothing new is begun, if the kill switch is thrown."""
        ...

    async def submit(
        self, desk_id: DeskId, terms: RfqTerms, *, idempotency_key: str, body_digest: str
    ) -> tuple[Rfq, bool]:
        """The RFQ, and whether this call created it."""
        ...

    async def rfq(self, rfq_id: RfqId) -> Rfq:
        """As it stands in memory if this engine owns it, else as recorded. Raises NotFound."""
        ...

    async def plan(self, terms: RfqTerms) -> PlanAnswer: ...
    async def cancel(self, rfq_id: RfqId, by: str) -> CancelAnswer: ...
    async def award(self, rfq_id: RfqId, picks: Sequence[Pick], by: str) -> Award: ...
    async def settle(
        self,
        rfq_id: RfqId,
        lift_id: LiftId | None,
        answer: Literal["confirmed", "refused"] | None,
        evidence: str,
        by: str,
        quantity: Quantity | None,
    ) -> Rfq: ...
    async def settle_order(
        self, rfq_id: RfqId, child_id: ChildId, filled: Quantity, price: Price | None, evidence: str, by: str
    ) -> Rfq: ...
    async def kill(self, by: str, reason: str) -> None: ...
    async def release(self, by: str) -> None: ...
    async def set_limits(self, desk_id: DeskId, limits: DeskLimits, by: str) -> None: ...
    async def limits(self, desk_id: DeskId) -> DeskLimits: ...
    def changes(self, rfq_id: RfqId) -> AbstractContextManager[asyncio.Event]:
        """The event is set whenever new events of that RFQ have become durable; whoever waits on it clears it."""
        ...


class Line(Protocol):
    """One dealer's open connection, frames only: text under the JSON subprotocol, bytes under MessagePack."""

    @property
    def subprotocol(self) -> str | None: ...
    async def recv(self) -> str | bytes: ...
    async def send(self, frame: str | bytes) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...


ServeDealer: TypeAlias = Callable[[DealerId, Line], Awaitable[None]]
"""Serves one dealer's line until it closes: dealers.gateway's `serve`."""

Reachable: TypeAlias = Callable[[], frozenset[DealerId]]

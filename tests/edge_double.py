"""An HTTP edge over blocks held in memory, for tests of the edge alone: what it lets in, hides, maps and streams."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import httpx
import uvicorn
from examples import ACME, arrival, at
from prometheus_client import CollectorRegistry
from stored_blocks import WorkedParents

from rfq.api.create import create_api, server_config
from rfq.api.edge import Edge
from rfq.domain import events as ev
from rfq.domain.award import Allocation, Award
from rfq.domain.blend import ResidualCurve
from rfq.domain.block import Block
from rfq.domain.errors import KeyReused, NotFound, StoreUnavailable, WrongState
from rfq.domain.limits import DeskLimits
from rfq.domain.rfq import Rfq, RfqStatus, RfqTerms
from rfq.domain.selection import DealerScore, Selection
from rfq.domain.values import DealerId, DeskId, Price, Quantity, RfqId, Side
from rfq.engine.commands import CancelAnswer, Pick
from rfq.engine.plan import PlanAnswer
from rfq.metrics import Metrics
from rfq.ports import DealerOutcome, Idempotency, MarketView, Principal
from rfq.settings import Settings

KEYS = {
    "k-alpha": Principal("alpha", "desk"),
    "k-beta": Principal("beta", "desk"),
    "k-d1": Principal("D01", "dealer"),
    "k-super": Principal("sam", "supervisor"),
    "k-ops": Principal("ops", "operator"),
}
BODY = {
    "legs": [{"symbol": "ACME", "side": "buy", "quantity": "10000", "limit_price": "101.25"}],
    "residual": {"horizon_s": 3600},
    "min_fill": "500",
}


class HeldBlocks:
    """The engine's commands and the reader's answers over blocks in memory. Commands are noted in `called`."""

    def __init__(self) -> None:
        self.histories: dict[RfqId, list[ev.Stamped]] = {}
        self.blocks: dict[RfqId, Block] = {}
        self.orders_of: dict[RfqId, WorkedParents] = {}
        self.keys_used: dict[tuple[str, str], Idempotency] = {}
        self.called: list[tuple[str, tuple[Any, ...]]] = []
        self.fails: Exception | None = None
        self.slow_s = 0.0
        self.ready, self.killed = True, None
        self.bounds: dict[DeskId, DeskLimits] = {}
        self._waiting: dict[RfqId, set[asyncio.Event]] = {}

    # --- the story, told by the test -----------------------------------------------------------------------------

    def tell(self, rfq_id: str, *events: ev.AnyEvent) -> None:
        key = RfqId(rfq_id)
        block = self.blocks.setdefault(key, Block())
        for event in events:
            stamped = ev.Stamped(block.sequence + 1, event, at(block.sequence), at(block.sequence))
            block.apply(stamped)
            self.orders_of.setdefault(key, WorkedParents()).apply(event)
            self.histories.setdefault(key, []).append(stamped)
        for waiting in self._waiting.get(key, ()):
            waiting.set()

    async def _may(self, command: str, *given: Any) -> None:
        self.called.append((command, given))
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        if self.fails is not None:
            raise self.fails

    # --- engine ----------------------------------------------------------------------------------------------------

    async def submit(
        self, desk_id: DeskId, terms: RfqTerms, *, idempotency_key: str, body_digest: str
    ) -> tuple[Rfq, bool]:
        await self._may("submit", desk_id, terms, idempotency_key)
        used = self.keys_used.get((desk_id, idempotency_key))
        if used is not None:
            if used.body_digest != body_digest:
                raise KeyReused(idempotency_key)
            return self.blocks[used.rfq_id].rfq, False
        rfq_id = RfqId(f"rfq-{len(self.blocks) + 1}")
        self.keys_used[desk_id, idempotency_key] = Idempotency(desk_id, idempotency_key, body_digest, rfq_id)
        self.tell(rfq_id, ev.RfqReceived(rfq_id, desk_id, terms, arrival()))
        return self.blocks[rfq_id].rfq, True

    async def rfq(self, rfq_id: RfqId) -> Rfq:
        """Engine and reader alike; the reader's None is the engine's NotFound."""
        if rfq_id not in self.blocks:
            raise NotFound("RFQ", rfq_id)
        return self.blocks[rfq_id].rfq

    async def plan(self, terms: RfqTerms) -> PlanAnswer:
        await self._may("plan", terms)
        costs = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
        scores = tuple(DealerScore(DealerId(d), 0.8, costs, 0.2, 0.05, {}) for d in ("D01", "D02"))
        selection = Selection(scores, (DealerId("D01"),), {DealerId("D01"): 0.9}, (9.0, 5.0, 4.5), "v1", 7)
        lots = Quantity(10)
        view = MarketView(ACME.symbol, Price(19_990), Price(20_010), lots, lots, None, lots, at(0))
        curve = ResidualCurve((Quantity(0), terms.leg.quantity), (0.0, 900.0))
        return PlanAnswer(selection, view, curve, selection.expected_cost_bps)

    async def cancel(self, rfq_id: RfqId, by: str) -> CancelAnswer:
        await self._may("cancel", rfq_id, by)
        rfq = self.blocks[rfq_id].rfq
        if rfq.is_over:
            raise WrongState("RFQ", rfq_id, rfq.status.value, "be cancelled")
        self.tell(rfq_id, ev.CancelRequested(by))
        return CancelAnswer(self.blocks[rfq_id].rfq, ("100 at 100 with D01",), ())

    async def award(self, rfq_id: RfqId, picks: Sequence[Pick], by: str) -> Award:
        await self._may("award", rfq_id, tuple(picks), by)
        block = self.blocks[rfq_id]
        assert block.auction
        taken = tuple(Allocation(p.quote_id, 1, DealerId("d1"), Price(20_004), p.quantity) for p in picks)
        return Award(block.auction.auction_id, Side.BUY, taken, by=by)

    async def settle(self, rfq_id: RfqId, *given: Any) -> Rfq:
        await self._may("settle", rfq_id, *given)
        return self.blocks[rfq_id].rfq

    async def settle_order(self, rfq_id: RfqId, *given: Any) -> Rfq:
        await self._may("settle_order", rfq_id, *given)
        return self.blocks[rfq_id].rfq

    async def kill(self, by: str, reason: str) -> None:
        self.killed = f"{reason} ({by})"
        await self._may("kill", by, reason)

    async def release(self, by: str) -> None:
        await self._may("release", by)
        self.killed = None

    async def limits(self, desk_id: DeskId) -> DeskLimits:
        return self.bounds.get(desk_id, DeskLimits())

    async def set_limits(self, desk_id: DeskId, limits: DeskLimits, by: str) -> None:
        await self._may("set_limits", desk_id, limits, by)
        self.bounds[desk_id] = limits

    @contextlib.contextmanager
    def changes(self, rfq_id: RfqId) -> Iterator[asyncio.Event]:
        mine = asyncio.Event()
        self._waiting.setdefault(rfq_id, set()).add(mine)
        try:
            yield mine
        finally:
            self._waiting[rfq_id].discard(mine)


class HeldReader:
    """RfqReader over the same blocks, newest RFQ first."""

    def __init__(self, held: HeldBlocks) -> None:
        self.held = held

    async def rfq(self, rfq_id: RfqId) -> Rfq | None:
        return self.held.blocks[rfq_id].rfq if rfq_id in self.held.blocks else None

    async def rfqs(
        self, desk_id: DeskId | None, status: RfqStatus | None, before: str | None, limit: int
    ) -> tuple[list[Rfq], str | None]:
        every = [b.rfq for b in reversed(self.held.blocks.values())]
        wanted = [r for r in every if desk_id in (None, r.desk_id) and status in (None, r.status)]
        start = next((n + 1 for n, r in enumerate(wanted) if r.rfq_id == before), 0)
        page = wanted[start : start + limit]
        return page, page[-1].rfq_id if start + limit < len(wanted) else None

    def __getattr__(self, name: str) -> Any:
        """auctions, requests, quotes, awards, lifts, fills: the block's own."""

        async def read(rfq_id: RfqId) -> list[Any]:
            found = getattr(self.held.blocks[rfq_id], name)
            return list(found.values() if isinstance(found, dict) else found)

        return read

    async def orders(self, rfq_id: RfqId) -> list[dict[str, Any]]:
        worked = self.held.orders_of[rfq_id].worked
        if worked is None:
            return []
        order = worked.parent.order
        ids = {"kind": "parent", "parent_id": order.parent_id, "side": order.side.value}
        rows: list[dict[str, Any]] = [
            {**ids, "status": worked.parent.status.value, "quantity": order.quantity, "filled": worked.parent.filled}
        ]
        for child in worked.children.values():
            own = {"child_id": child.order.child_id, "parent_id": order.parent_id, "venue": child.order.venue}
            amounts = {"quantity": child.order.quantity, "filled": child.filled, "price": child.order.price}
            rows.append({"kind": "child", **own, **amounts, "status": child.status.value})
        return rows

    async def mark_outs(self, rfq_id: RfqId) -> list[Any]:
        return []

    async def events(self, rfq_id: RfqId, after: int, limit: int) -> list[ev.Stamped]:
        return self.held.histories[rfq_id][after : after + limit]


class HeldKeys:
    """KeyStore; counts what it is asked, and can be away."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.known = dict(KEYS)

    async def who(self, key: str) -> Principal | None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("the database is away")
        return self.known.get(key)

    async def add(self, principal: Principal, key: str) -> None:
        self.known[key] = principal

    async def names(self, role: str) -> list[str]:
        return sorted(p.name for p in self.known.values() if p.role == role)


class HeldHistory:
    def __init__(self) -> None:
        self.rows: list[DealerOutcome] = []

    async def outcomes(self, since: datetime, limit: int) -> AsyncIterator[DealerOutcome]:
        for row in self.rows[:limit]:
            yield row


class HandClock:
    """Both clocks: stands still until it is moved."""

    def __init__(self) -> None:
        self.time = at(0)

    def now(self) -> datetime:
        return self.time

    async def sleep_until(self, at: datetime) -> None:
        raise AssertionError("the edge never sleeps on these clocks")

    def real_time(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class House:
    """The edge and everything behind it."""

    def __init__(self, **settings: Any) -> None:
        self.held, self.keys, self.history, self.clock = HeldBlocks(), HeldKeys(), HeldHistory(), HandClock()
        self.lines: list[tuple[str, Any]] = []
        self.up: frozenset[DealerId] = frozenset({DealerId("D01")})
        self.settings = Settings(**settings)
        self.edge = Edge(
            engine=self.held,
            reader=HeldReader(self.held),  # type: ignore[arg-type]
            history=self.history,
            keys=self.keys,
            serve_dealer=self._serve,
            reachable=lambda: self.up,
            clock=self.clock,
            market_clock=self.clock,
            instruments={ACME.symbol: ACME},
            settings=self.settings,
            metrics=Metrics(CollectorRegistry()),
        )
        self.app = create_api(self.edge)

    def fresh(self) -> "House":
        """As newly built but for its metrics: an application takes long to make and holds nothing itself."""
        for part in (self.held, self.keys, self.history, self.clock):
            part.__init__()
        self.edge.keys.__init__(self.keys, self.clock, self.settings.key_cache_s, self.settings.key_grace_s)
        self.edge.scoreboard.__init__(self.history, self.keys, lambda: self.up, self.clock, self.clock)
        self.lines.clear()
        return self

    async def _serve(self, dealer_id: DealerId, line: Any) -> None:
        """Echoes frames until the dealer goes, or says 'close'."""
        self.lines.append((dealer_id, line))
        while (frame := await line.recv()) != "close":
            await line.send(frame)
        await line.close(4000, "asked to")

    def http(self, key: str | None = None) -> httpx.AsyncClient:
        """Straight into the application, without a socket. It cannot stream."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://sotto", headers=headers)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """On a real socket on loopback: yields the URL."""
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(server_config(self.app, self.settings))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(10):
                while not server.started:  # noqa: ASYNC110  (uvicorn has no event to wait for)
                    await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            self.edge.close_streams()
            server.should_exit = True
            await asyncio.wait_for(running, 10)


@cache
def shared_house() -> House:
    """One for tests that need no settings of their own: take its `fresh()`."""
    return House()


def tell_groups(held: HeldBlocks, rfq_id: str, groups: Iterable[Sequence[ev.AnyEvent]]) -> None:
    for events in groups:
        held.tell(rfq_id, *events)

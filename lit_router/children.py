"""One parent's children at the venues: sent once durable, cancelled at once, chased when a venue is silent."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from lit_router.chase import Chase
from lit_router.dispose import Smaller
from lit_router.domain.child import CHILD_OVER, Child, ChildStatus
from lit_router.domain.parent import ParentStatus, WorkedParent
from lit_router.facts import Fact
from lit_router.floor import Floor, either
from lit_router.ledger import Ledger
from lit_router.ports import ExecutionReport, Proposal, ReportKind
from lit_router.refusals import Refusals
from rfq.domain import events as ev
from rfq.domain.errors import NeedsPerson, PeerGone
from rfq.domain.fill import Where
from rfq.domain.order import ChildOrder, TimeInForce
from rfq.domain.values import NO_LOTS, ChildId, Quantity
from rfq.ports import OrderStore

log = structlog.get_logger()

_C = ChildStatus
CANCELLABLE = frozenset({_C.SENT, _C.ACKNOWLEDGED, _C.REPLACING})
CHANGING = frozenset({_C.CANCELLING, _C.REPLACING})


class Crowd(Protocol):
    """Everybody working orders on this floor."""

    def adopt(self, child_id: ChildId, children: "Children") -> None:
        """From now on reports of this child are that parent's."""
        ...

    def opposing(self, children: "Children", proposal: Proposal) -> list[tuple["Children", Child]]:
        """Live children of ours on the other side that a proposal would trade with."""
        ...


class Children:
    """Sends, cancels and chases one parent's children, and hears their reports. The only place that talks to venues."""

    def __init__(self, worked: WorkedParent, journal: OrderStore, floor: Floor, crowd: Crowd) -> None:
        self.worked = worked
        self.ledger = Ledger(worked, journal, floor)
        self.sent_at: dict[ChildId, datetime] = {}
        self.urgent = asyncio.Event()
        """Set when something happened that cannot wait for the next decision."""
        self.refusals = Refusals()
        self._floor, self._crowd = floor, crowd
        self._chase = Chase(floor.clock, floor.settings.answer_s, floor.settings.most_status_requests)
        self._news = asyncio.Event()
        self._unsent: set[ChildId] = set()
        self._unshrinkable: set[ChildId] = set()
        self._pulling = False
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self, history: Sequence[Fact]) -> None:
        """Takes over recorded children. Those that are live are asked about: their venues went on without us."""
        self.ledger.fold(history)
        now = self._floor.market_clock.now()
        for child in self.worked.children.values():
            self._crowd.adopt(child.order.child_id, self)
            self.sent_at[child.order.child_id] = now
        for child in self.worked.live:
            if child.status is _C.CREATED:
                self.ledger.note(ev.ChildCancelled(child.order.child_id))  # It never left.
            else:
                self._chase.ask_now(child.order.child_id)

    # --- hearing -----------------------------------------------------------------------------------------------

    def take(self, report: ExecutionReport) -> None:
        """One report of one of these children. Never blocks, never raises."""
        child_id = report.child_id
        if report.kind is ReportKind.CANCEL_REJECTED and self._status(child_id) is _C.REPLACING:
            self._unshrinkable.add(child_id)
        found = self.ledger.hear(report)
        parent = self.worked.parent
        status = self._status(child_id)
        settled = status is _C.ACKNOWLEDGED and report.kind is not ReportKind.CANCEL_REJECTED and not self._pulling
        if self.ledger.fills_missing(child_id) or report.kind is ReportKind.CANCEL_REJECTED:
            self._chase.expect(child_id)
        if status in CHILD_OVER or (settled and not self.ledger.fills_missing(child_id)):
            self._chase.settle(child_id)
        elif self._chase.owes(child_id):
            self._chase.expect(child_id)
        self.refusals.heard(self.worked.children[child_id].order.venue, report.kind)
        broken = next((event for event in found if isinstance(event, ev.BreakFound)), None)
        if broken is not None and parent.status not in (ParentStatus.CANCELLING, ParentStatus.DONE):
            reason = f"break: {broken.fill.venue} filled more than asked"
            self.ledger.note(ev.ParentCancelling(parent.order.parent_id, reason))
        # Once per fill: were it done on every report, a cancel that is refused would be repeated without end.
        if broken is not None or (found and report.quantity and self.worked.overcommitted):
            self._soon(self.cancel_all())
        if self.ledger.stopping or parent.filled >= parent.order.quantity:
            self.urgent.set()
        self._stir()

    # --- sending -----------------------------------------------------------------------------------------------

    async def place(self, proposals: Sequence[Proposal]) -> list[ChildId]:
        """Records children for these proposals, then sends them; returns those recorded.

        None is sent that would trade with an order of ours: in a lit book that order is cancelled first; in a dark
        pool the newcomer stays out. Raises what the store raises; nothing was sent then.
        """
        await self._make_way(proposals)
        orders = self._orders([p for p in proposals if not self._crowd.opposing(self, p)])
        if not orders:
            return []
        for order in orders:
            self._unsent.add(order.child_id)
            self._crowd.adopt(order.child_id, self)
        await self.ledger.record(*(e for o in orders for e in (ev.ChildCreated(o), ev.ChildSent(o.child_id))))
        await asyncio.gather(*(self._send(order) for order in orders))
        return [order.child_id for order in orders]

    def _orders(self, proposals: Sequence[Proposal]) -> list[ChildOrder]:
        """Child orders for what is free now: a wait for others may have changed that."""
        orders: list[ChildOrder] = []
        parent, free = self.worked.parent.order, NO_LOTS if self.ledger.stopping else self.worked.free
        for proposal in proposals:
            lots = Quantity(min(proposal.quantity, free))
            if lots <= 0:
                break
            free = Quantity(free - lots)
            order = ChildOrder(
                child_id=ChildId(self._floor.ids.new("child")),
                parent_id=parent.parent_id,
                venue=proposal.venue,
                symbol=parent.symbol,
                side=parent.side,
                quantity=lots,
                price=proposal.price,
                time_in_force=proposal.time_in_force,
                min_quantity=Quantity(min(proposal.min_quantity, lots)),
            )
            orders.append(order)
        return orders

    async def _make_way(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            if self._floor.venues[proposal.venue].where is not Where.LIT:
                continue
            for other, child in self._crowd.opposing(self, proposal):
                if child.order.time_in_force is TimeInForce.DAY:
                    await other.cancel([child.order.child_id])
                    await other.until_over([child.order.child_id])

    async def _send(self, order: ChildOrder) -> None:
        child_id = order.child_id
        if self.ledger.stopping:
            self._unsent.discard(child_id)
            self.ledger.note(ev.ChildCancelled(child_id))  # It never left.
            return
        self.sent_at[child_id] = self._floor.market_clock.now()
        self._chase.expect(child_id)
        try:
            await self._call(child_id, "send", order)
        finally:
            self._unsent.discard(child_id)
        if self.ledger.stopping:
            await self.cancel([child_id])

    async def shrink(self, smaller: Sequence[Smaller]) -> None:
        """Takes lots off resting children, which keep their places. Those of which a venue refused it are cancelled."""
        await self.cancel([one.child_id for one in smaller if one.child_id in self._unshrinkable])
        for one in smaller:
            if self._status(one.child_id) is not _C.ACKNOWLEDGED:
                continue
            price = self.worked.children[one.child_id].order.price
            self.ledger.note(ev.ChildReplacing(one.child_id, one.quantity, price))
            self._chase.expect(one.child_id)
            await self._call(one.child_id, "replace", one.child_id, one.quantity, price)

    # --- cancelling --------------------------------------------------------------------------------------------

    async def cancel(self, child_ids: Collection[ChildId]) -> None:
        """Asks venues to take these out. Does not wait for the store; returns when the cancels are out."""
        out = [c for c in child_ids if self._status(c) in CANCELLABLE and c not in self._unsent]
        for child_id in out:
            self.ledger.note(ev.ChildCancelling(child_id))
            self._chase.expect(child_id)
        await asyncio.gather(*(self._call(child_id, "cancel", child_id) for child_id in out))

    async def cancel_all(self) -> None:
        await self.cancel([c.order.child_id for c in self.worked.live])

    async def relieve(self) -> None:
        """Cancels every child, save where that was just refused: it is repeated when the venue is next asked."""
        live = self._live()
        refused = {c for c in live if self._status(c) is _C.ACKNOWLEDGED and self._chase.owes(c)}
        await self.cancel([c for c in live if c not in refused])

    async def pull(self) -> None:
        """Cancels every child and returns when each is over.

        Raises NeedsPerson when a venue will not say what became of one, asked as often as may be; its lots stay with
        it. Calling again asks again.
        """
        for child_id in self._live():
            if self._chase.lost(child_id):
                self._chase.ask_now(child_id)
        self._pulling = True
        try:
            while live := self._live():
                await self.relieve()
                if (live := self._live()) and all(self._chase.lost(c) for c in live):
                    raise NeedsPerson("; ".join(self._unaccounted(c) for c in live))
                if live:
                    await self._next_news()
        finally:
            self._pulling = False

    def _unaccounted(self, child_id: ChildId) -> str:
        child = self.worked.children[child_id]
        what = "counts fills it has not told" if self.ledger.fills_missing(child_id) else "does not say what became"
        return f"{child.order.venue} {what} of child {child_id} ({child.leaves} lots)"

    # --- waiting -----------------------------------------------------------------------------------------------

    async def until_over(self, child_ids: Collection[ChildId]) -> bool:
        """Waits for these to end, no longer than a venue has to answer."""
        return await self._until(lambda: all(self._status(c) in CHILD_OVER for c in child_ids))

    async def until_calm(self) -> bool:
        """Waits until no cancel or replace is in flight, no longer than a venue has to answer."""
        return await self._until(lambda: all(c.status not in CHANGING for c in self.worked.live))

    async def until_known(self) -> bool:
        """After a resume: waits until every venue has said how its children stand, or was asked in vain."""
        for _ in range(self._floor.settings.most_status_requests + 1):
            if await self._until(lambda: not any(self._chase.owes(c) for c in self._live())):
                return True
        return False

    async def ask_overdue(self) -> None:
        """Asks venues that owe an answer for the state of the order; repeats a cancel that was not answered."""
        await asyncio.gather(*(self._ask(child_id) for child_id in self._chase.overdue()))

    async def _until(self, condition: Callable[[], bool]) -> bool:
        deadline = self._floor.clock.now() + timedelta(seconds=self._floor.settings.answer_s)
        while not condition():
            if self._floor.clock.now() >= deadline:
                return False
            await self._next_news(deadline)
        return True

    async def _next_news(self, deadline: datetime | None = None) -> None:
        """Until a report comes or an answer is overdue, which is then asked for."""
        news = self._news  # Each is set once: nobody else can take the news away from whoever waits for it.
        latest = self._floor.clock.now() + timedelta(seconds=self._floor.settings.answer_s)
        due = min(at for at in (latest, deadline, self._chase.next_due()) if at is not None)
        await either(news.wait(), self._floor.clock.sleep_until(due))
        await self.ask_overdue()

    def _stir(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _ask(self, child_id: ChildId) -> None:
        if self._status(child_id) is _C.CANCELLING:
            await self._call(child_id, "cancel", child_id)
        elif self._pulling:
            await self.cancel([child_id])
        await self._call(child_id, "status", child_id)

    async def _call(self, child_id: ChildId, verb: str, *args: object) -> None:
        """One call to the child's venue, with a deadline. What may not have arrived is asked about later."""
        venue = self._floor.venues.get(self.worked.children[child_id].order.venue)
        if venue is None:
            return
        try:
            async with asyncio.timeout(self._floor.settings.answer_s):
                await getattr(venue, verb)(*args)
        except (PeerGone, TimeoutError) as error:
            log.warning("venue out of reach", venue=venue.name, verb=verb, child_id=child_id, error=repr(error))

    def _status(self, child_id: ChildId) -> ChildStatus:
        return self.worked.children[child_id].status

    def _live(self) -> list[ChildId]:
        return [child.order.child_id for child in self.worked.live]

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

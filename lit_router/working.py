"""The life of one parent order being worked: decide, place, pause, cancel, end, and resume from what was recorded."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil, floor

import structlog

from lit_router.children import Children, Crowd
from lit_router.dispose import Disposal, dispose
from lit_router.domain.observation import Observation
from lit_router.domain.parent import ParentStatus, begin
from lit_router.facts import Fact
from lit_router.floor import Floor, either
from lit_router.observe import observe
from lit_router.ports import Proposal, Slice
from rfq.domain import events as ev
from rfq.domain.errors import LeaseLost, NeedsPerson, NotFound
from rfq.domain.fill import Where
from rfq.domain.order import ParentOrder, TimeInForce
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import NO_LOTS, Quantity
from rfq.ports import MarketView, OrderStore

log = structlog.get_logger()

_P = ParentStatus


class WorkingOrder:
    """One parent being worked by a task of its own. Made inside the event loop; `start` begins."""

    def __init__(
        self, order: ParentOrder, journal: OrderStore, history: Sequence[Fact], floor: Floor, crowd: Crowd
    ) -> None:
        self.order, self.journal, self._floor = order, journal, floor
        self.worked = begin(order)
        self.children = Children(self.worked, journal, floor, crowd)
        self.children.resume(history)
        self._ends = order.starts_at + timedelta(seconds=order.horizon_s)
        settings = floor.settings
        pace_s = floor.policies[order.schedule].policy.pace_s(order)
        self._step_s = max(settings.decision_market_s, order.horizon_s / settings.most_decisions, pace_s)
        self._venues = floor.venues_of(order)
        self._lit = next((name for name, where in self._venues.items() if where is Where.LIT), "")
        self._dark = tuple(name for name, where in self._venues.items() if where is Where.DARK)
        self._volume_from: int | None = None
        self._last_volume = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"working {self.order.parent_id}")

    @property
    def ended(self) -> bool:
        """Nothing is running: done, failed, or waiting for a person."""
        return self._task is None or self._task.done()

    @property
    def over(self) -> bool:
        return self.ended and self.worked.parent.status is _P.DONE

    @property
    def going_on(self) -> bool:
        """Running, done, or waiting for a person: `done` can be awaited on."""
        stopped = self._task is not None and self._task.cancelled()
        return not stopped and self.children.ledger.failed is None

    async def done(self) -> None:
        """Returns when the parent is done and every child is over.

        Raises NeedsPerson when a venue will not say what became of a child: its lots stay with it, a late answer is
        still recorded, and calling this again asks the venue again. Raises what the store raised when it failed.
        """
        task = self._task
        if task is None or (task.done() and not task.cancelled() and isinstance(task.exception(), NeedsPerson)):
            self.start()
        assert self._task is not None
        await asyncio.shield(self._task)

    async def cancel(self, reason: str) -> None:
        """Cancels children at once, then lets the order end. Harmless when it is ending already."""
        if self.worked.parent.status not in (_P.CANCELLING, _P.DONE):
            self.children.ledger.note(ev.ParentCancelling(self.order.parent_id, reason))
        self.children.urgent.set()
        await self.children.cancel_all()

    def abandon(self) -> None:
        """Stops working without touching the children: somebody else goes on from what is recorded."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stops working and takes the children out, as far as venues answer in time."""
        self.abandon()
        await self.children.cancel_all()
        await self.children.until_over([child.order.child_id for child in self.worked.live])

    # --- the story ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            if self.worked.live:
                await self.children.until_known()
            await self._work()
        except NeedsPerson:
            raise
        except LeaseLost as error:
            self.children.ledger.failed = error  # Another engine owns it now, children and all.
            raise
        except Exception as error:
            # What cannot be recorded must not trade on: nobody would know.
            self.children.ledger.failed = self.children.ledger.failed or error
            await self.children.cancel_all()
            raise

    async def _work(self) -> None:
        while True:
            parent, at = self.worked.parent, self._floor.market_clock.now()
            if self.children.ledger.failed is not None:
                raise self.children.ledger.failed
            if parent.status is _P.DONE:
                return
            if parent.status is _P.CANCELLING or parent.filled >= self.order.quantity:
                return await self._finish(parent.reason)
            if parent.status is _P.PENDING:
                if at < self.order.starts_at:
                    await self._until(self.order.starts_at)
                else:
                    await self.children.ledger.record(ev.ParentStarted(self.order.parent_id))
                continue
            if at >= self._ends:
                return await self._end_of_horizon()
            next_at = self._decision_after(at)
            await self._decide(at, next_at)
            await self._floor.clock.sleep_until(
                self._floor.clock.now() + timedelta(seconds=self._floor.settings.least_pause_s)
            )
            await self._until(next_at)

    async def _until(self, at: datetime) -> None:
        """Until market time `at`, or something urgent. A time that has passed is skipped."""
        await either(self.children.urgent.wait(), self._floor.market_clock.sleep_until(at))
        self.children.urgent.clear()

    def _decision_after(self, at: datetime) -> datetime:
        """Decisions stand on a grid from the start of the order, so that late ones do not shift those after."""
        passed = floor((at - self.order.starts_at).total_seconds() / self._step_s + 1e-6)
        return min(self._ends, self.order.starts_at + timedelta(seconds=(passed + 1) * self._step_s))

    async def _decide(self, at: datetime, next_at: datetime) -> None:
        await self.children.ask_overdue()
        if self.worked.overcommitted:
            await self.children.relieve()
        view = self._view(at)
        if isinstance(view, str):
            return await self._pause(view)
        if self.worked.parent.status is _P.PAUSED:
            self.children.ledger.note(ev.ParentResumed(self.order.parent_id))
        seen = self._observe(view, at, next_at)
        proposals, decision = await self._propose(seen)
        if decision is not None:
            self.children.ledger.note(ev.SliceDecided(self.order.parent_id, decision))
        plan = self._dispose(proposals, seen)
        await self.children.cancel(plan.cancel)
        await self.children.shrink(plan.smaller)
        if plan.short and await self.children.until_calm():
            at = self._floor.market_clock.now()
            if isinstance(view := self._view(at), str) or at >= next_at:
                return
            plan = self._dispose(proposals, self._observe(view, at, next_at))
        await self.children.place(self.children.refusals.welcome(plan.place))

    async def _pause(self, reason: str) -> None:
        if self.worked.parent.status is _P.WORKING:
            self.children.ledger.note(ev.ParentPaused(self.order.parent_id, reason))
        await self.children.cancel_all()

    async def _end_of_horizon(self) -> None:
        """Crosses what is left as far as limit and participation allow; the rest is given back."""
        for _ in range(self._floor.settings.last_rounds):
            with contextlib.suppress(NeedsPerson):  # Raised again at the finish; the other lots go on.
                await self.children.pull()
            at = self._floor.market_clock.now()
            view = self._view(at)
            if self.children.ledger.stopping or isinstance(view, str) or not self.worked.free:
                break
            if self.worked.parent.status is _P.PAUSED:
                self.children.ledger.note(ev.ParentResumed(self.order.parent_id))
            seen = self._observe(view, at, at + timedelta(seconds=self._step_s))
            cross = Proposal(self._lit, seen.remaining, None, TimeInForce.IOC)
            before = self.worked.parent.filled
            sent = await self.children.place(self._dispose([cross], seen).place)
            await self.children.until_over(sent)
            if self.worked.parent.filled == before:
                break
        await self._finish("horizon over")

    async def _finish(self, reason: str) -> None:
        await self.children.pull()
        if self.worked.parent.filled >= self.order.quantity and not self.worked.excess:
            reason = "filled"
        elif self.worked.parent.status is _P.CANCELLING:
            reason = self.worked.parent.reason
        await self.children.ledger.record(ev.ParentDone(self.order.parent_id, reason))
        self._floor.policies[self.order.schedule].policy.forget(self.order.parent_id)

    # --- seeing ------------------------------------------------------------------------------------------------

    def _view(self, at: datetime) -> MarketView | str:
        """The market, or why it is not fit to trade in."""
        try:
            view = self._floor.market.view(self.order.symbol)
        except NotFound:
            return "no market data"
        self._count(view)
        if view.halted:
            return "halted"
        if view.bid is None or view.ask is None:
            return "no two-sided market"
        if view.bid > view.ask:
            return "crossed market"
        if (at - view.source_at).total_seconds() > self._floor.settings.stale_after_market_s:
            return "stale market data"
        return view

    def _count(self, view: MarketView) -> None:
        """Keeps the market's volume since the order began.

        What it was before a restart is not recorded: our fills so far are taken to have used up the participation
        they were allowed, so that the cap holds whatever it was.
        """
        if self._volume_from is None:
            lit = self.worked.parent.filled - sum(self.children.ledger.dark_filled.values())
            self._volume_from = view.volume - ceil(lit / self.order.max_participation)
        elif view.volume < self._last_volume:  # The feed began counting anew.
            self._volume_from -= self._last_volume - view.volume
        self._last_volume = view.volume

    def _observe(self, view: MarketView, at: datetime, next_at: datetime) -> Observation:
        return observe(
            self.worked,
            view,
            self._floor.instruments[self.order.symbol],
            at,
            decision_s=(next_at - at).total_seconds(),
            market_volume=Quantity(max(NO_LOTS, view.volume - (self._volume_from or 0))),
            dark_filled=self.children.ledger.dark_filled,
            sent_at=self.children.sent_at,
            lit_venue=self._lit,
            dark_venues=self._dark,
            curve=self._floor.curve,
        )

    async def _propose(self, seen: Observation) -> Slice:
        asked = self._floor.policies[self.order.schedule]
        try:
            return await asked.propose(seen)
        except Exception as error:
            name = asked.policy.name
            log.error("policy failed", policy=name, parent_id=self.order.parent_id, error=repr(error))
            (instead,) = self._floor.fallback.propose([seen])
            why = f"{type(error).__name__}: left to {self._floor.fallback.name}"
            return Slice(instead.proposals, SliceDecision(name, "", seen.digest, (), why))

    def _dispose(self, proposals: Sequence[Proposal], seen: Observation) -> Disposal:
        instrument = self._floor.instruments[self.order.symbol]
        return dispose(proposals, self.worked, seen, instrument, self._venues, self._floor.settings)

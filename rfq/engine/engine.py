"""The engine: accepts RFQs and commands, hears dealers, and keeps one story running for each RFQ it owns."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Literal

import structlog

from rfq.domain import events as ev
from rfq.domain.award import Award
from rfq.domain.block import Block
from rfq.domain.errors import (
    LeaseLost,
    NoNewRisk,
    NotFound,
    SottoError,
    StoreUnavailable,
    StreamConflict,
    WrongState,
)
from rfq.domain.limits import DeskLimits
from rfq.domain.quote import LiftStatus
from rfq.domain.rfq import Rfq, RfqTerms
from rfq.domain.values import ChildId, DeskId, LiftId, Price, Quantity, RfqId
from rfq.engine import commands
from rfq.engine.accept import Accepting, arrival_of, instrument_of
from rfq.engine.choose import residual_curve, score_panel
from rfq.engine.confirm import ask_status
from rfq.engine.controls import Controls
from rfq.engine.hear import fill_id_of, take_lift_answer
from rfq.engine.listening import Listening
from rfq.engine.mark_outs import MarkOuts
from rfq.engine.news import News
from rfq.engine.parts import Parts
from rfq.engine.plan import PlanAnswer
from rfq.engine.recover import recover
from rfq.engine.source_block import source_block
from rfq.engine.sourcing import Sourcing, log
from rfq.ports import Idempotency, LiftAnswered, Trade


class Engine:
    """One engine in one process. Several on one database never own the same RFQ: the store's leases see to it."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.controls = Controls(parts.controls, parts.clock, parts.market_clock)
        self.mark_outs = MarkOuts(parts.store, parts.market, parts.clock, parts.market_clock)
        self.listening = Listening(self._soon, self._dispute)
        self._started, self._stored = False, True
        self._live: dict[RfqId, Sourcing] = {}
        self._stuck: dict[RfqId, str] = {}
        """RFQs that this engine does not touch until a person has settled them, and why."""
        self._beginning: set[RfqId] = set()
        """Being recorded, and about to be live."""
        self._just_over: set[RfqId] = set()
        """Over, and known to the store as such, since the last look for what nobody owns."""
        self._accepting = Accepting(parts, self.controls, self.mark_outs, self._live, self._received)
        self._cancels: dict[RfqId, str] = {}
        """Who has asked to cancel what; kept until it is over, should the store fail before it is recorded."""
        self._news = News()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life ---

    async def start(self) -> None:
        """Loads what people decreed, hears dealers, takes up every unfinished RFQ, and keeps doing so."""
        await self.controls.load()
        self.parts.gateway.attach(self.listening)
        await self.mark_outs.restore()  # Before any story goes on, and asks or trades anew.
        await self._take_over()
        self._soon(self.mark_outs.run())
        self._soon(self._keep())
        self._started = True

    async def stop(self) -> None:
        """Stops the stories, takes working orders out of the venues, records what came of that, gives up the leases.

        In this order: an RFQ is not given up while an order of ours may still fill. The next start goes on from here.
        """
        self._started = False
        live = tuple(self._live.values())
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.parts.router.close()
        for s in live:
            with contextlib.suppress(SottoError):
                await s.journal.flush()
                await self.parts.store.release(s.journal.lease)

    @property
    def open(self) -> int:
        """RFQs that this engine is working."""
        return len(self._live)

    @property
    def ready(self) -> bool:
        """Whether RFQs can be taken: started, not stopping, and the store answered when it was last asked."""
        return self._started and self._stored

    async def _keep(self) -> None:
        """Renews what is ours and takes up what nobody owns any more."""
        while True:
            clock = self.parts.clock
            await clock.sleep_until(clock.now() + timedelta(seconds=self.parts.settings.takeover_s))
            try:
                await self.parts.store.renew()
                await self._heed()
                await self._take_over()
                self._stored = True
            except SottoError as error:
                self._stored = False
                log.warning("keeping leases failed", error=str(error))
            except Exception:
                log.exception("keeping leases failed")  # Whatever it was: without this loop every lease lapses.

    async def _heed(self) -> None:
        """What people decreed at another service on this database holds here too."""
        before = self.killed
        await self.controls.load()
        if self.killed is not None and before is None:
            self._cancel_all(self.killed)

    async def _take_over(self) -> None:
        taken: set[RfqId] = set()
        self._just_over.clear()
        for rfq_id in await self.parts.store.unfinished():
            # What the store says is some moments old: our own may have begun or ended since.
            if rfq_id in self._live or rfq_id in self._stuck or rfq_id in self._beginning or rfq_id in self._just_over:
                continue
            try:
                s = await recover(self.parts, rfq_id, self._changed, self.listening.note)
            except (LeaseLost, StoreUnavailable, StreamConflict):
                continue
            except Exception as error:  # One record that cannot be read must not keep the others from being taken up.
                self._stuck[rfq_id] = f"cannot be taken up: {error}"
                log.exception("cannot recover", rfq_id=rfq_id)
                continue
            taken.add(rfq_id)
            self._resume(s)
        if taken and self._started:
            await self.mark_outs.restore(taken)

    def _resume(self, s: Sourcing) -> None:
        """Goes on with a recovered RFQ, and says again what may not have been heard: all of it is harmless twice."""
        self._begin(s)
        self._soon(ask_status(s, s.block.lifts_in(LiftStatus.UNKNOWN)))
        for fill in s.block.fills.values():
            lift = s.block.lifts.get(fill.lift_id) if fill.lift_id else None
            if lift is not None and fill.fill_id == fill_id_of(lift):
                self._soon(self._book(s, Trade(lift, fill)))

    async def _received(self, rfq_id: RfqId, event: ev.RfqReceived, created_by: Idempotency) -> None:
        """Records a new RFQ and begins its story."""
        s = Sourcing(self.parts, Block(), self.parts.store.first_lease(rfq_id), self._changed)
        self._beginning.add(rfq_id)
        try:
            await s.journal.write(event, created_by=created_by)
            self.mark_outs.begin(rfq_id)
            self._begin(s)
        finally:
            self._beginning.discard(rfq_id)

    def _begin(self, s: Sourcing) -> None:
        rfq_id = s.rfq.rfq_id
        self._live[rfq_id] = s
        by = f"kill switch: {self.killed}" if self.killed else self._cancels.get(rfq_id)
        if by and not s.rfq.cancelling and not s.rfq.is_over:
            with contextlib.suppress(SottoError):  # A broken journal stops the story, which is then taken up again.
                s.journal.note(ev.CancelRequested(by))
        self._soon(self._tell(s))

    async def _tell(self, s: Sourcing) -> None:
        rfq_id = s.rfq.rfq_id
        with structlog.contextvars.bound_contextvars(rfq_id=rfq_id):
            try:
                await source_block(s)
            except (StoreUnavailable, StreamConflict, LeaseLost) as error:
                log.warning("story interrupted", error=str(error))  # Taken up again from the record.
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.exception("story failed")
                self._stuck[rfq_id] = f"internal error: {error}"
                for working in s.working:
                    await working.cancel("internal error")  # Nobody watches over it any more.
                with contextlib.suppress(SottoError):
                    await self._set_aside(s, f"internal error: {error}")
            finally:
                self._forget(s)

    async def _dispute(self, rfq_id: RfqId, said: LiftAnswered) -> None:
        """After the end: a dealer holds to have traded what was resolved as refused. Recorded, for a person."""
        async with self._reopened(rfq_id) as s:
            with contextlib.suppress(WrongState):  # The dealer was answered when it said so.
                take_lift_answer(s, s.block.lifts[said.lift_id], said)

    @contextlib.asynccontextmanager
    async def _reopened(self, rfq_id: RfqId) -> AsyncIterator[Sourcing]:
        """An RFQ that is over, to add a fact to its record; nothing of it is begun again."""
        s = await recover(self.parts, rfq_id, lambda *_: None, lambda *_: None)
        try:
            yield s
            await s.journal.flush()
        finally:
            await self.parts.store.release(s.journal.lease)

    async def _set_aside(self, s: Sourcing, reason: str) -> None:
        """Records that a person is needed; on the record loaded anew if what is in memory cannot be written."""
        if s.journal.broken is not None:
            s = await recover(self.parts, s.rfq.rfq_id, lambda *_: None, lambda *_: None)
        await s.journal.write(ev.PersonNeeded(reason))

    def _forget(self, s: Sourcing) -> None:
        self._live.pop(s.rfq.rfq_id, None)
        if s.rfq.is_over and s.journal.broken is None:
            self._just_over.add(s.rfq.rfq_id)
        if s.rfq.is_over:
            self._cancels.pop(s.rfq.rfq_id, None)
        self.listening.forget(s)
        self._news.wake(s.rfq.rfq_id)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", error=repr(error))

    # --- what desks ask ---

    async def submit(
        self, desk_id: DeskId, terms: RfqTerms, *, idempotency_key: str, body_digest: str
    ) -> tuple[Rfq, bool]:
        """Accepts an RFQ; durable on return. The second value is False when the key had created it before.

        Raises BadInput, KeyReused, LimitBreached, MarketUnfit, NoNewRisk, StoreUnavailable.
        """
        if not self._started:
            raise NoNewRisk("the engine is not taking new RFQs")
        rfq_id, created = await self._accepting.submit(desk_id, terms, idempotency_key, body_digest)
        return await self.rfq(rfq_id), created

    async def plan(self, terms: RfqTerms) -> PlanAnswer:
        """Whom Sotto would ask, in what order, at what expected cost. Asks nobody, records nothing."""
        instrument = instrument_of(self.parts, terms)
        view = self.parts.market.view(instrument.symbol)
        arrival_of(self.parts, view)
        selection = await score_panel(self.parts, terms, instrument, view, self.parts.seed)
        curve = residual_curve(self.parts, terms, instrument, view, selection)
        return PlanAnswer(selection, view, curve, selection.expected_cost_bps)

    async def rfq(self, rfq_id: RfqId) -> Rfq:
        """The RFQ as it stands: live if it is ours, else as recorded. Raises NotFound."""
        live = self._live.get(rfq_id)
        found = live.rfq if live else await self.parts.reader.rfq(rfq_id)
        if found is None:
            raise NotFound("RFQ", rfq_id)
        if rfq_id in self._stuck and not found.needs_person:
            return found.but(needs_person=self._stuck[rfq_id])
        return found

    async def _alive(self, rfq_id: RfqId, wanted: str) -> Sourcing:
        live = self._live.get(rfq_id)
        if live is not None:
            return live
        rfq = await self.rfq(rfq_id)
        if rfq.is_over or rfq_id in self._stuck:
            raise WrongState("RFQ", rfq_id, rfq.needs_person or rfq.status.value, wanted)
        raise LeaseLost(f"RFQ {rfq_id} is in the hands of another engine: ask again")

    async def cancel(self, rfq_id: RfqId, by: str) -> commands.CancelAnswer:
        """See commands.cancel. Raises NotFound, and WrongState when it is over."""
        s = await self._alive(rfq_id, "be cancelled")
        self._cancels[rfq_id] = by
        return await commands.cancel(s, by)

    async def award(self, rfq_id: RfqId, picks: Sequence[commands.Pick], by: str) -> Award:
        """See commands.pick. Raises NotFound, WrongState, BadInput, NoNewRisk."""
        self.controls.refuse_if_killed()
        return await commands.pick(await self._alive(rfq_id, "be awarded"), picks, by)

    async def settle(
        self,
        rfq_id: RfqId,
        lift_id: LiftId | None,
        answer: Literal["confirmed", "refused"] | None,
        evidence: str,
        by: str,
        quantity: Quantity | None = None,
    ) -> Rfq:
        """See commands.settle. An RFQ set aside after an internal error is taken up again."""
        if rfq_id in self._stuck and rfq_id not in self._live:
            s = await recover(self.parts, rfq_id, self._changed, self.listening.note)
            settled = await commands.settle(s, lift_id, answer, evidence, by, quantity)
            self._stuck.pop(rfq_id, None)
            self._resume(s)
            return settled
        rfq = await self.rfq(rfq_id)
        if rfq.is_over and rfq.needs_person and rfq_id not in self._live:
            async with self._reopened(rfq_id) as s:
                return await commands.settle(s, lift_id, answer, evidence, by, quantity)
        s = await self._alive(rfq_id, "be settled")
        return await commands.settle(s, lift_id, answer, evidence, by, quantity)

    async def settle_order(
        self, rfq_id: RfqId, child_id: ChildId, filled: Quantity, price: Price | None, evidence: str, by: str
    ) -> Rfq:
        """See commands.settle_order."""
        s = await self._alive(rfq_id, "be settled")
        return await commands.settle_order(s, child_id, filled, price, evidence, by)

    # --- what people hold over it ---

    @property
    def killed(self) -> str | None:
        return self.controls.killed

    async def kill(self, by: str, reason: str) -> None:
        """Stops all that adds risk, at once: live RFQs are cancelled, nothing new begins. Then it is recorded."""
        self.controls.killed = f"{reason} ({by})"
        self._cancel_all(by)
        await self.controls.kill(by, reason)

    def _cancel_all(self, by: str) -> None:
        for s in tuple(self._live.values()):
            if not s.rfq.cancelling and not s.rfq.is_over and s.journal.broken is None:
                s.journal.note(ev.CancelRequested(f"kill switch: {by}"))
        log.warning("kill switch thrown", by=by, rfqs=len(self._live))

    async def release(self, by: str) -> None:
        """Lets new RFQs in again. What was cancelled stays cancelled."""
        await self.controls.release(by)

    async def limits(self, desk_id: DeskId) -> DeskLimits:
        return await self.controls.limits(desk_id)

    async def set_limits(self, desk_id: DeskId, limits: DeskLimits, by: str) -> None:
        await self.controls.set_limits(desk_id, limits, by)

    # --- news ---

    def changes(self, rfq_id: RfqId) -> AbstractContextManager[asyncio.Event]:
        """An event set whenever more of this RFQ became durable. Clear it, read, then wait for it again."""
        return self._news.of(rfq_id)

    def _changed(self, s: Sourcing, events: Sequence[ev.Stamped]) -> None:
        """Called when events were folded, and with none when earlier ones became durable."""
        if not events:
            self._news.wake(s.rfq.rfq_id)
            return
        symbol, rfq_id = s.rfq.terms.leg.symbol, s.rfq.rfq_id
        for stamped in events:
            self.listening.note(s, stamped.event)
            if self.parts.observe is not None:
                self.parts.observe(rfq_id, stamped)
            match stamped.event:
                case ev.DealersAsked(requests=requests):
                    subjects = [(r.request_id, r.mid_at_ask) for r in requests]
                    self.mark_outs.add(rfq_id, symbol, requests[0].market_asked_at, subjects)
                case ev.LiftConfirmed(lift_id=lift_id, fill=fill):
                    reference = fill.mid_at_fill or fill.price
                    self.mark_outs.add(rfq_id, symbol, fill.market_filled_at, [(fill.fill_id, reference)])
                    self._soon(self._book(s, Trade(s.block.lifts[lift_id], fill)))
                case ev.ChildFilled(fill=fill):
                    reference = fill.mid_at_fill or fill.price
                    self.mark_outs.add(rfq_id, symbol, fill.market_filled_at, [(fill.fill_id, reference)])
                case _:
                    pass

    async def _book(self, s: Sourcing, trade: Trade) -> None:
        """Tells the dealer of its trade, once it is durable. Until acknowledged, the ledger sends it again."""
        try:
            await s.journal.flush()
            await self.parts.gateway.book(trade)
        except SottoError as error:
            log.warning("trade not booked yet", rfq_id=trade.fill.rfq_id, error=str(error))

"""The stories of one engine: begun, taken up, interrupted, set aside; and what every event of theirs sets off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import structlog

from rfq.domain import events as ev
from rfq.domain.block import Block
from rfq.domain.errors import LeaseLost, SottoError, StoreUnavailable, StreamConflict, WrongState
from rfq.domain.quote import LiftStatus
from rfq.domain.values import RfqId
from rfq.engine.confirm import ask_status
from rfq.engine.controls import Controls
from rfq.engine.hear import fill_id_of, take_lift_answer
from rfq.engine.listening import Listening
from rfq.engine.mark_outs import MarkOuts
from rfq.engine.news import News
from rfq.engine.parts import Parts
from rfq.engine.recover import recover
from rfq.engine.source_block import source_block
from rfq.engine.sourcing import Sourcing, log
from rfq.ports import Idempotency, LiftAnswered, Trade


class Stories:
    """One task for each RFQ that this engine owns, and what must hold while it runs and when it stops."""

    def __init__(self, parts: Parts, controls: Controls, mark_outs: MarkOuts) -> None:
        self._parts, self._controls, self._mark_outs = parts, controls, mark_outs
        self.listening = Listening(self.soon, self._dispute)
        self.news = News()
        self.started = False
        self.live: dict[RfqId, Sourcing] = {}
        self.stuck: dict[RfqId, str] = {}
        """RFQs that this engine does not touch until a person has settled them, and why."""
        self.cancels: dict[RfqId, str] = {}
        """Who has asked to cancel what; kept until it is over, should the store fail before it is recorded."""
        self._beginning: set[RfqId] = set()
        """Being recorded, and about to be live."""
        self._just_over: set[RfqId] = set()
        """Over, and known to the store as such, since the last look for what nobody owns."""
        self.tasks: set[asyncio.Task[None]] = set()

    # --- owning ---

    async def again(self, rfq_id: RfqId) -> Sourcing:
        """Claims an RFQ and loads it as it is recorded; its story goes on with `resume`. Raises as `recover` does."""
        return await recover(self._parts, rfq_id, self._changed, self.listening.note)

    async def take_over(self) -> None:
        """Takes up every unfinished RFQ that nobody owns. Raises StoreUnavailable."""
        taken: set[RfqId] = set()
        self._just_over.clear()
        for rfq_id in await self._parts.store.unfinished():
            # What the store says is some moments old: our own may have begun or ended since.
            if rfq_id in self.live or rfq_id in self.stuck or rfq_id in self._beginning or rfq_id in self._just_over:
                continue
            try:
                s = await self.again(rfq_id)
            except (LeaseLost, StoreUnavailable, StreamConflict):
                continue
            except Exception as error:  # One record that cannot be read must not keep the others from being taken up.
                self.stuck[rfq_id] = f"cannot be taken up: {error}"
                log.exception("cannot recover", rfq_id=rfq_id)
                continue
            taken.add(rfq_id)
            self.resume(s)
        if taken and self.started:
            await self._mark_outs.restore(taken)

    def resume(self, s: Sourcing) -> None:
        """Goes on with a recovered RFQ, and says again what may not have been heard: all of it is harmless twice."""
        self._begin(s)
        self.soon(ask_status(s, s.block.lifts_in(LiftStatus.UNKNOWN)))
        for fill in s.block.fills.values():
            lift = s.block.lifts.get(fill.lift_id) if fill.lift_id else None
            if lift is not None and fill.fill_id == fill_id_of(lift):
                self.soon(self._book(s, Trade(lift, fill)))

    async def receive(self, rfq_id: RfqId, event: ev.RfqReceived, created_by: Idempotency) -> None:
        """Records a new RFQ and begins its story."""
        s = Sourcing(self._parts, Block(), self._parts.store.first_lease(rfq_id), self._changed)
        self._beginning.add(rfq_id)
        try:
            await s.journal.write(event, created_by=created_by)
            self._mark_outs.begin(rfq_id)
            self._begin(s)
        finally:
            self._beginning.discard(rfq_id)

    def _begin(self, s: Sourcing) -> None:
        rfq_id = s.rfq.rfq_id
        self.live[rfq_id] = s
        by = f"kill switch: {self._controls.killed}" if self._controls.killed else self.cancels.get(rfq_id)
        if by and not s.rfq.cancelling and not s.rfq.is_over:
            with contextlib.suppress(SottoError):  # A broken journal stops the story, which is then taken up again.
                s.journal.note(ev.CancelRequested(by))
        self.soon(self._tell(s))

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
                self.stuck[rfq_id] = f"internal error: {error}"
                for working in s.working:
                    await working.cancel("internal error")  # Nobody watches over it any more.
                with contextlib.suppress(SottoError):
                    await self._set_aside(s, f"internal error: {error}")
            finally:
                self._forget(s)

    # --- after the end, and when a story fails ---

    async def _dispute(self, rfq_id: RfqId, said: LiftAnswered) -> None:
        """After the end: a dealer holds to have traded what was resolved as refused. Recorded, for a person."""
        async with self.reopened(rfq_id) as s:
            with contextlib.suppress(WrongState):  # The dealer was answered when it said so.
                take_lift_answer(s, s.block.lifts[said.lift_id], said)

    @contextlib.asynccontextmanager
    async def reopened(self, rfq_id: RfqId) -> AsyncIterator[Sourcing]:
        """An RFQ that is over, to add a fact to its record; nothing of it is begun again."""
        s = await recover(self._parts, rfq_id, lambda *_: None, lambda *_: None)
        try:
            yield s
            await s.journal.flush()
        finally:
            await self._parts.store.release(s.journal.lease)

    async def _set_aside(self, s: Sourcing, reason: str) -> None:
        """Records that a person is needed; on the record loaded anew if what is in memory cannot be written."""
        if s.journal.broken is not None:
            s = await recover(self._parts, s.rfq.rfq_id, lambda *_: None, lambda *_: None)
        await s.journal.write(ev.PersonNeeded(reason))

    def _forget(self, s: Sourcing) -> None:
        self.live.pop(s.rfq.rfq_id, None)
        if s.rfq.is_over and s.journal.broken is None:
            self._just_over.add(s.rfq.rfq_id)
        if s.rfq.is_over:
            self.cancels.pop(s.rfq.rfq_id, None)
        self.listening.forget(s)
        self.news.wake(s.rfq.rfq_id)

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Work beside the stories; it ends with them."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", error=repr(error))

    def cancel_all(self, by: str) -> None:
        """The kill switch: everything live is cancelled, recorded or not."""
        for s in tuple(self.live.values()):
            if not s.rfq.cancelling and not s.rfq.is_over and s.journal.broken is None:
                s.journal.note(ev.CancelRequested(f"kill switch: {by}"))
        log.warning("kill switch thrown", by=by, rfqs=len(self.live))

    # --- what an event sets off ---

    def _changed(self, s: Sourcing, events: Sequence[ev.Stamped]) -> None:
        """Called when events were folded, and with none when earlier ones became durable."""
        if not events:
            self.news.wake(s.rfq.rfq_id)
            return
        symbol, rfq_id = s.rfq.terms.leg.symbol, s.rfq.rfq_id
        for stamped in events:
            self.listening.note(s, stamped.event)
            if self._parts.observe is not None:
                self._parts.observe(rfq_id, stamped)
            match stamped.event:
                case ev.DealersAsked(requests=requests):
                    subjects = [(r.request_id, r.mid_at_ask) for r in requests]
                    self._mark_outs.add(rfq_id, symbol, requests[0].market_asked_at, subjects)
                case ev.LiftConfirmed(lift_id=lift_id, fill=fill):
                    reference = fill.mid_at_fill or fill.price
                    self._mark_outs.add(rfq_id, symbol, fill.market_filled_at, [(fill.fill_id, reference)])
                    self.soon(self._book(s, Trade(s.block.lifts[lift_id], fill)))
                case ev.ChildFilled(fill=fill):
                    reference = fill.mid_at_fill or fill.price
                    self._mark_outs.add(rfq_id, symbol, fill.market_filled_at, [(fill.fill_id, reference)])
                case _:
                    pass

    async def _book(self, s: Sourcing, trade: Trade) -> None:
        """Tells the dealer of its trade, once it is durable. Until acknowledged, the ledger sends it again."""
        try:
            await s.journal.flush()
            await self._parts.gateway.book(trade)
        except SottoError as error:
            log.warning("trade not booked yet", rfq_id=trade.fill.rfq_id, error=str(error))

"""The engine: accepts RFQs and commands, hears dealers, and keeps one story running for each RFQ it owns."""

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Literal

from rfq.domain.award import Award
from rfq.domain.errors import LeaseLost, NoNewRisk, NotFound, SottoError, WrongState
from rfq.domain.limits import DeskLimits
from rfq.domain.rfq import Rfq, RfqTerms
from rfq.domain.values import ChildId, DeskId, LiftId, Price, Quantity, RfqId
from rfq.engine import commands
from rfq.engine.accept import Accepting, arrival_of, instrument_of
from rfq.engine.choose import residual_curve, score_panel
from rfq.engine.controls import Controls
from rfq.engine.mark_outs import MarkOuts
from rfq.engine.parts import Parts
from rfq.engine.plan import PlanAnswer
from rfq.engine.sourcing import Sourcing, log
from rfq.engine.stories import Stories


class Engine:
    """One engine in one process. Several on one database never own the same RFQ: the store's leases see to it."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.controls = Controls(parts.controls, parts.clock, parts.market_clock)
        self.mark_outs = MarkOuts(parts.store, parts.market, parts.clock, parts.market_clock)
        self.stories = Stories(parts, self.controls, self.mark_outs)
        self._accepting = Accepting(parts, self.controls, self.mark_outs, self.stories.live, self.stories.receive)
        self._stored = True

    # --- life ---

    async def start(self) -> None:
        """Loads what people decreed, hears dealers, takes up every unfinished RFQ, and keeps doing so."""
        await self.controls.load()
        self.parts.gateway.attach(self.stories.listening)
        await self.mark_outs.restore()  # Before any story goes on, and asks or trades anew.
        await self.stories.take_over()
        self.stories.soon(self.mark_outs.run())
        self.stories.soon(self._keep())
        self.stories.started = True

    async def stop(self) -> None:
        """Stops the stories, takes working orders out of the venues, records what came of that, gives up the leases.

        In this order: an RFQ is not given up while an order of ours may still fill. The next start goes on from here.
        """
        self.stories.started = False
        live = tuple(self.stories.live.values())
        tasks = tuple(self.stories.tasks)
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
        return len(self.stories.live)

    @property
    def ready(self) -> bool:
        """Whether RFQs can be taken: started, not stopping, and the store answered when it was last asked."""
        return self.stories.started and self._stored

    async def _keep(self) -> None:
        """Renews what is ours and takes up what nobody owns any more."""
        while True:
            clock = self.parts.clock
            await clock.sleep_until(clock.now() + timedelta(seconds=self.parts.settings.takeover_s))
            try:
                await self.parts.store.renew()
                await self._heed()
                await self.stories.take_over()
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
            self.stories.cancel_all(self.killed)

    # --- what desks ask ---

    async def submit(
        self, desk_id: DeskId, terms: RfqTerms, *, idempotency_key: str, body_digest: str
    ) -> tuple[Rfq, bool]:
        """Accepts an RFQ; durable on return. The second value is False when the key had created it before.

        Raises BadInput, KeyReused, LimitBreached, MarketUnfit, NoNewRisk, StoreUnavailable.
        """
        if not self.stories.started:
            raise NoNewRisk("the engine is not taking new RFQs")
        rfq_id, created = await self._accepting.submit(desk_id, terms, idempotency_key, body_digest)
        return await self.rfq(rfq_id), created

    async def plan(self, terms: RfqTerms) -> PlanAnswer:
        """Whom Sotto would ask, in what order, at what expected cost. Asks nobody, records nothing."""
        instrument = instrument_of(self.parts, terms)
        view = self.parts.market.view(instrument.symbol)
        arrival_of(self.parts, view)
        selection = await score_panel(self.parts, terms, instrument, view, self.parts.seed, intervals=True)
        curve = residual_curve(self.parts, terms, instrument, view, selection)
        return PlanAnswer(selection, view, curve, selection.expected_cost_bps)

    async def rfq(self, rfq_id: RfqId) -> Rfq:
        """The RFQ as it stands: live if it is ours, else as recorded. Raises NotFound."""
        live = self.stories.live.get(rfq_id)
        found = live.rfq if live else await self.parts.reader.rfq(rfq_id)
        if found is None:
            raise NotFound("RFQ", rfq_id)
        if rfq_id in self.stories.stuck and not found.needs_person:
            return found.but(needs_person=self.stories.stuck[rfq_id])
        return found

    async def _alive(self, rfq_id: RfqId, wanted: str) -> Sourcing:
        live = self.stories.live.get(rfq_id)
        if live is not None:
            return live
        rfq = await self.rfq(rfq_id)
        if rfq.is_over or rfq_id in self.stories.stuck:
            raise WrongState("RFQ", rfq_id, rfq.needs_person or rfq.status.value, wanted)
        raise LeaseLost(f"RFQ {rfq_id} is in the hands of another engine: ask again")

    async def cancel(self, rfq_id: RfqId, by: str) -> commands.CancelAnswer:
        """See commands.cancel. Raises NotFound, and WrongState when it is over."""
        s = await self._alive(rfq_id, "be cancelled")
        self.stories.cancels[rfq_id] = by
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
        if rfq_id in self.stories.stuck and rfq_id not in self.stories.live:
            s = await self.stories.again(rfq_id)
            settled = await commands.settle(s, lift_id, answer, evidence, by, quantity)
            self.stories.stuck.pop(rfq_id, None)
            self.stories.resume(s)
            return settled
        rfq = await self.rfq(rfq_id)
        if rfq.is_over and rfq.needs_person and rfq_id not in self.stories.live:
            async with self.stories.reopened(rfq_id) as s:
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
        self.stories.cancel_all(by)
        await self.controls.kill(by, reason)

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
        return self.stories.news.of(rfq_id)

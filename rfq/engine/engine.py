"""The engine: accepts RFQs and commands, hears dealers, and keeps one story running for each RFQ it owns."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from datetime import timedelta
from typing import Any, Literal

import structlog

from rfq.domain import events as ev
from rfq.domain.award import Award
from rfq.domain.block import Block
from rfq.domain.errors import (
    BadInput,
    KeyReused,
    LeaseLost,
    LimitBreached,
    MarketUnfit,
    NoNewRisk,
    NotFound,
    SottoError,
    StoreUnavailable,
    StreamConflict,
    WrongState,
)
from rfq.domain.limits import DeskLimits, check
from rfq.domain.rfq import Arrival, Rfq, RfqTerms
from rfq.domain.values import DeskId, Instrument, LiftId, Quantity, RfqId
from rfq.engine import commands
from rfq.engine.choose import residual_curve, score_panel
from rfq.engine.controls import Controls
from rfq.engine.listening import Listening
from rfq.engine.mark_outs import MarkOuts
from rfq.engine.parts import Parts
from rfq.engine.plan import PlanAnswer
from rfq.engine.recover import recover
from rfq.engine.source_block import source_block
from rfq.engine.sourcing import Sourcing, log
from rfq.ports import Idempotency, MarketView, Trade


class Engine:
    """One engine in one process. Several on one database never own the same RFQ: the store's leases see to it."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.controls = Controls(parts.controls, parts.clock, parts.market_clock)
        self.mark_outs = MarkOuts(parts.store, parts.market, parts.clock, parts.market_clock)
        self.listening = Listening(self._soon)
        self.ready = False
        self._live: dict[RfqId, Sourcing] = {}
        self._open_of: Counter[DeskId] = Counter()
        self._stuck: set[RfqId] = set()
        self._creating: dict[tuple[DeskId, str], asyncio.Future[None]] = {}
        self._listeners: dict[RfqId, set[asyncio.Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life ---

    async def start(self) -> None:
        """Loads what people decreed, hears dealers, takes up every unfinished RFQ, and keeps doing so."""
        await self.controls.load()
        self.parts.gateway.attach(self.listening)
        await self._take_over()
        await self.mark_outs.restore()
        self._soon(self.mark_outs.run())
        self._soon(self._keep())
        self.ready = True

    async def stop(self) -> None:
        """Stops where it stands. Everything is recorded, so the next start goes on from here."""
        self.ready = False
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for s in tuple(self._live.values()):
            with contextlib.suppress(SottoError):
                await self.parts.store.release(s.journal.lease)

    async def _keep(self) -> None:
        """Renews what is ours and takes up what nobody owns any more."""
        while True:
            clock = self.parts.clock
            await clock.sleep_until(clock.now() + timedelta(seconds=self.parts.settings.takeover_s))
            try:
                await self.parts.store.renew()
                await self._take_over()
            except SottoError as error:
                log.warning("keeping leases failed", error=str(error))

    async def _take_over(self) -> None:
        for rfq_id in await self.parts.store.unfinished():
            if rfq_id in self._live or rfq_id in self._stuck:
                continue
            try:
                s = await recover(self.parts, rfq_id, self._changed, self.listening.note)
            except (LeaseLost, StoreUnavailable):
                continue
            except SottoError as error:
                self._stuck.add(rfq_id)
                log.error("cannot recover", rfq_id=rfq_id, error=str(error))
                continue
            self._begin(s)

    def _begin(self, s: Sourcing) -> None:
        self._live[s.rfq.rfq_id] = s
        self._open_of[s.rfq.desk_id] += 1
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
                self._stuck.add(rfq_id)
                with contextlib.suppress(SottoError):
                    await s.journal.write(ev.PersonNeeded(f"internal error: {error}"))
            finally:
                self._forget(s)

    def _forget(self, s: Sourcing) -> None:
        self._live.pop(s.rfq.rfq_id, None)
        self._open_of[s.rfq.desk_id] -= 1
        self.listening.forget(s)
        self._wake(s.rfq.rfq_id)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what desks ask ---

    async def submit(
        self, desk_id: DeskId, terms: RfqTerms, *, idempotency_key: str, body_digest: str
    ) -> tuple[Rfq, bool]:
        """Accepts an RFQ; durable on return. The second value is False when the key had created it before.

        Raises BadInput, KeyReused, LimitBreached, MarketUnfit, NoNewRisk, StoreUnavailable.
        """
        place = (desk_id, idempotency_key)
        while (other := self._creating.get(place)) is not None:
            await asyncio.wait([other])
        self._creating[place] = asyncio.get_running_loop().create_future()
        try:
            before = await self.parts.reader.idempotent(desk_id, idempotency_key)
            if before is not None:
                if before.body_digest != body_digest:
                    raise KeyReused(idempotency_key)
                return await self.rfq(before.rfq_id), False
            return await self._receive(desk_id, terms, idempotency_key, body_digest), True
        finally:
            self._creating.pop(place).set_result(None)

    async def _receive(self, desk_id: DeskId, terms: RfqTerms, key: str, digest: str) -> Rfq:
        self.controls.refuse_if_killed()
        if not self.ready or self.mark_outs.full:
            raise NoNewRisk("the engine is not taking new RFQs")
        if len(self._live) >= self.parts.settings.open_rfqs:
            raise LimitBreached("open RFQs of this engine", self.parts.settings.open_rfqs, len(self._live) + 1)
        instrument = self._instrument(terms)
        arrival = self._arrival(self.parts.market.view(instrument.symbol))
        check(await self.controls.limits(desk_id), terms, instrument, arrival.mid, self._open_of[desk_id])
        rfq_id = RfqId(self.parts.ids.new("rfq"))
        s = Sourcing(self.parts, Block(), self.parts.store.first_lease(rfq_id), self._changed)
        created_by = Idempotency(desk_id, key, digest, rfq_id)
        await s.journal.write(ev.RfqReceived(rfq_id, desk_id, terms, arrival), created_by=created_by)
        received = s.rfq
        self.mark_outs.begin(rfq_id)
        self._begin(s)
        return received

    def _instrument(self, terms: RfqTerms) -> Instrument:
        instrument = self.parts.instruments.get(terms.leg.symbol)
        if instrument is None:
            raise BadInput("legs[0].symbol", terms.leg.symbol, "is not an instrument here")
        if terms.leg.limit_price is not None and not instrument.on_tick(terms.leg.limit_price):
            shown = instrument.format_price(terms.leg.limit_price)
            raise BadInput("legs[0].limit_price", shown, "must be on the tick")
        if terms.residual and (wrong := sorted(set(terms.residual.venues) - self.parts.router.venues())):
            raise BadInput("residual.venues", wrong[0], "is not a venue here")
        return instrument

    def _arrival(self, view: MarketView) -> Arrival:
        """The mid that costs are measured from. Raises MarketUnfit for a halted, one-sided or stale market."""
        age_s = (self.parts.market_clock.now() - view.source_at).total_seconds()
        if view.halted:
            raise MarketUnfit(f"{view.symbol} is halted")
        if view.bid is None or view.ask is None or view.mid is None:
            raise MarketUnfit(f"{view.symbol} has no two-sided market")
        if age_s > self.parts.settings.stale_after_s:
            raise MarketUnfit(f"{view.symbol} was last seen {age_s:.1f} market seconds ago")
        return Arrival(view.bid, view.ask, view.mid, view.source_at)

    async def plan(self, terms: RfqTerms) -> PlanAnswer:
        """Whom Sotto would ask, in what order, at what expected cost. Asks nobody, records nothing."""
        instrument = self._instrument(terms)
        view = self.parts.market.view(instrument.symbol)
        self._arrival(view)
        selection = await score_panel(self.parts, terms, instrument, view, self.parts.seed)
        curve = residual_curve(self.parts, terms, instrument, view, selection)
        return PlanAnswer(selection, view, curve, selection.expected_cost_bps)

    async def rfq(self, rfq_id: RfqId) -> Rfq:
        """The RFQ as it stands: live if it is ours, else as recorded. Raises NotFound."""
        live = self._live.get(rfq_id)
        found = live.rfq if live else await self.parts.reader.rfq(rfq_id)
        if found is None:
            raise NotFound("RFQ", rfq_id)
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
        return await commands.cancel(await self._alive(rfq_id, "be cancelled"), by)

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
            self._stuck.discard(rfq_id)
            self._begin(s)
            return settled
        s = await self._alive(rfq_id, "be settled")
        return await commands.settle(s, lift_id, answer, evidence, by, quantity)

    # --- what people hold over it ---

    @property
    def killed(self) -> str | None:
        return self.controls.killed

    async def kill(self, by: str, reason: str) -> None:
        """Stops all that adds risk, at once: live RFQs are cancelled, nothing new begins. Then it is recorded."""
        self.controls.killed = f"{reason} ({by})"
        for s in tuple(self._live.values()):
            if not s.rfq.cancelling and not s.rfq.is_over and s.journal.broken is None:
                s.journal.note(ev.CancelRequested(f"kill switch: {by}"))
        log.warning("kill switch thrown", by=by, reason=reason, rfqs=len(self._live))
        await self.controls.kill(by, reason)

    async def release(self, by: str) -> None:
        """Lets new RFQs in again. What was cancelled stays cancelled."""
        await self.controls.release(by)

    async def limits(self, desk_id: DeskId) -> DeskLimits:
        return await self.controls.limits(desk_id)

    async def set_limits(self, desk_id: DeskId, limits: DeskLimits, by: str) -> None:
        await self.controls.set_limits(desk_id, limits, by)

    # --- news ---

    @contextlib.contextmanager
    def changes(self, rfq_id: RfqId) -> Iterator[asyncio.Event]:
        """An event set whenever more of this RFQ became durable. Clear it, read, then wait for it again."""
        mine = asyncio.Event()
        self._listeners.setdefault(rfq_id, set()).add(mine)
        try:
            yield mine
        finally:
            listeners = self._listeners[rfq_id]
            listeners.discard(mine)
            if not listeners:
                del self._listeners[rfq_id]

    def _wake(self, rfq_id: RfqId) -> None:
        for listener in self._listeners.get(rfq_id, ()):
            listener.set()

    def _changed(self, s: Sourcing, events: Sequence[ev.Stamped]) -> None:
        """Called when events were folded, and with none when earlier ones became durable."""
        if not events:
            self._wake(s.rfq.rfq_id)
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

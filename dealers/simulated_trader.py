"""A simulated dealer at its seat: the behaviour's plans carried out in time, its hedging and trading ahead included."""

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from numpy.random import Generator

from dealers.behaviour import SimulatedDealer
from dealers.behaviour_traits import Campaign, Declining, Quoting, RequestView, Silence
from dealers.seat import Ask, Booked, Exchange, QuoteTerms, Seat, Take
from rfq.domain.events import NoticeKind
from rfq.domain.quote import QuoteSide
from rfq.domain.rfq import RequestSide
from rfq.domain.values import Instrument, Price, Quantity, RequestId, Side, Symbol
from rfq.ports import Clock

log = structlog.get_logger()


class _Live:
    """One request from being asked until it is won or lost."""

    def __init__(self, ask: Ask, view: RequestView) -> None:
        self.ask, self.view = ask, view
        self.plan: Quoting | None = None
        self.terms: QuoteTerms | None = None
        self.mid_quoted = view.mid
        self.over = False


class SimulatedTrader:
    """Answers requests and lifts as its SimulatedDealer decides, at the times it decides.

    `close` ends everything it has under way.
    """

    def __init__(
        self,
        dealer: SimulatedDealer,
        seat: Seat,
        *,
        clock: Clock,
        exchange: Exchange,
        instruments: Mapping[Symbol, Instrument],
        rng: Generator,
        bound: int = 2_000,
    ) -> None:
        self._dealer, self._seat = dealer, seat
        self._clock, self._exchange = clock, exchange
        self._instruments, self._rng = instruments, rng
        self._bound = bound
        self._live: dict[RequestId, _Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._passed_at = exchange.now()
        self.counts = {"asked": 0, "quoted": 0, "declined": 0, "confirmed": 0, "refused": 0, "booked": 0, "ahead": 0}

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- heard ---------------------------------------------------------------------------------------------------

    def asked(self, ask: Ask) -> None:
        self.counts["asked"] += 1
        mid = self._exchange.mid(ask.symbol)
        instrument = self._instruments.get(ask.symbol)
        left_s = (ask.deadline - self._clock.now()).total_seconds()
        if instrument is None or mid is None or left_s <= 0 or len(self._live) >= self._bound:
            reason = "unknown_symbol" if instrument is None else "too_late" if left_s <= 0 else "other"
            self._decline(ask.request_id, reason)
            return
        self._pass_time()
        view = RequestView(
            instrument=instrument,
            side=None if ask.side is RequestSide.TWO_WAY else Side(ask.side.value),
            quantity=ask.quantity,
            mid=mid,
            volatility_bps=instrument.volatility_bps,
            time_left_s=left_s,
            competitors=ask.competitors,
            residual=ask.residual,
            desk=ask.requester or None,
        )
        live = self._live[ask.request_id] = _Live(ask, view)
        plan = self._dealer.on_request(view, self._rng)
        self._begin(self._answer(live, plan))

    def taken(self, take: Take) -> None:
        live = self._live.get(take.request_id)
        terms = live.terms if live is not None else None
        gone = (
            terms is None
            or (terms.quote_id, terms.revision) != (take.quote_id, take.revision)
            or terms.expires_at <= self._clock.now()
        )
        mid = self._exchange.mid(take.symbol)
        if gone or live is None or live.plan is None:
            self._refuse(take, "no such quote stands")
            return
        answer = self._dealer.answer_lift(
            live.plan, take.side, live.mid_quoted, mid or live.mid_quoted, live.view.volatility_bps, self._rng
        )
        self._begin(self._answer_lift(take, answer.confirmed, answer.delay_s))

    def booked(self, booked: Booked) -> None:
        self.counts["booked"] += 1
        self._over(booked.request_id)
        self._pass_time()
        instrument = self._instruments[booked.symbol]
        campaign = self._dealer.after_winning(instrument, booked.side, booked.quantity, self._rng)
        if campaign is not None:
            self._begin(self._carry_out(booked.symbol, campaign))

    def told(self, request_id: RequestId, kind: NoticeKind) -> None:
        self._lost(request_id)

    def withdrawn(self, request_id: RequestId) -> None:
        self._lost(request_id)

    def corrected(self, why: str) -> None:
        log.info("dealer was corrected", dealer=self._seat.dealer_id, why=why)

    # --- done ----------------------------------------------------------------------------------------------------

    def _begin(self, story: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(story)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("simulated dealer failed", dealer=self._seat.dealer_id, exc_info=error)

    async def _answer(self, live: _Live, plan: Quoting | Declining | Silence) -> None:
        """Quotes, declines or stays silent, then waits until the request is over one way or another."""
        request_id = live.ask.request_id
        until = live.ask.deadline
        if isinstance(plan, Declining):
            await self._pause(plan.delay_s)
            if not live.over:
                self._decline(request_id, plan.reason.name.lower())
        elif isinstance(plan, Quoting):
            await self._pause(plan.delay_s)
            if live.over:
                return
            live.plan, live.terms = plan, self._terms(live, plan)
            self.counts["quoted"] += 1
            self._seat.quote(live.terms)
            until = max(until, live.terms.expires_at)
        await self._clock.sleep_until(until + timedelta(seconds=1))
        self._lost(request_id)

    def _terms(self, live: _Live, plan: Quoting) -> QuoteTerms:
        """The planned prices, moved with the mid since the request came."""
        instrument = live.view.instrument
        mid = self._exchange.mid(instrument.symbol) or live.view.mid
        moved, live.mid_quoted = mid - live.view.mid, mid

        def side(price: Price | None, lots: Quantity, least: Quantity, dealer_side: Side) -> QuoteSide | None:
            if price is None:
                return None
            at = instrument.round_to_tick(Price(max(1, price + moved)), towards=dealer_side)
            return QuoteSide(Price(max(at, instrument.tick_at(Price(0)))), lots, least)

        return QuoteTerms(
            request_id=live.ask.request_id,
            symbol=live.ask.symbol,
            quote_id=f"q-{live.ask.request_id}"[:64],
            revision=1,
            bid=side(plan.bid, plan.bid_quantity, plan.bid_minimum, Side.BUY),
            offer=side(plan.offer, plan.offer_quantity, plan.offer_minimum, Side.SELL),
            expires_at=self._clock.now() + timedelta(seconds=plan.good_for_s),
            firm=plan.last_look_s is None,
            last_look_s=plan.last_look_s or 0.0,
        )

    async def _answer_lift(self, take: Take, confirmed: bool, delay_s: float) -> None:
        await self._pause(delay_s)
        if confirmed:
            self.counts["confirmed"] += 1
            self._seat.confirm(take.lift_id)
        else:
            self._refuse(take, "last look")

    def _refuse(self, take: Take, reason: str) -> None:
        self.counts["refused"] += 1
        self._seat.refuse(take.lift_id, reason)

    def _decline(self, request_id: RequestId, reason: str) -> None:
        self.counts["declined"] += 1
        self._seat.decline(request_id, reason)

    def _over(self, request_id: RequestId) -> _Live | None:
        live = self._live.pop(request_id, None)
        if live is not None:
            live.over = True
        return live

    def _lost(self, request_id: RequestId) -> None:
        """Asked and not hit: perhaps trades ahead of what the desk still has to do."""
        live = self._over(request_id)
        if live is None:
            return
        self._pass_time()
        campaign = self._dealer.after_losing(live.view, self._rng)
        if campaign is not None:
            self.counts["ahead"] += 1
            self._begin(self._carry_out(live.ask.symbol, campaign))

    async def _carry_out(self, symbol: Symbol, campaign: Campaign) -> None:
        began = self._exchange.now()
        for after_s, lots in campaign.slices:
            await self._exchange.sleep_until(began + timedelta(seconds=after_s))
            if lots > 0:
                self._exchange.trade(self._seat.dealer_id, symbol, campaign.side, lots)

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + timedelta(seconds=seconds))

    def _pass_time(self) -> None:
        now: datetime = self._exchange.now()
        self._dealer.pass_time((now - self._passed_at).total_seconds(), self._rng)
        self._passed_at = now

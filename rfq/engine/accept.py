"""Taking an RFQ in: whether it can be, whether it may be, and that each key creates one and no more."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from rfq.domain import events as ev
from rfq.domain.errors import BadInput, KeyReused, LimitBreached, MarketUnfit, NoNewRisk, StreamConflict
from rfq.domain.limits import check
from rfq.domain.rfq import Arrival, RfqTerms
from rfq.domain.values import DeskId, Instrument, RfqId
from rfq.engine.controls import Controls
from rfq.engine.mark_outs import MarkOuts
from rfq.engine.parts import Parts
from rfq.engine.sourcing import Sourcing
from rfq.ports import Idempotency, MarketView


def instrument_of(parts: Parts, terms: RfqTerms) -> Instrument:
    """The instrument of a request that this house could work. Raises BadInput."""
    instrument = parts.instruments.get(terms.leg.symbol)
    if instrument is None:
        raise BadInput("legs[0].symbol", terms.leg.symbol, "is not an instrument here")
    if terms.leg.limit_price is not None and not instrument.on_tick(terms.leg.limit_price):
        shown = instrument.format_price(terms.leg.limit_price)
        raise BadInput("legs[0].limit_price", shown, "must be on the tick")
    if terms.residual and (wrong := sorted(set(terms.residual.venues) - parts.router.venues())):
        raise BadInput("residual.venues", wrong[0], "is not a venue here")
    return instrument


def arrival_of(parts: Parts, view: MarketView) -> Arrival:
    """The mid that costs are measured from. Raises MarketUnfit for a halted, one-sided or stale market."""
    age_s = (parts.market_clock.now() - view.source_at).total_seconds()
    if view.halted:
        raise MarketUnfit(f"{view.symbol} is halted")
    if view.bid is None or view.ask is None or view.mid is None:
        raise MarketUnfit(f"{view.symbol} has no two-sided market")
    if age_s > parts.settings.stale_after_s:
        raise MarketUnfit(f"{view.symbol} was last seen {age_s:.1f} market seconds ago")
    return Arrival(view.bid, view.ask, view.mid, view.source_at)


def is_fit(parts: Parts, view: MarketView) -> bool:
    """Whether prices taken against this market now would mean anything."""
    try:
        arrival_of(parts, view)
    except MarketUnfit:
        return False
    return True


class Accepting:
    """Limits, kill switch and idempotency keys, before anything is recorded."""

    def __init__(
        self,
        parts: Parts,
        controls: Controls,
        mark_outs: MarkOuts,
        live: Mapping[RfqId, Sourcing],
        receive: Callable[[RfqId, ev.RfqReceived, Idempotency], Awaitable[None]],
    ) -> None:
        """`live`: the RFQs of this engine that are not over; `receive` records one more and begins it."""
        self._parts, self._controls, self._mark_outs = parts, controls, mark_outs
        self._live, self._receive = live, receive
        self._creating: dict[tuple[DeskId, str], asyncio.Future[None]] = {}
        self._arriving: Counter[DeskId] = Counter()
        """RFQs being recorded, counted so that a burst cannot pass the limits."""

    async def submit(self, desk_id: DeskId, terms: RfqTerms, key: str, digest: str) -> tuple[RfqId, bool]:
        """The RFQ of this key, and whether it was created now. See Engine.submit."""
        place = (desk_id, key)
        while (other := self._creating.get(place)) is not None:
            await asyncio.wait([other])
        self._creating[place] = asyncio.get_running_loop().create_future()
        try:
            if (before := await self._before(desk_id, key, digest)) is not None:
                return before, False
            try:
                return await self._accept(desk_id, terms, key, digest), True
            except StreamConflict:  # Another engine on this database may have had the key at the same moment.
                if (before := await self._before(desk_id, key, digest)) is None:
                    raise
                return before, False
        finally:
            self._creating.pop(place).set_result(None)

    async def _before(self, desk_id: DeskId, key: str, digest: str) -> RfqId | None:
        known = await self._parts.reader.idempotent(desk_id, key)
        if known is not None and known.body_digest != digest:
            raise KeyReused(key)
        return known.rfq_id if known else None

    async def _accept(self, desk_id: DeskId, terms: RfqTerms, key: str, digest: str) -> RfqId:
        limits = await self._controls.limits(desk_id)
        self._controls.refuse_if_killed()
        if self._mark_outs.full:
            raise NoNewRisk("too many mark-outs wait to be taken")
        most, in_all = self._parts.settings.open_rfqs, len(self._live) + self._arriving.total()
        if in_all >= most:
            raise LimitBreached("open RFQs of this engine", most, in_all + 1)
        instrument = instrument_of(self._parts, terms)
        arrival = arrival_of(self._parts, self._parts.market.view(instrument.symbol))
        mine = sum(s.rfq.desk_id == desk_id for s in self._live.values()) + self._arriving[desk_id]
        check(limits, terms, instrument, arrival.mid, mine)
        rfq_id = RfqId(self._parts.ids.new("rfq"))
        self._arriving[desk_id] += 1
        try:
            received = ev.RfqReceived(rfq_id, desk_id, terms, arrival)
            await self._receive(rfq_id, received, Idempotency(desk_id, key, digest, rfq_id))
        finally:
            self._arriving[desk_id] -= 1
        return rfq_id

"""A seeded day of trouble: random blocks, dealers that misbehave, people who change their minds, processes that die."""

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from always_true import check
from house import HOUR, MID, House, Quotes, QuoteSide, World, offer, terms

from dealers.scripted_trader import Confirms, Declines, DropsLine, OnLift, OnRequest, Refuses, Withdraws
from rfq.domain.errors import SottoError
from rfq.domain.fill import Where
from rfq.domain.order import ChildOrder
from rfq.domain.quote import LiftStatus, QuoteStatus
from rfq.domain.rfq import AwardMode, RequestSide, Rfq, RfqStatus, RfqTerms, TellLosers
from rfq.domain.values import ChildId, LiftId, Price, Quantity, RfqId, Side
from rfq.engine.commands import Pick

DEALERS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")


@dataclass
class Told:
    """What a day came to, for whoever wants to know whether it was eventful."""

    rfqs: dict[RfqId, Rfq] = field(default_factory=dict)
    crashes: int = 0
    outages: int = 0
    cancels: int = 0
    settled: set[LiftId] = field(default_factory=set)
    breaks: int = 0
    refused: int = 0
    unknown: int = 0
    at_quotes: int = 0
    at_venues: int = 0


class Day:
    """One world, one database, one house after another; everything drawn from one seed."""

    def __init__(self, url: str, world: World, seed: int, blocks: int = 10) -> None:
        self.url, self.world, self.blocks = url, world, blocks
        self.rng = random.Random(f"day {seed}")
        self.told = Told()
        self.open: dict[str, RfqTerms] = {}
        """Requests handed in, by key, until the answer that they were taken is had."""
        self.houses = AsyncExitStack()

    # --- dice ----------------------------------------------------------------------------------------------------

    def _quotes(self) -> tuple[OnRequest, ...]:
        rng = self.rng
        half = rng.choice([1, 3, 5, 9, 15, 31])
        lots = rng.choice([1000, 2500, 4000, 8000, 12_000])
        least = rng.choice([0, 0, 0, lots // 4, lots])
        look = rng.choice([0.0, 0.0, 0.5, 2.0])
        at = rng.choice([0.2, 1.0, 2.0, 3.0, 4.0, 5.0, 7.999, 8.0, 8.001, 11.0])
        good = rng.choice([0.5, 4.0, 15.0, 60.0, 60.0, 60.0])

        def both(more: int) -> dict[str, QuoteSide]:
            return {"bid": offer(MID - half - more, lots, least), "offer": offer(MID + half + more, lots, least)}

        quote = Quotes(at, **both(0), last_look_s=look, good_for_s=good)
        again = Quotes(at + rng.uniform(0.1, 3.0), **both(rng.choice([0, 2, 4])), last_look_s=look, good_for_s=good)
        return rng.choices(
            [
                (quote,),
                (quote, again),
                (quote, Withdraws(at + rng.uniform(0.1, 4.0))),
                (quote, DropsLine(at + rng.uniform(0.1, 4.0), for_s=rng.choice([0.5, 3.0, 20.0]))),
                (Declines(rng.uniform(0.1, 9.0)),),
                (),
            ],
            [66, 12, 4, 8, 5, 5],
        )[0]

    def _lifted(self) -> tuple[OnLift, ...]:
        rng = self.rng
        answer: OnLift = Refuses(rng.uniform(0, 2.5)) if rng.random() < 0.3 else Confirms(rng.uniform(0, 2.5))
        return rng.choices(
            [
                (Confirms(rng.uniform(0, 1.5)),),
                (Refuses(rng.uniform(0, 1.5)),),
                (DropsLine(rng.uniform(0, 0.5), for_s=rng.choice([0.3, 2.0, 30.0])), answer),
                (Confirms(rng.uniform(3.0, 30.0)),),
                (Confirms(rng.uniform(0, 1.5), Quantity(rng.randint(1, 900))),),
                (Confirms(rng.uniform(0, 1.5), Quantity(12_001 + rng.randint(0, 500))),),
                (),
            ],
            [40, 18, 16, 6, 6, 6, 8],
        )[0]

    def _terms(self) -> RfqTerms:
        rng = self.rng
        side = rng.choice(list(RequestSide))
        intent = rng.choice(list(Side)) if side is RequestSide.TWO_WAY else None
        buying = side is RequestSide.BUY or intent is Side.BUY
        quantity = rng.choice([3000, 8000, 12_000])
        all_or_none = rng.random() < 0.15
        limit = rng.choice([None, None, None, 5, 15])
        return terms(
            side,
            quantity,
            intent=intent,
            limit_price=None if limit is None else MID + limit if buying else MID - limit,
            all_or_none=all_or_none,
            min_fill=0 if all_or_none else rng.choice([0, 0, quantity // 2]),
            max_winners=rng.choice([1, 2, 3]),
            first_wave=rng.choice([None, None, 2]),
            tell_losers=rng.choice(list(TellLosers)),
            quote_window_s=8.0,
            award=AwardMode.MANUAL if rng.random() < 0.15 else AwardMode.AUTOMATIC,
            award_window_s=rng.choice([2.0, 10.0]),
            residual=None if all_or_none else rng.choice([None, HOUR.but(horizon_s=1200.0)]),
        )

    # --- the day -------------------------------------------------------------------------------------------------

    async def run(self) -> Told:
        house = await self._next_house()
        for name in DEALERS:
            trader = house.dealer(name, cancel_on_disconnect=self.rng.random() < 0.3)
            for _ in range(self.blocks + 6):
                trader.on_request(*self._quotes())
                trader.on_lift(*self._lifted())
        self.world.dark.on_send = self._dark_sent
        keys = [f"key-{i}" for i in range(self.blocks)]
        for _ in range(4 * self.blocks):
            house = await self._something(house, keys)
            await house.sleep(self.rng.uniform(0.0, 6.0))
        for key in keys:
            self.open[key] = self._terms()
        house = await self._end(house)
        await check(house, self.told.rfqs, settled_by_hand=frozenset(self.told.settled))
        await self._count(house)
        await self.houses.aclose()
        return self.told

    def _dark_sent(self, order: ChildOrder) -> None:
        if self.rng.random() < 0.5:
            asyncio.get_running_loop().call_soon(self._dark_fill, order.child_id)

    def _dark_fill(self, child_id: ChildId) -> None:
        order = self.world.dark.orders[child_id]
        lots = self.rng.randint(1, max(1, order.quantity // 2))
        if child_id in self.world.dark.live:
            self.world.dark.fill(child_id, lots, Price(order.price or MID))

    async def _something(self, house: House, keys: list[str]) -> House:
        what = self.rng.random()
        if what < 0.45 and keys:
            key = keys.pop()
            self.open[key] = self._terms()
        elif what < 0.50 and self.told.rfqs:
            self.told.cancels += 1
            await self._try(house.engine.cancel(self.rng.choice(sorted(self.told.rfqs)), "desk-a"))
        elif what < 0.57:
            self.told.crashes += 1
            house = await self._crash(house)
        elif what < 0.63:
            await house.kill_connections()
        elif what < 0.68:
            house.outage.away = True
            self.told.outages += 1
            await house.sleep(self.rng.uniform(0.1, 15.0))
            house.outage.away = False
        elif what < 0.72:
            self.world.market.halted = not self.world.market.halted
        await self._people(house)
        return house

    async def _people(self, house: House) -> None:
        """Desks hand in again what they had no answer to, and pick; a supervisor settles what asks for it."""
        for key, asked in list(self.open.items()):
            try:
                rfq_id = await house.submit(asked, key=key)
            except SottoError:
                continue
            del self.open[key]
            self.told.rfqs[rfq_id] = await house.engine.rfq(rfq_id)
        for rfq_id in sorted(self.told.rfqs):
            rfq = await house.engine.rfq(rfq_id)
            self.told.rfqs[rfq_id] = rfq
            if rfq.terms.award is AwardMode.MANUAL and rfq.status is RfqStatus.AWAITING_AWARD:
                await self._pick(house, rfq)
            if rfq.needs_person and not rfq.is_over and self.rng.random() < 0.4:
                await self._settle(house, rfq)

    async def _pick(self, house: House, rfq: Rfq) -> None:
        live = [q for q in await house.reader.quotes(rfq.rfq_id) if q.status is QuoteStatus.LIVE]
        if not live:
            return
        quote = self.rng.choice(sorted(live, key=lambda q: q.quote_id))
        side = rfq.side or Side.BUY
        offered = quote.for_desk(side)
        limit = rfq.terms.leg.limit_price
        if offered is not None and (limit is None or side.sign * (offered.price - limit) <= 0):
            lots = Quantity(min(offered.quantity, rfq.unfilled))
            await self._try(house.engine.award(rfq.rfq_id, [Pick(quote.quote_id, lots)], "desk-a"))

    async def _settle(self, house: House, rfq: Rfq) -> None:
        """Believes the dealer: what it holds to be traded is, and nothing else."""
        unknown = [x for x in await house.lifts(rfq.rfq_id) if x.status is LiftStatus.UNKNOWN]
        for lift in unknown:
            lots = self.world.confirmed_by_dealers().get(lift.lift_id)
            answer = "confirmed" if lots else "refused"
            self.told.settled.add(lift.lift_id)
            await self._try(
                house.engine.settle(
                    rfq.rfq_id, lift.lift_id, answer, "their ticket", "sue", Quantity(lots) if lots else None
                )
            )
        if not unknown:
            await self._try(house.engine.settle(rfq.rfq_id, None, None, "busted", "sue"))

    async def _try(self, wish) -> None:  # type: ignore[no-untyped-def]
        """What is refused for a good reason is refused; a bug is not."""
        with suppress(SottoError):
            await wish

    # --- houses --------------------------------------------------------------------------------------------------

    async def _next_house(self) -> House:
        self.number = getattr(self, "number", 0) + 1
        opening = House.open(self.url, self.world, holder=f"engine-{self.number}", seed=self.number)
        return await self.houses.enter_async_context(opening)

    async def _crash(self, house: House) -> House:
        await house.crash()
        await self.world.clock.sleep_until(self.world.clock.now())
        return await self._next_house()

    async def _end(self, house: House) -> House:
        """No more trouble: every block must now end by itself, or with a supervisor's word."""
        self.world.market.halted = False
        for name, trader in self.world.dealers.items():
            if name not in self.world.away:
                trader.seat.restore()
        for _ in range(4000):
            await self._people(house)
            if not self.open and all(rfq.is_over for rfq in self.told.rfqs.values()):
                return house
            await house.sleep(1.0)
        stuck = {i: (r.status.value, r.needs_person) for i, r in self.told.rfqs.items() if not r.is_over}
        raise AssertionError(f"neither over nor to be settled: {stuck} {self.open}")

    async def _count(self, house: House) -> None:
        for rfq_id in self.told.rfqs:
            block = await house.recorded(rfq_id)
            self.told.refused += len(block.lifts_in(LiftStatus.REFUSED))
            self.told.at_quotes += sum(f.where is Where.QUOTE for f in block.fills.values())
            self.told.at_venues += sum(f.where is not Where.QUOTE for f in block.fills.values())
            kinds = [type(s.event).__name__ for s in await house.history(rfq_id)]
            self.told.unknown += kinds.count("LiftUnknown")
            self.told.breaks += kinds.count("BreakFound")

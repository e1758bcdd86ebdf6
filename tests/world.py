"""What outlives a service in tests: time, the market, venues and dealers with memories of their own."""

from datetime import datetime
from typing import Any

from order_floor import ASK, BID, HandMarket, HandVenue
from virtual_time import VirtualClock, VirtualMarketClock

from dealers.in_process import InProcessGateway
from dealers.scripted_trader import Quotes, ScriptedTrader, script
from dealers.seat import Ask, Booked, Take
from lit_router.ports import ReportKind
from rfq.domain.events import NoticeKind
from rfq.domain.fill import Where
from rfq.domain.quote import QuoteSide
from rfq.domain.values import ChildId, LiftId, Price, Quantity, Symbol
from rfq.ports import MarketClock

MID = Price((BID + ASK) // 2)
BLOCK = 10_000


def side_of(price: int, quantity: int = BLOCK, minimum: int = 0) -> QuoteSide:
    """One side of a quote."""
    return QuoteSide(Price(price), Quantity(quantity), Quantity(minimum))


class FloorMarket(HandMarket):
    """A HandMarket that remembers what its mid was, however late it is asked."""

    def __init__(self, clock: MarketClock) -> None:
        self._mids: list[tuple[datetime, Price | None]] = []
        super().__init__(clock)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in ("bid", "ask") and hasattr(self, "ask"):
            mid = None if self.bid is None or self.ask is None else Price((self.bid + self.ask) // 2)
            self._mids.append((self._clock.now(), mid))

    async def mid_at(self, symbol: Symbol, at: datetime) -> Price | None:
        return next((mid for since, mid in reversed(self._mids) if since <= at), None)


class FloorVenue(HandVenue):
    """A HandVenue that tells its fills again when asked for an order's status, as venues must."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.executions: dict[ChildId, list[dict[str, Any]]] = {}

    def say(self, child_id: ChildId, kind: ReportKind, **more: Any) -> None:
        if kind is ReportKind.FILLED and more.get("execution_id"):
            self.executions.setdefault(child_id, []).append(more)
        super().say(child_id, kind, **more)

    async def status(self, child_id: ChildId) -> None:
        if not self.gone and not self.deaf:
            for told in self.executions.get(child_id, ()):
                super().say(child_id, ReportKind.FILLED, **told)
        await super().status(child_id)


class World:
    """One market, one lit and one dark venue, and the dealers, whichever house they talk to."""

    def __init__(self, clock: VirtualClock, market_clock: VirtualMarketClock) -> None:
        self.clock, self.market_clock = clock, market_clock
        self.market = FloorMarket(market_clock)
        self.lit = FloorVenue("lit", Where.LIT, self.market, market_clock)
        self.dark = FloorVenue("dark", Where.DARK, self.market, market_clock)
        self.dealers: dict[str, ScriptedTrader] = {}
        self.away: set[str] = set()
        """Dealers that do not come back by themselves when a house opens."""

    def dealer(self, gateway: InProcessGateway, name: str, *, cancel_on_disconnect: bool = False) -> ScriptedTrader:
        trader = script(gateway, name, self.clock, cancel_on_disconnect=cancel_on_disconnect)
        self.dealers[name] = trader
        return trader

    def reconnect(self, gateway: InProcessGateway) -> None:
        """Every dealer that is not away dials the new house. It remembers its answers, the house's lines are new."""
        for name, trader in self.dealers.items():
            seat = trader.seat
            if seat._gateway is gateway:
                continue
            seat.up = False
            seat._generation += 1  # What the old house had under way is lost with it.
            seat._gateway, seat._last_sequence = gateway, 0
            if name not in self.away:
                seat.restore()

    def hang_up(self) -> None:
        """The house is gone: every line is dead, and nobody is there to notice."""
        for trader in self.dealers.values():
            trader.seat.up = False
            trader.seat._generation += 1

    async def close(self) -> None:
        for trader in self.dealers.values():
            await trader.close()

    # --- what really happened ------------------------------------------------------------------------------------

    def confirmed_by_dealers(self) -> dict[LiftId, int]:
        """Lots that dealers hold to be traded, by lift: their word, not ours."""
        lots: dict[LiftId, int] = {}
        for trader in self.dealers.values():
            for take in takes(trader):
                answer = trader.seat._lifts.standing(take.lift_id)
                if answer is not None and answer.answer == "confirmed":
                    lots[take.lift_id] = answer.quantity or take.quantity
        return lots

    def filled_at_venues(self) -> dict[ChildId, int]:
        return {child: lots for venue in (self.lit, self.dark) for child, lots in venue.filled.items() if lots}


def asks(trader: ScriptedTrader) -> list[Ask]:
    return [h for h in trader.heard if isinstance(h, Ask)]


def takes(trader: ScriptedTrader) -> list[Take]:
    return [h for h in trader.heard if isinstance(h, Take)]


def booked(trader: ScriptedTrader) -> list[Booked]:
    return [h for h in trader.heard if isinstance(h, Booked)]


def told(trader: ScriptedTrader) -> list[NoticeKind | str]:
    """What it was told of requests it did not win, in order: notices, and 'withdrawn'."""
    return [h[1] for h in trader.heard if isinstance(h, tuple)]


__all__ = ["BLOCK", "MID", "FloorVenue", "Quotes", "World", "asks", "booked", "side_of", "takes", "told"]

"""The floor orders are worked on: venues, market, clocks, policies; and who else is working there."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from lit_router.gathering import Gathered
from lit_router.ports import SlicePolicy, Venue
from lit_router.settings import RouterSettings
from lit_router.volume_curve import VolumeCurve
from rfq.domain.fill import Where
from rfq.domain.order import ParentOrder
from rfq.domain.rfq import Schedule
from rfq.domain.values import Instrument, Symbol
from rfq.ports import Clock, IdSource, MarketClock, MarketData


@dataclass(frozen=True, slots=True)
class Floor:
    """What every order of one router shares."""

    venues: Mapping[str, Venue]
    market: MarketData
    market_clock: MarketClock
    clock: Clock
    ids: IdSource
    instruments: Mapping[Symbol, Instrument]
    policies: Mapping[Schedule, Gathered]
    fallback: SlicePolicy
    """Decides when an order's own policy fails."""
    curve: VolumeCurve
    settings: RouterSettings

    def venues_of(self, order: ParentOrder) -> dict[str, Where]:
        """Venues the order may use, in the router's order; all of them if it names none."""
        return {name: venue.where for name, venue in self.venues.items() if not order.venues or name in order.venues}


async def either(*waits: Coroutine[Any, Any, object]) -> None:
    """Returns, or raises, as soon as one of these does; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()

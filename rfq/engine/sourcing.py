"""One RFQ while it is alive: its block, its pen, and a way to wait for what others do to it."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from rfq.domain.block import Block
from rfq.domain.events import Stamped
from rfq.domain.quote import Lift, LiftStatus, Request
from rfq.domain.rfq import Rfq
from rfq.domain.values import Instrument, LiftId, ParentId, Price, RequestId
from rfq.engine.journal import Journal
from rfq.engine.parts import Parts
from rfq.ports import Lease, MarketView, StreamId, Working

log = structlog.get_logger()


class Sourcing:
    """Holds one block and wakes its story whenever the block changes.

    Whoever brings news (a dealer's message, a desk's command, the router) folds it through the journal; the story only
    waits on conditions of the block. So there is nothing to queue and nothing to lose.
    """

    def __init__(
        self, parts: Parts, block: Block, lease: Lease, on_change: Callable[["Sourcing", Sequence[Stamped]], None]
    ) -> None:
        self.parts = parts
        self.block = block
        self.changed = asyncio.Event()
        self.working: list[Working] = []
        self.new_parents: set[ParentId] = set()
        """Parents recorded by this very process and not yet at the router: they need no history."""
        self.unsent: set[LiftId] = set()
        """Lifts that are being recorded and have not left: nobody can have been silent about them yet."""
        self.answer_by: dict[LiftId, datetime] = {}
        """Of lifts that have left: counted from then, however long the record took."""
        self.dealers_back_by: datetime | None = None
        """Set by a recovery: until then the dealers whose lines it cost are waited for. None: nobody is."""
        self._on_change = on_change
        self.journal = Journal(
            block,
            StreamId("rfq", lease.rfq_id),
            lease,
            parts.store,
            parts.clock,
            parts.market_clock,
            self._folded,
            self._became_durable,
        )

    def _folded(self, events: Sequence[Stamped]) -> None:
        self.changed.set()
        self._on_change(self, events)

    def _became_durable(self) -> None:
        if self.journal.broken is not None:
            self.changed.set()  # The block is as it was, but its story cannot go on.
        self._on_change(self, ())

    @property
    def rfq(self) -> Rfq:
        return self.block.rfq

    @property
    def instrument(self) -> Instrument:
        return self.parts.instruments[self.rfq.terms.leg.symbol]

    @property
    def lifting(self) -> list[Lift]:
        """Lifts that have left and wait for their answer."""
        return [lift for lift in self.block.lifts_in(LiftStatus.SENT) if lift.lift_id not in self.unsent]

    @property
    def market(self) -> MarketView:
        return self.parts.market.view(self.instrument.symbol)

    @property
    def mid(self) -> Price:
        """The mid now; the arrival mid where the market has none at the moment."""
        return self.market.mid or self.rfq.arrival.mid

    def request(self, request_id: RequestId) -> Request | None:
        return self.block.requests.get(request_id)

    def now(self) -> datetime:
        return self.parts.clock.now()

    def in_s(self, seconds: float) -> datetime:
        return self.parts.clock.now() + timedelta(seconds=seconds)

    def random(self, purpose: str) -> random.Random:
        """Randomness of its own for each RFQ and purpose, from the engine's seed: order of arrival plays no part."""
        return random.Random(f"{self.parts.seed}/{self.rfq.rfq_id}/{purpose}")

    async def until(self, condition: Callable[[], bool], deadline: datetime | None = None) -> bool:
        """Waits until the block meets `condition`, or the deadline passes (then False).

        Raises what broke the journal.
        """
        drained = False
        alarm: asyncio.Handle | None = None

        def ring() -> None:
            nonlocal alarm
            alarm = None  # Timers are coarser than clocks: if it is not quite time, it is set again.
            self.changed.set()

        try:
            while True:
                if self.journal.broken is not None:
                    raise self.journal.broken
                if condition():
                    return True
                self.changed.clear()
                left = None if deadline is None else (deadline - self.now()).total_seconds()
                if left is None or left > 0:
                    if left is not None and alarm is None:
                        alarm = asyncio.get_running_loop().call_later(left, ring)
                    await self.changed.wait()
                elif drained:
                    return False
                else:
                    # What has already arrived is taken in before the deadline is called: stamps decide, not scheduling.
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    drained = True
        finally:
            if alarm is not None:
                alarm.cancel()

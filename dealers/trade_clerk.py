"""Records which trades dealers have booked, and finds those they have not: the ledger, off the line's path."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from rfq.domain.errors import NotFound, Refusal, SottoError
from rfq.domain.values import DealerId, LiftId
from rfq.ports import Clock, Trade, TradeLedger

log = structlog.get_logger()

LEDGER_S = 5.0
"""Longest wait for the ledger."""
AT_ONCE = 32
"""Pieces of work under way at one time: each waits for a commit, which they can share."""
PAUSE_S = 1.0
"""Between attempts while the ledger is away."""


class TradeClerk:
    """One task, one bounded list of work, so that no dealer's messages wait for the database."""

    def __init__(
        self,
        ledger: TradeLedger | None,
        clock: Clock,
        book: Callable[[DealerId, Sequence[Trade]], None],
        unknown: Callable[[DealerId, LiftId], None],
        bound: int = 10_000,
    ) -> None:
        self._ledger, self._clock, self._bound = ledger, clock, bound
        self._book, self._unknown = book, unknown
        self._work: deque[tuple[DealerId, LiftId | None]] = deque()
        self._wake = asyncio.Event()

    def acknowledge(self, dealer_id: DealerId, lift_id: LiftId) -> None:
        """Notes an acknowledgement to be recorded. Raises Refusal when too many wait."""
        if self._ledger is not None:
            if len(self._work) >= self._bound:
                raise Refusal("too many acknowledgements wait to be recorded: the trade will be sent again")
            self._add(dealer_id, lift_id)

    def redeliver(self, dealer_id: DealerId) -> None:
        """Notes that a dealer is back: its unacknowledged trades are to be read and sent."""
        if self._ledger is not None and (dealer_id, None) not in self._work:
            self._add(dealer_id, None)

    def _add(self, dealer_id: DealerId, lift_id: LiftId | None) -> None:
        self._work.append((dealer_id, lift_id))
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled, for every dealer in order. What fails for want of the ledger is tried again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._work:
                now = [self._work.popleft() for _ in range(min(AT_ONCE, len(self._work)))]
                # One dealer's one after the other: else a trade is read as open while its acknowledgement is written.
                mine: dict[DealerId, list[LiftId | None]] = {}
                for dealer_id, lift_id in now:
                    mine.setdefault(dealer_id, []).append(lift_id)
                done = await asyncio.gather(*(self._all_done(*one) for one in mine.items()))
                left = [one for undone in done for one in undone]
                self._work.extendleft(reversed(left))
                if left:
                    await self._clock.sleep_until(self._clock.now() + timedelta(seconds=PAUSE_S))

    async def _all_done(
        self, dealer_id: DealerId, lift_ids: list[LiftId | None]
    ) -> list[tuple[DealerId, LiftId | None]]:
        """Does one dealer's work in order, up to the first failure; returns what is left."""
        for i, lift_id in enumerate(lift_ids):
            if not await self._done(dealer_id, lift_id):
                return [(dealer_id, left) for left in lift_ids[i:]]
        return []

    async def _done(self, dealer_id: DealerId, lift_id: LiftId | None) -> bool:
        try:
            async with asyncio.timeout(LEDGER_S):
                await self._do(dealer_id, lift_id)
        except (SottoError, TimeoutError, OSError) as error:
            log.warning("trade ledger unavailable", why=str(error) or type(error).__name__)
            return False
        return True

    async def _do(self, dealer_id: DealerId, lift_id: LiftId | None) -> None:
        if self._ledger is None:
            return
        if lift_id is None:
            self._book(dealer_id, await self._ledger.unacknowledged(dealer_id))
            return
        try:
            await self._ledger.acknowledge(dealer_id, lift_id)
        except NotFound:
            self._unknown(dealer_id, lift_id)

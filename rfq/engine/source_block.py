"""The way of a block, on one screen. The recorded state says what comes next, so a restart goes on where it stopped."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping

from rfq.domain.rfq import RfqStatus
from rfq.engine.confirm import award_and_confirm
from rfq.engine.solicit import collect, open_auction
from rfq.engine.sourcing import Sourcing
from rfq.engine.work import work

STEPS: Mapping[RfqStatus, Callable[[Sourcing], Awaitable[None]]] = {
    RfqStatus.RECEIVED: open_auction,  # score the panel, choose, ask
    RfqStatus.AUCTIONING: collect,  # sealed quotes until the close; widen if it pays
    RfqStatus.AWAITING_AWARD: award_and_confirm,  # blend, lift, confirm or next best, settle, tell
    RfqStatus.WORKING: work,  # the residual, in lit and dark venues
}
"""The terminal states have no step: the story ends there."""

AT_REAL_TIME = frozenset({RfqStatus.RECEIVED, RfqStatus.AUCTIONING, RfqStatus.AWAITING_AWARD})
"""From the arrival on: the market that an RFQ is measured from must not run away before the dealers are asked."""


async def source_block(s: Sourcing) -> None:
    """Runs one RFQ to its end. Each step reads the block, does its part, and records what it did.

    While an auction is on, the market clock runs at 1x: dealers price against a market they can watch.
    """
    with contextlib.ExitStack() as at_real_time:
        slowed = False
        while not s.rfq.is_over:
            live = s.rfq.status in AT_REAL_TIME
            if live and not slowed:
                at_real_time.enter_context(s.parts.market_clock.real_time())
            elif slowed and not live:
                at_real_time.close()
            slowed = live
            await STEPS[s.rfq.status](s)
    await s.journal.flush()

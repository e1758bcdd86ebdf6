"""The cost report of one RFQ, from what is recorded. The one place where HTTP meets the cost analysis."""

import asyncio
from collections.abc import Mapping

from rfq.domain.award import AuctionStatus
from rfq.domain.block import Block
from rfq.domain.errors import WrongState
from rfq.domain.rfq import Rfq
from rfq.domain.values import Instrument, RfqId
from rfq.ports import RfqReader
from rfq.tca.report import BlockReport
from rfq.tca.report import report as account

BATCH = 200
"""Events folded at one go: some milliseconds of the event loop."""


async def block_of(reader: RfqReader, rfq_id: RfqId) -> Block:
    """The block folded from its recorded events."""
    block = Block()
    while page := await reader.events(rfq_id, block.sequence, BATCH):
        for stamped in page:
            block.apply(stamped)
    return block


async def report(reader: RfqReader, rfq: Rfq, instrument: Instrument, benchmarks: Mapping[str, float]) -> BlockReport:
    """What the block cost and why, as recorded so far; `benchmarks` in bps of arrival by name.

    Raises WrongState while an auction is open: its quotes are sealed, and a report shows them.
    """
    block = await block_of(reader, rfq.rfq_id)
    if any(auction.status is AuctionStatus.OPEN for auction in block.auctions.values()):
        raise WrongState("RFQ", rfq.rfq_id, rfq.status.value, "be reported on before its auction has closed")
    marks = await reader.mark_outs(rfq.rfq_id)
    return await asyncio.to_thread(account, block, instrument, marks, None, benchmarks)

"""The cost report of one RFQ, from what is recorded. The one place where HTTP meets the cost analysis."""

from typing import Any

from rfq.domain.block import Block
from rfq.domain.rfq import Rfq
from rfq.domain.values import Instrument, RfqId
from rfq.ports import RfqReader

BATCH = 1000


async def block_of(reader: RfqReader, rfq_id: RfqId) -> Block:
    """The block folded from its recorded events."""
    block = Block()
    while page := await reader.events(rfq_id, block.sequence, BATCH):
        for stamped in page:
            block.apply(stamped)
    return block


async def report(reader: RfqReader, rfq: Rfq, instrument: Instrument) -> dict[str, Any]:
    raise NotImplementedError

"""A few blocks' lives from one seed, and the event log they leave: run as a program, it prints the log.

A process of its own for each run, so that the order of a set or a hash can be seen to decide nothing.
"""

import asyncio
import sys

import asyncpg
from house import HOUR, MID, House, Quotes, World, offer, terms
from virtual_time import VirtualClock, VirtualMarketClock, VirtualTimeLoop, real_time

from dealers.scripted_trader import Confirms, DropsLine, Refuses
from rfq.domain.rfq import RequestSide
from rfq.domain.values import Side

_LOG = """
SELECT stream_kind, stream_name, sequence, type, session_at, market_at, encode(payload, 'escape'), encode(hash, 'hex')
FROM events ORDER BY stream_kind, stream_name, sequence"""


async def live(url: str, seed: int) -> list[str]:
    """Blocks at the same time: winners, a refusal, a lost line, residuals, mark-outs. Returns the log, a line a row."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    world = World(VirtualClock(loop), VirtualMarketClock(loop, speed=60.0))
    async with House.open(url, world, seed=seed) as house:
        house.offers("alpha", MID + 1, 4000)
        house.offers("bravo", MID + 3, 3000, last_look_s=1.0).on_lift(Refuses(0.4))
        house.offers("charlie", MID + 5, 3000, after_s=2.0).on_lift(DropsLine(0.1, for_s=2.0), Confirms(0.5))
        house.dealer("delta").on_request(Quotes(1.0, bid=offer(MID - 5), offer=offer(MID + 9)))
        first = await house.submit(terms(quantity=12_000, residual=HOUR), key="1")
        second = await house.submit(terms(RequestSide.TWO_WAY, intent=Side.SELL), key="2")
        await house.sleep(1.5)
        third = await house.submit(terms(first_wave=1, residual=HOUR), key="3")
        for rfq_id in (first, second, third):
            await house.until(rfq_id)
        await house.sleep(40.0)
    with loop.in_flight("reading the log"), real_time():
        connection = await asyncpg.connect(url)
        rows = await connection.fetch(_LOG)
        await connection.close()
    return ["\t".join(str(value) for value in row) for row in rows]


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        print("\n".join(runner.run(live(sys.argv[1], int(sys.argv[2])))))

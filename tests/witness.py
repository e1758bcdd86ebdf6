"""A desk that writes down every event it is told, and holds the record to it afterwards."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from always_true import lifted_rightly, lots_add_up, told_in_order

from db.audit import rebuild, verify
from db.database import Database
from db.rfq_store import read_stream
from rfq.api import events
from rfq.api.answers import EventAnswer
from rfq.api.messages import LegBody, ResidualBody, RfqBody
from rfq.client import Client
from rfq.clocks import RandomIds
from rfq.demo import patient, patiently
from rfq.domain import events as ev
from rfq.domain.block import Block, fold
from rfq.domain.rfq import RequestSide, Urgency
from rfq.domain.values import RfqId
from rfq.instruments import directory
from rfq.ports import StreamId


def rfq(symbol: str, side: RequestSide, quantity: int, **terms: Any) -> RfqBody:
    return RfqBody(legs=(LegBody(symbol=symbol, side=side, quantity=str(quantity)),), **terms)


SETTINGS = {"SOTTO_PORT": "0", "SOTTO_EXCHANGE_PORT": "0", "SOTTO_SIMULATION_SPEED": "120", "SOTTO_LEASE_S": "3"}
SOON = ResidualBody(horizon_s=1000, max_participation=0.2, urgency=Urgency.HIGH)
BLOCK = rfq("QDI", RequestSide.SELL, 400_000, quote_window_s=4.0, max_dealers=3, residual=SOON)
"""A block of which something is left to work, for some ten seconds."""


class Witness:
    """Posts RFQs and follows each over as many connections as it takes. `told`: what it was told, by RFQ."""

    def __init__(self, desk: Client) -> None:
        self.desk = desk
        self.told: dict[str, list[EventAnswer]] = {}
        self._following: list[asyncio.Task[None]] = []
        self._ids = RandomIds()

    async def post(self, body: RfqBody) -> str:
        key = self._ids.new("order")
        rfq_id = (await patient(lambda: self.desk.create_rfq(body, key))).rfq_id
        self.told[rfq_id] = []
        self._following.append(asyncio.create_task(self._follow(rfq_id)))
        return rfq_id

    def turn_to(self, desk: Client) -> None:
        """Goes on at another service, from where it was."""
        self.close()
        self.desk = desk
        self._following = [asyncio.create_task(self._follow(rfq_id)) for rfq_id in self.told]

    async def _follow(self, rfq_id: str) -> None:
        told = self.told[rfq_id]
        async for event in patiently(self.desk, rfq_id, len(told)):
            told.append(event)

    def count(self, rfq_id: str, kind: str) -> int:
        return sum(event.event == kind for event in self.told[rfq_id])

    async def until(self, condition: Callable[[], bool], within_s: float = 120.0) -> None:
        """Waits for something to have been told; fails with what was told instead."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():  # noqa: ASYNC110  # Told by several tasks: there is no one event for it.
                    await asyncio.sleep(0.01)
        except TimeoutError:
            told = "; ".join(f"{r}: {' '.join(e.event for e in events[-40:])}" for r, events in self.told.items())
            raise AssertionError(f"not told within {within_s} s. {told}") from None

    async def until_over(self, within_s: float = 240.0) -> None:
        """Until every RFQ is over, or says why it needs a person."""

        def settled(rfq_id: str) -> bool:
            return bool(self.told[rfq_id]) and ended(self.told[rfq_id])

        await self.until(lambda: all(settled(rfq_id) for rfq_id in self.told), within_s)

    def close(self) -> None:
        for task in self._following:
            task.cancel()


def ended(told: list[EventAnswer]) -> bool:
    return any(e.event in ("RfqDone", "RfqCancelled", "RfqExpired", "RfqRejected", "PersonNeeded") for e in told)


async def sound(url: str, witness: Witness) -> dict[str, Block]:
    """The log is as it was written, the tables follow from it, and it has all that the witness was told.

    Each RFQ's lots add up at every event, no quote was lifted twice, nothing is filled beyond what was asked, and it
    is over or says that it needs a person. Returns the blocks.
    """
    database = await Database.open(url)
    try:
        verified = await verify(database)
        assert not verified.fault_count, verified.faults
        again = await rebuild(database)
        assert not again.difference_count, again.differences
        return {rfq_id: await _held_to(database, rfq_id, told) for rfq_id, told in witness.told.items()}
    finally:
        await database.close()


async def _held_to(database: Database, rfq_id: str, told: list[EventAnswer]) -> Block:
    history = await read_stream(database, StreamId("rfq", rfq_id))
    assert [event.sequence for event in told] == list(range(1, len(told) + 1)), "told twice, or with a gap"
    assert len(told) <= len(history), "told of what is not recorded"
    block = fold(history)
    for event, recorded in zip(told, history, strict=False):
        assert _shown(event) == _shown(as_told(recorded, block)), f"event {event.sequence} was told otherwise"
    lots_add_up(block.rfq, block, history)
    lifted_rightly(block)
    told_in_order(history)
    assert block.rfq.filled <= block.rfq.terms.leg.quantity
    assert block.rfq.is_over or block.rfq.needs_person, f"{rfq_id} is {block.rfq.status.value} and wants nobody"
    assert block.rfq.rfq_id == RfqId(rfq_id)
    return block


def as_told(recorded: ev.Stamped, block: Block) -> EventAnswer:
    """The event as the HTTP edge says it, after its way over the wire."""
    instrument = directory()[block.rfq.terms.leg.symbol].instrument
    said = msgspec.json.encode(events.event(recorded, instrument, ()))
    return msgspec.json.decode(said, type=EventAnswer)


def _shown(event: EventAnswer) -> EventAnswer:
    """Without what is sealed while the auction is open."""
    if "quote" not in event.data:
        return event
    quote = {k: v for k, v in event.data["quote"].items() if k not in ("bid", "offer", "sealed")}
    return msgspec.structs.replace(event, data={**event.data, "quote": quote})

"""Which confirmed trades each dealer has yet to acknowledge. Implements rfq.ports.TradeLedger."""

from sqlmodel import col, select

from db import tables as t
from db.database import Database
from db.mapping import from_json
from db.rfq_store import PostgresRfqStore
from rfq.domain.errors import NotFound
from rfq.domain.events import TradeAcknowledged
from rfq.domain.fill import Fill
from rfq.domain.quote import Lift
from rfq.domain.values import DealerId, LiftId
from rfq.ports import Clock, MarketClock, StreamId, Trade

_ACKNOWLEDGED = """
SELECT dealer_id, EXISTS (SELECT FROM trade_acknowledgements a WHERE a.lift_id = lifts.lift_id) AS acknowledged
FROM lifts WHERE lift_id = $1"""


class PostgresTradeLedger:
    """Confirmed trades are the lifts with a fill; acknowledgements are events of the dealer's own stream."""

    def __init__(self, database: Database, store: PostgresRfqStore, clock: Clock, market_clock: MarketClock) -> None:
        self._database, self._store = database, store
        self._clock, self._market_clock = clock, market_clock

    async def unacknowledged(self, dealer_id: DealerId) -> list[Trade]:
        """In the order of confirmation."""
        acknowledged = select(t.TradeAcknowledgementRow.lift_id)
        query = (
            select(t.LiftRow.noun, t.FillRow.noun)
            .where(t.FillRow.lift_id == t.LiftRow.lift_id, t.LiftRow.dealer_id == dealer_id)
            .where(col(t.LiftRow.lift_id).not_in(acknowledged))
            .order_by(col(t.FillRow.filled_at), col(t.FillRow.fill_id))
        )
        async with self._database.reading() as session:
            found = (await session.execute(query)).all()
        return [Trade(lift=from_json(lift, Lift), fill=from_json(fill, Fill)) for lift, fill in found]

    async def acknowledge(self, dealer_id: DealerId, lift_id: LiftId) -> None:
        lift = await self._database.lookup(_ACKNOWLEDGED, lift_id)
        if lift is None or lift["dealer_id"] != dealer_id:
            raise NotFound("trade", lift_id)
        if not lift["acknowledged"]:
            now, market_now = self._clock.now(), self._market_clock.now()
            event = TradeAcknowledged(lift_id)
            await self._store.append_next(StreamId("dealer", dealer_id), event, now, market_now)

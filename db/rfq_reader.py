"""Reads of committed state for answers to people. Implements rfq.ports.RfqReader."""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import func, text, tuple_
from sqlmodel import SQLModel, col, select

from db import tables as t
from db.database import Database
from db.mapping import from_json, mark_out_of
from db.rfq_store import read_stream
from rfq.domain.award import Auction, Award
from rfq.domain.errors import BadInput
from rfq.domain.events import Stamped
from rfq.domain.fill import Fill, MarkOut
from rfq.domain.quote import Lift, Quote, Request
from rfq.domain.rfq import OVER, Rfq, RfqStatus
from rfq.domain.selection import Selection
from rfq.domain.values import DeskId, Price, RfqId, Symbol
from rfq.ports import Idempotency, StreamId

N = TypeVar("N")

_IDEMPOTENT = "SELECT body_digest, rfq_id FROM idempotency_keys WHERE desk_id = $1 AND key = $2"

_LATEST_MIDS = text("""
SELECT DISTINCT ON (symbol) symbol, reference FROM (
  SELECT symbol, reference, market_asked_at AS at FROM requests WHERE market_asked_at >= :since
  UNION ALL
  SELECT symbol, reference, market_filled_at FROM fills WHERE market_filled_at >= :since
) seen ORDER BY symbol, at DESC""")


class PostgresRfqReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def rfq(self, rfq_id: RfqId) -> Rfq | None:
        found = await self._nouns(Rfq, t.RfqRow.noun, t.RfqRow.rfq_id == rfq_id)
        return found[0] if found else None

    async def rfqs(
        self, desk_id: DeskId | None, status: RfqStatus | None, before: str | None, limit: int
    ) -> tuple[list[Rfq], str | None]:
        """Newest first. Raises BadInput for a cursor that is not one of ours."""
        query = select(t.RfqRow)
        if desk_id is not None:
            query = query.where(t.RfqRow.desk_id == desk_id)
        if status is not None:
            query = query.where(t.RfqRow.status == status.value)
        place = tuple_(col(t.RfqRow.received_at), col(t.RfqRow.rfq_id))
        if before is not None:
            query = query.where(place < tuple_(*_place_of(before)))
        query = query.order_by(col(t.RfqRow.received_at).desc(), col(t.RfqRow.rfq_id).desc()).limit(limit + 1)
        async with self._database.reading() as session:
            rows = (await session.execute(query)).scalars().all()
        page = rows[:limit]
        more = _cursor_of(page[-1]) if len(rows) > limit and page else None
        return [from_json(row.noun, Rfq) for row in page], more

    async def auctions(self, rfq_id: RfqId) -> list[Auction]:
        row = t.AuctionRow
        return await self._nouns(Auction, row.noun, row.rfq_id == rfq_id, row.opened_at, row.auction_id)

    async def requests(self, rfq_id: RfqId) -> list[Request]:
        row = t.RequestRow
        return await self._nouns(Request, row.noun, row.rfq_id == rfq_id, row.asked_at, row.dealer_id)

    async def quotes(self, rfq_id: RfqId) -> list[Quote]:
        row = t.QuoteRow
        return await self._nouns(Quote, row.noun, row.rfq_id == rfq_id, row.received_at, row.quote_id)

    async def awards(self, rfq_id: RfqId) -> list[Award]:
        return await self._nouns(Award, t.AwardRow.noun, t.AwardRow.rfq_id == rfq_id, t.AwardRow.sequence)

    async def lifts(self, rfq_id: RfqId) -> list[Lift]:
        found = await self._nouns(Lift, t.LiftRow.noun, t.LiftRow.rfq_id == rfq_id, t.LiftRow.lift_id)
        return sorted(found, key=lambda lift: (lift.sent_at, lift.lift_id))

    async def fills(self, rfq_id: RfqId) -> list[Fill]:
        row = t.FillRow
        return await self._nouns(Fill, row.noun, row.rfq_id == rfq_id, row.filled_at, row.fill_id)

    async def selection(self, rfq_id: RfqId) -> Selection | None:
        """The latest decision."""
        row = t.DecisionRow
        found = await self._nouns(Selection, row.noun, row.rfq_id == rfq_id, row.sequence)
        return found[-1] if found else None

    async def orders(self, rfq_id: RfqId) -> list[Mapping[str, object]]:
        rows: list[Mapping[str, object]] = []
        async with self._database.reading() as session:
            for kind, row, key in (
                ("parent", t.ParentRow, t.ParentRow.parent_id),
                ("child", t.ChildRow, t.ChildRow.child_id),
            ):
                found = await session.execute(select(row).where(row.rfq_id == rfq_id).order_by(col(key)))
                rows += [{"kind": kind, **_plain(one)} for one in found.scalars()]
        return rows

    async def mark_outs(self, rfq_id: RfqId) -> list[MarkOut]:
        query = select(t.MarkOutRow).where(t.MarkOutRow.rfq_id == rfq_id)
        query = query.order_by(col(t.MarkOutRow.subject), col(t.MarkOutRow.horizon_ms))
        async with self._database.reading() as session:
            return [mark_out_of(row) for row in (await session.execute(query)).scalars()]

    async def events(self, rfq_id: RfqId, after: int, limit: int) -> list[Stamped]:
        return await read_stream(self._database, StreamId("rfq", rfq_id), after, limit)

    async def idempotent(self, desk_id: DeskId, key: str) -> Idempotency | None:
        row = await self._database.lookup(_IDEMPOTENT, desk_id, key)
        return Idempotency(desk_id, key, row["body_digest"], RfqId(row["rfq_id"])) if row else None

    async def open_count(self, desk_id: DeskId) -> int:
        """RFQs of the desk that are not over."""
        query = select(func.count()).select_from(t.RfqRow).where(t.RfqRow.desk_id == desk_id)
        query = query.where(col(t.RfqRow.status).not_in([status.value for status in OVER]))
        async with self._database.reading() as session:
            return (await session.execute(query)).scalar_one()

    async def latest_market_time(self) -> datetime | None:
        """The latest market time of anything recorded: a simulated market that starts again must not go back."""
        async with self._database.reading() as session:
            return (await session.execute(select(func.max(t.EventRow.market_at)))).scalar_one()

    async def latest_mids(self, since: datetime) -> dict[Symbol, Price]:
        """The last mid on record of each instrument asked for or traded since market time `since`."""
        async with self._database.reading() as session:
            found = await session.execute(_LATEST_MIDS, {"since": since})
            return {Symbol(row.symbol): Price(row.reference) for row in found}

    async def _nouns(self, noun: type[N], column: str, of: Any, *order: Any) -> list[N]:
        async with self._database.reading() as session:
            found = await session.execute(select(column).where(of).order_by(*order))
            return [from_json(text, noun) for text in found.scalars()]


def _plain(row: SQLModel) -> dict[str, object]:
    """Every column but the noun."""
    return row.model_dump(exclude={"noun"})


def _cursor_of(row: t.RfqRow) -> str:
    return base64.urlsafe_b64encode(f"{row.received_at.isoformat()} {row.rfq_id}".encode()).decode()


def _place_of(cursor: str) -> tuple[datetime, str]:
    try:
        at, _, rfq_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return datetime.fromisoformat(at), rfq_id
    except (ValueError, binascii.Error):
        raise BadInput("before", cursor, "must be a cursor from an earlier page") from None

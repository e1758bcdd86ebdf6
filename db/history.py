"""What came of asking each dealer, as the models learn it. Implements rfq.ports.HistoryReader.

Only stored facts: nothing is filled in, and what is missing stays missing.
"""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
from sqlalchemy import Row, text

from db.database import Database
from db.mapping import from_json
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.quote import Quote, QuoteStatus, Request
from rfq.domain.rfq import Arrival, RfqTerms
from rfq.domain.values import DealerId, Side
from rfq.ports import DealerOutcome

_PAGE = 250
"""Rows decoded in one go: the event loop must not wait for more."""

_BEFORE = text("""
SELECT market_asked_at, request_id FROM requests WHERE market_asked_at >= :since AND status <> 'unreached'
ORDER BY market_asked_at DESC, request_id DESC OFFSET :newest LIMIT 1""")
"""The request just before the newest so many; no row if there are not more."""

_OUTCOMES = text("""
SELECT CAST(r.noun AS text) AS request, rfqs.side, auctions.asked, CAST(quote.noun AS text) AS quote,
       coalesce(lift.lifted, false) AS lifted, coalesce(lift.confirmed, false) AS confirmed,
       coalesce(lift.refused, false) AS refused, mark.marks,
       CAST(rfqs.noun AS text) AS rfq, decision.noun AS decision
FROM requests r
JOIN rfqs USING (rfq_id)
JOIN auctions USING (auction_id)
LEFT JOIN LATERAL (
  SELECT true AS lifted, bool_or(l.status = 'confirmed') AS confirmed, bool_or(l.status = 'refused') AS refused,
         min(l.quote_id) AS quote_id
  FROM lifts l WHERE l.request_id = r.request_id HAVING count(*) > 0
) lift ON true
LEFT JOIN LATERAL (
  SELECT q.noun FROM quotes q WHERE q.request_id = r.request_id AND q.status <> 'late'
  ORDER BY (q.quote_id = lift.quote_id) DESC NULLS LAST, q.received_at DESC, q.quote_id LIMIT 1
) quote ON true
LEFT JOIN LATERAL (
  SELECT CAST(json_agg(json_build_array(m.horizon_ms, m.reference, m.mid, m.control_bps)) AS text) AS marks
  FROM mark_outs m WHERE m.rfq_id = r.rfq_id AND m.subject = r.request_id
) mark ON true
LEFT JOIN LATERAL (
  SELECT CAST(d.noun AS text) AS noun FROM decisions d WHERE d.rfq_id = r.rfq_id ORDER BY d.sequence LIMIT 1
) decision ON true
WHERE r.market_asked_at >= :since AND r.status <> 'unreached'
  AND (CAST(:after_at AS timestamptz) IS NULL OR (r.market_asked_at, r.request_id) > (:after_at, :after_id))
ORDER BY r.market_asked_at, r.request_id LIMIT :page""")
"""One row a request that reached its dealer: the quote lifted, else the last one in time, its mark-outs, what the desk
wanted, and the decision that it came from."""


class _Wanted(msgspec.Struct):
    """What models need of an RFQ's noun."""

    terms: RfqTerms
    arrival: Arrival


class _Choice(msgspec.Struct):
    """And of a decision's, if there is one."""

    chosen: tuple[DealerId, ...] = ()
    propensities: dict[DealerId, float] = {}
    set_propensity: float | None = None


class PostgresHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def outcomes(self, since: datetime, limit: int) -> AsyncIterator[DealerOutcome]:
        """The newest `limit`, oldest of them first (market time, then request id), read in pages.

        Raises StoreUnavailable.
        """
        place: tuple[datetime | None, str] = (None, "")
        async with self._database.reading() as session:
            before = (await session.execute(_BEFORE, {"since": since, "newest": limit})).one_or_none()
        if before is not None:
            place = (before.market_asked_at, before.request_id)
        while True:
            given = {"since": since, "after_at": place[0], "after_id": place[1], "page": _PAGE}
            async with self._database.reading() as session:
                rows = (await session.execute(_OUTCOMES, given)).all()
            for row in rows:
                outcome = _outcome(row)
                place = (outcome.market_at, outcome.request_id)
                yield outcome
            if len(rows) < _PAGE:
                return


def _outcome(row: Row[tuple[object, ...]]) -> DealerOutcome:
    request = from_json(row.request, Request)
    quote = from_json(row.quote, Quote) if row.quote else None
    side = Side(row.side) if row.side else None
    offered = quote.for_desk(side) if quote and side else None
    mark_outs, controls = _marks(row.marks, side)
    wanted, choice = from_json(row.rfq, _Wanted), from_json(row.decision, _Choice) if row.decision else _Choice()
    return DealerOutcome(
        request_id=request.request_id,
        rfq_id=request.rfq_id,
        dealer_id=request.dealer_id,
        symbol=request.symbol,
        side=side,
        shown_side=request.side,
        quantity=request.quantity,
        asked=row.asked,
        propensity=request.propensity,
        session_at=request.asked_at,
        market_at=request.market_asked_at,
        mid_at_ask=request.mid_at_ask,
        anonymous=not request.requester,
        answered=request.answered_at is not None,
        response_s=(request.answered_at - request.asked_at).total_seconds() if request.answered_at else None,
        quote_price=offered.price if offered else None,
        mid_at_quote=quote.mid_at_quote if quote else None,
        lifted=row.lifted,
        confirmed=row.confirmed,
        refused=row.refused,
        window_s=(request.deadline - request.asked_at).total_seconds(),
        withdrawn=quote is not None and quote.status is QuoteStatus.WITHDRAWN,
        mark_outs=mark_outs,
        controls=controls,
        spread=(wanted.arrival.bid, wanted.arrival.ask),
        urgent=wanted.terms.urgent,
        residual_disclosed=wanted.terms.disclose_residual,
        chosen=choice.chosen,
        propensities=choice.propensities,
        set_propensity=choice.set_propensity,
    )


def _marks(marks: str | None, side: Side | None) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """Mid moves and control moves per horizon, in bps, positive when adverse. A desk without a side has neither."""
    moves: dict[int, float] = {}
    controls: dict[int, float] = {}
    for horizon_ms, reference, mid, control_bps in msgspec.json.decode(marks) if marks and side else ():
        assert side
        if mid is not None and reference:
            moves[horizon_ms] = side.sign * (mid - reference) / reference * 1e4
        if control_bps is not None:
            controls[horizon_ms] = side.sign * control_bps
    horizons = [round(s * 1000) for s in MARK_OUT_HORIZONS_S]
    return tuple(map(moves.get, horizons)), tuple(map(controls.get, horizons))

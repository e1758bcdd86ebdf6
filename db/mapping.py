"""Nouns to rows of the state tables, and rows back to nouns. Rows are tuples in the order of the table's columns."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from db.tables import MarkOutRow
from lit_router.domain.child import Child
from lit_router.domain.parent import Parent
from rfq.domain import events as ev
from rfq.domain.award import Auction, Award
from rfq.domain.errors import Inconsistent
from rfq.domain.fill import Fill, MarkOut
from rfq.domain.order import ParentOrder
from rfq.domain.quote import Lift, Quote, Request
from rfq.domain.rfq import Rfq
from rfq.domain.selection import Selection
from rfq.domain.values import Price, RfqId

N = TypeVar("N")
Row: TypeAlias = tuple[Any, ...]
Place: TypeAlias = tuple[str, Row]
"""The name of a table and a row of it."""

_encoder = msgspec.json.Encoder(order="deterministic", decimal_format="string")


def to_json(noun: object) -> str:
    """The noun's canonical JSON text."""
    return _encoder.encode(noun).decode()


def from_json(text: str, noun: type[N]) -> N:
    return msgspec.json.decode(text, type=noun)


def _plain(text: str) -> str:
    """Text for a column people read: PostgreSQL's text cannot hold NUL; the payload and the noun keep it."""
    return text.replace("\x00", "\ufffd")


def _of_rfq(n: Rfq, _: str) -> Row:
    leg = n.terms.leg
    return (
        *(n.rfq_id, n.desk_id, n.status.value, leg.symbol, leg.side.value, n.side.value if n.side else None),
        *(leg.quantity, n.filled, n.reserved, n.working, n.unfilled),
        *(_plain(n.needs_person), n.received_at, n.sequence, to_json(n)),
    )


def _of_auction(n: Auction, _: str) -> Row:
    return n.auction_id, n.rfq_id, n.status.value, n.asked, n.opened_at, n.deadline, to_json(n)


def _of_request(n: Request, _: str) -> Row:
    return (
        *(n.request_id, n.rfq_id, n.auction_id, n.dealer_id, n.symbol, n.status.value),
        *(n.mid_at_ask, n.asked_at, n.market_asked_at, to_json(n)),
    )


def _of_quote(n: Quote, rfq_id: str) -> Row:
    bid, offer = n.bid.price if n.bid else None, n.offer.price if n.offer else None
    ids = (rfq_id, n.quote_id, n.request_id, n.dealer_id)
    return *ids, n.status.value, n.revision, bid, offer, n.received_at, to_json(n)


def _of_lift(n: Lift, _: str) -> Row:
    ids = (n.lift_id, n.rfq_id, n.request_id, n.quote_id, n.dealer_id)
    return *ids, n.status.value, n.price, n.quantity, to_json(n)


def _of_fill(n: Fill, _: str) -> Row:
    reference = n.price if n.mid_at_fill is None else n.mid_at_fill
    return (
        *(n.rfq_id, n.fill_id, n.symbol, n.side.value, n.price, n.quantity, n.where.value, n.venue),
        *(n.lift_id, n.child_id, reference, n.filled_at, n.market_filled_at, to_json(n)),
    )


def _of_parent(n: Parent, _: str) -> Row:
    order = n.order
    return order.parent_id, order.rfq_id, n.status.value, order.side.value, order.quantity, n.filled, to_json(n)


def _of_parent_order(n: ParentOrder, rfq_id: str) -> Row:
    return _of_parent(Parent(n), rfq_id)


def _of_child(n: Child, rfq_id: str) -> Row:
    order = n.order
    return (
        *(order.child_id, order.parent_id, rfq_id, order.venue, n.status.value),
        *(order.quantity, n.filled, order.price, to_json(n)),
    )


def _of_mark_out(n: MarkOut, _: str) -> Row:
    horizon_ms = round(n.horizon_s * 1000)
    return n.rfq_id, n.subject, horizon_ms, n.due_at, n.reference, n.mid, n.control_bps


_ROW_OF: dict[type, tuple[str, Callable[[Any, str], Row]]] = {
    Rfq: ("rfqs", _of_rfq),
    Auction: ("auctions", _of_auction),
    Request: ("requests", _of_request),
    Quote: ("quotes", _of_quote),
    Lift: ("lifts", _of_lift),
    Fill: ("fills", _of_fill),
    Parent: ("parents", _of_parent),
    ParentOrder: ("parents", _of_parent_order),
    Child: ("children", _of_child),
    MarkOut: ("mark_outs", _of_mark_out),
}


def rows_of(stream_name: str, events: Iterable[ev.Stamped], touched: Sequence[object]) -> list[Place]:
    """The state rows that an append changes, latest state last.

    Awards, decisions, mark-outs and acknowledgements are rows of their events, wherever else they are named.
    Raises Inconsistent for a noun that has no table.
    """
    places: list[Place] = []
    for noun in touched:
        if isinstance(noun, Award | Selection | MarkOut):
            continue
        if type(noun) not in _ROW_OF:
            raise Inconsistent(f"no table holds a {type(noun).__name__}")
        table, row_of = _ROW_OF[type(noun)]
        places.append((table, row_of(noun, stream_name)))
    for stamped in events:
        match stamped.event:
            case ev.AwardDecided(award=award):
                row = (stream_name, stamped.sequence, award.auction_id, award.residual, to_json(award))
                places.append(("awards", row))
            case ev.PanelScored(selection=selection):
                row = (stream_name, stamped.sequence, _plain(selection.model_version), to_json(selection))
                places.append(("decisions", row))
            case ev.MarkOutsTaken(marks=marks):
                places += [("mark_outs", _of_mark_out(mark, stream_name)) for mark in marks]
            case ev.TradeAcknowledged(lift_id=lift_id):
                places.append(("trade_acknowledgements", (lift_id, stream_name)))
            case _:
                pass
    return places


def mark_out_of(row: MarkOutRow) -> MarkOut:
    return MarkOut(
        subject=row.subject,
        rfq_id=RfqId(row.rfq_id),
        horizon_s=row.horizon_ms / 1000,
        due_at=row.due_at,
        reference=Price(row.reference),
        mid=None if row.mid is None else Price(row.mid),
        control_bps=row.control_bps,
    )

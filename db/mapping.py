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


_ROW_OF: dict[type, tuple[str, Callable[[Any], str], Callable[[Any, str], Row]]] = {
    Rfq: ("rfqs", lambda n: n.rfq_id, _of_rfq),
    Auction: ("auctions", lambda n: n.auction_id, _of_auction),
    Request: ("requests", lambda n: n.request_id, _of_request),
    Quote: ("quotes", lambda n: n.quote_id, _of_quote),
    Lift: ("lifts", lambda n: n.lift_id, _of_lift),
    Fill: ("fills", lambda n: n.fill_id, _of_fill),
    Parent: ("parents", lambda n: n.order.parent_id, _of_parent),
    ParentOrder: ("parents", lambda n: n.parent_id, _of_parent_order),
    Child: ("children", lambda n: n.order.child_id, _of_child),
}
"""Each noun's table, what it is called within its stream, and its row."""

_ROWS_OF_EVENTS = (Award, Selection, MarkOut)
"""Their rows, and acknowledgements', come from the events that bring them, wherever else they are named."""

Change: TypeAlias = tuple[str, Iterable[ev.Stamped], Sequence[object]]
"""What an append brings: the stream's name, its events, and the nouns they touched, later states after earlier ones."""


def check(touched: Iterable[object]) -> None:
    """Raises Inconsistent for a noun that has no table."""
    for noun in touched:
        if type(noun) not in _ROW_OF and not isinstance(noun, _ROWS_OF_EVENTS):
            raise Inconsistent(f"no table holds a {type(noun).__name__}")


def rows_of(stream_name: str, events: Iterable[ev.Stamped], touched: Sequence[object]) -> list[Place]:
    """The state rows that one append changes: see `rows_of_all`."""
    return rows_of_all([(stream_name, events, touched)])


def rows_of_all(changes: Sequence[Change]) -> list[Place]:
    """The state rows that appends change together: of each noun its last state, and no row for those before it."""
    last: dict[tuple[str, str, str], tuple[Callable[[Any, str], Row], object]] = {}
    for stream_name, _, touched in changes:
        for noun in touched:
            if not isinstance(noun, _ROWS_OF_EVENTS):
                table, name_of, row_of = _ROW_OF[type(noun)]
                last[table, stream_name, name_of(noun)] = row_of, noun
    places = [(table, row_of(noun, stream)) for (table, stream, _), (row_of, noun) in last.items()]
    for stream_name, events, _ in changes:
        for stamped in events:
            _of_event(stamped, stream_name, places)
    return places


def _of_event(stamped: ev.Stamped, stream_name: str, places: list[Place]) -> None:
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

"""The schema: the event log, who owns what, who may call, and the state tables folded from the log.

A state table holds each noun whole in `noun` (the canonical JSON, verbatim) beside the columns that queries and
people need. Nothing here is a domain object: db.mapping turns nouns into rows and back.
"""

# SQLModel declares __tablename__ as a method; a plain string is its documented use.
# pyright: reportAssignmentType=false

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    cast,
)
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel


class VerbatimJson(UserDefinedType[str]):
    """PostgreSQL `json`, read and written as text: what was written comes back byte for byte."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"

    def column_expression(self, colexpr: ColumnElement[str]) -> ColumnElement[str]:
        return cast(colexpr, Text)  # Else the driver would parse it.


def _key(sa_type: Any = Text) -> Any:
    return Field(primary_key=True, sa_type=sa_type)


def _text(*, index: bool = False) -> Any:
    return Field(sa_type=Text, index=index)


def _optional_text(*, index: bool = False) -> Any:
    return Field(default=None, sa_type=Text, nullable=True, index=index)


def _lots() -> Any:
    return Field(sa_type=BigInteger)


def _optional_number() -> Any:
    return Field(default=None, sa_type=BigInteger, nullable=True)


def _time(*, index: bool = False) -> Any:
    return Field(sa_type=DateTime(timezone=True), index=index)  # type: ignore[call-overload]


def _noun() -> Any:
    return Field(sa_type=VerbatimJson)


# --- the log and who may write it ------------------------------------------------------------------------------


class EventRow(SQLModel, table=True):
    """One fact. `hash` = sha256(previous hash, header, payload): see db.hash_chain."""

    __tablename__ = "events"

    stream_kind: str = _key()
    stream_name: str = _key()
    sequence: int = _key(BigInteger)
    schema_version: int = Field(sa_type=SmallInteger)
    type: str = _text()
    payload: bytes = Field(sa_type=LargeBinary)
    session_at: datetime = _time()
    market_at: datetime = _time(index=True)
    epoch: int = Field(sa_type=BigInteger)
    """Fencing epoch of the lease it was written under; 0 for streams that need none."""
    previous_hash: bytes = Field(sa_type=LargeBinary)
    hash: bytes = Field(sa_type=LargeBinary)


class HolderRow(SQLModel, table=True):
    """A process that owns RFQs, alive while it keeps moving `expires_at` (the database's clock)."""

    __tablename__ = "holders"

    holder: str = _key()
    expires_at: datetime = _time()


class LeaseRow(SQLModel, table=True):
    """Who owns an RFQ. The epoch only rises; the row stays when ownership is given up (holder '')."""

    __tablename__ = "leases"

    rfq_id: str = _key()
    holder: str = _text()
    epoch: int = Field(sa_type=BigInteger)


class IdempotencyRow(SQLModel, table=True):
    __tablename__ = "idempotency_keys"

    desk_id: str = _key()
    key: str = _key()
    body_digest: str = _text()
    rfq_id: str = _text()


class ApiKeyRow(SQLModel, table=True):
    """A caller's key, as its sha256: the keys are long and random, so a slow hash would add nothing."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("role", "name"),)

    key_hash: bytes = _key(LargeBinary)
    role: str = _text()
    name: str = _text()


# --- state tables: a fold over the log -------------------------------------------------------------------------


class RfqRow(SQLModel, table=True):
    __tablename__ = "rfqs"
    __table_args__ = (Index("ix_rfqs_page", "desk_id", "received_at", "rfq_id"),)

    rfq_id: str = _key()
    desk_id: str = _text()
    status: str = _text(index=True)
    symbol: str = _text()
    shown_side: str = _text()
    side: str | None = _optional_text()
    quantity: int = _lots()
    filled: int = _lots()
    reserved: int = _lots()
    working: int = _lots()
    unfilled: int = _lots()
    needs_person: str = _text()
    received_at: datetime = _time(index=True)
    sequence: int = Field(sa_type=BigInteger)
    noun: str = _noun()


class AuctionRow(SQLModel, table=True):
    __tablename__ = "auctions"

    auction_id: str = _key()
    rfq_id: str = _text(index=True)
    status: str = _text()
    asked: int = Field(sa_type=BigInteger)
    opened_at: datetime = _time()
    deadline: datetime = _time()
    noun: str = _noun()


class RequestRow(SQLModel, table=True):
    __tablename__ = "requests"

    request_id: str = _key()
    rfq_id: str = _text(index=True)
    auction_id: str = _text()
    dealer_id: str = _text()
    symbol: str = _text()
    status: str = _text()
    reference: int = _lots()
    """The mid when it was asked, in price units: what its mark-outs are measured from."""
    asked_at: datetime = _time()
    market_asked_at: datetime = _time(index=True)
    noun: str = _noun()


class QuoteRow(SQLModel, table=True):
    """Quote ids are the dealers' own words: unique within an RFQ only."""

    __tablename__ = "quotes"

    rfq_id: str = _key()
    quote_id: str = _key()
    request_id: str = _text(index=True)
    dealer_id: str = _text()
    status: str = _text()
    revision: int = Field(sa_type=BigInteger)
    bid: int | None = _optional_number()
    offer: int | None = _optional_number()
    received_at: datetime = _time()
    noun: str = _noun()


class AwardRow(SQLModel, table=True):
    """Keyed by the sequence of its AwardDecided event: it has no id of its own and never changes."""

    __tablename__ = "awards"

    rfq_id: str = _key()
    sequence: int = _key(BigInteger)
    auction_id: str = _text()
    residual: int = _lots()
    noun: str = _noun()


class DecisionRow(SQLModel, table=True):
    """Whom to ask, as decided: keyed by the sequence of its PanelScored event."""

    __tablename__ = "decisions"

    rfq_id: str = _key()
    sequence: int = _key(BigInteger)
    model_version: str = _text()
    noun: str = _noun()


class LiftRow(SQLModel, table=True):
    """The unique quote makes the database itself refuse a second lift of one quote."""

    __tablename__ = "lifts"
    __table_args__ = (UniqueConstraint("rfq_id", "quote_id"),)

    lift_id: str = _key()
    rfq_id: str = _text(index=True)
    request_id: str = _text(index=True)
    quote_id: str = _text()
    dealer_id: str = _text(index=True)
    status: str = _text()
    price: int = _lots()
    quantity: int = _lots()
    noun: str = _noun()


class FillRow(SQLModel, table=True):
    __tablename__ = "fills"

    rfq_id: str = _key()
    fill_id: str = _key()
    symbol: str = _text()
    side: str = _text()
    price: int = _lots()
    quantity: int = _lots()
    place: str = _text()
    venue: str = _text()
    lift_id: str | None = _optional_text(index=True)
    child_id: str | None = _optional_text()
    reference: int = _lots()
    """The mid at the fill, or the fill's own price where none was known."""
    filled_at: datetime = _time()
    market_filled_at: datetime = _time(index=True)
    noun: str = _noun()


class ParentRow(SQLModel, table=True):
    __tablename__ = "parents"

    parent_id: str = _key()
    rfq_id: str = _text(index=True)
    status: str = _text()
    side: str = _text()
    quantity: int = _lots()
    filled: int = _lots()
    noun: str = _noun()


class ChildRow(SQLModel, table=True):
    __tablename__ = "children"

    child_id: str = _key()
    parent_id: str = _text(index=True)
    rfq_id: str = _text(index=True)
    venue: str = _text()
    status: str = _text()
    quantity: int = _lots()
    filled: int = _lots()
    price: int | None = _optional_number()
    noun: str = _noun()


class MarkOutRow(SQLModel, table=True):
    """A missing mid is a row with none: it was looked for and could not be had."""

    __tablename__ = "mark_outs"

    rfq_id: str = _key()
    subject: str = _key()
    horizon_ms: int = _key(BigInteger)
    due_at: datetime = _time()
    reference: int = _lots()
    mid: int | None = _optional_number()
    control_bps: float | None = Field(default=None, nullable=True)


class TradeAcknowledgementRow(SQLModel, table=True):
    __tablename__ = "trade_acknowledgements"

    lift_id: str = _key()
    dealer_id: str = _text()


STATE_TABLES = (
    "rfqs",
    "auctions",
    "requests",
    "quotes",
    "awards",
    "decisions",
    "lifts",
    "fills",
    "parents",
    "children",
    "mark_outs",
    "trade_acknowledgements",
)
"""What a rebuild recomputes from the events."""

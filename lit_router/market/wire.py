"""The simulated exchange's socket protocol, version 1: market data out, orders in, execution reports out.

A WebSocket with `Authorization: Bearer <key>` and one of two subprotocols: JSON in text frames, MessagePack in binary
ones. Every message is an object with a `type`. Prices and quantities are decimal strings in money and shares; times
are ISO-8601 UTC, market time. Market data is conflated: a slow reader gets the latest of each symbol, not each
change. Execution reports are never conflated: a reader that lets them pile up is disconnected. When a connection
ends, its live orders are cancelled.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

JSON = "sotto.exchange.v1.json"
MSGPACK = "sotto.exchange.v1.msgpack"
SUBPROTOCOLS = (JSON, MSGPACK)
MAX_FRAME = 16_384
"""Bytes of one message from a participant."""


class Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of all messages."""


# --- from a participant ------------------------------------------------------------------------------------------


class Subscribe(Wire, frozen=True, kw_only=True, tag="subscribe"):
    """Market data from now on, for these symbols; all of them if empty."""

    symbols: list[str] = []


class NewOrder(Wire, frozen=True, kw_only=True, tag="new_order"):
    """`order_id` is the participant's own, never reused within an `account`. No price: a market order, IOC only."""

    order_id: str
    symbol: str
    side: str
    quantity: str
    price: str | None = None
    time_in_force: str = "day"
    book: str = "lit"
    minimum: str | None = None
    account: str = ""


class CancelOrder(Wire, frozen=True, kw_only=True, tag="cancel"):
    order_id: str
    account: str = ""


class AskStatus(Wire, frozen=True, kw_only=True, tag="status"):
    """Answered by every execution of the order again, then its state."""

    order_id: str
    account: str = ""


FromParticipant = Subscribe | NewOrder | CancelOrder | AskStatus


# --- to a participant --------------------------------------------------------------------------------------------


class Listed(Wire, frozen=True, kw_only=True):
    """An instrument: the money value of one price unit, and the shares in a lot."""

    symbol: str
    currency: str
    price_unit: str
    lot: str


class Welcome(Wire, frozen=True, kw_only=True, tag="welcome"):
    """The first message. `rate`: market seconds per second at present."""

    participant: str
    market_time: datetime
    rate: float
    books: list[str]
    instruments: list[Listed]


class Top(Wire, frozen=True, kw_only=True):
    """The top of one lit book; absent sides and trades are left out."""

    symbol: str
    bid: str | None = None
    bid_quantity: str | None = None
    ask: str | None = None
    ask_quantity: str | None = None
    mid: str | None = None
    last: str | None = None
    volume: str = "0"
    halted: bool = False


class Data(Wire, frozen=True, kw_only=True, tag="data"):
    """What changed since the last one, and the clock."""

    market_time: datetime
    rate: float
    tops: list[Top]


class Execution(Wire, frozen=True, kw_only=True, tag="execution"):
    """About one order. `kind`: accepted, rejected, executed, cancelled, expired, cancel_rejected, or status: the answer
    to a status request, with `state` live, filled, cancelled, expired, rejected or unknown."""

    order_id: str
    account: str
    kind: str
    market_at: datetime
    execution_id: str = ""
    price: str | None = None
    quantity: str | None = None
    leaves: str | None = None
    maker: bool | None = None
    state: str = ""
    reason: str = ""


class Error(Wire, frozen=True, kw_only=True, tag="error"):
    """A message that could not be taken. The connection stays open."""

    reason: str
    field: str = ""
    order_id: str = ""


ToParticipant = Welcome | Data | Execution | Error

Frame = str | bytes


class Codec:
    """Frames <-> messages of one subprotocol."""

    def __init__(self, subprotocol: str) -> None:
        self.subprotocol = subprotocol
        self._json = subprotocol == JSON
        self._encode = (msgspec.json.Encoder() if self._json else msgspec.msgpack.Encoder()).encode
        coding = msgspec.json if self._json else msgspec.msgpack
        self._from: Callable[[Any], FromParticipant] = coding.Decoder(FromParticipant).decode
        self._to: Callable[[Any], ToParticipant] = coding.Decoder(ToParticipant).decode

    def encode(self, message: FromParticipant | ToParticipant) -> Frame:
        packed = self._encode(message)
        return packed.decode() if self._json else packed

    def from_participant(self, frame: Frame) -> FromParticipant:
        """Raises msgspec.DecodeError (and its ValidationError)."""
        return self._from(frame)

    def to_participant(self, frame: Frame) -> ToParticipant:
        """Raises msgspec.DecodeError (and its ValidationError)."""
        return self._to(frame)

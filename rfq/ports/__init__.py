"""What the engine needs from the outside, and nothing of how it is done. Adapters implement it; app.py wires them."""

from rfq.ports.choosing import Answered, DealerPredictor, ResidualCost, ResidualRequest, SelectionRequest, WaveRequest
from rfq.ports.clocks import Clock, IdSource, MarketClock
from rfq.ports.dealers import (
    DealerDeclined,
    DealerGateway,
    DealerInbox,
    DealerMessage,
    DealerQuoted,
    DealerWithdrew,
    LiftAnswered,
    LineDown,
    LineUp,
    Trade,
    TradeLedger,
)
from rfq.ports.market import MarketData, MarketView
from rfq.ports.orders import OrderStore, Router, Working
from rfq.ports.people import KeyStore, Principal, Role
from rfq.ports.storage import (
    ControlStore,
    DealerOutcome,
    HistoryReader,
    Idempotency,
    Lease,
    RfqReader,
    RfqStore,
    StreamId,
    Unmarked,
)

__all__ = [
    "Answered",
    "Clock",
    "ControlStore",
    "DealerDeclined",
    "DealerGateway",
    "DealerInbox",
    "DealerMessage",
    "DealerOutcome",
    "DealerPredictor",
    "DealerQuoted",
    "DealerWithdrew",
    "HistoryReader",
    "IdSource",
    "Idempotency",
    "KeyStore",
    "Lease",
    "LiftAnswered",
    "LineDown",
    "LineUp",
    "MarketClock",
    "MarketData",
    "MarketView",
    "OrderStore",
    "Principal",
    "ResidualCost",
    "ResidualRequest",
    "RfqReader",
    "RfqStore",
    "Role",
    "Router",
    "SelectionRequest",
    "StreamId",
    "Trade",
    "TradeLedger",
    "Unmarked",
    "WaveRequest",
    "Working",
]

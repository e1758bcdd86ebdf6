"""Whom to ask, and what working a residual costs: the models behind their ports."""

from datetime import datetime
from typing import Protocol

from rfq.domain.blend import ResidualCurve
from rfq.domain.rfq import RfqTerms
from rfq.domain.selection import Selection
from rfq.domain.values import DealerId, Frozen, Instrument, Quantity, Side
from rfq.ports.market import MarketView


class SelectionRequest(Frozen, frozen=True):
    """What choosing may know: the terms, the instrument, the market at the request and who can be reached."""

    terms: RfqTerms
    instrument: Instrument
    market: MarketView
    at: datetime
    """Market time."""
    panel: tuple[DealerId, ...]
    residual: ResidualCurve | None
    seed: int
    regulatory_least: int = 0
    """Dealers that a rule demands to be asked, whatever the terms say; 0 where none does."""
    leakage_budget_bps: float = 0.0
    """Most leakage expected of all that are asked together; 0 where it is not bounded."""
    intervals: bool = False
    """Whether to say how sure each further dealer's saving is: it takes as long as some choices."""


class DealerPredictor(Protocol):
    async def select(self, request: SelectionRequest) -> Selection:
        """Ranks the panel and chooses whom to ask. Runs off the event loop. An empty panel gives an empty choice."""
        ...


class ResidualRequest(Frozen, frozen=True):
    """State in which a residual would be worked; `asked` and `side` matter because those who lose may trade ahead."""

    instrument: Instrument
    side: Side | None
    quantity: Quantity
    market: MarketView
    terms: RfqTerms
    asked: tuple[DealerId, ...] = ()
    leakage_bps: float = 0.0
    """Expected adverse move caused by those asked and not hit."""


class ResidualCost(Protocol):
    def curve(self, request: ResidualRequest) -> ResidualCurve:
        """The cost of working any part of the quantity: table from 0 to `quantity` lots."""
        ...

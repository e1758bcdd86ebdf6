"""Whom to ask, and what working a residual costs: the models behind their ports."""

from datetime import datetime
from typing import Protocol

from rfq.domain.blend import ResidualCurve
from rfq.domain.rfq import RfqTerms
from rfq.domain.selection import Selection, WaveDecision
from rfq.domain.values import NO_LOTS, DealerId, Frozen, Instrument, Quantity, Side
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


class Answered(Frozen, frozen=True):
    """A dealer asked in an earlier wave, and what can be had of it now."""

    dealer_id: DealerId
    cost_bps: float | None = None
    """Of its quote against the mid now, on the desk's side; None where there is none to take."""
    quantity: Quantity = NO_LOTS
    lapses: bool = False
    """The quote will have expired when a further wave is in."""


class WaveRequest(Frozen, frozen=True):
    """What deciding on a further wave may know. The panel of `request` is everybody asked and all who might be next;
    its market and residual are as they are now."""

    request: SelectionRequest
    wave: int
    """The number of the wave that is decided on."""
    asked: tuple[Answered, ...]


class DealerPredictor(Protocol):
    async def select(self, request: SelectionRequest) -> Selection:
        """Ranks the panel and chooses whom to ask. Runs off the event loop. An empty panel gives an empty choice."""
        ...

    async def further(self, wave: WaveRequest) -> WaveDecision:
        """Whether asking more pays for what may be lost by waiting. Runs off the event loop, and has no bound on its
        time: the caller sets one. Raises OurFault where the models cannot say."""
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

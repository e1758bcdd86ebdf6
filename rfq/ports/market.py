"""What is seen of the market."""

from datetime import datetime
from typing import Protocol

from rfq.domain.values import Frozen, Price, Quantity, Symbol


class MarketView(Frozen, frozen=True):
    """One instrument's market as it was at `source_at` (market time). Quantities in lots."""

    symbol: Symbol
    bid: Price | None
    ask: Price | None
    bid_quantity: Quantity
    ask_quantity: Quantity
    last: Price | None
    volume: Quantity
    """Lots traded since the session began."""
    source_at: datetime
    halted: bool = False

    @property
    def mid(self) -> Price | None:
        """Exact, because the price unit divides half a tick; None without both sides."""
        return None if self.bid is None or self.ask is None else Price((self.bid + self.ask) // 2)


class MarketData(Protocol):
    def view(self, symbol: Symbol) -> MarketView:
        """The latest known, without waiting. Raises NotFound for a symbol that has no feed."""
        ...

    async def mid_at(self, symbol: Symbol, at: datetime) -> Price | None:
        """The mid that stood at market time `at`; None if it is not known (halted, empty, no longer kept)."""
        ...

    async def control_bps(self, symbol: Symbol, since: datetime, until: datetime) -> float | None:
        """The move of the rest of the market between two market times: what `symbol` would have done anyway."""
        ...

"""A recorded market as venues: its lit book, and its hidden executions and off-exchange trades as a dark pool."""

from lit_router.market.orders import LIT
from lit_router.market.recorded import HIDDEN
from lit_router.market.running import RunningExchange
from lit_router.ports import Fees
from lit_router.venues.dark import DARK_FEES
from lit_router.venues.exchange_venue import ExchangeVenue
from lit_router.venues.lit import LIT_FEES
from rfq.domain.fill import Where


class ReplayLitVenue(ExchangeVenue):
    """Our orders against the recorded queues. The market does not react."""

    def __init__(self, exchange: RunningExchange, *, fees: Fees = LIT_FEES, participant: str = "sotto") -> None:
        super().__init__(exchange, name=LIT, where=Where.LIT, fees=fees, book=LIT, participant=participant)


class ReplayHiddenVenue(ExchangeVenue):
    """Our hidden orders against recorded hidden executions inside the spread; on a day of ticks against off-exchange
    trades (code D) between or at the best prices, in the same role."""

    def __init__(self, exchange: RunningExchange, *, fees: Fees = DARK_FEES, participant: str = "sotto") -> None:
        super().__init__(exchange, name=HIDDEN, where=Where.DARK, fees=fees, book=HIDDEN, participant=participant)


def replay_venues(exchange: RunningExchange) -> tuple[ReplayLitVenue, ReplayHiddenVenue]:
    """Both venues of a RecordedExchange that runs."""
    return ReplayLitVenue(exchange), ReplayHiddenVenue(exchange)

"""The simulated exchange's lit book as a venue."""

from lit_router.market.orders import LIT
from lit_router.market.running import RunningExchange
from lit_router.ports import Fees
from lit_router.venues.exchange_venue import ExchangeVenue
from rfq.domain.fill import Where

LIT_FEES = Fees(take_bps=0.30, make_bps=-0.20)
"""A maker-taker schedule: 30 mils a share to take and 20 mils back to make, at a price of $100."""


class LitVenue(ExchangeVenue):
    """Displayed orders, price and time priority."""

    def __init__(
        self, exchange: RunningExchange, *, name: str = LIT, fees: Fees = LIT_FEES, participant: str = "sotto"
    ) -> None:
        super().__init__(exchange, name=name, where=Where.LIT, fees=fees, book=LIT, participant=participant)

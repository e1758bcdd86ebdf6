"""The simulated exchange's dark pools as venues."""

from lit_router.market.batch.pools import POOLS, PoolCharacter
from lit_router.market.running import RunningExchange
from lit_router.ports import Fees
from lit_router.venues.exchange_venue import ExchangeVenue
from rfq.domain.fill import Where

DARK_FEES = Fees(take_bps=0.10, make_bps=0.10)
"""10 mils a share on either side, at a price of $100."""


class DarkVenue(ExchangeVenue):
    """Hidden orders, crossed at the lit book's mid."""

    def __init__(
        self, exchange: RunningExchange, pool: PoolCharacter, *, fees: Fees = DARK_FEES, participant: str = "sotto"
    ) -> None:
        super().__init__(exchange, name=pool.name, where=Where.DARK, fees=fees, book=pool.name, participant=participant)


def dark_venues(
    exchange: RunningExchange, pools: tuple[PoolCharacter, ...] = POOLS
) -> tuple[DarkVenue, ...]:
    """A venue for each pool the exchange was made with."""
    return tuple(DarkVenue(exchange, pool) for pool in pools)

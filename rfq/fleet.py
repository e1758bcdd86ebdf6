"""The fleet of simulated dealers, wired: a process of its own that meets the service only over its sockets."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from dealers import commands
from dealers.panel import default_panel
from rfq import keys
from rfq.api.house_answers import InstrumentAnswer
from rfq.client import Client
from rfq.clocks import RandomIds, SystemClock
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId, Instrument, Price, Quantity, Symbol, TickBand, TradingHours


async def run(
    *,
    url: str,
    exchange_url: str,
    key_file: Path,
    dealers: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Runs `dealers` simulated dealers against the service at `url` (http://...) until cancelled.

    `key_file` is the one the service wrote at its first start. Raises BadInput for a dealer without a key there, and
    what ends a dealer or its access to the market.
    """
    panel = default_panel(seed, dealers)
    known = {DealerId(e.name): e.key for e in keys.read(key_file) if e.role == "dealer"}
    if missing := [t.dealer for t in panel if t.dealer not in known]:
        raise BadInput("keys", str(key_file), f"must have a key for dealer {missing[0]}")
    async with Client(url, known[panel[0].dealer]) as reference:
        listed = [_instrument(answer) for answer in await reference.instruments()]
    await commands.fleet(
        url.replace("http", "ws", 1) + "/v1/dealers/link",
        exchange_url,
        {traits.dealer: known[traits.dealer] for traits in panel},
        instruments={instrument.symbol: instrument for instrument in listed},
        clock=SystemClock(),
        ids=RandomIds(),
        seed=seed,
        say=say,
    )


def _instrument(answer: InstrumentAnswer) -> Instrument:
    unit, lot = Decimal(answer.price_unit), Decimal(answer.lot)
    return Instrument(
        symbol=Symbol(answer.symbol),
        currency=answer.currency,
        price_unit=unit,
        tick_bands=tuple(
            TickBand(Price(int(Decimal(band.from_price) / unit)), int(Decimal(band.tick) / unit))
            for band in answer.ticks
        ),
        lot=lot,
        multiplier=Decimal(answer.multiplier),
        hours=TradingHours(answer.opens, answer.closes, answer.time_zone),
        adv=Quantity(int(Decimal(answer.adv) / lot)),
        volatility_bps=answer.volatility_bps,
        spread_bps=answer.spread_bps,
        asset_class=answer.asset_class,
        sector=answer.sector,
    )

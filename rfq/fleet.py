"""The fleet of simulated dealers, wired: a process of its own that meets the service only over its sockets."""

import itertools
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from dealers.panel import default_panel
from dealers.simulator import run_fleet
from lit_router.market.client import ExchangeClient
from rfq import keys
from rfq.clocks import SystemClock
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId
from rfq.instruments import directory


async def run(
    *,
    url: str,
    exchange_url: str,
    key_file: Path,
    dealers: int,
    seed: int,
    instruments: Path | None,
    say: Callable[[str], None],
) -> None:
    """Runs `dealers` simulated dealers against the service at `url` (ws://...) until cancelled.

    `key_file` is the one the service wrote at its first start. Raises BadInput for a dealer without a key there, and
    what ends a dealer or its access to the market.
    """
    panel = default_panel(seed, dealers)
    known = {DealerId(e.name): e.key for e in keys.read(key_file) if e.role == "dealer"}
    if missing := [t.dealer for t in panel if t.dealer not in known]:
        raise BadInput("keys", str(key_file), f"must have a key for dealer {missing[0]}")
    async with AsyncExitStack() as stack:
        markets: dict[DealerId, ExchangeClient] = {}
        for traits in panel:
            run_id, numbers = secrets.token_hex(4), itertools.count(1)

            def new_id(run_id: str = run_id, numbers: "itertools.count[int]" = numbers) -> str:
                return f"{run_id}-{next(numbers)}"

            client = ExchangeClient(exchange_url, known[traits.dealer], new_id=new_id)
            markets[traits.dealer] = await stack.enter_async_context(client.connected())
        await run_fleet(
            url,
            known,
            panel=panel,
            exchange=markets.__getitem__,
            instruments={symbol: listing.instrument for symbol, listing in directory(instruments).items()},
            clock=SystemClock(),
            seed=seed,
            say=say,
        )

"""What `rfq dealers` does: run a fleet, print an example, check a peer. The command line parses; these act."""

import contextlib
from collections.abc import Callable, Mapping
from importlib import resources
from urllib.parse import urlsplit

from dealers.check import Report
from dealers.check_dealer import DealerCheck
from dealers.check_service import ServiceCheck
from dealers.counterparty import Counterparty, Patience
from dealers.panel import default_panel
from dealers.seat import Exchange
from dealers.simulator import run_fleet
from lit_router.market.client import ExchangeClient
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId, Instrument, Price, Quantity, Symbol
from rfq.ports import Clock, IdSource

Say = Callable[[str], None]


def example_text() -> str:
    """The source of dealers/example.py: a complete minimal client."""
    return resources.files("dealers").joinpath("example.py").read_text(encoding="utf-8")


async def fleet(
    url: str,
    exchange_url: str,
    keys: Mapping[DealerId, str],
    *,
    instruments: Mapping[Symbol, Instrument],
    clock: Clock,
    ids: IdSource,
    seed: int,
    say: Say,
) -> None:
    """Runs the declared panel, one dealer for each key in the order of their ids, until cancelled.

    `keys` open both the dealer protocol at `url` and the simulated exchange at `exchange_url`. Raises NotAllowed for a
    key that is refused, PeerGone without an exchange, BadInput for keys that do not belong to the panel.
    """
    panel = default_panel(seed, max(1, len(keys)))
    if strangers := sorted(set(keys) - {traits.dealer for traits in panel}):
        raise BadInput("keys", strangers[0], f"must be of {panel[0].dealer} to {panel[-1].dealer}, without gaps")
    async with contextlib.AsyncExitStack() as stack:
        exchanges: dict[DealerId, Exchange] = {}
        for dealer_id, key in keys.items():
            client = ExchangeClient(exchange_url, key, new_id=lambda: ids.new("order"))
            exchanges[dealer_id] = await stack.enter_async_context(client.connected())
        say(f"{len(exchanges)} dealers see the market at {exchange_url}")
        await run_fleet(
            url,
            keys,
            panel=panel,
            exchange=exchanges.__getitem__,
            instruments=instruments,
            clock=clock,
            seed=seed,
            say=say,
        )


async def check_service(url: str, key: str, *, say: Say) -> int:
    """Checks the server at `url` as a dealer with `key`; says what was found. Exit status 0 if every rule was kept.

    Raises PeerGone if there is no server at all.
    """
    _websocket_url(url)
    return _tell(await ServiceCheck(url, key).run(), say)


async def check_dealer(
    url: str,
    key: str,
    *,
    instrument: Instrument,
    quantity: str,
    mid: Price,
    clock: Clock,
    ids: IdSource,
    say: Say,
    wait_s: float = 120.0,
    patience: Patience | None = None,
) -> int:
    """Serves at `url`, waits for a dealer's client that shows `key`, checks it; says what was found.

    `instrument` must be one that the dealer quotes, `quantity` a decimal string of shares. Exit status 0 if every rule
    was kept. Raises BadInput, or OSError if the port cannot be had.
    """
    host, port = _websocket_url(url)
    lots: Quantity = instrument.parse_quantity(quantity)
    counterparty = Counterparty(instrument, lots, mid, clock=clock, ids=ids, key=key, patience=patience)
    check = DealerCheck(counterparty)
    return _tell(await check.run(host, port, wait_s=wait_s, say=say), say)


def _tell(report: Report, say: Say) -> int:
    say(report.as_text())
    return 0 if report.passed else 1


def _websocket_url(url: str) -> tuple[str, int]:
    """Host and port. Raises BadInput."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "wss" else 80)
    except ValueError:
        raise BadInput("url", url, "must have a port from 1 to 65535") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise BadInput("url", url, "must be a ws:// or wss:// URL")
    return parts.hostname, port

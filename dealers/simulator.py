"""A fleet of simulated dealers, each an ordinary client of the protocol with its own key, behaviour and randomness."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Self

import numpy as np
import structlog

from dealers.behaviour_traits import DealerTraits
from dealers.client import Backoff, DealerClient
from dealers.panel import open_panel
from dealers.seat import Exchange
from dealers.simulated_trader import SimulatedTrader
from dealers.wire import MSGPACK
from dealers.wire_seat import WireSeat
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId, Instrument, Symbol
from rfq.ports import Clock

log = structlog.get_logger()


class FleetDealer:
    """One dealer of the fleet: its line to Sotto and the trader at the end of it."""

    def __init__(self, dealer_id: DealerId, client: DealerClient, trader: SimulatedTrader) -> None:
        self.dealer_id, self.client, self.trader = dealer_id, client, trader


class Fleet:
    """Dealers on their lines, while the context is open.

    Everything random comes from `seed`: the dealers' opening inventories, and one stream for each dealer, so that what
    one decides does not depend on how many others there are.
    """

    def __init__(
        self,
        url: str,
        keys: Mapping[DealerId, str],
        *,
        panel: tuple[DealerTraits, ...],
        exchange: Callable[[DealerId], Exchange],
        instruments: Mapping[Symbol, Instrument],
        clock: Clock,
        seed: int,
        subprotocol: str = MSGPACK,
        cancel_on_disconnect: bool = True,
        backoff: Backoff | None = None,
    ) -> None:
        """`exchange` gives each dealer its own access to the market. Raises BadInput for a dealer without a key."""
        self.dealers: dict[DealerId, FleetDealer] = {}
        opened = open_panel(panel, np.random.default_rng([seed, 0]))
        for number, (dealer_id, dealer) in enumerate(opened.items(), start=1):
            if dealer_id not in keys:
                raise BadInput("keys", sorted(keys), f"must have one for dealer {dealer_id}")
            seat = WireSeat(dealer_id, instruments, clock)
            client = DealerClient(
                url,
                keys[dealer_id],
                seat,
                clock=clock,
                rng=random.Random(f"{seed}/{dealer_id}/backoff"),
                subprotocol=subprotocol,
                cancel_on_disconnect=cancel_on_disconnect,
                backoff=backoff,
            )
            trader = SimulatedTrader(
                dealer,
                seat,
                clock=clock,
                exchange=exchange(dealer_id),
                instruments=instruments,
                rng=np.random.default_rng([seed, number]),
            )
            seat.say, seat.trader = client.say, trader
            self.dealers[dealer_id] = FleetDealer(dealer_id, client, trader)
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for dealer in self.dealers.values():
            self._running.append(asyncio.create_task(dealer.client.run(), name=f"dealer {dealer.dealer_id}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.gather(*(dealer.trader.close() for dealer in self.dealers.values()))

    async def logged_on(self, within_s: float = 30.0) -> None:
        """Returns once every dealer's line is up. Raises TimeoutError, or what ended a dealer (a refused key)."""

        async def all_up() -> None:
            for dealer in self.dealers.values():
                await dealer.client.logged_on.wait()

        waiting = asyncio.create_task(all_up())
        try:
            async with asyncio.timeout(within_s):
                await asyncio.wait([waiting, *self._running], return_when=asyncio.FIRST_COMPLETED)
                self._raise_if_ended()
                await waiting
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def run(self) -> None:
        """Until cancelled. Raises what ended a dealer: a refused key, a newer connection, another version."""
        await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        self._raise_if_ended()

    def _raise_if_ended(self) -> None:
        for task in self._running:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def counts(self) -> dict[DealerId, dict[str, int]]:
        """What each dealer has heard and said since the start."""
        return {dealer_id: dict(dealer.trader.counts) for dealer_id, dealer in self.dealers.items()}


async def run_fleet(
    url: str,
    keys: Mapping[DealerId, str],
    *,
    panel: tuple[DealerTraits, ...],
    exchange: Callable[[DealerId], Exchange],
    instruments: Mapping[Symbol, Instrument],
    clock: Clock,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Runs a fleet until cancelled, saying once when all its lines are up. Raises as Fleet.run does."""
    async with Fleet(
        url, keys, panel=panel, exchange=exchange, instruments=instruments, clock=clock, seed=seed
    ) as fleet:
        await fleet.logged_on()
        say(f"{len(fleet.dealers)} dealers are connected to {url}")
        await fleet.run()

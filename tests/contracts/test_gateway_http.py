"""The gateway behind the real HTTP edge and server: the check of a service finds every rule kept there too."""

import contextlib

from dealer_bench import ACME, D1, Inbox, WallClock, lift_of, request
from edge_double import House
from virtual_time import SeededIds

from dealers import commands
from dealers.behaviour_traits import DealerTraits
from dealers.gateway import WireGateway
from dealers.in_process import MarketAccess
from dealers.session import SessionBounds
from dealers.simulator import Fleet
from rfq.domain.values import Price, Quantity
from rfq.ports import DealerQuoted, LiftAnswered, LineDown, LineUp


async def test_a_dealers_day_over_the_http_edge():
    clock, inbox, said = WallClock(), Inbox(), []
    gateway = WireGateway(
        clock=clock, ids=SeededIds(), instruments={ACME.symbol: ACME}, session_bounds=SessionBounds(heartbeat_s=0.3)
    )
    gateway.attach(inbox)
    house = House()
    house.edge.serve_dealer = gateway.serve
    async with house.served() as http:
        url = http.replace("http", "ws") + "/v1/dealers/link"
        async with gateway:
            assert await commands.check_service(url, "k-d1", say=said.append) == 0, said[-1]
            await _quotes_and_confirms(gateway, inbox, clock, url)


async def _quotes_and_confirms(gateway: WireGateway, inbox: Inbox, clock: WallClock, url: str) -> None:
    eager = DealerTraits(dealer=D1, answer_logit=50.0, appetite=1.0, pace=0.05, pace_spread=0.0)
    market = MarketAccess(StillClock(), lambda _: Price(20_000))
    fleet = Fleet(
        url,
        {D1: "k-d1"},
        panel=(eager,),
        exchange=lambda _: market,
        instruments={ACME.symbol: ACME},
        clock=clock,
        seed=1,
    )
    before = len(inbox.of(LineUp))
    async with fleet:
        await fleet.logged_on()
        await inbox.next(LineUp, before + 1)
        await gateway.ask([request("r1", clock.now(), quantity=Quantity(2_000), window_s=2)])
        lift = lift_of(await inbox.next(DealerQuoted), clock.now())
        await gateway.lift(lift)
        assert (await inbox.next(LiftAnswered)).answer == "confirmed"
    await inbox.until(lambda: len(inbox.of(LineDown)) >= 1 and gateway.reachable() == frozenset())


class StillClock(WallClock):
    """A market that stands still: its time is the wall's."""

    def real_time(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

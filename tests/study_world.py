"""What the suites of the study world share: a request to try things on, as the world and as a single dealer see it."""

from dealers.behaviour_traits import RequestView
from rfq.domain.values import DealerId, Price, Quantity
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Chosen, DeskHabit
from rfq.studies.world_requests import DISCLOSED_REST, Request


def after(world: DealerWorld, requests: int, **wanted) -> Request:
    """The next request, after so many, whose facts are as wanted."""
    for _ in world.run(DeskHabit(world.terms), requests):
        pass
    while True:
        request = world.next_request()
        if all(getattr(request.facts, name) == value for name, value in wanted.items()):
            return request


def asking(*dealers: DealerId) -> Chosen:
    return Chosen(dealers, ())


def view_of(request: Request, rivals: int) -> RequestView:
    f = request.facts
    rest = Quantity(round(DISCLOSED_REST * request.quantity)) if f.residual_disclosed else None
    return RequestView(
        instrument=request.instrument.but(spread_bps=f.spread_bps),
        side=None if f.two_way else f.side,
        quantity=Quantity(request.quantity),
        mid=Price(2_000_000),
        volatility_bps=f.volatility_bps,
        time_left_s=f.window_s,
        competitors=rivals,
        residual=rest,
        desk=None if f.anonymous else f.desk,
        belief_bps=request.belief_bps,
    )

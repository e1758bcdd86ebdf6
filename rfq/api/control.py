"""Plans, dealers, instruments; and what supervisors and operators hold over it all."""

from typing import Annotated

from litestar import Controller
from litestar.params import JSONBody, QueryParameter

from rfq.api import answers as a
from rfq.api import auth, events, parse, render
from rfq.api import house_answers as h
from rfq.api.edge import Edge
from rfq.api.messages import KillBody, LimitsBody, RfqBody
from rfq.api.routes import AnyRequest, Id, TheEdge, delete, get, post, put, strict
from rfq.domain.errors import NotFound, StoreUnavailable
from rfq.domain.values import DeskId


class Plans(Controller):
    path = "/plans"
    tags = ("Choosing",)

    @post(roles=auth.DESKS, dto=strict(RfqBody), return_dto=None, status_code=200)
    async def plan(self, edge: TheEdge, data: JSONBody[RfqBody]) -> h.PlanAnswer:
        """Ranking, expected cost and the worth of each further dealer, asking nobody."""
        terms, instrument = parse.terms(data, edge.instruments)
        with parse.own_words(data):
            return render.plan(await edge.engine.plan(terms), instrument)


class Reference(Controller):
    tags = ("Reference",)

    @get("/dealers", roles=auth.STAFF)
    async def dealers(self, request: AnyRequest, edge: TheEdge) -> h.DealersAnswer:
        """Each dealer's line and recent record. An operator sees no costs: they come from desks' quotes."""
        return await edge.scoreboard.show(with_costs=auth.caller(request).role != "operator")

    @get("/instruments", roles=auth.EVERYONE)
    async def instruments(self, edge: TheEdge) -> h.InstrumentsAnswer:
        """What is traded here, with ticks and lots."""
        return render.instruments(edge.instruments.values())


class Control(Controller):
    tags = ("Control",)

    @get("/kill-switch", roles=auth.STAFF)
    async def kill_switch(self, edge: TheEdge) -> h.KillSwitchAnswer:
        return _switch(edge)

    @post(
        "/kill-switch",
        roles=auth.SUPERVISORS_AND_OPERATORS,
        dto=strict(KillBody),
        return_dto=None,
        status_code=200,
    )
    async def kill(self, request: AnyRequest, edge: TheEdge, data: JSONBody[KillBody]) -> h.KillSwitchAnswer:
        """Stops all that adds risk, at once, whether or not the database is there to record it."""
        reason, by = parse.reason(data), auth.by(auth.caller(request))
        try:
            await edge.carry(edge.engine.kill(by, reason))
        except StoreUnavailable:
            if edge.engine.killed is None:
                raise
            return _switch(edge, recorded=False)
        return _switch(edge)

    @delete("/kill-switch", roles=auth.SUPERVISORS_AND_OPERATORS, status_code=200)
    async def release(self, request: AnyRequest, edge: TheEdge) -> h.KillSwitchAnswer:
        """Lets new RFQs in again."""
        await edge.carry(edge.engine.release(auth.by(auth.caller(request))))
        return _switch(edge)

    @get("/limits/{desk_id:str}", roles=auth.SUPERVISORS)
    async def limits(self, edge: TheEdge, desk_id: Id) -> h.LimitsAnswer:
        desk = await _desk(edge, desk_id)
        return render.limits(desk, await edge.engine.limits(desk))

    @put("/limits/{desk_id:str}", roles=auth.SUPERVISORS, dto=strict(LimitsBody), return_dto=None)
    async def set_limits(
        self, request: AnyRequest, edge: TheEdge, desk_id: Id, data: JSONBody[LimitsBody]
    ) -> h.LimitsAnswer:
        """Replaces a desk's limits; RFQs already accepted go on."""
        bounds = parse.limits(data)
        desk = await _desk(edge, desk_id)
        await edge.carry(edge.engine.set_limits(desk, bounds, auth.by(auth.caller(request))))
        return render.limits(desk, await edge.engine.limits(desk))

    @get("/audit/rfqs/{rfq_id:str}", roles=auth.SUPERVISORS)
    async def audit(
        self,
        request: AnyRequest,
        edge: TheEdge,
        rfq_id: Id,
        after: Annotated[int, QueryParameter(ge=0, description="Sequence to go on from")] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 200,
    ) -> a.EventPage:
        """The recorded events of any RFQ, in order."""
        rfq = await auth.own_rfq(edge.engine, auth.caller(request), rfq_id)
        instrument = edge.instrument_of(rfq)
        closed = render.closed(await edge.reader.auctions(rfq.rfq_id))
        page = await edge.reader.events(rfq.rfq_id, after, limit)
        sealed = {q.auction_id for s in page if (q := events.quote_in(s.event))} - closed
        told = tuple(events.event(s, instrument, sealed) for s in page)
        return a.EventPage(events=told, next=page[-1].sequence if len(page) == limit else None)


def _switch(edge: Edge, recorded: bool = True) -> h.KillSwitchAnswer:
    reason = edge.engine.killed
    return h.KillSwitchAnswer(thrown=reason is not None, reason=reason, recorded=recorded)


async def _desk(edge: Edge, desk_id: str) -> DeskId:
    """Raises NotFound for a name that no desk's key has."""
    if desk_id not in await edge.key_store.names("desk"):
        raise NotFound("desk", desk_id[: auth.LONGEST_ID])
    return DeskId(desk_id)

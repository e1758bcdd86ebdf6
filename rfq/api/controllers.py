"""RFQs over HTTP: read the body, call the engine or the reader, render the answer. No decisions here."""

from hashlib import sha256
from typing import Annotated, Any

import msgspec
from litestar import Controller, Response
from litestar.params import FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.types import ASGIApp

from rfq.api import answers as a
from rfq.api import auth, parse, render
from rfq.api.edge import Edge
from rfq.api.messages import AwardBody, RfqBody, SettleBody, SettleOrderBody
from rfq.api.orders import orders
from rfq.api.report import report as report_of
from rfq.api.routes import AnyRequest, Id, TheEdge, get, post, strict
from rfq.domain.errors import BadInput, NotFound
from rfq.domain.rfq import Rfq, RfqStatus, RfqTerms
from rfq.domain.values import ChildId, DeskId, LiftId
from rfq.logs import bind
from rfq.tca.report import BlockReport

PageLength = Annotated[int, QueryParameter(ge=1, le=200, description="RFQs on a page")]
LONGEST_IDEMPOTENCY_KEY = 128

_canonical = msgspec.json.Encoder(order="deterministic").encode


class Rfqs(Controller):
    """A desk's RFQs, and what has come of each."""

    path = "/rfqs"
    tags = ("RFQs",)

    @post(roles=auth.DESKS, dto=strict(RfqBody), return_dto=None)
    async def create(
        self,
        request: AnyRequest,
        edge: TheEdge,
        data: JSONBody[RfqBody],
        idempotency_key: Annotated[str | None, HeaderParameter(name="Idempotency-Key", required=False)] = None,
    ) -> Response[a.RfqAnswer]:
        """Posts an RFQ. 201 when this created it, 200 when the same key and body had done so before."""
        key = _idempotency_key(idempotency_key)
        terms, instrument = parse.terms(data, edge.instruments)
        desk = DeskId(auth.caller(request).name)
        with parse.own_words(data):
            rfq, created = await edge.carry(
                edge.engine.submit(desk, terms, idempotency_key=key, body_digest=digest(terms))
            )
        location = {"Location": f"/v1/rfqs/{rfq.rfq_id}"}
        return Response(render.rfq(rfq, instrument), status_code=201 if created else 200, headers=location)

    @get(roles=auth.DESKS_AND_SUPERVISORS)
    async def list_rfqs(
        self,
        request: AnyRequest,
        edge: TheEdge,
        status: FromQuery[RfqStatus | None] = None,
        before: Annotated[str | None, QueryParameter(description="`next` of the page before", max_length=256)] = None,
        limit: PageLength = 50,
        desk: Annotated[str | None, QueryParameter(description="Supervisors: one desk's", max_length=64)] = None,
    ) -> a.RfqPage:
        """Newest first. A desk gets its own, a supervisor everyone's."""
        own = auth.desk_of(auth.caller(request))
        if own is not None and desk not in (None, own):
            raise BadInput("desk", desk, "must be your own or left out")
        wanted = own or (DeskId(desk) if desk else None)
        found, more = await edge.reader.rfqs(wanted, status, before, limit)
        return a.RfqPage(rfqs=tuple(render.rfq(r, edge.instrument_of(r)) for r in found), next=more)

    @get("/{rfq_id:str}", roles=auth.DESKS_AND_SUPERVISORS)
    async def get_rfq(self, request: AnyRequest, edge: TheEdge, rfq_id: Id) -> a.RfqAnswer:
        """As recorded."""
        rfq = await _recorded(edge, await _own(edge, request, rfq_id))
        return render.rfq(rfq, edge.instrument_of(rfq))

    @post("/{rfq_id:str}/cancel", roles=auth.DESKS_AND_SUPERVISORS, status_code=200)
    async def cancel(self, request: AnyRequest, edge: TheEdge, rfq_id: Id) -> a.Cancelled:
        """Stops what can be stopped, and says what was done and cannot be undone."""
        rfq = await _own(edge, request, rfq_id)
        told = await edge.carry(edge.engine.cancel(rfq.rfq_id, auth.by(auth.caller(request))))
        return a.Cancelled(rfq=render.rfq(told.rfq, edge.instrument_of(rfq)), done=told.done, pending=told.pending)

    @get("/{rfq_id:str}/auctions", roles=auth.DESKS_AND_SUPERVISORS)
    async def auctions(self, request: AnyRequest, edge: TheEdge, rfq_id: Id) -> a.AuctionsAnswer:
        """Each auction with the dealers asked and how they answered."""
        rfq = await _own(edge, request, rfq_id)
        found, asked = await edge.reader.auctions(rfq.rfq_id), await edge.reader.requests(rfq.rfq_id)
        instrument, now = edge.instrument_of(rfq), edge.now()
        return a.AuctionsAnswer(auctions=tuple(render.auction(x, asked, instrument, now) for x in found))

    @get("/{rfq_id:str}/quotes", roles=auth.DESKS_AND_SUPERVISORS)
    async def quotes(self, request: AnyRequest, edge: TheEdge, rfq_id: Id) -> a.QuotesAnswer:
        """Quotes by arrival; bid and offer stay sealed while their auction is open."""
        rfq = await _own(edge, request, rfq_id)
        # Auctions are read first: one that closes in between leaves its quotes sealed, never the other way about.
        closed = render.closed(await edge.reader.auctions(rfq.rfq_id))
        quotes, instrument, now = await edge.reader.quotes(rfq.rfq_id), edge.instrument_of(rfq), edge.now()
        sealed = {q.auction_id for q in quotes} - closed
        return a.QuotesAnswer(quotes=tuple(render.quote(q, sealed, instrument, now) for q in quotes))

    @get("/{rfq_id:str}/awards", roles=auth.DESKS_AND_SUPERVISORS)
    async def awards(self, request: AnyRequest, edge: TheEdge, rfq_id: Id) -> a.AwardsAnswer:
        """What was decided, and each lift with the dealer's answer."""
        rfq = await _own(edge, request, rfq_id)
        found, lifts = await edge.reader.awards(rfq.rfq_id), await edge.reader.lifts(rfq.rfq_id)
        return render.awards(found, lifts, edge.instrument_of(rfq))

    @post("/{rfq_id:str}/awards", roles=auth.DESKS, dto=strict(AwardBody), return_dto=None)
    async def award(self, request: AnyRequest, edge: TheEdge, rfq_id: Id, data: JSONBody[AwardBody]) -> a.AwardAnswer:
        """Picks quotes and quantities by hand, before they expire."""
        rfq = await _own(edge, request, rfq_id)
        instrument = edge.instrument_of(rfq)
        chosen = parse.picks(data, instrument)
        with parse.own_words(data):
            award = await edge.carry(edge.engine.award(rfq.rfq_id, chosen, auth.by(auth.caller(request))))
        return render.award(award, instrument)

    @get("/{rfq_id:str}/orders", roles=auth.DESKS_AND_SUPERVISORS)
    async def orders(self, request: AnyRequest, edge: TheEdge, rfq_id: Id) -> a.OrdersAnswer:
        """Parents that work the residual, each with its children."""
        rfq = await _own(edge, request, rfq_id)
        return orders(await edge.reader.orders(rfq.rfq_id), edge.instrument_of(rfq))

    @get("/{rfq_id:str}/fills", roles=auth.DESKS_AND_SUPERVISORS)
    async def fills(self, request: AnyRequest, edge: TheEdge, rfq_id: Id) -> a.FillsAnswer:
        """Every fill, at quotes and at venues."""
        rfq = await _own(edge, request, rfq_id)
        found, instrument = await edge.reader.fills(rfq.rfq_id), edge.instrument_of(rfq)
        return a.FillsAnswer(fills=tuple(render.fill(f, instrument) for f in found))

    @get("/{rfq_id:str}/report", roles=auth.DESKS_AND_SUPERVISORS)
    async def report(self, request: AnyRequest, edge: TheEdge, rfq_id: Id) -> BlockReport:
        """Cost analysis and best-execution record, as far as things have come."""
        rfq = await _recorded(edge, await _own(edge, request, rfq_id))
        return await report_of(edge.reader, rfq, edge.instrument_of(rfq), await edge.benchmarks(rfq))

    @get("/{rfq_id:str}/events", roles=auth.DESKS_AND_SUPERVISORS, stream=True, media_type="text/event-stream")
    async def events(
        self,
        request: AnyRequest,
        edge: TheEdge,
        rfq_id: Id,
        last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID", required=False)] = None,
        after: Annotated[int | None, QueryParameter(ge=0, description="As Last-Event-ID, for a first call")] = None,
    ) -> ASGIApp:
        """Server-sent events, each once and in order, from after the given sequence. 204: over, and all was told."""
        rfq = await _recorded(edge, await _own(edge, request, rfq_id))
        start = _sequence(last_event_id) if last_event_id is not None else after or 0
        if start > rfq.sequence:
            name = "Last-Event-ID" if last_event_id is not None else "after"
            raise BadInput(name, start, f"must be at most {rfq.sequence}, where the stream stands")
        if rfq.is_over and start == rfq.sequence:
            return _no_content
        return edge.stream(rfq, start)

    @post("/{rfq_id:str}/settle", roles=auth.SUPERVISORS, dto=strict(SettleBody), return_dto=None, status_code=200)
    async def settle(self, request: AnyRequest, edge: TheEdge, rfq_id: Id, data: JSONBody[SettleBody]) -> a.RfqAnswer:
        """A supervisor says, with evidence, what became of what the engine could not resolve."""
        rfq = await _own(edge, request, rfq_id)
        instrument = edge.instrument_of(rfq)
        quantity = parse.settled_quantity(data, instrument)
        lift_id = None if data.lift_id is None else LiftId(data.lift_id)
        by = auth.by(auth.caller(request))
        with parse.own_words(data):
            settled = await edge.carry(
                edge.engine.settle(rfq.rfq_id, lift_id, data.answer, data.evidence, by, quantity)
            )
        return render.rfq(settled, instrument)

    @post(
        "/{rfq_id:str}/orders/{child_id:str}/settle",
        roles=auth.SUPERVISORS,
        dto=strict(SettleOrderBody),
        return_dto=None,
        status_code=200,
    )
    async def settle_order(
        self, request: AnyRequest, edge: TheEdge, rfq_id: Id, child_id: Id, data: JSONBody[SettleOrderBody]
    ) -> a.RfqAnswer:
        """A supervisor says, with evidence, what became of a child order that its venue does not account for."""
        rfq = await _own(edge, request, rfq_id)
        instrument = edge.instrument_of(rfq)
        filled, price = parse.settled_order(data, instrument)
        by = auth.by(auth.caller(request))
        settling = edge.engine.settle_order(rfq.rfq_id, ChildId(child_id), filled, price, data.evidence, by)
        return render.rfq(await edge.carry(settling), instrument)


def digest(terms: RfqTerms) -> str:
    """Of what a body means, not how it was written: field order and spaces do not make it another body."""
    return sha256(_canonical(terms)).hexdigest()


async def _own(edge: Edge, request: AnyRequest, rfq_id: Id) -> Rfq:
    rfq = await auth.own_rfq(edge.engine, auth.caller(request), rfq_id)
    bind(rfq_id=rfq.rfq_id)
    return rfq


async def _recorded(edge: Edge, rfq: Rfq) -> Rfq:
    """The same RFQ as the database has it: what is shown has happened for good."""
    found = await edge.reader.rfq(rfq.rfq_id)
    if found is None:
        raise NotFound("RFQ", rfq.rfq_id)
    return found


def _idempotency_key(value: str | None) -> str:
    value = (value or "").strip()
    if not value:
        raise BadInput("Idempotency-Key", None, "is required: a header of your own choosing, one for each RFQ")
    if len(value) > LONGEST_IDEMPOTENCY_KEY or not (value.isascii() and value.isprintable()):
        rule = f"must be 1 to {LONGEST_IDEMPOTENCY_KEY} printable ASCII characters"
        raise BadInput("Idempotency-Key", value, rule)
    return value


def _sequence(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadInput("Last-Event-ID", text, "must be the id of an event")
    return int(text)


async def _no_content(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})

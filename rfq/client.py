"""A typed client for desk tools: `async with Client(url, key) as desk: rfq = await desk.create_rfq(...)`.

Bodies and answers are the structs of rfq.api.messages, answers and house_answers. Every refusal raises a `Refused`
that carries the problem (RFC 9457). What is safe to repeat is repeated when the service cannot be reached.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Self, TypeVar

import httpx
import msgspec

from rfq.api import answers as a
from rfq.api import house_answers as h
from rfq.api import messages as m
from rfq.domain.rfq import RfqStatus
from rfq.tca.report import BlockReport

T = TypeVar("T")

TRIES = 4
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
LONGEST_EVENT = 4_000_000
SILENCE_S = 60.0
"""An event stream that says nothing for so long, not even a heartbeat, is opened again."""


class ClientError(Exception):
    """Base of what the client raises."""


class Unreachable(ClientError):
    """The service did not answer as one of ours. Whether it acted is not known."""


class Refused(ClientError):
    """The service refused, and says why."""

    def __init__(self, problem: h.Problem) -> None:
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}")
        self.problem = problem


class BadRequest(Refused):
    """400: `problem` names field, value and rule."""


class NotPermitted(Refused):
    """401 or 403: the key is not known, or its role may not do this."""


class Missing(Refused):
    """404: no such thing, or not yours."""


class Conflict(Refused):
    """409: the state, a limit or the market does not allow it."""


class KeyReused(Refused):
    """422: the Idempotency-Key was used with another body."""


class Unavailable(Refused):
    """429 or 5xx: not now; the fault is not in the request."""


_KINDS: dict[int, type[Refused]] = {
    400: BadRequest,
    401: NotPermitted,
    403: NotPermitted,
    404: Missing,
    409: Conflict,
    422: KeyReused,
    429: Unavailable,
}


class Client:
    """One caller's connections. Every request ends within `timeout_s`; event streams have limits of their own."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = 15.0,
        new_key: Callable[[], str] = lambda: secrets.token_urlsafe(18),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`new_key` makes Idempotency-Keys for RFQs that are posted without one."""
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout_s,
            transport=transport,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=50),
        )
        self._new_key = new_key

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    # --- the life of an RFQ ------------------------------------------------------------------------------------

    async def create_rfq(self, body: m.RfqBody, idempotency_key: str | None = None) -> a.RfqAnswer:
        """Posts an RFQ once, however often it has to be sent."""
        headers = {"Idempotency-Key": idempotency_key or self._new_key()}
        return await self._ask("POST", "/v1/rfqs", a.RfqAnswer, body, again=True, headers=headers)

    async def get(self, rfq_id: str) -> a.RfqAnswer:
        return await self._get(f"/v1/rfqs/{rfq_id}", a.RfqAnswer)

    async def page(
        self, status: RfqStatus | None = None, before: str | None = None, limit: int = 50, desk: str | None = None
    ) -> a.RfqPage:
        given = {"status": status and status.value, "before": before, "limit": limit, "desk": desk}
        return await self._get("/v1/rfqs", a.RfqPage, {k: v for k, v in given.items() if v})

    async def rfqs(self, status: RfqStatus | None = None, desk: str | None = None) -> AsyncIterator[a.RfqAnswer]:
        """All of them, newest first, page by page."""
        before: str | None = None
        while True:
            page = await self.page(status, before, desk=desk)
            for rfq in page.rfqs:
                yield rfq
            if (before := page.next) is None:
                return

    async def cancel(self, rfq_id: str) -> a.Cancelled:
        return await self._ask("POST", f"/v1/rfqs/{rfq_id}/cancel", a.Cancelled, again=True)

    async def award(self, rfq_id: str, *picks: m.PickBody) -> a.AwardAnswer:
        """A manual award. Not repeated by itself: look at `awards` when it raises Unreachable."""
        return await self._ask("POST", f"/v1/rfqs/{rfq_id}/awards", a.AwardAnswer, m.AwardBody(picks=picks))

    async def settle(self, rfq_id: str, body: m.SettleBody) -> a.RfqAnswer:
        return await self._ask("POST", f"/v1/rfqs/{rfq_id}/settle", a.RfqAnswer, body)

    async def settle_order(self, rfq_id: str, child_id: str, body: m.SettleOrderBody) -> a.RfqAnswer:
        path = f"/v1/rfqs/{rfq_id}/orders/{child_id}/settle"
        return await self._ask("POST", path, a.RfqAnswer, body)

    async def auctions(self, rfq_id: str) -> tuple[a.AuctionAnswer, ...]:
        return (await self._get(f"/v1/rfqs/{rfq_id}/auctions", a.AuctionsAnswer)).auctions

    async def quotes(self, rfq_id: str) -> tuple[a.QuoteAnswer, ...]:
        return (await self._get(f"/v1/rfqs/{rfq_id}/quotes", a.QuotesAnswer)).quotes

    async def awards(self, rfq_id: str) -> a.AwardsAnswer:
        return await self._get(f"/v1/rfqs/{rfq_id}/awards", a.AwardsAnswer)

    async def orders(self, rfq_id: str) -> tuple[a.ParentAnswer, ...]:
        return (await self._get(f"/v1/rfqs/{rfq_id}/orders", a.OrdersAnswer)).parents

    async def fills(self, rfq_id: str) -> tuple[a.FillAnswer, ...]:
        return (await self._get(f"/v1/rfqs/{rfq_id}/fills", a.FillsAnswer)).fills

    async def report(self, rfq_id: str) -> BlockReport:
        return await self._get(f"/v1/rfqs/{rfq_id}/report", BlockReport)

    # --- events ------------------------------------------------------------------------------------------------

    async def events(self, rfq_id: str, after: int = 0) -> AsyncGenerator[a.EventAnswer, None]:
        """Every event after sequence `after`, once and in order, until the RFQ is over; reconnects where it stopped.

        Raises Refused for an RFQ that is not there, and Unreachable after several reconnections that brought nothing.
        """
        pause_s, tries = FIRST_PAUSE_S, 0
        while True:
            try:
                async with aclosing(self._stream(rfq_id, after)) as stream:
                    async for told in stream:
                        if told is None:
                            return
                        after, tries, pause_s = told.sequence, 0, FIRST_PAUSE_S
                        yield told
            except (httpx.TransportError, Unavailable) as error:
                if tries >= TRIES:
                    raise Unreachable(f"no events of {rfq_id}: {error}") from error
            if (tries := tries + 1) > TRIES:
                raise Unreachable(f"no events of {rfq_id}: the stream ends again and again")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def wait_until_over(self, rfq_id: str, timeout_s: float) -> a.RfqAnswer:
        """The RFQ once it is done, rejected, cancelled or expired. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            async for _ in self.events(rfq_id):
                pass
            return await self.get(rfq_id)

    async def _stream(self, rfq_id: str, after: int) -> AsyncGenerator[a.EventAnswer | None, None]:
        """One connection's events; None when the service says that there will be no more."""
        timeout = httpx.Timeout(self._http.timeout.connect, read=SILENCE_S)
        headers = {"Last-Event-ID": str(after)}
        async with self._http.stream("GET", f"/v1/rfqs/{rfq_id}/events", headers=headers, timeout=timeout) as response:
            if response.status_code == 204:
                yield None
                return
            if response.status_code != 200:
                await response.aread()
                raise _refused(response)
            name, data = "", ""
            async for line in response.aiter_lines():
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data += line[5:].strip()
                    if len(data) > LONGEST_EVENT:
                        raise Unreachable(f"an event of {rfq_id} is larger than {LONGEST_EVENT} characters")
                elif not line and data:
                    if name == "end":
                        yield None
                        return
                    yield msgspec.json.decode(data, type=a.EventAnswer)
                    name, data = "", ""

    # --- the rest ----------------------------------------------------------------------------------------------

    async def plan(self, body: m.RfqBody) -> h.PlanAnswer:
        return await self._ask("POST", "/v1/plans", h.PlanAnswer, body, again=True)

    async def dealers(self) -> tuple[h.DealerAnswer, ...]:
        return (await self._get("/v1/dealers", h.DealersAnswer)).dealers

    async def instruments(self) -> tuple[h.InstrumentAnswer, ...]:
        return (await self._get("/v1/instruments", h.InstrumentsAnswer)).instruments

    async def kill(self, reason: str) -> h.KillSwitchAnswer:
        return await self._ask("POST", "/v1/kill-switch", h.KillSwitchAnswer, m.KillBody(reason=reason), again=True)

    async def release(self) -> h.KillSwitchAnswer:
        return await self._ask("DELETE", "/v1/kill-switch", h.KillSwitchAnswer)

    async def kill_switch(self) -> h.KillSwitchAnswer:
        return await self._get("/v1/kill-switch", h.KillSwitchAnswer)

    async def limits(self, desk_id: str) -> h.LimitsAnswer:
        return await self._get(f"/v1/limits/{desk_id}", h.LimitsAnswer)

    async def set_limits(self, desk_id: str, body: m.LimitsBody) -> h.LimitsAnswer:
        return await self._ask("PUT", f"/v1/limits/{desk_id}", h.LimitsAnswer, body, again=True)

    async def audit(self, rfq_id: str, after: int = 0, limit: int = 200) -> a.EventPage:
        return await self._get(f"/v1/audit/rfqs/{rfq_id}", a.EventPage, {"after": after, "limit": limit})

    async def ready(self) -> h.Ready:
        """Whether RFQs can be taken now. Raises Unreachable."""
        return _decoded((await self._send("GET", "/health/ready", again=False)).content, h.Ready)

    # --- sending -----------------------------------------------------------------------------------------------

    async def _get(self, path: str, kind: type[T], query: dict[str, Any] | None = None) -> T:
        return await self._ask("GET", path, kind, again=True, params=query)

    async def _ask(
        self, method: str, path: str, kind: type[T], body: m.Body | None = None, *, again: bool = False, **more: Any
    ) -> T:
        response = await self._send(method, path, body, again=again, **more)
        if response.is_success:
            return _decoded(response.content, kind)
        raise _refused(response)

    async def _send(
        self, method: str, path: str, body: m.Body | None = None, *, again: bool, **more: Any
    ) -> httpx.Response:
        """Sends, and if `again` a few times more when there was no answer or a 503."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {**more.pop("headers", {}), **({"Content-Type": "application/json"} if body is not None else {})}
        pause_s = FIRST_PAUSE_S
        for left in reversed(range(TRIES if again else 1)):
            try:
                response = await self._http.request(method, path, content=content, headers=headers, **more)
                if response.status_code != 503 or not left:
                    return response
            except httpx.TransportError as error:
                if not left:
                    raise Unreachable(f"{method} {path}: {type(error).__name__} {error}") from error
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        raise AssertionError("the last try returns or raises")


def _decoded(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreachable(f"the answer is not one of ours: {error}") from error


def _refused(response: httpx.Response) -> Refused:
    problem = _decoded(response.content, h.Problem)
    return _KINDS.get(problem.status, Unavailable if problem.status >= 500 else Refused)(problem)

"""A dealer that does exactly what a script says, when it says it: for tests, and to play what once went wrong."""

import asyncio
from datetime import timedelta
from typing import Literal, TypeAlias

from dealers.in_process import InProcessGateway, InProcessSeat
from dealers.seat import Ask, Booked, QuoteTerms, Take
from rfq.domain.errors import Inconsistent
from rfq.domain.events import NoticeKind
from rfq.domain.quote import QuoteSide
from rfq.domain.values import DealerId, Frozen, Quantity, RequestId
from rfq.ports import Clock


class Quotes(Frozen, frozen=True):
    """A quote `after_s` from the request. The same `quote_id` again is its next revision."""

    after_s: float
    bid: QuoteSide | None = None
    offer: QuoteSide | None = None
    good_for_s: float = 60.0
    last_look_s: float = 0.0
    quote_id: str = "q1"
    revision: int | None = None
    """Said instead of the next one, to be wrong on purpose or to repeat."""


class Withdraws(Frozen, frozen=True):
    after_s: float
    quote_id: str = "q1"


class Declines(Frozen, frozen=True):
    after_s: float
    reason: str = "pass"


class Confirms(Frozen, frozen=True):
    """`quantity` None confirms all of the lift."""

    after_s: float = 0.0
    quantity: Quantity | None = None


class Refuses(Frozen, frozen=True):
    after_s: float = 0.0
    reason: str = "last look"


class DropsLine(Frozen, frozen=True):
    """Loses the line `after_s` from the request or lift; it comes back after `for_s`, or never if that is None."""

    after_s: float
    for_s: float | None = None


OnRequest: TypeAlias = Quotes | Withdraws | Declines | DropsLine
OnLift: TypeAlias = Confirms | Refuses | DropsLine
Heard: TypeAlias = Ask | Take | Booked | tuple[RequestId, NoticeKind] | tuple[RequestId, Literal["withdrawn"]]


class ScriptedTrader:
    """Plays one script for each request and each lift, in order; the last goes on being played.

    Unscripted requests are met with silence, unscripted lifts are confirmed at once. `heard` keeps all that came,
    `corrections` all that was not taken.
    """

    def __init__(self, seat: InProcessSeat, clock: Clock) -> None:
        self.seat, self._clock = seat, clock
        self.heard: list[Heard] = []
        self.corrections: list[str] = []
        self._requests: list[tuple[OnRequest, ...]] = []
        self._lifts: list[tuple[OnLift, ...]] = []
        self._revisions: dict[tuple[RequestId, str], int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def on_request(self, *steps: OnRequest) -> "ScriptedTrader":
        """Adds the script of the next request. No steps: silence."""
        self._requests.append(steps)
        return self

    def on_lift(self, *steps: OnLift) -> "ScriptedTrader":
        """Adds the script of the next lift. No steps: silence."""
        self._lifts.append(steps)
        return self

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- dealers.seat.Trader -------------------------------------------------------------------------------------

    def asked(self, ask: Ask) -> None:
        self.heard.append(ask)
        for step in _next(self._requests, ()):
            self._play(step, ask)

    def taken(self, take: Take) -> None:
        self.heard.append(take)
        for step in _next(self._lifts, (Confirms(),)):
            self._play(step, take)

    def booked(self, booked: Booked) -> None:
        self.heard.append(booked)

    def told(self, request_id: RequestId, kind: NoticeKind) -> None:
        self.heard.append((request_id, kind))

    def withdrawn(self, request_id: RequestId) -> None:
        self.heard.append((request_id, "withdrawn"))

    def corrected(self, why: str) -> None:
        self.corrections.append(why)

    # --- playing -------------------------------------------------------------------------------------------------

    def _play(self, step: OnRequest | OnLift, on: Ask | Take) -> None:
        task = asyncio.create_task(self._in_time(step, on))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_time(self, step: OnRequest | OnLift, on: Ask | Take) -> None:
        if step.after_s > 0:
            await self._pause(step.after_s)
        match step, on:
            case Quotes(), Ask():
                self.seat.quote(self._terms(step, on))
            case Withdraws(), Ask():
                self.seat.withdraw(on.request_id, step.quote_id)
            case Declines(), Ask():
                self.seat.decline(on.request_id, step.reason)
            case Confirms(), Take():
                self.seat.confirm(on.lift_id, step.quantity)
            case Refuses(), Take():
                self.seat.refuse(on.lift_id, step.reason)
            case DropsLine(), _:
                self.seat.drop()
                if step.for_s is not None:
                    await self._pause(step.for_s)
                    self.seat.restore()
            case _:
                raise Inconsistent(f"{type(step).__name__} cannot answer {type(on).__name__}")

    def _terms(self, step: Quotes, ask: Ask) -> QuoteTerms:
        key = (ask.request_id, step.quote_id)
        revision = step.revision or self._revisions.get(key, 0) + 1
        self._revisions[key] = revision
        return QuoteTerms(
            request_id=ask.request_id,
            symbol=ask.symbol,
            quote_id=step.quote_id,
            revision=revision,
            bid=step.bid,
            offer=step.offer,
            expires_at=self._clock.now() + timedelta(seconds=step.good_for_s),
            firm=step.last_look_s == 0,
            last_look_s=step.last_look_s,
        )

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + timedelta(seconds=seconds))


def _next(scripts: list, unscripted: tuple) -> tuple:
    """The next script, leaving the last to be played for ever."""
    if not scripts:
        return unscripted
    return scripts.pop(0) if len(scripts) > 1 else scripts[0]


def script(gateway: InProcessGateway, name: str, clock: Clock, *, cancel_on_disconnect: bool = False) -> ScriptedTrader:
    """A scripted dealer with a seat at the gateway."""
    seat = gateway.take_seat(DealerId(name), cancel_on_disconnect=cancel_on_disconnect)
    trader = ScriptedTrader(seat, clock)
    seat.trader = trader
    return trader

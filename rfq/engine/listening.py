"""The dealers' inbox: finds the RFQ a message belongs to and folds it in on arrival."""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from rfq.domain import events as ev
from rfq.domain.errors import NotFound, WrongState
from rfq.domain.quote import LiftStatus
from rfq.domain.values import DealerId, LiftId, RequestId, RfqId
from rfq.engine import hear
from rfq.engine.confirm import ask_status
from rfq.engine.sourcing import Sourcing
from rfq.ports import DealerDeclined, DealerMessage, DealerQuoted, DealerWithdrew, LiftAnswered, LineDown, LineUp

REMEMBERED = 20_000
"""Requests and lifts of finished RFQs that still get 'closed' for an answer instead of 'no such'."""


class Listening:
    """Implements rfq.ports.DealerInbox over the RFQs that are live."""

    def __init__(
        self,
        soon: Callable[[Coroutine[Any, Any, None]], None],
        dispute: Callable[[RfqId, LiftAnswered], Coroutine[Any, Any, None]],
    ) -> None:
        """`dispute` records that a dealer holds to have traded a lift that was refused in an RFQ that is over."""
        self._soon, self._dispute = soon, dispute
        self._requests: dict[RequestId, Sourcing] = {}
        self._lifts: dict[LiftId, Sourcing] = {}
        self._in_flight: dict[DealerId, set[LiftId]] = {}
        self._over: OrderedDict[str, DealerId] = OrderedDict()
        self._refused: OrderedDict[LiftId, RfqId] = OrderedDict()

    def note(self, s: Sourcing, event: ev.AnyEvent) -> None:
        """Learns from folded events which ids are whose."""
        match event:
            case ev.DealersAsked(requests=requests):
                for request in requests:
                    self._requests[request.request_id] = s
            case ev.QuoteLifted(lift=lift):
                self._lifts[lift.lift_id] = s
                self._in_flight.setdefault(lift.dealer_id, set()).add(lift.lift_id)
            case ev.LiftConfirmed(lift_id=lift_id) | ev.LiftRefused(lift_id=lift_id):
                self._in_flight[s.block.lifts[lift_id].dealer_id].discard(lift_id)
            case _:
                pass

    def forget(self, s: Sourcing) -> None:
        """The story has ended or been interrupted."""
        for request in s.block.requests.values():
            if self._requests.pop(request.request_id, None) and s.rfq.is_over:
                self._over[request.request_id] = request.dealer_id
        for lift in s.block.lifts.values():
            self._in_flight.get(lift.dealer_id, set()).discard(lift.lift_id)
            if self._lifts.pop(lift.lift_id, None) and s.rfq.is_over:
                self._over[lift.lift_id] = lift.dealer_id
                if lift.status is LiftStatus.REFUSED:
                    self._refused[lift.lift_id] = lift.rfq_id
        while len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)
        while len(self._over) > REMEMBERED:
            self._over.popitem(last=False)

    def take(self, dealer_id: DealerId, message: DealerMessage, received_at: datetime) -> None:
        match message:
            case LineDown():
                for s, lift_id in self._lifts_of(dealer_id):
                    if s.block.lifts[lift_id].status is LiftStatus.SENT and lift_id not in s.unsent:
                        s.journal.note(ev.LiftUnknown(lift_id, "the line went down"))
            case LineUp():
                for s, lift_id in self._lifts_of(dealer_id):
                    if s.block.lifts[lift_id].status is LiftStatus.UNKNOWN:
                        self._soon(ask_status(s, [s.block.lifts[lift_id]]))
            case LiftAnswered():
                s = self._lifts.get(message.lift_id)
                lift = s.block.lifts.get(message.lift_id) if s else None
                if s is None or lift is None or lift.dealer_id != dealer_id:
                    if self._over.get(message.lift_id) == dealer_id:
                        if message.answer == "confirmed" and message.lift_id in self._refused:
                            self._soon(self._dispute(self._refused[message.lift_id], message))
                        return  # Said again after the end: harmless.
                    raise NotFound("lift", message.lift_id)
                hear.take_lift_answer(s, lift, message)
            case DealerQuoted() | DealerWithdrew() | DealerDeclined():
                self._take_reply(dealer_id, message, received_at)

    def _take_reply(
        self, dealer_id: DealerId, message: DealerQuoted | DealerWithdrew | DealerDeclined, received_at: datetime
    ) -> None:
        s = self._requests.get(message.request_id)
        request = s.request(message.request_id) if s else None
        if s is None or request is None or request.dealer_id != dealer_id:
            if self._over.get(message.request_id) == dealer_id:
                raise WrongState("request", message.request_id, "closed", "be answered any more")
            raise NotFound("request", message.request_id)
        match message:
            case DealerQuoted():
                hear.take_quote(s, request, message, received_at)
            case DealerWithdrew():
                hear.take_withdrawal(s, request, message)
            case DealerDeclined():
                hear.take_decline(s, request, message)

    def _lifts_of(self, dealer_id: DealerId) -> list[tuple[Sourcing, LiftId]]:
        held = ((lift_id, self._lifts.get(lift_id)) for lift_id in sorted(self._in_flight.get(dealer_id, ())))
        return [(s, lift_id) for lift_id, s in held if s is not None]

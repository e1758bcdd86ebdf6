"""One dealer's line: what is remembered of it while its connections come and go. No I/O, no clock."""

import heapq
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

from dealers.sayings import Asking, Booking, Lifting, Saying, StatusAsking, Telling, Withdrawing
from rfq.domain.errors import BadInput, LimitBreached, NotFound
from rfq.domain.events import Notice
from rfq.domain.quote import Lift, Request, dealers_quote_id
from rfq.domain.values import DealerId, Frozen, LiftId, QuoteId, RequestId
from rfq.ports import DealerQuoted, DealerWithdrew, Trade


class LineBounds(Frozen, frozen=True):
    """How much is kept for each dealer."""

    open_requests: int = 500
    """Requests whose deadline has not passed; one more is not sent."""
    quotes_per_request: int = 16
    backlog: int = 512
    """Messages kept for dealers that come back."""
    closed_requests: int = 2_000
    """Requests that can still be named after they closed: late quotes are recorded."""
    lifts: int = 1_000
    trades: int = 500
    """Unacknowledged trades kept at hand; the ledger has all of them."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise BadInput(name, getattr(self, name), "must be at least 1")

    @property
    def most_said_again(self) -> int:
        """The most messages that one return or resend can bring."""
        return self.backlog + self.open_requests + self.lifts + self.trades


class Carrier(Protocol):
    """Whatever takes sayings to the dealer: a connection, or the dealer itself in the same process."""

    def carry(self, saying: Saying, *, again: bool) -> bool:
        """Never waits. False if it could not be put on its way; the carrier is then finished."""
        ...


class Asked:
    """A request that this dealer knows of."""

    __slots__ = ("live", "saying")

    def __init__(self, saying: Asking) -> None:
        self.saying = saying
        self.live: dict[str, datetime] = {}
        """The dealer's ids of its quotes that may stand, with their expiry."""

    @property
    def request(self) -> Request:
        return self.saying.request


class Unacknowledged:
    """A trade on its way to being booked."""

    __slots__ = ("saying", "sent_at")

    def __init__(self, saying: Booking, sent_at: datetime) -> None:
        self.saying, self.sent_at = saying, sent_at


class Line:
    """Sequence, backlog, open requests, pending lifts and unacknowledged trades of one dealer, all bounded."""

    def __init__(self, dealer_id: DealerId, bounds: LineBounds) -> None:
        self.dealer_id = dealer_id
        self.carrier: Carrier | None = None
        self.cancel_on_disconnect = False
        self.sequence = 0
        self.pending: dict[LiftId, Lifting] = {}
        """Lifts that wait for an answer."""
        self.trades: dict[LiftId, Unacknowledged] = {}
        self._bounds = bounds
        self._backlog: deque[Saying] = deque(maxlen=bounds.backlog)
        self._open: dict[RequestId, Asked] = {}
        self._closed: dict[RequestId, Asked] = {}
        self._deadlines: list[tuple[datetime, RequestId]] = []
        """A heap of the open requests, and of some that closed early."""
        self._lifts: dict[LiftId, Lift] = {}

    # --- saying ------------------------------------------------------------------------------------------------

    def ask(self, request: Request, now: datetime) -> bool:
        """True if it was put on the line. A request that misses the line goes out when the dealer is back in time."""
        asked = self._asked(request.request_id)
        if asked is not None:
            return self._carry(asked.saying, again=True)
        if request.deadline <= now or not self.has_room(now):
            return False
        asked = self._open[request.request_id] = Asked(Asking(self._next(), request))
        heapq.heappush(self._deadlines, (request.deadline, request.request_id))
        return self._say(asked.saying)

    def lift(self, lift: Lift) -> bool:
        pending = self.pending.get(lift.lift_id)
        if pending is not None:
            return self._carry(pending, again=True)
        if self.carrier is None:
            return False
        asked = self._open.get(lift.request_id)
        if asked is not None:
            asked.live.pop(dealers_quote_id(lift.quote_id), None)
        self._remember(lift)
        saying = Lifting(self._next(), lift)
        self.pending[lift.lift_id] = saying
        return self._say(saying)

    def ask_status(self, lift: Lift) -> bool:
        self._remember(lift)
        return self.carrier is not None and self._say(StatusAsking(self._next(), lift))

    def withdraw(self, request: Request, reason: str) -> bool:
        """Says so only to a dealer that was told of the request."""
        if self._asked(request.request_id) is None:
            return False
        self._close(request.request_id)
        return self._say(Withdrawing(self._next(), request, reason))

    def tell(self, notice: Notice) -> bool:
        self._close(notice.request_id)
        return self._say(Telling(self._next(), notice))

    def book(self, trade: Trade, now: datetime) -> bool:
        lift_id = trade.lift.lift_id
        self.pending.pop(lift_id, None)
        waiting = self.trades.get(lift_id)
        if waiting is not None:
            waiting.sent_at = now
            return self._carry(waiting.saying, again=True)
        if len(self.trades) >= self._bounds.trades:
            del self.trades[next(iter(self.trades))]
        saying = Booking(self._next(), trade)
        self.trades[lift_id] = Unacknowledged(saying, now)
        return self._say(saying)

    def book_again(self, now: datetime, after: timedelta) -> None:
        """Sends again what has waited longer than `after` for its acknowledgement."""
        for waiting in self.trades.values():
            if now - waiting.sent_at >= after:
                waiting.sent_at = now
                self._carry(waiting.saying, again=True)

    def missed(self, after: int | None, now: datetime) -> tuple[list[Saying], int]:
        """What a dealer that comes back is sent, in order, and the last sequence that is lost (0 if none is).

        Open requests, unanswered lifts and unacknowledged trades always; everything after sequence `after` that is
        still kept, unless it is None (the dealer remembers nothing).
        """
        again: dict[int, Saying] = {}
        for asked in self.open_requests(now):
            again[asked.saying.sequence] = asked.saying
        for lifting in self.pending.values():
            if lifting.lift.answer_by > now:
                again[lifting.sequence] = lifting
        for waiting in self.trades.values():
            waiting.sent_at = now
            again[waiting.saying.sequence] = waiting.saying
        lost = 0
        if after is not None:
            for saying in reversed(self._backlog):
                if saying.sequence <= after:
                    break
                again[saying.sequence] = saying
            kept_from = self._backlog[0].sequence if self._backlog else self.sequence + 1
            lost = kept_from - 1 if kept_from - 1 > after else 0
        return [again[sequence] for sequence in sorted(again)], lost

    # --- hearing -----------------------------------------------------------------------------------------------

    def request(self, request_id: str) -> Request:
        """Raises NotFound for a request that was never this dealer's, or long ago."""
        asked = self._asked(RequestId(request_id))
        if asked is None:
            raise NotFound("request", request_id)
        return asked.request

    def lifted(self, lift_id: str) -> Lift | None:
        return self._lifts.get(LiftId(lift_id))

    def check_room_for(self, quote: DealerQuoted) -> None:
        """Raises LimitBreached for one quote too many on a request."""
        asked = self._open.get(quote.request_id)
        bound = self._bounds.quotes_per_request
        if asked is not None and quote.quote_id not in asked.live and len(asked.live) >= bound:
            raise LimitBreached("quotes per request", bound, len(asked.live) + 1)

    def quoted(self, quote: DealerQuoted) -> None:
        asked = self._open.get(quote.request_id)
        if asked is not None:
            asked.live[quote.quote_id] = quote.expires_at

    def withdrew(self, request_id: RequestId, quote_id: str) -> None:
        asked = self._open.get(request_id)
        if asked is not None:
            asked.live.pop(quote_id, None)

    def declined(self, request_id: RequestId) -> None:
        """The request stays open, for a dealer that thinks again, and no quote of it stands."""
        asked = self._open.get(request_id)
        if asked is not None:
            asked.live.clear()

    def answered(self, lift_id: LiftId) -> None:
        self.pending.pop(lift_id, None)

    def acknowledged(self, lift_id: LiftId) -> None:
        self.trades.pop(lift_id, None)

    def take_back_live(self, now: datetime) -> list[DealerWithdrew]:
        """The withdrawals that cancel-on-disconnect makes: every quote that may still stand in an open auction."""
        withdrawn: list[DealerWithdrew] = []
        for asked in self.open_requests(now):
            for quote_id, expires_at in asked.live.items():
                if expires_at > now:
                    withdrawn.append(DealerWithdrew(asked.request.request_id, QuoteId(quote_id)))
            asked.live.clear()
        return withdrawn

    # --- room ----------------------------------------------------------------------------------------------------

    def has_room(self, now: datetime) -> bool:
        self._lapse(now)
        return len(self._open) < self._bounds.open_requests

    def open_requests(self, now: datetime) -> Iterable[Asked]:
        """Those that are neither closed nor past their deadline, in the order they were asked."""
        self._lapse(now)
        return self._open.values()

    def _asked(self, request_id: RequestId) -> Asked | None:
        return self._open.get(request_id) or self._closed.get(request_id)

    def _close(self, request_id: RequestId) -> None:
        asked = self._open.pop(request_id, None)
        if asked is None:
            return
        asked.live.clear()
        self._closed[request_id] = asked
        if len(self._closed) > self._bounds.closed_requests:
            del self._closed[next(iter(self._closed))]
        if len(self._deadlines) > 2 * len(self._open) + 64:
            self._deadlines = [(a.request.deadline, a.request.request_id) for a in self._open.values()]
            heapq.heapify(self._deadlines)

    def _lapse(self, now: datetime) -> None:
        while self._deadlines and self._deadlines[0][0] < now:
            self._close(heapq.heappop(self._deadlines)[1])

    def _remember(self, lift: Lift) -> None:
        self._lifts[lift.lift_id] = lift
        while len(self._lifts) > self._bounds.lifts:
            gone = next(iter(self._lifts))
            del self._lifts[gone]
            self.pending.pop(gone, None)

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def _say(self, saying: Saying) -> bool:
        self._backlog.append(saying)
        return self._carry(saying, again=False)

    def _carry(self, saying: Saying, *, again: bool) -> bool:
        return self.carrier is not None and self.carrier.carry(saying, again=again)

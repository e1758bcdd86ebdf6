"""A seat at the far end of the wire: a DealerClient's messages as exact values, and a trader's words as messages."""

from collections.abc import Callable, Mapping

import structlog

from dealers import wire
from dealers.lift_book import remember
from dealers.seat import Ask, Booked, QuoteTerms, Take, Trader
from rfq.domain.errors import BadInput
from rfq.domain.events import NoticeKind
from rfq.domain.quote import QuoteSide
from rfq.domain.rfq import RequestSide
from rfq.domain.values import DealerId, Instrument, LiftId, Quantity, RequestId, Side, Symbol
from rfq.ports import Clock

log = structlog.get_logger()

Say = Callable[[wire.FromDealer], bool]


class WireSeat:
    """Implements dealers.seat.Seat for its trader, and dealers.client.Listener for its client.

    Set `say` to the client's `say`, and `trader`, before the client runs. What names an instrument that is not known
    here is declined or refused.
    """

    say: Say
    trader: Trader

    def __init__(self, dealer_id: DealerId, instruments: Mapping[Symbol, Instrument], clock: Clock) -> None:
        self.dealer_id = dealer_id
        self._instruments, self._clock = instruments, clock
        self._lifted: dict[LiftId, Instrument] = {}

    # --- heard ---------------------------------------------------------------------------------------------------

    def on_quote_request(self, request: wire.QuoteRequest) -> None:
        instrument = self._instruments.get(Symbol(request.symbol))
        if instrument is None:
            self.say(wire.Decline(request.request_id, wire.DeclineReason.UNKNOWN_SYMBOL))
            return
        try:
            ask = Ask(
                request_id=RequestId(request.request_id),
                symbol=instrument.symbol,
                side=RequestSide(request.side),
                quantity=instrument.parse_quantity(request.quantity),
                deadline=request.deadline,
                requester=request.requester,
                residual=None if request.residual is None else instrument.parse_quantity(request.residual),
                competitors=request.competitors,
            )
        except BadInput as error:
            log.warning("request not understood", dealer=self.dealer_id, why=str(error))
            self.say(wire.Decline(request.request_id, wire.DeclineReason.OTHER))
            return
        self.trader.asked(ask)

    def on_lift(self, lift: wire.Lift) -> None:
        instrument = self._instruments.get(Symbol(lift.symbol))
        try:
            if instrument is None:
                raise BadInput("symbol", lift.symbol, "is not known here")
            take = Take(
                lift_id=LiftId(lift.lift_id),
                request_id=RequestId(lift.request_id),
                quote_id=lift.quote_id,
                revision=lift.revision,
                symbol=instrument.symbol,
                side=Side(lift.side),
                price=instrument.parse_price(lift.price),
                quantity=instrument.parse_quantity(lift.quantity),
                answer_by=lift.answer_by,
            )
        except BadInput as error:
            self.say(wire.Refuse(lift.lift_id, str(error)[:200]))
            return
        remember(self._lifted, take.lift_id, instrument)
        self.trader.taken(take)

    def on_trade(self, trade: wire.Trade) -> None:
        instrument = self._instruments[Symbol(trade.symbol)]
        self.trader.booked(
            Booked(
                lift_id=LiftId(trade.lift_id),
                request_id=RequestId(trade.request_id),
                symbol=instrument.symbol,
                side=Side(trade.side),
                price=instrument.parse_price(trade.price),
                quantity=instrument.parse_quantity(trade.quantity),
            )
        )

    def on_outcome(self, outcome: wire.Outcome) -> None:
        self.trader.told(RequestId(outcome.request_id), NoticeKind(outcome.outcome))

    def on_withdrawn(self, withdrawn: wire.RequestWithdrawn) -> None:
        self.trader.withdrawn(RequestId(withdrawn.request_id))

    def on_error(self, error: wire.Error) -> None:
        self.trader.corrected(f"{error.refers_to}: {error.text}")

    # --- said (dealers.seat.Seat) --------------------------------------------------------------------------------

    def quote(self, terms: QuoteTerms) -> bool:
        instrument = self._instruments[terms.symbol]
        return self.say(
            wire.Quote(
                request_id=terms.request_id,
                quote_id=terms.quote_id,
                revision=terms.revision,
                bid=_side(terms.bid, instrument),
                offer=_side(terms.offer, instrument),
                valid_for_s=max(0.001, (terms.expires_at - self._clock.now()).total_seconds()),
                firm=terms.firm,
                last_look_s=terms.last_look_s,
            )
        )

    def withdraw(self, request_id: RequestId, quote_id: str) -> bool:
        return self.say(wire.QuoteCancel(request_id, quote_id))

    def decline(self, request_id: RequestId, reason: str) -> bool:
        return self.say(wire.Decline(request_id, wire.DeclineReason(reason)))

    def confirm(self, lift_id: LiftId, quantity: Quantity | None = None) -> bool:
        text = None if quantity is None else self._lifted[lift_id].format_quantity(quantity)
        return self.say(wire.Confirm(lift_id, text))

    def refuse(self, lift_id: LiftId, reason: str) -> bool:
        return self.say(wire.Refuse(lift_id, reason[:200]))


def _side(side: QuoteSide | None, instrument: Instrument) -> wire.QuotedSide | None:
    if side is None:
        return None
    return wire.QuotedSide(
        instrument.format_price(side.price),
        instrument.format_quantity(side.quantity),
        instrument.format_quantity(side.min_quantity) if side.min_quantity else "0",
    )

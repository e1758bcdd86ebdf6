"""Sotto's sayings in the protocol's words, and dealers' words in domain nouns: exact numbers, checked."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, cast

from dealers import wire
from dealers.sayings import Asking, Booking, Lifting, Saying, StatusAsking, Telling, Withdrawing
from rfq.domain.errors import BadInput, Inconsistent
from rfq.domain.quote import Lift, QuoteSide, Request, dealers_quote_id
from rfq.domain.rfq import RequestSide
from rfq.domain.values import (
    NO_LOTS,
    Instrument,
    LiftId,
    Price,
    Quantity,
    QuoteId,
    RequestId,
    Symbol,
    notional,
)
from rfq.ports import DealerDeclined, DealerQuoted, DealerWithdrew, LiftAnswered

DeskSide = Literal["buy", "sell"]


class Translation:
    """Knows the instruments, and therefore what a number on the wire means."""

    def __init__(self, instruments: Mapping[Symbol, Instrument]) -> None:
        self._instruments = instruments
        self._ticks: dict[Symbol, tuple[wire.TickFrom, ...]] = {}

    # --- to the dealer -------------------------------------------------------------------------------------------

    def render(self, saying: Saying, now: datetime, *, again: bool = False) -> wire.Business:
        """The message for one saying. `again` marks it as a possible duplicate."""
        n = saying.sequence
        match saying:
            case Asking(request=request):
                return self._quote_request(n, request, now, again)
            case Lifting(lift=lift):
                return self._lift(n, lift, now, again)
            case StatusAsking(lift=lift):
                quote_id = dealers_quote_id(lift.quote_id)
                return wire.StatusRequest(n, lift.lift_id, lift.request_id, quote_id, lift.revision, again)
            case Telling(notice=notice):
                return wire.Outcome(n, notice.request_id, notice.kind.value, again)
            case Withdrawing(request=request, reason=reason):
                return wire.RequestWithdrawn(n, request.request_id, reason, again)
            case Booking():
                return self._trade(saying, again)

    def _quote_request(self, n: int, request: Request, now: datetime, again: bool) -> wire.QuoteRequest:
        instrument = self.instrument(request.symbol)
        return wire.QuoteRequest(
            sequence=n,
            request_id=request.request_id,
            symbol=request.symbol,
            side=request.side.value,
            quantity=instrument.format_quantity(request.quantity),
            deadline=request.deadline,
            time_left_s=seconds_left(request.deadline, now),
            currency=instrument.currency,
            lot=instrument.format_quantity(Quantity(1)),
            ticks=self._tick_table(instrument),
            requester=request.requester,
            residual=None if request.residual is None else instrument.format_quantity(request.residual),
            competitors=request.competitors,
            possible_duplicate=again,
        )

    def _lift(self, n: int, lift: Lift, now: datetime, again: bool) -> wire.Lift:
        instrument = self.instrument(lift.symbol)
        return wire.Lift(
            sequence=n,
            lift_id=lift.lift_id,
            request_id=lift.request_id,
            quote_id=dealers_quote_id(lift.quote_id),
            revision=lift.revision,
            symbol=lift.symbol,
            side=cast(DeskSide, lift.side.value),
            price=instrument.format_price(lift.price),
            quantity=instrument.format_quantity(lift.quantity),
            answer_by=lift.answer_by,
            time_left_s=seconds_left(lift.answer_by, now),
            possible_duplicate=again,
        )

    def _trade(self, booking: Booking, again: bool) -> wire.Trade:
        lift, fill = booking.trade.lift, booking.trade.fill
        instrument = self.instrument(fill.symbol)
        return wire.Trade(
            sequence=booking.sequence,
            lift_id=lift.lift_id,
            trade_id=fill.fill_id,
            request_id=lift.request_id,
            quote_id=dealers_quote_id(lift.quote_id),
            revision=lift.revision,
            symbol=fill.symbol,
            side=cast(DeskSide, fill.side.value),
            price=instrument.format_price(fill.price),
            quantity=instrument.format_quantity(fill.quantity),
            currency=instrument.currency,
            amount=format(instrument.money(notional(fill.price, fill.quantity)), "f"),
            traded_at=fill.filled_at,
            possible_duplicate=again,
        )

    def instrument(self, symbol: Symbol) -> Instrument:
        """Raises Inconsistent for a symbol that we asked for and do not have: a bug of ours."""
        instrument = self._instruments.get(symbol)
        if instrument is None:
            raise Inconsistent(f"no instrument {symbol!r} to speak of")
        return instrument

    def _tick_table(self, instrument: Instrument) -> tuple[wire.TickFrom, ...]:
        ticks = self._ticks.get(instrument.symbol)
        if ticks is None:
            price = instrument.format_price
            bands = instrument.tick_bands
            ticks = tuple(wire.TickFrom(price(band.from_price), price(Price(band.tick))) for band in bands)
            self._ticks[instrument.symbol] = ticks
        return ticks

    # --- from the dealer -----------------------------------------------------------------------------------------

    def quoted(self, said: wire.Quote, request: Request, received_at: datetime) -> DealerQuoted:
        """Raises BadInput, naming field, value and rule, for numbers that the instrument does not have."""
        instrument = self.instrument(request.symbol)
        if (said.expires_at is None) == (said.valid_for_s is None):
            rule = "must be given, or valid_for_s, and not both"
            raise BadInput("expires_at", said.expires_at and said.expires_at.isoformat(), rule)
        expires_at = said.expires_at or received_at + timedelta(seconds=said.valid_for_s or 0.0)
        return DealerQuoted(
            request_id=request.request_id,
            quote_id=QuoteId(said.quote_id),
            revision=said.revision,
            bid=_side(said.bid, instrument, "bid"),
            offer=_side(said.offer, instrument, "offer"),
            expires_at=expires_at,
            firm=said.firm,
            last_look_s=said.last_look_s,
        )

    def confirmed_lots(self, text: str, lift: Lift) -> Quantity:
        """Raises BadInput."""
        return self.instrument(lift.symbol).parse_quantity(text)


def seconds_left(deadline: datetime, now: datetime) -> float:
    return max(0.0, round((deadline - now).total_seconds(), 6))


def withdrew(said: wire.QuoteCancel) -> DealerWithdrew:
    return DealerWithdrew(RequestId(said.request_id), QuoteId(said.quote_id))


def declined(said: wire.Decline) -> DealerDeclined:
    return DealerDeclined(RequestId(said.request_id), said.reason.value)


def lift_answer(
    lift_id: str, answer: Literal["confirmed", "refused", "unknown"], lots: Quantity | None, reason: str
) -> LiftAnswered:
    return LiftAnswered(LiftId(lift_id), answer, lots, reason)


def request_side(said: wire.QuoteRequest) -> RequestSide:
    return RequestSide(said.side)


def _side(said: wire.QuotedSide | None, instrument: Instrument, name: str) -> QuoteSide | None:
    if said is None:
        return None
    price = instrument.parse_order_price(said.price, f"{name}.price")
    quantity = instrument.parse_quantity(said.quantity, f"{name}.quantity")
    least = NO_LOTS
    if said.min_quantity.strip("0."):
        least = instrument.parse_quantity(said.min_quantity, f"{name}.min_quantity")
    if least > quantity:
        raise BadInput(f"{name}.min_quantity", said.min_quantity, f"must be at most the quantity {said.quantity}")
    return QuoteSide(price, quantity, least)

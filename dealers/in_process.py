"""Dealers in the same process, through the same port: no sockets, no bytes, and so any clock, virtual ones too."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np

from dealers.behaviour_traits import DealerTraits
from dealers.lift_book import LiftBook, remember
from dealers.lines import DealerLines
from dealers.panel import open_panel
from dealers.sayings import Asking, Booking, Lifting, Saying, StatusAsking, Telling, Withdrawing
from dealers.seat import Ask, Booked, Exchange, QuoteTerms, Trader, ask_of, take_of
from dealers.simulated_trader import SimulatedTrader
from rfq.domain.errors import Inconsistent, PeerFault, Refusal
from rfq.domain.values import DealerId, Instrument, LiftId, Price, Quantity, QuoteId, RequestId, Side, Symbol
from rfq.ports import (
    Clock,
    DealerDeclined,
    DealerMessage,
    DealerQuoted,
    DealerWithdrew,
    LiftAnswered,
    MarketClock,
)


class InProcessGateway(DealerLines):
    """A gateway whose dealers sit in this process. Use it as an async context, then give every dealer a seat."""

    def take_seat(self, dealer_id: DealerId, *, cancel_on_disconnect: bool = False) -> "InProcessSeat":
        """A seat with its line up. Its `trader` must be set before anything is asked. One seat for each dealer."""
        line = self._line(dealer_id)
        if line.carrier is not None:
            raise Inconsistent(f"dealer {dealer_id} has a seat already")
        line.cancel_on_disconnect = cancel_on_disconnect
        seat = InProcessSeat(self, dealer_id, self._clock)
        seat.restore()
        return seat

    def connect(self, seat: "InProcessSeat", after: int) -> None:
        """Puts the seat on its line, delivers what it missed, and reports the line up."""
        line = self._line(seat.dealer_id)
        missed, _ = line.missed(after, self._clock.now())
        self._connect(line, seat)
        for saying in missed:
            seat.carry(saying, again=True)
        self._line_up(line)

    def disconnect(self, seat: "InProcessSeat") -> None:
        self._disconnect(self._line(seat.dealer_id), seat)

    def hear(self, seat: "InProcessSeat", message: DealerMessage) -> None:
        """Raises what the engine raises."""
        self._hear(self._line(seat.dealer_id), message, self._clock.now())

    def acknowledge(self, seat: "InProcessSeat", lift_id: LiftId) -> None:
        self._trade_acknowledged(self._line(seat.dealer_id), lift_id)


class InProcessSeat:
    """A dealer's end of its line. Deliveries come one loop iteration later, as off a wire: never inside a call of ours.

    Like a good client it hears each thing once, answers status requests from memory, repeats what it said when a
    request is repeated, and acknowledges trades.
    """

    trader: Trader

    def __init__(self, gateway: InProcessGateway, dealer_id: DealerId, clock: Clock) -> None:
        self.dealer_id = dealer_id
        self.up = False
        self._gateway, self._clock = gateway, clock
        self._generation = 0
        self._last_sequence = 0
        self._lifts: LiftBook[LiftAnswered] = LiftBook()
        self._asked: dict[RequestId, DealerQuoted | DealerDeclined | None] = {}
        self._booked: dict[LiftId, None] = {}

    # --- the line ------------------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Loses the line. What was on its way is lost with it."""
        if self.up:
            self.up = False
            self._generation += 1
            self._gateway.disconnect(self)

    def restore(self) -> None:
        """Comes back: open requests, unanswered lifts, unacknowledged trades and whatever was missed follow."""
        if not self.up:
            self.up = True
            self._generation += 1
            self._gateway.connect(self, self._last_sequence)

    def hang_up(self) -> None:
        """The house at the other end is gone: the line is dead, and nobody is there to notice."""
        self.up = False
        self._generation += 1

    def dial(self, gateway: InProcessGateway) -> None:
        """Connects to another house. The dealer remembers its answers; lines and sequences are new."""
        self.hang_up()
        self._gateway, self._last_sequence = gateway, 0
        self.restore()

    def carry(self, saying: Saying, *, again: bool) -> bool:
        """Implements dealers.line.Carrier."""
        if not self.up:
            return False
        asyncio.get_running_loop().call_soon(self._deliver, self._generation, saying)
        return True

    def _deliver(self, generation: int, saying: Saying) -> None:
        if generation != self._generation:
            return
        self._last_sequence = max(self._last_sequence, saying.sequence)
        match saying:
            case Asking():
                self._on_ask(ask_of(saying.request))
            case Lifting():
                self._on_lift(saying)
            case StatusAsking():
                self._on_status_asked(saying.lift.lift_id)
            case Booking():
                self._on_trade(saying)
            case Telling():
                self.trader.told(saying.notice.request_id, saying.notice.kind)
            case Withdrawing():
                self.trader.withdrawn(saying.request.request_id)

    def _on_ask(self, ask: Ask) -> None:
        if ask.request_id not in self._asked:
            remember(self._asked, ask.request_id, None)
            self.trader.asked(ask)
            return
        said = self._asked[ask.request_id]
        if isinstance(said, DealerDeclined) or (said is not None and said.expires_at > self._clock.now()):
            self._say(said)

    def _on_lift(self, lifting: Lifting) -> None:
        lift_id = lifting.lift.lift_id
        if self._lifts.is_disowned(lift_id):
            self._say(LiftAnswered(lift_id, "refused", reason="already answered as unknown"))
        elif self._lifts.open(lift_id):
            self.trader.taken(take_of(lifting.lift))
        elif (answer := self._lifts.standing(lift_id)) is not None:
            self._say(answer)

    def _on_status_asked(self, lift_id: LiftId) -> None:
        answer = self._lifts.standing(lift_id)
        if answer is not None:
            self._say(answer)
        elif not self._lifts.knows(lift_id):
            self._lifts.disown(lift_id)
            self._say(LiftAnswered(lift_id, "unknown"))

    def _on_trade(self, booking: Booking) -> None:
        lift, fill = booking.trade.lift, booking.trade.fill
        if lift.lift_id not in self._booked:
            remember(self._booked, lift.lift_id, None)
            booked = Booked(lift.lift_id, lift.request_id, fill.symbol, fill.side, fill.price, fill.quantity)
            self.trader.booked(booked)
        self._gateway.acknowledge(self, lift.lift_id)

    # --- saying (dealers.seat.Seat) ------------------------------------------------------------------------------

    def quote(self, terms: QuoteTerms) -> bool:
        return self._answer(
            DealerQuoted(
                request_id=terms.request_id,
                quote_id=QuoteId(terms.quote_id),
                revision=terms.revision,
                bid=terms.bid,
                offer=terms.offer,
                expires_at=terms.expires_at,
                firm=terms.firm,
                last_look_s=terms.last_look_s,
            )
        )

    def withdraw(self, request_id: RequestId, quote_id: str) -> bool:
        if request_id in self._asked:
            self._asked[request_id] = None
        return self._say(DealerWithdrew(request_id, QuoteId(quote_id)))

    def decline(self, request_id: RequestId, reason: str) -> bool:
        return self._answer(DealerDeclined(request_id, reason))

    def confirm(self, lift_id: LiftId, quantity: Quantity | None = None) -> bool:
        return self._say(self._lifts.answer(lift_id, LiftAnswered(lift_id, "confirmed", quantity)))

    def refuse(self, lift_id: LiftId, reason: str) -> bool:
        return self._say(self._lifts.answer(lift_id, LiftAnswered(lift_id, "refused", reason=reason)))

    def _answer(self, said: DealerQuoted | DealerDeclined) -> bool:
        if said.request_id in self._asked:
            self._asked[said.request_id] = said
        return self._say(said)

    def _say(self, message: DealerMessage) -> bool:
        if not self.up:
            return False
        try:
            self._gateway.hear(self, message)
        except (PeerFault, Refusal) as error:
            self.trader.corrected(str(error))
        return True


class MarketAccess:
    """A dealer's Exchange made of what the simulation has at hand: a mid, the market clock, a way to trade."""

    def __init__(
        self,
        market_clock: MarketClock,
        mid: Callable[[Symbol], Price | None],
        trade: Callable[[DealerId, Symbol, Side, Quantity], None] | None = None,
    ) -> None:
        """`mid` may be `lambda symbol: market_data.view(symbol).mid`. Without `trade`, hedges move nothing."""
        self._clock, self._mid, self._trade = market_clock, mid, trade

    def mid(self, symbol: Symbol) -> Price | None:
        return self._mid(symbol)

    def now(self) -> datetime:
        return self._clock.now()

    async def sleep_until(self, at: datetime) -> None:
        await self._clock.sleep_until(at)

    def trade(self, dealer_id: DealerId, symbol: Symbol, side: Side, lots: Quantity) -> None:
        if self._trade is not None:
            self._trade(dealer_id, symbol, side, lots)


def seat_panel(
    gateway: InProcessGateway,
    panel: tuple[DealerTraits, ...],
    *,
    clock: Clock,
    exchange: Exchange,
    instruments: Mapping[Symbol, Instrument],
    seed: int,
    cancel_on_disconnect: bool = False,
) -> dict[DealerId, SimulatedTrader]:
    """Seats every dealer of the panel, each with a random stream of its own from the seed."""
    dealers = open_panel(panel, np.random.default_rng([seed, 0]))
    traders: dict[DealerId, SimulatedTrader] = {}
    for number, (dealer_id, dealer) in enumerate(dealers.items(), start=1):
        seat = gateway.take_seat(dealer_id, cancel_on_disconnect=cancel_on_disconnect)
        traders[dealer_id] = seat.trader = SimulatedTrader(
            dealer,
            seat,
            clock=clock,
            exchange=exchange,
            instruments=instruments,
            rng=np.random.default_rng([seed, number]),
        )
    return traders

"""How fast a recorded day is played: recorded events a second, through the exchange as the service steps it."""

from datetime import timedelta
from time import perf_counter
from typing import NamedTuple

from lit_router.market.lobster import Recording
from lit_router.market.orders import AnyReport, Executed, Ticket
from lit_router.market.recorded import RecordedExchange
from rfq.domain.errors import BadInput
from rfq.domain.values import Price, Quantity, Side

DESK = "desk"
LOTS = Quantity(100)
REST_S = 60.0


class ReplayRate(NamedTuple):
    """Recorded events a second: with nothing of ours in the book, and with an order at each best price. `fills` is how
    often those were executed: none would mean that nothing was measured."""

    nothing_resting: float
    both_resting: float
    fills: int


def replay_rate(recording: Recording, *, step_s: float = 1.0, repeats: int = 3) -> ReplayRate:
    """Plays the whole recording in steps of `step_s` market seconds: with nothing of ours, and with an order of 100
    shares resting at the best price of each side, pulled and sent again every minute; the fastest of `repeats` each.

    An event is a message of the recording. Raises BadInput for a step or a count that is not positive.
    """
    for name, value in (("step_s", step_s), ("repeats", repeats)):
        if not value > 0:
            raise BadInput(name, value, "must be positive")
    # The fastest: whatever else the machine does only ever slows it down.
    idle, _ = min(_played_s(recording, step_s, rests=False) for _ in range(repeats))
    resting, fills = min(_played_s(recording, step_s, rests=True) for _ in range(repeats))
    events = len(recording.times_s)
    return ReplayRate(events / idle, events / resting, fills)


def _played_s(recording: Recording, step_s: float, *, rests: bool) -> tuple[float, int]:
    """Seconds that it took, the exchange made beforehand, and executions of ours."""
    exchange, reports = RecordedExchange([recording]), list[AnyReport]()
    exchange.connect(DESK, reports.append)
    step, at = timedelta(seconds=step_s), recording.begins_at
    ends_at = at + timedelta(seconds=recording.ends_s)
    rest_at, sent = at + timedelta(seconds=REST_S), 0
    begun = perf_counter()
    while at < ends_at:
        at = min(at + step, ends_at)
        exchange.advance_to(at)
        if rests and at >= rest_at:
            rest_at += timedelta(seconds=REST_S)
            sent = _rested_again(exchange, recording, sent)
    return perf_counter() - begun, sum(isinstance(report, Executed) for report in reports)


def _rested_again(exchange: RecordedExchange, recording: Recording, sent: int) -> int:
    """Pulls the orders sent last and sends one at each best price; returns how many have been sent in all."""
    for order_id in range(max(0, sent - 2), sent):
        exchange.cancel(DESK, str(order_id))
    view = exchange.view(recording.symbol)
    for side, price in ((Side.BUY, view.bid), (Side.SELL, view.ask)):
        if price is not None:
            _send(exchange, recording, sent, side, price)
            sent += 1
    return sent


def _send(exchange: RecordedExchange, recording: Recording, number: int, side: Side, price: Price) -> None:
    ticket = Ticket(order_id=str(number), symbol=recording.symbol, side=side, quantity=LOTS, price=price)
    exchange.submit(DESK, ticket)

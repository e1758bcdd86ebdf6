"""What would have been: a whole block worked by market orders alone, on a twin of the market as it was at arrival."""

from collections.abc import Callable
from datetime import timedelta

from lit_router.market.matching_core import MatchingCore
from lit_router.market.orders import AnyReport, Executed, Ticket
from rfq.domain.order import TimeInForce
from rfq.domain.values import AveragePrice, Frozen, Price, Quantity, Side, Symbol

PARTICIPANT = "counterfactual"


class Worked(Frozen, frozen=True):
    """How it ended: the average over what was filled, and the mid at the end for what was not."""

    average: AveragePrice
    unfilled: Quantity
    last_mid: Price | None

    def cost_bps(self, side: Side, arrival: Price, fee_bps: float) -> float | None:
        """Cost of the whole quantity against arrival, fees included, what is unfilled bought at the last mid.

        None if something is unfilled and there is no mid to price it at.
        """
        if self.unfilled and self.last_mid is None:
            return None
        average = self.average.plus(self.last_mid or arrival, self.unfilled)
        cost = average.cost_bps(side, arrival)
        filled = self.average.quantity / average.quantity if average.quantity else 0.0
        return None if cost is None else cost + fee_bps * filled


def work_alone(
    core: MatchingCore,
    symbol: Symbol,
    side: Side,
    quantity: Quantity,
    horizon_s: float,
    due: Callable[[float], float],
    *,
    slice_s: float = 60.0,
) -> Worked:
    """Sends, every `slice_s` market seconds, a market order for what `due` says is lacking.

    `due` maps seconds since the start to the share of the quantity, 0 to 1, that should be done. `core` is used up:
    give it a fork. Lots the book could not fill are tried again with the next slice.
    """
    average = AveragePrice()

    def hear(report: AnyReport) -> None:
        nonlocal average
        if isinstance(report, Executed):
            average = average.plus(report.price, report.quantity)

    core.connect(PARTICIPANT, hear)
    start, number, elapsed_s = core.now, 0, 0.0
    while average.quantity < quantity and elapsed_s <= horizon_s:
        core.advance_to(start + timedelta(seconds=elapsed_s))
        ahead_s = min(horizon_s, elapsed_s + slice_s)
        lots = round(quantity * min(1.0, due(ahead_s))) - average.quantity
        if lots > 0:
            number += 1
            order_id = f"{PARTICIPANT}-{number}"
            core.submit(PARTICIPANT, Ticket(order_id=order_id, symbol=symbol, side=side, quantity=Quantity(lots),
                                            tif=TimeInForce.IOC))  # fmt: skip
        elapsed_s += slice_s
    core.advance_to(start + timedelta(seconds=horizon_s))
    return Worked(average, Quantity(quantity - average.quantity), core.view(symbol).mid)

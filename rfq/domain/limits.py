"""What a desk may do, and whether anything may be done at all."""

from decimal import Decimal

from rfq.domain.errors import LimitBreached
from rfq.domain.rfq import RfqTerms
from rfq.domain.values import Frozen, Instrument, Price, notional


class DeskLimits(Frozen, frozen=True):
    """Bounds on one desk. Money in the instrument's currency."""

    largest_block: Decimal = Decimal("250000000")
    """Notional of one RFQ at arrival."""
    open_rfqs: int = 200
    """RFQs not over at one time."""
    largest_share_of_adv: float = 0.5
    """Quantity of one RFQ as a share of average daily volume."""


def check(limits: DeskLimits, terms: RfqTerms, instrument: Instrument, arrival: Price, open_rfqs: int) -> None:
    """Raises LimitBreached, naming limit, bound and what was asked, for the first limit the request would break."""
    leg = terms.leg
    money = instrument.money(notional(arrival, leg.quantity))
    if money > limits.largest_block:
        raise LimitBreached("largest_block", limits.largest_block, money)
    if leg.quantity > limits.largest_share_of_adv * instrument.adv:
        raise LimitBreached(
            "largest_share_of_adv", limits.largest_share_of_adv, round(leg.quantity / instrument.adv, 4)
        )
    if open_rfqs >= limits.open_rfqs:
        raise LimitBreached("open_rfqs", limits.open_rfqs, open_rfqs + 1)

"""Where the lots were filled and what each part of the price was for: exact, part by part, after Perold (1988).

All parts are signed so that positive costs the desk, and they add up: spread + delay + drift + unattributed is the cost
of the fills against arrival, to the last unit.
"""

from collections.abc import Iterable
from decimal import Decimal

from rfq.domain.block import Block
from rfq.domain.fill import Fill, Where
from rfq.domain.quote import Quote
from rfq.domain.values import Frozen, Instrument, Notional, ParentId, Price, Quantity

ZERO = Decimal(0)
MILLIONTH = Decimal("0.000001")


class Amount(Frozen, frozen=True):
    """Money in the instrument's currency, exact, and the same in bps of the whole request's value at arrival."""

    money: Decimal
    bps: float


class Parts(Frozen, frozen=True):
    """Cost of some fills against arrival in price units x lots, by what it was for.

    At quotes `spread` is the price against the mid when the quote was given, `delay` that mid against arrival. At
    venues `spread` is the price against the mid just before the fill, `delay` the mid at the parent's first fill
    against arrival (before our own orders could move it), and `drift` the mid's way from there: our impact and the
    market's own move together, which fills alone cannot tell apart. `unattributed` is of fills whose mid was not known.
    """

    spread: int = 0
    delay: int = 0
    drift: int = 0
    unattributed: int = 0

    @property
    def total(self) -> Notional:
        return Notional(self.spread + self.delay + self.drift + self.unattributed)

    def plus(self, other: "Parts") -> "Parts":
        return Parts(
            self.spread + other.spread,
            self.delay + other.delay,
            self.drift + other.drift,
            self.unattributed + other.unattributed,
        )


class Filled(Frozen, frozen=True):
    """What was had in one kind of place. Money in the instrument's currency, quantity in shares, prices per share."""

    where: Where
    fills: int
    quantity: Decimal
    value: Decimal
    """Price x quantity, exact: the average price is its ratio to `quantity`, here rounded to a millionth."""
    average_price: Decimal | None
    spread: Decimal
    delay: Decimal
    drift: Decimal
    unattributed: Decimal
    fees: Decimal
    cost: Decimal
    """Against arrival, fees included: the sum of the five above."""
    cost_bps: float | None
    """The same over the arrival value of the lots filled here; None with no lots."""


class Costs:
    """The fills of one block, sorted and costed. Breaks, being disputed excess, are left out."""

    def __init__(self, block: Block, instrument: Instrument) -> None:
        self._block, self._instrument = block, instrument
        rfq = block.rfq
        self._arrival, self._sign = rfq.arrival.mid, rfq.side.sign if rfq.side else 0
        self._began = _mids_when_work_began(block.fills.values())
        self.fills = tuple(f for f in block.fills.values() if f.fill_id not in block.breaks)

    def parts(self, where: Where | None = None) -> Parts:
        total = Parts()
        for fill in self.fills:
            if where in (None, fill.where):
                total = total.plus(self._parts_of(fill))
        return total

    def fees(self, where: Where | None = None) -> Decimal:
        return sum((fee(f, self._instrument) for f in self.fills if where in (None, f.where)), ZERO)

    def filled(self, where: Where) -> Filled:
        fills = [f for f in self.fills if f.where is where]
        lots = Quantity(sum(f.quantity for f in fills))
        notional = Notional(sum(f.price * f.quantity for f in fills))
        parts, fees = self.parts(where), self.fees(where)
        money = self._instrument.money
        cost = money(parts.total) + fees
        unit = self._instrument.price_unit
        return Filled(
            where=where,
            fills=len(fills),
            quantity=lots * self._instrument.lot,
            value=money(notional),
            average_price=(notional * unit / lots).quantize(MILLIONTH) if lots else None,
            spread=money(Notional(parts.spread)),
            delay=money(Notional(parts.delay)),
            drift=money(Notional(parts.drift)),
            unattributed=money(Notional(parts.unattributed)),
            fees=fees,
            cost=cost,
            cost_bps=float(cost / money(Notional(self._arrival * lots)) * 10_000) if lots else None,
        )

    def opportunity(self, last_mid: Price) -> Notional:
        """What the lots that were not filled have cost: their price now against arrival."""
        return Notional(self._sign * (last_mid - self._arrival) * self._block.rfq.unfilled)

    def _parts_of(self, fill: Fill) -> Parts:
        cost = self._sign * fill.quantity
        if fill.where is Where.QUOTE:
            quote = _quote_of(self._block, fill)
            if quote is None:
                return Parts(unattributed=cost * (fill.price - self._arrival))
            mid = quote.mid_at_quote
            return Parts(spread=cost * (fill.price - mid), delay=cost * (mid - self._arrival))
        began = self._began.get(fill.parent_id) if fill.parent_id else None
        if fill.mid_at_fill is None or began is None:
            return Parts(unattributed=cost * (fill.price - self._arrival))
        return Parts(
            spread=cost * (fill.price - fill.mid_at_fill),
            delay=cost * (began - self._arrival),
            drift=cost * (fill.mid_at_fill - began),
        )


def fee(fill: Fill, instrument: Instrument) -> Decimal:
    """What was charged for a fill, to a millionth of the currency; negative is a rebate."""
    exact = Decimal(repr(fill.fee_bps)) / 10_000 * instrument.money(Notional(fill.price * fill.quantity))
    return exact.quantize(MILLIONTH)


def _quote_of(block: Block, fill: Fill) -> Quote | None:
    lift = block.lifts.get(fill.lift_id) if fill.lift_id else None
    return block.quotes.get(lift.quote_id) if lift else None


def _mids_when_work_began(fills: Iterable[Fill]) -> dict[ParentId, Price]:
    """Of each parent, the mid at its first fill that knew one, in market time."""
    began: dict[ParentId, Price] = {}
    for fill in sorted(fills, key=lambda f: f.market_filled_at):
        if fill.parent_id is not None and fill.mid_at_fill is not None:
            began.setdefault(fill.parent_id, fill.mid_at_fill)
    return began

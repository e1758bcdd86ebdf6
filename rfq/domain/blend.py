"""How much of the block at the quotes, how much to work: the least expected cost over every exact split."""

from collections.abc import Sequence
from itertools import combinations

from rfq.domain.auction import RankedQuote
from rfq.domain.award import Allocation
from rfq.domain.errors import BadInput
from rfq.domain.values import NO_LOTS, Frozen, Price, Quantity, Side

MOST_QUOTES = 10
"""Quotes beyond the ten best are not weighed: they could only win by refusals, and then they are ranked anew."""


class ResidualCurve(Frozen, frozen=True):
    """Expected cost of working a residual, as a table: `cost[i]` (bps of arrival x lots) of working `lots[i]`.

    Piecewise linear between the points, which start at (0, 0). `low` and `high` bound the cost at the same lots.
    """

    lots: tuple[Quantity, ...]
    cost: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.lots) < 2 or len(self.lots) != len(self.cost) or self.lots[0] != 0 or self.cost[0] != 0:
            raise BadInput("residual curve", self.lots, "must start at (0, 0) and hold at least two points")
        if any(b <= a for a, b in zip(self.lots, self.lots[1:], strict=False)):
            raise BadInput("residual curve lots", self.lots, "must rise strictly")

    def at(self, quantity: int) -> float:
        """Expected cost of working `quantity` lots, in bps x lots. Beyond the table the last slope goes on."""
        i = next((i for i in range(1, len(self.lots)) if self.lots[i] >= quantity), len(self.lots) - 1)
        slope = (self.cost[i] - self.cost[i - 1]) / (self.lots[i] - self.lots[i - 1])
        return self.cost[i - 1] + slope * (quantity - self.lots[i - 1])


class Split(Frozen, frozen=True):
    """What to take at which quotes, and what is left to work. Costs in bps of arrival x lots."""

    allocations: tuple[Allocation, ...]
    residual: Quantity
    quote_cost: float
    residual_cost: float

    @property
    def cost(self) -> float:
        return self.quote_cost + self.residual_cost

    @property
    def lots(self) -> Quantity:
        return Quantity(sum(a.quantity for a in self.allocations))


def split(
    ranked: Sequence[RankedQuote],
    quantity: Quantity,
    side: Side,
    arrival: Price,
    *,
    residual: ResidualCurve | None,
    least: Quantity = NO_LOTS,
    max_winners: int = 3,
) -> Split:
    """The cheapest split of `quantity` lots over the quotes and the residual.

    With no `residual` curve nothing is worked: the quotes take as much as they can. `least` lots must trade at quotes,
    or none do. Ties go to more at the quotes, then to the better-ranked dealers. Exact over all sets of at most
    `max_winners` of the ten best quotes, minimum quantities included: within a set the better price is filled first,
    and the amount taken is tried at every point where the marginal cost of the residual can cross a quote's price.
    """
    quotes = ranked[:MOST_QUOTES]
    bps = [side.sign * (q.price - arrival) / arrival * 1e4 for q in quotes]
    working = {0: 0.0} if residual is None else _Costs(residual)
    best: tuple[int, ...] = ()
    most_taken = 0
    least_key = _key(working[quantity if residual else 0], 0, 0, quantity, residual)
    for size in range(1, max_winners + 1):
        for chosen in combinations(range(len(quotes)), size):
            # With room enough before it, the last of them would only get its minimum, at a worse price.
            if sum(quotes[i].quantity for i in chosen[:-1]) >= quantity:
                continue
            floor = sum(quotes[i].min_quantity for i in chosen)
            most = min(quantity, sum(quotes[i].quantity for i in chosen))
            for taken in _amounts([quotes[i] for i in chosen], quantity, max(floor, least, size), most, residual):
                lots = _lots(quotes, chosen, taken)
                cost = sum(bps[i] * n for i, n in zip(chosen, lots, strict=True))
                key = _key(cost + working[quantity - taken if residual else 0], taken, size, quantity, residual)
                if key < least_key:
                    least_key, best, most_taken = key, chosen, taken
    lots = _lots(quotes, best, most_taken)
    rest = Quantity(quantity - most_taken) if residual else NO_LOTS
    return Split(
        tuple(_allocation(quotes[i], n) for i, n in zip(best, lots, strict=True) if n),
        rest,
        sum(bps[i] * n for i, n in zip(best, lots, strict=True)),
        working[rest],
    )


def sure_split(
    ranked: Sequence[RankedQuote],
    quantity: Quantity,
    side: Side,
    arrival: Price,
    *,
    residual: ResidualCurve | None,
    least: Quantity = NO_LOTS,
    max_winners: int = 3,
) -> Split:
    """As `split`, for a desk that must not be left with less than `least`.

    A last look may be refused after another winner has confirmed. So with a least amount the winners are either all
    firm, whose timely lift is a trade, or one dealer alone with last look.
    """

    def over(quotes: Sequence[RankedQuote], winners: int) -> Split:
        return split(quotes, quantity, side, arrival, residual=residual, least=least, max_winners=winners)

    if not least:
        return over(ranked, max_winners)
    options = [over([q for q in ranked if q.firm], max_winners)]
    options += [over([q], 1) for q in ranked if not q.firm and q.quantity >= least]
    return min(options, key=lambda o: _key(o.cost, o.lots, len(o.allocations), quantity, residual))


class _Costs(dict[int, float]):
    """The residual's cost by lots, worked out once for each amount that is tried."""

    def __init__(self, curve: ResidualCurve) -> None:
        super().__init__()
        self._curve = curve

    def __missing__(self, lots: int) -> float:
        self[lots] = cost = self._curve.at(lots)
        return cost


def _key(
    cost: float, taken: int, winners: int, quantity: Quantity, residual: ResidualCurve | None
) -> tuple[float, float, int]:
    if residual is None:  # What is not taken is simply not done: take most, then cheapest.
        return (quantity - taken, round(cost, 6), winners)
    return (round(cost, 6), quantity - taken, winners)


def _amounts(
    chosen: Sequence[RankedQuote], quantity: Quantity, lowest: int, most: int, residual: ResidualCurve | None
) -> list[int]:
    """Where the best amount at these quotes can lie: the cost is linear between these points."""
    if lowest > most:
        return []
    points = {lowest, most}
    if residual is not None:
        points.update(quantity - lots for lots in residual.lots)
        reach = sum(q.min_quantity for q in chosen)
        for quote in chosen:
            reach += quote.quantity - quote.min_quantity
            points.add(reach)
    return sorted(p for p in points if lowest <= p <= most)


def _lots(quotes: Sequence[RankedQuote], chosen: Sequence[int], taken: int) -> list[int]:
    """`taken` lots over the chosen quotes: each its minimum, then the better price first."""
    spare = taken - sum(quotes[i].min_quantity for i in chosen)
    lots: list[int] = []
    for i in chosen:
        quote = quotes[i]
        extra = min(spare, quote.quantity - quote.min_quantity)
        spare -= extra
        lots.append(quote.min_quantity + extra)
    return lots


def _allocation(quote: RankedQuote, lots: int) -> Allocation:
    return Allocation(quote.quote_id, quote.revision, quote.dealer_id, quote.price, Quantity(lots))

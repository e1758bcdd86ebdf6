"""The report of one block: what it cost against arrival and why, who was asked and why, what came after."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, localcontext

from rfq.domain.block import Block
from rfq.domain.fill import MarkOut, Where
from rfq.domain.order import ParentOrder
from rfq.domain.rfq import RequestSide, RfqStatus, Schedule
from rfq.domain.slicing import Sliced
from rfq.domain.values import (
    DealerId,
    DeskId,
    Frozen,
    Instrument,
    Notional,
    ParentId,
    Price,
    RfqId,
    Side,
    Symbol,
)
from rfq.tca.after import MarkOutMean, mark_out_means
from rfq.tca.cost import Amount, Costs, Filled
from rfq.tca.panel import AuctionReport, DealerAsked, Panel, PassedOver


class Shortfall(Frozen, frozen=True):
    """Implementation shortfall (Perold, 1988): paper portfolio less real one. The parts add up to `total` exactly."""

    spread: Amount
    delay: Amount
    drift: Amount
    unattributed: Amount
    fees: Amount
    opportunity: Amount
    """Of the lots not filled, marked at `last_mid`."""
    total: Amount


class Expectation(Frozen, frozen=True):
    """What the first award expected and what it came to, fees included, in bps of arrival of the whole quantity."""

    expected_quote_bps: float
    expected_residual_bps: float
    realised_quote_bps: float
    realised_residual_bps: float
    surprise_bps: float
    """Realised less expected, without the opportunity cost of lots not filled."""


class Benchmark(Frozen, frozen=True):
    """What another way of trading the whole quantity would have cost on the same market path."""

    name: str
    cost_bps: float
    saved_bps: float
    """Its cost less our all-in cost."""


class Worked(Frozen, frozen=True):
    """How a residual was worked: one parent order."""

    parent_id: ParentId
    schedule: Schedule
    policy: str
    """Who decided, where each decision was recorded; empty for a plain schedule."""
    weights: str
    """Their version, as of the last decision."""
    decisions: int
    by_rule: int
    """Of these, how many a rule decided, outside of what the policy knows."""


class BestExecution(Frozen, frozen=True):
    """Why these dealers and this split: what a reviewer asks for, as it was recorded at the time."""

    model_version: str
    seed: int | None
    expected_cost_bps: float | None
    chosen: tuple[DealerId, ...]
    not_asked: tuple[DealerId, ...]
    """Ranked, and not chosen, best first."""
    propensities: dict[DealerId, float]
    notes: tuple[str, ...]
    decided_by: str
    decided_because: str
    decided_at: datetime | None
    awards: int
    passed_over: tuple[PassedOver, ...]


class BlockReport(Frozen, frozen=True):
    """Prices and money as exact decimals of the instrument's currency, quantities in shares, costs in bps.

    Costs are positive when worse for the desk. bps are of the value of the whole quantity asked at arrival, unless a
    field says otherwise.
    """

    rfq_id: RfqId
    desk_id: DeskId
    client_order_id: str
    symbol: Symbol
    currency: str
    shown_side: RequestSide
    side: Side | None
    status: RfqStatus
    reason: str
    received_at: datetime
    market_received_at: datetime
    arrival: Decimal
    arrival_spread_bps: float
    last_mid: Decimal
    asked: Decimal
    filled: Decimal
    unfilled: Decimal
    """Neither filled nor reserved or working: not traded (yet)."""
    open: Decimal
    """Reserved by lifts or being worked: the report is not final while any is."""
    excess: Decimal
    """Filled beyond what was asked (breaks): disputed, in no cost."""
    places: tuple[Filled, ...]
    """At quotes, lit and dark, in this order."""
    shortfall: Shortfall
    all_in_bps: float
    filled_bps: float | None
    """Cost of what was filled, fees included, over its own value at arrival."""
    expectation: Expectation | None
    benchmarks: tuple[Benchmark, ...]
    auctions: tuple[AuctionReport, ...]
    dealers: tuple[DealerAsked, ...]
    mark_outs: tuple[MarkOutMean, ...]
    best_execution: BestExecution
    worked: tuple[Worked, ...]


def report(
    block: Block,
    instrument: Instrument,
    mark_outs: Iterable[MarkOut] = (),
    last_mid: Price | None = None,
    benchmarks: Mapping[str, float] | None = None,
) -> BlockReport:
    """Accounts for one block, finished or not.

    `last_mid` marks what was not filled; without it the latest mid that the block itself knows is used. `benchmarks`
    are costs in bps of arrival by name ('twap', 'vwap'). Lots still reserved or working are shown as open and cost
    nothing yet. Raises Inconsistent for a block that holds no request.
    """
    with localcontext(prec=60):  # However large the block, nothing is rounded away.
        return _report(block, instrument, tuple(mark_outs), last_mid, benchmarks or {})


def _report(
    block: Block,
    instrument: Instrument,
    mark_outs: tuple[MarkOut, ...],
    last_mid: Price | None,
    benchmarks: Mapping[str, float],
) -> BlockReport:
    rfq, leg = block.rfq, block.rfq.terms.leg
    mid = latest_mid(block, mark_outs) if last_mid is None else last_mid
    costs, panel = Costs(block, instrument), Panel(block, instrument)
    shortfall = _shortfall(block, instrument, costs, mid)
    arrival, unit, lot = rfq.arrival, instrument.price_unit, instrument.lot
    filled_value = instrument.money(Notional(arrival.mid * rfq.filled))
    return BlockReport(
        rfq_id=rfq.rfq_id,
        desk_id=rfq.desk_id,
        client_order_id=rfq.terms.client_order_id,
        symbol=leg.symbol,
        currency=instrument.currency,
        shown_side=leg.side,
        side=rfq.side,
        status=rfq.status,
        reason=rfq.reason,
        received_at=rfq.received_at,
        market_received_at=rfq.market_received_at,
        arrival=arrival.mid * unit,
        arrival_spread_bps=(arrival.ask - arrival.bid) / arrival.mid * 1e4,
        last_mid=mid * unit,
        asked=leg.quantity * lot,
        filled=rfq.filled * lot,
        unfilled=rfq.unfilled * lot,
        open=(rfq.reserved + rfq.working) * lot,
        excess=sum(block.fills[i].quantity for i in block.breaks) * lot,
        places=tuple(costs.filled(where) for where in Where),
        shortfall=shortfall,
        all_in_bps=shortfall.total.bps,
        filled_bps=(
            float((shortfall.total.money - shortfall.opportunity.money) / filled_value * 10_000) if rfq.filled else None
        ),
        expectation=_expectation(block, instrument, costs),
        benchmarks=tuple(
            Benchmark(name, cost, cost - shortfall.total.bps) for name, cost in sorted(benchmarks.items())
        ),
        auctions=panel.auctions(),
        dealers=panel.dealers(),
        mark_outs=mark_out_means(block, mark_outs),
        best_execution=_best_execution(block, panel),
        worked=tuple(_worked(block, order) for order in block.parents.values()),
    )


def latest_mid(block: Block, mark_outs: Iterable[MarkOut] = ()) -> Price:
    """The last mid in market time that the block itself knows: at a fill, a quote or a mark-out, else at arrival."""
    known = [(f.market_filled_at, f.mid_at_fill) for f in block.fills.values() if f.mid_at_fill is not None]
    known += [(q.market_received_at, q.mid_at_quote) for q in block.quotes.values()]
    known += [(m.due_at, m.mid) for m in mark_outs if m.mid is not None]
    return max(known, key=lambda pair: pair[0], default=(None, block.rfq.arrival.mid))[1]


def _asked_value(block: Block, instrument: Instrument) -> Decimal:
    return instrument.money(Notional(block.rfq.arrival.mid * block.rfq.terms.leg.quantity))


def _shortfall(block: Block, instrument: Instrument, costs: Costs, last_mid: Price) -> Shortfall:
    value = _asked_value(block, instrument)

    def amount(money: Decimal) -> Amount:
        return Amount(money, float(money / value * 10_000))

    def of(notional: int) -> Amount:
        return amount(instrument.money(Notional(notional)))

    parts, fees, opportunity = costs.parts(), costs.fees(), costs.opportunity(last_mid)
    return Shortfall(
        spread=of(parts.spread),
        delay=of(parts.delay),
        drift=of(parts.drift),
        unattributed=of(parts.unattributed),
        fees=amount(fees),
        opportunity=of(opportunity),
        total=amount(instrument.money(Notional(parts.total + opportunity)) + fees),
    )


def _expectation(block: Block, instrument: Instrument, costs: Costs) -> Expectation | None:
    if not block.awards:
        return None
    first, value = block.awards[0], _asked_value(block, instrument)

    def realised(*places: Where) -> float:
        money = sum((instrument.money(costs.parts(w).total) + costs.fees(w) for w in places), Decimal(0))
        return float(money / value * 10_000)

    quotes, residual = realised(Where.QUOTE), realised(Where.LIT, Where.DARK)
    return Expectation(
        expected_quote_bps=first.expected_quote_bps,
        expected_residual_bps=first.expected_residual_bps,
        realised_quote_bps=quotes,
        realised_residual_bps=residual,
        surprise_bps=quotes + residual - first.expected_quote_bps - first.expected_residual_bps,
    )


def _worked(block: Block, order: ParentOrder) -> Worked:
    sliced = block.sliced.get(order.parent_id) or Sliced("", "", 0, 0)
    return Worked(
        parent_id=order.parent_id,
        schedule=order.schedule,
        policy=sliced.policy,
        weights=sliced.version,
        decisions=sliced.decisions,
        by_rule=sliced.by_rule,
    )


def _best_execution(block: Block, panel: Panel) -> BestExecution:
    selection, award = block.selection, block.awards[0] if block.awards else None
    chosen = selection.chosen if selection else ()
    return BestExecution(
        model_version=selection.model_version if selection else "",
        seed=selection.seed if selection else None,
        expected_cost_bps=selection.expected_cost_bps if selection and selection.curve_bps else None,
        chosen=chosen,
        not_asked=tuple(s.dealer_id for s in selection.ranking if s.dealer_id not in chosen) if selection else (),
        propensities=selection.propensities if selection else {},
        notes=selection.notes if selection else (),
        decided_by=award.by if award else "",
        decided_because=award.reason if award else "",
        decided_at=award.decided_at if award else None,
        awards=len(block.awards),
        passed_over=panel.passed_over(),
    )

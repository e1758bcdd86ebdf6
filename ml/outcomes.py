"""Raw history as the models read it: what was known when dealers were asked, and what came of it.

Nothing here is a simulator's truth: every field is something a desk sees. Costs are in bps of the mid at the
quote, mark-outs in bps of the mid at the request, both positive when worse for the desk.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import groupby

from rfq.domain.errors import BadInput
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.rfq import RequestSide
from rfq.domain.values import DealerId, Frozen, Instrument, Price, RfqId, Side, Symbol
from rfq.ports import DealerOutcome, SelectionRequest

MARK_OUT_S = 300.0
"""Horizon of the mark-out that leakage is learned from: later ones hold the same effect under more noise."""

SETTLE_S = 120.0
"""Market seconds after a request by which answers, lifts and confirmations are taken as known."""


class RequestFacts(Frozen, frozen=True):
    """A request and the market as they stood when dealers were about to be asked."""

    at: dt.datetime
    """Market time."""
    symbol: Symbol
    sector: str
    side: Side | None
    """The desk's own side, hidden from dealers if `two_way`; None where the desk has not said."""
    two_way: bool
    size: float
    """Quantity as a share of average daily volume."""
    volatility_bps: float
    """Best estimate of the standard deviation of a day's return; the instrument's own where there is no other."""
    spread_bps: float
    """Quoted spread now."""
    usual_volatility_bps: float
    usual_spread_bps: float
    window_s: float = 10.0
    anonymous: bool = False
    residual_disclosed: bool = False
    urgent: bool = False
    """The desk is in a hurry: it asks more dealers, and its blocks drift further by themselves."""
    desk: str = ""
    """Whose request it is; dealers know unless `anonymous`. Empty where it was not recorded."""

    def __post_init__(self) -> None:
        for name in ("size", "volatility_bps", "spread_bps", "usual_volatility_bps", "usual_spread_bps", "window_s"):
            value = getattr(self, name)
            if not 0 < value < 1e9:
                raise BadInput(name, value, "must be positive and finite")

    @property
    def sign(self) -> int:
        """+1 for a buyer, -1 for a seller, 0 while the side is open."""
        return self.side.sign if self.side else 0


class Answer(StrEnum):
    QUOTED = "quoted"
    NONE = "none"
    """Declined or silent: the difference teaches nothing about cost."""


class Asked(Frozen, frozen=True):
    """One dealer asked in one auction, and what it did."""

    dealer: DealerId
    propensity: float
    """Probability with which it was to be asked."""
    answer: Answer = Answer.NONE
    response_s: float | None = None
    """To its quote, or to its word that there will be none; None where it stayed silent."""
    cost_bps: float | None = None
    """Cost of its quote on the desk's side."""
    quoted_size: float | None = None
    """Quantity quoted as a share of ADV; None where it was not recorded."""
    lifted: bool = False
    confirmed: bool = False
    """Meaningful when lifted: False is a fade."""

    @property
    def lost(self) -> bool:
        """Asked and not hit: it knows of the request and has nothing from it."""
        return not (self.lifted and self.confirmed)


class Outcome(Frozen, frozen=True):
    """The dealers asked together, and how it turned out. A mark-out or control of None could not be had."""

    rfq: RfqId
    facts: RequestFacts
    asked: tuple[Asked, ...]
    mark_out_bps: float | None = None
    control_bps: float | None = None
    in_auction: int = 0
    """Dealers asked in the whole auction, where others were asked in another wave; 0 means these alone."""
    mark_outs_bps: tuple[float | None, ...] = ()
    controls_bps: tuple[float | None, ...] = ()
    """The same at every one of MARK_OUT_HORIZONS_S."""
    candidates: tuple[DealerId, ...] = ()
    propensities: tuple[float, ...] = ()
    """Everybody who could have been asked, and each one's exact probability of being; empty where not recorded."""
    set_propensity: float | None = None
    """Exact probability of asking just these together; None where not recorded."""

    @property
    def competing(self) -> int:
        return max(self.in_auction, len(self.asked))

    @property
    def marked_at(self) -> dt.datetime:
        """When the mark-out was known."""
        return self.facts.at + dt.timedelta(seconds=MARK_OUT_S)


def facts_of(request: SelectionRequest) -> RequestFacts:
    """The facts of a request that is about to be sent out."""
    terms, instrument, market = request.terms, request.instrument, request.market
    return RequestFacts(
        at=request.at,
        symbol=instrument.symbol,
        sector=instrument.sector,
        side=terms.leg.desk_side,
        two_way=terms.leg.side is RequestSide.TWO_WAY,
        size=terms.leg.quantity / instrument.adv,
        volatility_bps=instrument.volatility_bps,
        spread_bps=spread_now_bps(instrument, market.bid, market.ask),
        usual_volatility_bps=instrument.volatility_bps,
        usual_spread_bps=instrument.spread_bps,
        window_s=terms.quote_window_s,
        anonymous=terms.anonymous,
        residual_disclosed=terms.disclose_residual,
        urgent=terms.urgent,
    )


def spread_now_bps(instrument: Instrument, bid: Price | None, ask: Price | None) -> float:
    """The quoted spread; the usual one without both sides. Kept within ten times of it either way: a book
    caught in mid-update says nothing of the spread that anybody will price."""
    usual = instrument.spread_bps
    if not bid or not ask or ask <= bid:
        return usual
    now = (ask - bid) / ((ask + bid) / 2) * 1e4
    return min(max(now, usual / 10), usual * 10)


def auctions(rows: Iterable[DealerOutcome], instruments: Mapping[Symbol, Instrument]) -> Iterator[Outcome]:
    """Groups stored rows, which come in time order, into the dealers asked together (one RFQ, one instant).

    Rows of instruments that are no longer known are left out: without ADV and volatility they have no scale.
    """
    ordered = sorted(rows, key=lambda row: (row.market_at, row.rfq_id, row.request_id))
    for _, group in groupby(ordered, key=lambda row: (row.market_at, row.rfq_id)):
        together = list(group)
        if (instrument := instruments.get(together[0].symbol)) is not None:
            yield _outcome(together, instrument)


_MARK = MARK_OUT_HORIZONS_S.index(MARK_OUT_S)


def _outcome(rows: list[DealerOutcome], instrument: Instrument) -> Outcome:
    first = rows[0]
    facts = RequestFacts(
        at=first.market_at,
        symbol=instrument.symbol,
        sector=instrument.sector,
        side=first.side,
        two_way=first.shown_side is RequestSide.TWO_WAY,
        size=first.quantity / instrument.adv,
        volatility_bps=instrument.volatility_bps,
        spread_bps=spread_now_bps(instrument, *(first.spread or (None, None))),
        usual_volatility_bps=instrument.volatility_bps,
        usual_spread_bps=instrument.spread_bps,
        window_s=first.window_s,
        anonymous=first.anonymous,
        residual_disclosed=first.residual_disclosed,
        urgent=first.urgent,
    )
    # In waves, or where one could not be reached, those asked together are only a part of the set that was drawn.
    whole = {row.dealer_id for row in rows} == set(first.chosen)
    return Outcome(
        rfq=first.rfq_id,
        facts=facts,
        asked=tuple(_asked(row) for row in rows),
        mark_out_bps=_at(first.mark_outs, _MARK),
        control_bps=_at(first.controls, _MARK),
        in_auction=first.asked,
        mark_outs_bps=first.mark_outs,
        controls_bps=first.controls,
        candidates=tuple(first.propensities),
        propensities=tuple(first.propensities.values()),
        set_propensity=first.set_propensity if whole else None,
    )


def _asked(row: DealerOutcome) -> Asked:
    cost_bps = None
    # A quote to a desk that has not said its side has no cost yet; it is an answer all the same.
    quoted = row.mid_at_quote is not None and (row.quote_price is not None or row.side is None)
    if row.side and row.quote_price and row.mid_at_quote:
        cost_bps = row.side.sign * (row.quote_price - row.mid_at_quote) / row.mid_at_quote * 1e4
    return Asked(
        dealer=row.dealer_id,
        propensity=row.propensity,
        answer=Answer.QUOTED if quoted else Answer.NONE,
        response_s=row.response_s,
        cost_bps=cost_bps,
        lifted=row.lifted,
        confirmed=row.confirmed,
    )


def _at(values: tuple[float | None, ...], index: int) -> float | None:
    return values[index] if index < len(values) else None

"""Whom to ask, and what working the block instead would cost: the models behind their ports."""

from rfq.domain.blend import ResidualCurve
from rfq.domain.rfq import RfqTerms
from rfq.domain.selection import QUANTILES, DealerScore, Selection
from rfq.domain.values import DealerId, Instrument
from rfq.engine.parts import Parts
from rfq.ports import MarketView, ResidualRequest, SelectionRequest


def residual_curve(
    parts: Parts, terms: RfqTerms, instrument: Instrument, market: MarketView, selection: Selection | None = None
) -> ResidualCurve | None:
    """What working any part of the block would cost; None when the desk wants nothing worked."""
    if terms.residual is None:
        return None
    asked = selection.chosen if selection else ()
    leakage = sum(s.leakage_bps for s in selection.ranking if s.dealer_id in asked) if selection else 0.0
    return parts.residual.curve(
        ResidualRequest(instrument, terms.leg.desk_side, terms.leg.quantity, market, terms, asked, leakage)
    )


async def score_panel(
    parts: Parts, terms: RfqTerms, instrument: Instrument, market: MarketView, seed: int, *, intervals: bool = False
) -> Selection:
    """Ranks everyone who can be reached and is not excluded, and chooses whom to ask; with `intervals`, also says how
    sure each further dealer's saving is."""
    reachable = parts.gateway.reachable()
    panel = reachable if parts.panel is None else reachable & parts.panel
    request = selection_request(parts, terms, instrument, market, seed, tuple(sorted(panel - set(terms.exclude))))
    return await parts.predictor.select(request.but(intervals=intervals))


def selection_request(
    parts: Parts,
    terms: RfqTerms,
    instrument: Instrument,
    market: MarketView,
    seed: int,
    panel: tuple[DealerId, ...],
) -> SelectionRequest:
    """What the models are told of a request: the market as it is, and these dealers."""
    return SelectionRequest(
        terms=terms,
        instrument=instrument,
        market=market,
        at=parts.market_clock.now(),
        panel=panel,
        residual=residual_curve(parts, terms, instrument, market),
        seed=seed,
        regulatory_least=parts.settings.regulatory_dealers,
        leakage_budget_bps=parts.settings.leakage_budget_bps,
    )


def improvement_bps(score: DealerScore, best_bps: float) -> float:
    """Expected gain in bps of asking this dealer when `best_bps` is in hand: answer, better price, less the leakage."""
    weights = [b - a for a, b in zip((0.0, *QUANTILES), (*QUANTILES, 1.0), strict=True)]
    costs = (*score.quote_cost_bps, score.quote_cost_bps[-1])
    gain = sum(w * max(0.0, best_bps - cost) for w, cost in zip(weights, costs, strict=True))
    return score.response_probability * (1 - score.fade_probability) * gain - score.leakage_bps

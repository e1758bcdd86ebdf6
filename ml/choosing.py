"""From a request to a decision that can be stored and explained: forecast, greedy path, draw, scores."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.dealer_models import Asking, DealerModels, Forecast
from ml.expected_cost import BlockTerms, ExpectedCost, default_rest, rest_cost
from ml.hiding import saved_by_hiding
from ml.memory import PanelMemory
from ml.outcomes import RequestFacts, facts_of
from ml.selection import Allowance, Bounds, Choice, Exploration, Path, choose, greedy
from ml.thompson import curve_interval, doubts_of
from rfq.domain.selection import QUANTILES, DealerScore, Selection
from rfq.domain.values import DealerId
from rfq.ports import SelectionRequest

MOST_COUNTS = 8
"""Numbers asked that are predicted for; further ones use the nearest."""


class Chooser:
    """Holds the models and the desk's way of choosing; every call stands alone and may run in any thread."""

    def __init__(self, models: DealerModels, exploration: Exploration | None = None, at_least: int = 3) -> None:
        """`at_least` dealers are asked where terms and panel allow: greedy choice under-asks, and the quotes of
        one more keep what is known of it fresh."""
        self._models = models
        self._exploration = exploration or Exploration()
        self._at_least = at_least

    @property
    def version(self) -> str:
        return self._models.version

    def select(self, request: SelectionRequest, memory: PanelMemory, notes: tuple[str, ...] = ()) -> Selection:
        """Ranks the panel and draws whom to ask; the same request and memory give the same answer."""
        return self.select_all([(request, notes)], memory)[0]

    def select_all(
        self, requests: Sequence[tuple[SelectionRequest, tuple[str, ...]]], memory: PanelMemory
    ) -> list[Selection]:
        """The same for several requests with their notes, at less cost, and each answered as it would be alone."""
        considered = [self._consider(request, notes, memory) for request, notes in requests]
        askable = [c for c in considered if c.most]
        decisions: dict[int, Selection] = {}
        if askable:
            forecasts = self._models.forecasts([Asking(c.facts, c.dealers, _counts(c.most)) for c in askable], memory)
            decided = [self._decide(c, forecast, memory) for c, forecast in zip(askable, forecasts, strict=True)]
            reasons = self._models.all_reasons([c.facts for c in askable], [d.forecast.x[d.at] for d in decided])
            for c, decision, why in zip(askable, decided, reasons, strict=True):
                decisions[id(c)] = self._selection(c, decision, why)
        return [decisions.get(id(c)) or self._nobody(c) for c in considered]

    def _consider(self, request: SelectionRequest, notes: tuple[str, ...], memory: PanelMemory) -> "_Considered":
        terms, facts = request.terms, facts_of(request)
        if not memory.knows_sector(facts.sector):
            notes = (*notes, f"nothing is known of sector {facts.sector!r}: what dealers do elsewhere stands in")
        dealers = tuple(d for d in request.panel if d not in terms.exclude)
        if request.residual is not None:
            rest = rest_cost(request.residual)
        else:
            rest = default_rest(facts.size, facts.volatility_bps, facts.spread_bps)
            notes = (*notes, "no residual is worked: lots not filled are priced as if worked over a day")
        include = tuple(dealers.index(d) for d in dict.fromkeys(terms.include) if d in dealers)
        absent = [d for d in terms.include if d not in dealers]
        if absent:
            notes = (*notes, f"asked for and not reachable: {', '.join(sorted(absent))}")
        most = min(max(terms.max_dealers, request.regulatory_least), len(dealers))
        if terms.max_dealers < request.regulatory_least:
            notes = (*notes, f"max_dealers raised from {terms.max_dealers}: {request.regulatory_least} are demanded")
        if len(dealers) < request.regulatory_least:
            notes = (*notes, f"only {len(dealers)} of the {request.regulatory_least} dealers demanded can be asked")
        return _Considered(request, facts, dealers, rest, most, include, notes)

    def _decide(self, c: "_Considered", forecast: Forecast, memory: PanelMemory) -> "_Decision":
        terms, rng = c.request.terms, np.random.default_rng(c.request.seed)
        least_share = terms.least_at_quotes / terms.leg.quantity
        block = BlockTerms(size=c.facts.size, least_share=least_share, max_winners=terms.max_winners)
        cost = ExpectedCost(forecast, block, c.rest, rng)
        everyone = range(len(c.dealers))
        least = min(max(terms.min_dealers, c.request.regulatory_least, self._at_least), c.most)
        budget, notes, allowance = c.request.leakage_budget_bps, c.notes, None
        if budget:
            allowance = Allowance(forecast.leakage_bps[_nearest(forecast, least)], budget, least)
        path = greedy(cost, everyone, c.most, c.include, allowance)
        bounds = Bounds(least, c.most, c.include)
        choice = choose(path, everyone, bounds, self._exploration, rng, allowance)
        at = _nearest(forecast, len(choice.chosen))
        if allowance and allowance.leakage_bps[list(choice.chosen)].sum() > budget:
            notes = (*notes, f"leakage budget of {budget:g} bps exceeded: so many have to be asked")
        low, high = (), ()
        if c.request.intervals:
            doubts = doubts_of(self._models, c.facts, forecast)
            low, high = curve_interval(forecast, doubts, block, c.rest, path, rng)
            asked = (forecast.asked, block, c.rest, bounds, c.request.seed)
            notes = (*notes, *_hiding(saved_by_hiding(self._models, c.facts, c.dealers, memory, *asked)))
        order = (*path.order, *_others(cost, everyone, path))
        return _Decision(forecast, path, choice, order, at, notes, tuple(map(float, low)), tuple(map(float, high)))

    def _selection(self, c: "_Considered", d: "_Decision", reasons: Sequence[dict[str, float]]) -> Selection:
        forecast, at = d.forecast, d.at
        response, costs = forecast.response[at].tolist(), forecast.cost_bps[at].tolist()
        leakage, fade = forecast.leakage_bps[at].tolist(), forecast.fade.tolist()
        ranking = tuple(
            DealerScore(
                dealer_id=c.dealers[i],
                response_probability=response[i],
                quote_cost_bps=tuple(costs[i]),
                leakage_bps=leakage[i],
                fade_probability=fade[i],
                reasons=reasons[i],
                fallback="" if forecast.seen[i] else "not asked within the lookback: the panel's average, widened",
            )
            for i in d.order
        )
        return Selection(
            ranking=ranking,
            chosen=tuple(c.dealers[i] for i in d.choice.chosen),
            propensities=dict(zip(c.dealers, d.choice.propensities.tolist(), strict=True)),
            curve_bps=d.path.curve_bps,
            model_version=self.version,
            seed=c.request.seed,
            explored=tuple(c.dealers[i] for i in d.choice.explored),
            notes=d.notes,
            marginal_low_bps=d.low_bps,
            marginal_high_bps=d.high_bps,
        )

    def _nobody(self, c: "_Considered") -> Selection:
        return Selection((), (), {}, (float(c.rest[-1]),), self.version, c.request.seed, notes=c.notes)


class _Considered(NamedTuple):
    """One request as it is decided on."""

    request: SelectionRequest
    facts: RequestFacts
    dealers: tuple[DealerId, ...]
    rest: NDArray[np.float64]
    most: int
    """The most that can be asked: 0 where nobody is there."""
    include: tuple[int, ...]
    notes: tuple[str, ...]


class _Decision(NamedTuple):
    forecast: Forecast
    path: Path
    choice: Choice
    order: tuple[int, ...]
    """Everyone, best first."""
    at: int
    """Index of the forecast for the number asked."""
    notes: tuple[str, ...]
    low_bps: tuple[float, ...]
    high_bps: tuple[float, ...]
    """Bounds of each further dealer's saving, where they were asked for."""


def prior_selection(request: SelectionRequest, notes: tuple[str, ...]) -> Selection:
    """Without models: those included, then an even draw from the panel up to the maximum. Scores are priors."""
    terms, facts = request.terms, facts_of(request)
    dealers = [d for d in request.panel if d not in terms.exclude]
    first = [d for d in dict.fromkeys(terms.include) if d in dealers]
    others = [d for d in dealers if d not in first]
    room = max(0, min(terms.max_dealers, len(dealers)) - len(first))
    drawn = np.random.default_rng(request.seed).permutation(len(others))[:room]
    cost = facts.spread_bps / 2 + 0.25 * facts.volatility_bps * facts.size**0.5
    quantiles = tuple(cost * (0.4 + 1.2 * level) for level in QUANTILES)

    def score(dealer: DealerId) -> DealerScore:
        return DealerScore(dealer, 0.7, quantiles, 0.0, 0.05, {}, fallback="models not available: declared priors")

    chosen = (*first, *(others[i] for i in drawn))
    share = room / len(others) if others else 0.0
    return Selection(
        ranking=tuple(score(d) for d in (*chosen, *(d for d in dealers if d not in chosen))),
        chosen=chosen,
        propensities={d: 1.0 if d in first else share for d in dealers},
        curve_bps=tuple(cost for _ in range(len(chosen) + 1)),
        model_version="priors",
        seed=request.seed,
        notes=notes,
    )


def _hiding(saved_bps: float | None) -> tuple[str, ...]:
    if saved_bps is None:
        return ()
    return (f"hiding the side is expected to {'save' if saved_bps > 0 else 'cost'} {abs(saved_bps):.2f} bps",)


def _counts(most: int) -> list[int]:
    """Numbers asked to predict for: each up to MOST_COUNTS, else so many spread from 1 to `most`."""
    if most <= MOST_COUNTS:
        return list(range(1, most + 1))
    return sorted({round(n) for n in np.geomspace(1, most, MOST_COUNTS)})


def _nearest(forecast: Forecast, asked: int) -> int:
    """Index of the forecast for the number asked, or the nearest there is."""
    return min(range(len(forecast.asked)), key=lambda i: abs(forecast.asked[i] - asked))


def _others(cost: ExpectedCost, everyone: Sequence[int], path: Path) -> list[int]:
    """Dealers beyond the path, by what each would cost alone."""
    left = [d for d in everyone if d not in path.order]
    if not left:
        return []
    alone = cost.adding([], left)
    return [left[i] for i in np.argsort(alone, kind="stable")]

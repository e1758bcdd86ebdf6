"""From a request to a decision that can be stored and explained: forecast, greedy path, draw, scores."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml import widening
from ml.dealer_models import Asking, DealerModels, Forecast, counts_up_to
from ml.expected_cost import BlockTerms, ExpectedCost, rest_of
from ml.hiding import saved_by_hiding
from ml.memory import PanelMemory
from ml.outcomes import RequestFacts, facts_of
from ml.selection import Allowance, Bounds, Choice, Exploration, Path, choose, greedy
from ml.thompson import Thompson, curve_interval, doubts_of, draw
from rfq.domain.errors import BadInput
from rfq.domain.selection import QUANTILES, DealerScore, Selection, WaveDecision
from rfq.domain.values import DealerId
from rfq.ports import SelectionRequest, WaveRequest


class Chooser:
    """Holds the models and the desk's way of choosing; every call stands alone and may run in any thread."""

    def __init__(
        self, models: DealerModels, exploration: Exploration | Thompson | None = None, at_least: int = 3
    ) -> None:
        """`at_least` dealers are asked where terms and panel allow: greedy choice under-asks, and the quotes of
        one more keep what is known of it fresh. Thompson sampling falls back to random slots where doubts cannot be
        had, and says so."""
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
            forecasts = self._models.forecasts(
                [Asking(c.facts, c.dealers, counts_up_to(c.most)) for c in askable], memory
            )
            decided = [self._decide(c, forecast, memory) for c, forecast in zip(askable, forecasts, strict=True)]
            reasons = self._models.all_reasons([c.facts for c in askable], [d.forecast.x[d.at] for d in decided])
            for c, decision, why in zip(askable, decided, reasons, strict=True):
                decisions[id(c)] = self._selection(c, decision, why)
        return [decisions.get(id(c)) or self._nobody(c) for c in considered]

    def further(self, wave: WaveRequest, memory: PanelMemory, holds: float = widening.HELD) -> WaveDecision:
        """Whether to ask more of a live auction's dealers: see `ml.widening`."""
        return widening.further(self._models, wave, memory, holds)

    def _consider(self, request: SelectionRequest, notes: tuple[str, ...], memory: PanelMemory) -> "_Considered":
        terms, facts = request.terms, facts_of(request)
        if not memory.knows_sector(facts.sector):
            notes = (*notes, f"nothing is known of sector {facts.sector!r}: what dealers do elsewhere stands in")
        dealers = tuple(d for d in request.panel if d not in terms.exclude)
        rest = rest_of(request.residual, facts)
        if request.residual is None:
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
        block = BlockTerms.of(terms, c.facts.size)
        everyone = range(len(c.dealers))
        least = min(max(terms.min_dealers, c.request.regulatory_least, self._at_least), c.most)
        budget, notes, allowance = c.request.leakage_budget_bps, c.notes, None
        if budget:
            allowance = Allowance(forecast.leakage_bps[_nearest(forecast, least)], budget, least)
        bounds, how, doubts = Bounds(least, c.most, c.include), self._exploration, None
        if isinstance(how, Thompson) or c.request.intervals:
            try:
                doubts = doubts_of(self._models, c.facts, forecast)
            except BadInput as unusable:
                notes = (*notes, f"how far the models may be wrong is not known: {unusable}")
        if isinstance(how, Thompson) and doubts is None:
            how = Exploration()
            notes = (*notes, "explored by slots: Thompson sampling needs to know how far the models may be wrong")
        if isinstance(how, Thompson) and doubts is not None:
            made = draw(forecast, doubts, block, c.rest, bounds, how, rng, allowance)
            cost, path = made.cost, made.path
            explored = tuple(d for d in made.chosen if d not in made.best)
            choice = Choice(made.chosen, made.propensities, explored, made.of_set)
        else:
            assert isinstance(how, Exploration)
            cost = ExpectedCost(forecast, block, c.rest, rng)
            path = greedy(cost, everyone, c.most, c.include, allowance)
            choice = choose(path, everyone, bounds, how, rng, allowance)
        at = _nearest(forecast, len(choice.chosen))
        if allowance and allowance.leakage_bps[list(choice.chosen)].sum() > budget:
            notes = (*notes, f"leakage budget of {budget:g} bps exceeded: so many have to be asked")
        typical_s, window_s = median(forecast.response_s.tolist()), c.facts.window_s
        if typical_s > window_s:
            late = "half of those who would quote may be late"
            notes = (*notes, f"quote_window_s {window_s:g} is less than a typical dealer's {typical_s:.1f} s: {late}")
        low, high = (), ()
        if c.request.intervals and doubts is not None:
            low, high = curve_interval(forecast, doubts, block, c.rest, path, rng)
            asked = (forecast.asked, block, c.rest, bounds, c.request.seed)
            notes = (*notes, *_hiding(saved_by_hiding(self._models, c.facts, c.dealers, memory, *asked)))
        order = (*path.order, *_others(cost, everyone, path))
        sure = tuple(map(float, low)), tuple(map(float, high))
        return _Decision(forecast, path, choice, order, at, str(how), notes, *sure)

    def _selection(self, c: "_Considered", d: "_Decision", reasons: Sequence[dict[str, float]]) -> Selection:
        forecast, at = d.forecast, d.at
        response, costs = forecast.response[at].tolist(), forecast.cost_bps[at].tolist()
        leakage, fade = forecast.leakage_bps[at].tolist(), forecast.fade.tolist()
        usual_s = forecast.response_s.tolist()
        ranking = tuple(
            DealerScore(
                dealer_id=c.dealers[i],
                response_probability=response[i],
                quote_cost_bps=tuple(costs[i]),
                leakage_bps=leakage[i],
                fade_probability=fade[i],
                reasons=reasons[i],
                fallback="" if forecast.seen[i] else "not asked within the lookback: the panel's average, widened",
                response_s=usual_s[i],
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
            exploration=d.exploration,
            set_propensity=d.choice.of_set,
            marginal_low_bps=d.low_bps,
            marginal_high_bps=d.high_bps,
        )

    def _nobody(self, c: "_Considered") -> Selection:
        return Selection(
            (), (), {}, (float(c.rest[-1]),), self.version, c.request.seed, notes=c.notes, set_propensity=1.0
        )


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
    exploration: str
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
        exploration="priors: drawn evenly from the panel beside those that are to be included",
        set_propensity=1.0 / math.comb(len(others), room),
    )


def _hiding(saved_bps: float | None) -> tuple[str, ...]:
    if saved_bps is None:
        return ()
    return (f"hiding the side is expected to {'save' if saved_bps > 0 else 'cost'} {abs(saved_bps):.2f} bps",)


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

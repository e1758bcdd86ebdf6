"""From a request to a decision that can be stored and explained: forecast, greedy path, draw, scores."""

from collections.abc import Sequence

import numpy as np

from ml.dealer_models import DealerModels, Forecast
from ml.expected_cost import BlockTerms, ExpectedCost, default_rest, rest_cost
from ml.memory import PanelMemory
from ml.outcomes import RequestFacts, facts_of
from ml.selection import Bounds, Exploration, Path, choose, greedy
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
        terms, facts = request.terms, facts_of(request)
        dealers = tuple(d for d in request.panel if d not in terms.exclude)
        least_share = terms.least_at_quotes / terms.leg.quantity
        if request.residual is not None:
            rest = rest_cost(request.residual)
        else:
            rest = default_rest(facts.size, facts.volatility_bps, facts.spread_bps)
            notes = (*notes, "no residual is worked: lots not filled are priced as if worked over a day")
        most = min(terms.max_dealers, len(dealers))
        include = tuple(dealers.index(d) for d in dict.fromkeys(terms.include) if d in dealers)
        absent = [d for d in terms.include if d not in dealers]
        if absent:
            notes = (*notes, f"asked for and not reachable: {', '.join(sorted(absent))}")
        if not most:
            return Selection((), (), {}, (float(rest[-1]),), self.version, request.seed, notes=notes)

        rng = np.random.default_rng(request.seed)
        forecast = self._models.forecast(facts, dealers, memory, _counts(most))
        block = BlockTerms(size=facts.size, least_share=least_share, max_winners=terms.max_winners)
        cost = ExpectedCost(forecast, block, rest, rng)
        everyone = range(len(dealers))
        path = greedy(cost, everyone, most, include)
        bounds = Bounds(least=min(max(terms.min_dealers, self._at_least), most), most=most, include=include)
        choice = choose(path, everyone, bounds, self._exploration, rng)
        order = (*path.order, *_others(cost, everyone, path))
        return Selection(
            ranking=self._scores(facts, forecast, order, len(choice.chosen)),
            chosen=tuple(dealers[i] for i in choice.chosen),
            propensities={d: float(choice.propensities[i]) for i, d in enumerate(dealers)},
            curve_bps=path.curve_bps,
            model_version=self.version,
            seed=request.seed,
            explored=tuple(dealers[i] for i in choice.explored),
            notes=notes,
        )

    def _scores(
        self, facts: RequestFacts, forecast: Forecast, order: Sequence[int], asked: int
    ) -> tuple[DealerScore, ...]:
        at = min(range(len(forecast.asked)), key=lambda i: abs(forecast.asked[i] - asked))
        reasons = self._models.reasons(facts, forecast.x[at])
        return tuple(
            DealerScore(
                dealer_id=forecast.dealers[i],
                response_probability=float(forecast.response[at, i]),
                quote_cost_bps=tuple(float(q) for q in forecast.cost_bps[at, i]),
                leakage_bps=float(forecast.leakage_bps[at, i]),
                fade_probability=float(forecast.fade[i]),
                reasons=reasons[i],
                fallback="" if forecast.seen[i] else "not asked within the lookback: the panel's average, widened",
            )
            for i in order
        )


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


def _counts(most: int) -> list[int]:
    """Numbers asked to predict for: each up to MOST_COUNTS, else so many spread from 1 to `most`."""
    if most <= MOST_COUNTS:
        return list(range(1, most + 1))
    return sorted({round(n) for n in np.geomspace(1, most, MOST_COUNTS)})


def _others(cost: ExpectedCost, everyone: Sequence[int], path: Path) -> list[int]:
    """Dealers beyond the path, by what each would cost alone."""
    left = [d for d in everyone if d not in path.order]
    if not left:
        return []
    alone = cost.adding([], left)
    return [left[i] for i in np.argsort(alone, kind="stable")]

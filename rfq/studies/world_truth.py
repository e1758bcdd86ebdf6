"""What is true of a study world and hidden from every desk: for judging, and for oracles. Never a feature.

`knowing` is the truth of somebody who sees the hidden state, inventories and what informed dealers believe; without it
both are averaged over their stationary laws (inventories standard normal, beliefs of the mid's own size).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from dealers import behaviour_laws as laws
from dealers.behaviour_pricing import charges, quote_cost_bps, skewed_quantile
from dealers.circumstances import Circumstances
from ml.dealer_models import Forecast
from ml.features import FEATURES
from ml.outcomes import MARK_OUT_S, Outcome, RequestFacts
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.selection import QUANTILES
from rfq.domain.values import DealerId
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.world_auction import MARK
from rfq.studies.world_requests import DAY_S, Request

Array = NDArray[np.float64]

POINTS = 2048
"""Of the even sample that quantiles and probabilities are read from."""


class Truth:
    """Of a world as it stands. Arrays are by dealer of the panel, D of them."""

    def __init__(self, world: DealerWorld, points: int = POINTS) -> None:
        """`points`: of the even sample. Fewer are quicker, and enough for an oracle that has many to ask."""
        self._world = world
        # A Latin hypercube: every one-dimensional average over it is nearly exact.
        rng = np.random.default_rng(0)
        strata = (np.arange(points) + 0.5) / points
        self._levels = [rng.permutation(strata)[:, None] for _ in range(4)]
        t = world.columns
        self._noise = skewed_quantile(self._levels[0], t.noise_shape, t.noise_skew)

    # --- leaking -------------------------------------------------------------------------------------------------

    def expected_leakage_bps(self, dealer: DealerId, facts: RequestFacts) -> float:
        """Mean adverse move at the mark-out's horizon caused by asking this dealer and not hitting it."""
        return float(self.leakage_bps(facts)[self._world.place[dealer]])

    def leakage_bps(self, facts: RequestFacts, horizon: int = MARK) -> Array:
        """The same for all, (D,); `horizon` is an index of MARK_OUT_HORIZONS_S."""
        world, t = self._world, self._world.columns
        chance = laws.leak_probability(t, world.seen(facts, 1))
        ahead, _ = world.kernels(facts.window_s)
        power = laws.mean_leaked_power(t, facts.size, world.kernel.exponent)
        return chance * facts.volatility_bps * power * ahead[horizon]

    def noise_bps(self, facts: RequestFacts, *, controlled: bool = True) -> float:
        """Standard deviation of the mark-out that no asking explains; `controlled`: what the best linear use of the
        control leaves of it."""
        terms = self._world.terms
        error = terms.control_noise**2
        sector = terms.sector_share * (error / (1.0 + error) if controlled else 1.0)
        deviation = facts.volatility_bps * terms.noise * math.sqrt(MARK_OUT_S / DAY_S)
        return deviation * math.sqrt(1.0 - terms.sector_share + sector)

    def noise_to_leakage(self, outcome: Outcome, *, controlled: bool = True) -> float:
        """The auction's ratio: the mark-out's noise over the expected leakage of all that were asked and not hit.
        Infinite where nobody could leak."""
        leakage = self.leakage_bps(outcome.facts)
        total = sum(leakage[self._world.place[a.dealer]] for a in outcome.asked if a.lost)
        return self.noise_bps(outcome.facts, controlled=controlled) / total if total > 0 else math.inf

    # --- answering -----------------------------------------------------------------------------------------------

    def answer_probability(self, request: Request, asked: int, *, knowing: bool = True) -> Array:
        """Of a quote in time, (D,), so many being asked."""
        t, window_s = self._world.columns, request.facts.window_s
        room = np.maximum(1e-9, window_s - t.latency_s) / (window_s * t.pace)
        in_time = ndtr(np.log(room) / t.pace_spread)
        return in_time * np.mean(laws.answer_probability(t, self._seen(request, asked, knowing)), axis=0)

    def response_s(self, window_s: float) -> Array:
        """Median time to a quote that is to come, (D,)."""
        return np.asarray(laws.answer_delay_s(self._world.columns, window_s, np.zeros(self._world.columns.count)))

    def quote_quantiles(self, request: Request, asked: int, levels: Sequence[float], *, knowing: bool = True) -> Array:
        """Of the cost quoted to the desk's side given a quote, (D, levels), bps."""
        t, seen = self._world.columns, self._seen(request, asked, knowing)
        lots = self._lots(request, seen)
        terms = charges(t, seen, request.facts.sign, lots / request.instrument.adv)
        costs = np.asarray(quote_cost_bps(t, terms, self._noise))
        weight = np.broadcast_to(laws.answer_probability(t, seen), costs.shape)
        order = np.argsort(costs, axis=0)
        costs = np.take_along_axis(costs, order, axis=0)
        reached = np.cumsum(np.take_along_axis(weight, order, axis=0) + 1e-12, axis=0)
        reached = (reached - reached[0] / 2) / reached[-1]
        return np.array([np.interp(levels, reached[:, d], costs[:, d]) for d in range(t.count)])

    def quoted_size(self, request: Request, asked: int, *, knowing: bool = True) -> Array:
        """Mean quantity quoted as a share of ADV, (D,)."""
        return self._lots(request, self._seen(request, asked, knowing)).mean(axis=0) / request.instrument.adv

    def fade_probability(self, facts: RequestFacts) -> Array:
        """Of refusing a lift, (D,): the mid's move until then is not known yet."""
        t = self._world.columns
        moves = facts.volatility_bps * math.sqrt(facts.window_s / DAY_S) * ndtri(self._levels[0])
        fades = np.asarray(laws.fade_probability(t, moves, facts.volatility_bps)).mean(axis=0)
        return np.where(np.isnan(t.last_look_s), 0.0, fades)

    def forecast(self, request: Request, asked: Sequence[int], *, knowing: bool = True) -> Forecast:
        """The truth in the shape of the models' forecast: for an oracle that decides as the models do."""
        at = [
            (
                self.answer_probability(request, n, knowing=knowing),
                self.quote_quantiles(request, n, QUANTILES, knowing=knowing),
            )
            for n in asked
        ]
        leakage = self.leakage_bps(request.facts)
        count = len(leakage)
        return Forecast(
            dealers=self._world.dealers,
            asked=tuple(asked),
            response=np.array([response for response, _ in at]),
            cost_bps=np.array([quantiles for _, quantiles in at]),
            leakage_bps=np.broadcast_to(leakage, (len(asked), count)),
            fade=self.fade_probability(request.facts),
            quoted_size=self.quoted_size(request, asked[0], knowing=knowing),
            seen=np.ones(count, dtype=bool),
            response_s=self.response_s(request.facts.window_s),
            x=np.zeros((len(asked), count, len(FEATURES)), dtype=np.float32),
        )

    def belief_deviation_bps(self, facts: RequestFacts) -> float:
        """Standard deviation of what informed dealers believe."""
        terms = self._world.terms
        known = terms.sector_share + terms.foresight**2 * (1.0 - terms.sector_share)
        return facts.volatility_bps * terms.noise * math.sqrt(MARK_OUT_HORIZONS_S[MARK] / DAY_S * known)

    def _seen(self, request: Request, asked: int, knowing: bool) -> Circumstances:
        """Circumstances by point of the sample, (points, D) where they differ between points."""
        world, facts = self._world, request.facts
        if knowing:
            return world.seen(facts, asked, world.inventory[None, :, request.sector], request.belief_bps)
        belief = self.belief_deviation_bps(facts) * ndtri(self._levels[3])
        return world.seen(facts, asked, ndtri(self._levels[2]), belief)

    def _lots(self, request: Request, seen: Circumstances) -> Array:
        z = ndtri(self._levels[1])
        return laws.quoted_lots(self._world.columns, seen, request.instrument.adv, request.quantity, z)

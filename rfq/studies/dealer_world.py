"""A world of dealers and desks for study: auctions in process, tens of thousands a minute, from one seed.

Dealers follow the laws of `dealers.behaviour_laws` and `dealers.behaviour_pricing`, all of a panel at once; flow that
losers and hedging winners cause moves the mid by `flow_kernel`. A policy chooses, `play` says what comes of it without
changing anything, `settle` lets it happen. What is true but hidden is in `world_truth`, for judging only.

Quotes are as dealers mean them, before they are rounded to a tick.
"""

import copy
import datetime as dt
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dealers import behaviour_laws as laws
from dealers.behaviour_pricing import charges, quote_cost_bps
from dealers.behaviour_traits import DealerTraits
from dealers.circumstances import SUSPICION, Circumstances, TraitColumns, urgency_of
from dealers.drawn_panel import drawn_panel
from dealers.panel import SECTORS, breadth_of
from ml.expected_cost import GRID
from ml.memory import PanelMemory
from ml.outcomes import Outcome, RequestFacts
from rfq.domain.errors import BadInput
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import DealerId
from rfq.studies.desk_habit import Chosen, DeskHabit, Policy
from rfq.studies.flow_kernel import Kernel
from rfq.studies.splitting import Offer, Splitting, Standing, while_cheaper
from rfq.studies.world_auction import MARK, Auction, Flags, Said, outcome_of
from rfq.studies.world_requests import DISCLOSED_REST, START, Request, Requests, WorldTerms, desk_names

Array = NDArray[np.float64]


class FirstWave(NamedTuple):
    """What stands of an earlier wave when more dealers are asked. Arrays are by dealer of the panel."""

    places: list[int]
    cost_bps: Array
    held: Flags
    """Quoted then, and good still."""
    moved_bps: float
    """How far those asked first have moved the mid since, against the desk."""


class DealerWorld:
    """Dealers with their hidden inventories, the desks' requests, and the market that flow moves."""

    def __init__(
        self,
        seed: int,
        terms: WorldTerms | None = None,
        panel: Sequence[DealerTraits] = (),
        kernel: Kernel | None = None,
    ) -> None:
        """Draws a panel from the seed unless one is given. Raises BadInput where fewer dealers exist than are to be
        asked."""
        self.seed = seed
        self.terms = terms = terms or WorldTerms()
        self.panel = tuple(panel) or drawn_panel(seed, terms.dealers, SECTORS, desk_names(terms.desks))
        if not 1 <= terms.least <= terms.most <= len(self.panel):
            raise BadInput("most", terms.most, f"must be from least (at least 1) to {len(self.panel)} dealers")
        self.kernel = kernel or Kernel()
        self.columns = TraitColumns(self.panel)
        self.requests = Requests(seed, terms, self.columns)
        self.dealers = tuple(traits.dealer for traits in self.panel)
        self.place = {dealer: place for place, dealer in enumerate(self.dealers)}
        self.now: dt.datetime = START
        self.number = 0
        opening = np.random.default_rng([seed, 0xA1])
        self.inventory: Array = opening.standard_normal((len(self.panel), len(SECTORS)))
        self.splitting: Splitting = while_cheaper
        self._last_look = ~np.isnan(self.columns.last_look_s)
        breadth = breadth_of(self.panel)
        self._breadth = [breadth[sector] for sector in SECTORS]
        self._specialist = _flags(self.panel, lambda t, sector: sector in t.specialisms)
        self._covers = _flags(self.panel, lambda t, sector: not t.coverage or sector in t.coverage)
        strengths = {desk: [t.relationship_with(desk) for t in self.panel] for desk in ("", *self.requests.desks)}
        self._relationship = {desk: np.array(values) for desk, values in strengths.items()}
        self._kernels: dict[float, tuple[Array, Array]] = {}

    # --- the stream ----------------------------------------------------------------------------------------------

    def history(self) -> Iterator[Outcome]:
        """`terms.requests` auctions in time order, chosen by the desks' habits."""
        for auction in self.run(DeskHabit(self.terms, self.requests.unusual)):
            yield auction.outcome

    def run(self, policy: Policy, requests: int | None = None, memory: PanelMemory | None = None) -> Iterator[Auction]:
        """Auctions in closed loop: what the policy chooses is played, settled, and told it. `memory`, if one is given,
        gets every outcome too."""
        for _ in range(self.terms.requests if requests is None else requests):
            request = self.next_request()
            rng = np.random.default_rng([self.seed, 0xB0, request.number])
            chosen = policy.choose(request.facts, self.dealers, memory, rng)
            auction = self.play(request, chosen)
            self.settle(auction)
            policy.learn(auction.outcome)
            if memory is not None:
                memory.push(auction.outcome)
            yield auction

    def next_request(self) -> Request:
        """Lets market time go by until the next request; inventories revert and wander (Ornstein-Uhlenbeck)."""
        gap_s = self.requests.gap_s(self.number)
        self.now += dt.timedelta(seconds=gap_s)
        request = self.requests.at(self.number, self.now)
        self.number += 1
        keep = 0.5 ** (gap_s / self.columns.inventory_half_life_s)
        wander = np.sqrt(1.0 - keep * keep)
        self.inventory = keep[:, None] * self.inventory + wander[:, None] * request.chances.inventory_z
        return request

    def fork(self) -> "DealerWorld":
        """A world in the same state that meets the same chances, to be led on in another way."""
        other = copy.copy(self)
        other.inventory = self.inventory.copy()
        return other

    def settle(self, auction: Auction) -> None:
        """The winners take on what they won."""
        self.inventory[:, auction.request.sector] = auction.inventory_after

    # --- one auction ---------------------------------------------------------------------------------------------

    def seen(
        self, facts: RequestFacts, asked: int, inventory: Array | float = 0.0, belief_bps: Array | float = 0.0
    ) -> Circumstances:
        """The request as every dealer of the panel would see it, so many being asked."""
        sector = SECTORS.index(facts.sector)
        rest = DISCLOSED_REST if facts.residual_disclosed else SUSPICION
        return Circumstances(
            block=facts.size,
            rest=rest * facts.size,
            rivals=max(0, asked - 1),
            volatility_bps=facts.volatility_bps,
            half_spread_bps=facts.spread_bps / 2,
            shown=0 if facts.two_way else facts.sign,
            named=float(not facts.anonymous),
            urgency=urgency_of(facts.window_s),
            breadth=self._breadth[sector],
            belief_bps=belief_bps,  # type: ignore[arg-type]
            relationship=self._relationship.get("" if facts.anonymous else facts.desk, self._relationship[""]),
            specialist=self._specialist[sector],
            covers=self._covers[sector],
            inventory=inventory,
        )

    def play(self, request: Request, chosen: Chosen, before: FirstWave | None = None) -> Auction:
        """What comes of asking these dealers now. Nothing changes: other choices can be tried in the same state.

        `before`: quotes that some of them gave in an earlier wave, and what those who gave them have done since.

        Raises BadInput for a dealer that is not of the panel, or one named twice.
        """
        facts, c, t = request.facts, request.chances, self.columns
        places = self._places(chosen.asked)
        adv, held = request.instrument.adv, self.inventory[:, request.sector]
        seen = self.seen(facts, len(places), held, request.belief_bps)
        delay_s = laws.answer_delay_s(t, facts.window_s, c.pace_z)
        willing = c.answer_u < laws.answer_probability(t, seen)
        lots = laws.quoted_lots(t, seen, adv, request.quantity, c.lots_z)
        cost_bps = np.asarray(quote_cost_bps(t, charges(t, seen, facts.sign, lots / adv), c.noise))
        quoted = willing & (delay_s <= facts.window_s)
        if before is not None:
            first = np.isin(np.arange(len(self.panel)), before.places)
            cost_bps = np.where(first, before.cost_bps, cost_bps + before.moved_bps)
            quoted = np.where(first, before.held, quoted)
        fades = self._last_look & (c.fade_u < laws.fade_probability(t, request.lift_move_bps, facts.volatility_bps))
        lifted, won_lots, paid_bps, left = self._award(request, places, quoted, fades, cost_bps, lots)

        usual = laws.usual_lots(t, adv)
        hedge, after = laws.after_trade(t, held, facts.sign, won_lots, usual)
        lost = np.zeros(len(self.panel), dtype=bool)
        lost[places] = True
        lost &= won_lots == 0
        leaks = lost & (c.leak_u < laws.leak_probability(t, seen))
        caused_bps = self._caused(request, leaks, laws.leaked_lots(t, adv, request.quantity, c.leak_z), hedge)
        moved_bps = float(caused_bps[MARK]) * max(left, self.terms.standing)
        said_s = np.where(willing, delay_s, 0.6 * delay_s)
        said_s = np.where((said_s <= facts.window_s) & (willing | (c.silent_u >= t.silent_share)), said_s, np.nan)
        said = Said(places, quoted, said_s, cost_bps, lots / adv)
        return Auction(
            request=request,
            outcome=outcome_of(request, chosen, self.dealers, said, lifted, caused_bps, self.terms.missing),
            won_lots=won_lots,
            inventory_after=after,
            caused_bps=caused_bps,
            left=left,
            paid_bps=paid_bps,
            rest_bps=self.rest_cost_bps(facts, left),
            moved_bps=moved_bps,
        )

    def talked_bps(self, request: Request, asked: Sequence[DealerId], horizon: int) -> float:
        """How far these would have moved the mid at a horizon (an index of MARK_OUT_HORIZONS_S) had none been hit."""
        c, t = request.chances, self.columns
        places = self._places(asked)
        lost = np.isin(np.arange(len(self.panel)), places)
        leaks = lost & (c.leak_u < laws.leak_probability(t, self.seen(request.facts, len(places))))
        lots = laws.leaked_lots(t, request.instrument.adv, request.quantity, c.leak_z)
        return float(self._caused(request, leaks, lots, np.zeros(len(self.panel)))[horizon])

    def expected_cost_bps(self, request: Request, asked: Sequence[DealerId], redraws: int) -> float:
        """Mean all-in cost of asking these dealers in the present state, over redrawn chances, the same for every
        set."""
        chosen = Chosen(tuple(asked), ())
        again = (self.requests.redrawn(request, k) for k in range(1, redraws + 1))
        return float(np.mean([self.play(one, chosen).cost_bps for one in again]))

    def rest_cost_bps(self, facts: RequestFacts, share: float) -> float:
        """Of working a share of the block, in bps of the whole block: spread and square-root impact."""
        terms = self.terms
        impact = terms.rest_impact * facts.volatility_bps * math.sqrt(share * facts.size)
        return share * (terms.rest_spread * facts.spread_bps / 2 + impact)

    def rest_curve_bps(self, facts: RequestFacts) -> Array:
        """The same at shares 0, 1/GRID, ... 1, as `ml.expected_cost` takes it."""
        return np.array([self.rest_cost_bps(facts, share) for share in np.linspace(0.0, 1.0, GRID + 1).tolist()])

    def kernels(self, window_s: float) -> tuple[Array, Array]:
        """[horizons, dealers] of trading ahead and of hedging: moves of a whole day's volume, see `Kernel.of_one`. Flow
        begins when the window to answer is over."""
        if window_s not in self._kernels:
            ways = (self.columns.leak_horizon_s, self.columns.hedge_horizon_s)
            self._kernels[window_s] = tuple(  # type: ignore[assignment]
                np.array([self.kernel.of_one(lasts, h - window_s) for h in MARK_OUT_HORIZONS_S]) for lasts in ways
            )
        return self._kernels[window_s]

    def _places(self, asked: Sequence[DealerId]) -> list[int]:
        try:
            places = [self.place[dealer] for dealer in asked]
        except KeyError as unknown:
            raise BadInput("asked", str(unknown.args[0]), "is not a dealer of this world") from unknown
        if len(set(places)) < len(places):
            raise BadInput("asked", asked, "must name no dealer twice")
        return places

    def _award(
        self, request: Request, places: list[int], quoted: Flags, fades: Flags, cost_bps: Array, lots: Array
    ) -> tuple[dict[int, bool], Array, float, float]:
        """Lifts as `splitting` says: (place -> confirmed, lots won, paid, share left). After a refused lift it is asked
        again."""
        facts, quantity = request.facts, request.quantity
        won_lots = np.zeros(len(self.panel))
        lifted: dict[int, bool] = {}
        costs, sizes, is_quoted = cost_bps.tolist(), lots.tolist(), quoted.tolist()
        left, paid, winners = float(quantity), 0.0, self.terms.max_winners
        offers = sorted(Offer(costs[place], place, sizes[place]) for place in places if is_quoted[place])
        worked_bps = partial(self.rest_cost_bps, facts)
        while offers and winners and (lift := self.splitting(Standing(offers, left, quantity, winners, worked_bps))):
            offer, take = lift
            offers.remove(offer)
            lifted[offer.place] = not fades[offer.place]
            if lifted[offer.place]:
                won_lots[offer.place] = take
                left, paid, winners = left - take, paid + offer.cost_bps * (take / quantity), winners - 1
        return lifted, won_lots, paid, left / quantity

    def _caused(self, request: Request, leaks: Flags, leaked: Array, hedge: Array) -> Array:
        """[horizons]: the moves of all flow, added up."""
        adv, power = request.instrument.adv, self.kernel.exponent
        ahead, hedging = self.kernels(request.facts.window_s)
        pressed = ahead @ np.where(leaks, leaked / adv, 0.0) ** power + hedging @ (hedge / adv) ** power
        return request.facts.volatility_bps * pressed


def _flags(panel: Sequence[DealerTraits], holds: Callable[[DealerTraits, str], bool]) -> Array:
    """[sectors, dealers], 1 where it holds."""
    return np.array([[float(holds(traits, sector)) for traits in panel] for sector in SECTORS])

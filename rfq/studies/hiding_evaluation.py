"""What hiding the side costs and saves: the same request to the same dealers, asked with the side shown and hidden.

Both ways meet the same chances in the same state, and the desks' habit leads the world on. Hidden, nobody can trade
ahead, and nobody provides for it; but both prices have to stand, so that spread and risk are dearer, and no dealer
comes forward because the request would cut its inventory. How much dearer is declared and swept here
(`DealerTraits.two_way_premium`): nobody publishes it. Then the models, who learned from a log of both kinds, say
beforehand what hiding would save.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dealers.circumstances import TraitColumns
from ml.expected_cost import BlockTerms
from ml.hiding import saved_by_hiding
from ml.memory import PanelMemory
from ml.selection import Bounds
from ml.train_dealers import train_dealers
from rfq.domain.values import DealerId, Frozen
from rfq.studies import selection_policies as ways
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Chosen, DeskHabit
from rfq.studies.figures import Figures
from rfq.studies.spread_over import interval, spread
from rfq.studies.world_auction import Auction
from rfq.studies.world_requests import Request, WorldTerms

Array = NDArray[np.float64]

FIRST_SEED = 1_101
SIZES = {"all": (0.0, 1.0), "small": (0.0, 0.02), "middling": (0.02, 0.06), "large": (0.06, 1.0)}
"""Shares of ADV, from and below."""
PREMIUMS = (0.0, 0.1, 0.2, 0.4)
"""Of both prices over one, on spread and risk; 0.1 is what the worlds hold."""


class Plan(Frozen, frozen=True):
    """How much is played."""

    worlds: int = 6
    log: int = 3_000
    requests: int = 150
    redraws: int = 3
    workers: int = 0


class Hidden(NamedTuple):
    """Hidden less shown of one request, averaged over its redraws; in bps, NaN where there is nothing to compare."""

    quote_bps: float
    """Of a dealer's quote, where it quoted both ways."""
    quotes: float
    """Quotes received."""
    paid_bps: float
    """Quotes taken and the rest worked, in a market that nobody has moved."""
    leaked_bps: float
    """Of the whole block, for flow that asking caused."""

    @property
    def all_in_bps(self) -> float:
        return self.paid_bps + self.leaked_bps


class Tried(NamedTuple):
    """One request: its size, what hiding does, what the models said it would save, and all-in by premium."""

    size: float
    hidden: Hidden
    promised_bps: float
    own_set_bps: float
    """All in, each way with its own best set."""
    swept_bps: tuple[float, ...]


def run(figures: Figures, plan: Plan) -> None:
    """Adds the table: means over worlds with 95% intervals."""
    found = spread(partial(hiding, plan), range(FIRST_SEED, FIRST_SEED + plan.worlds), plan.workers)
    describe(figures, found)


def hiding(plan: Plan, seed: int) -> list[Tried]:
    """One world, after a log of both kinds."""
    terms = WorldTerms(requests=plan.log)
    world, memory = DealerWorld(seed, terms), PanelMemory()
    habit = DeskHabit(terms, world.requests.unusual)
    models = train_dealers(
        [auction.outcome for auction in world.run(habit, plan.log, memory)], seed, f"study world {seed}"
    )
    swept = [_dearer(world, premium) for premium in PREMIUMS]
    tried: list[Tried] = []
    for _ in range(plan.requests):
        request = world.next_request()
        facts = request.facts
        block = BlockTerms(size=facts.size, max_winners=terms.max_winners, standing_weight=terms.standing)
        rest, bounds = world.rest_curve_bps(facts), Bounds(ways.AT_LEAST, ways.MOST)
        promised = saved_by_hiding(
            models, facts, world.dealers, memory, ways.COUNTS, block, rest, bounds, request.number
        )
        policy = ways.ByForecast(world, ways.by_models(models))
        sets: list[tuple[DealerId, ...]] = []
        for hidden in (False, True):
            rng = np.random.default_rng([seed, 0xB1, request.number])
            sets.append(policy.choose(facts.but(two_way=hidden), world.dealers, memory, rng).asked)
        # The same draws of chances for all that is compared.
        again = [world.requests.redrawn(request, k) for k in range(1, plan.redraws + 1)]
        shown = [world.play(_asked(one, hidden=False), Chosen(sets[0], ())) for one in again]
        blind = [world.play(_asked(one, hidden=True), Chosen(sets[0], ())) for one in again]
        own = [world.play(_asked(one, hidden=True), Chosen(sets[1], ())).cost_bps for one in again]
        before = np.mean([auction.cost_bps for auction in shown])
        dearer: list[float] = []
        for other in swept:
            other.inventory = world.inventory
            costs = [other.play(_asked(one, hidden=True), Chosen(sets[0], ())).cost_bps for one in again]
            dearer.append(float(np.mean(costs) - before))
        hidden = _compared(shown, blind)
        own_set = float(np.mean(own) - before)
        tried.append(Tried(facts.size, hidden, np.nan if promised is None else promised, own_set, tuple(dearer)))
        rng = np.random.default_rng([seed, 0xB0, request.number])
        auction = world.play(request, habit.choose(facts, world.dealers, memory, rng))
        world.settle(auction)
        habit.learn(auction.outcome)
        memory.push(auction.outcome)
    return tried


def _dearer(world: DealerWorld, premium: float) -> DealerWorld:
    """The world, with dealers who charge so much more for both prices."""
    other = world.fork()
    other.columns = TraitColumns([traits.but(two_way_premium=premium) for traits in world.panel])
    return other


def _asked(request: Request, *, hidden: bool) -> Request:
    return request._replace(facts=request.facts.but(two_way=hidden))


def _compared(shown: list[Auction], hidden: list[Auction]) -> Hidden:
    """Means over redraws."""
    quotes, counts = list[float](), list[float]()
    for one, other in zip(shown, hidden, strict=True):
        pairs = list(zip(one.outcome.asked, other.outcome.asked, strict=True))
        quotes += [b.cost_bps - a.cost_bps for a, b in pairs if a.cost_bps is not None and b.cost_bps is not None]
        counts.append(sum((b.cost_bps is not None) - (a.cost_bps is not None) for a, b in pairs))

    def more(name: str) -> float:
        return float(np.mean([getattr(b, name) - getattr(a, name) for a, b in zip(shown, hidden, strict=True)]))

    quote_bps = float(np.mean(quotes)) if quotes else np.nan
    return Hidden(quote_bps, float(np.mean(counts)), more("paid_bps") + more("rest_bps"), more("moved_bps"))


def describe(figures: Figures, found: list[list[Tried]]) -> None:
    """By size, then by premium, then what the models knew of it."""

    def add(name: str, worlds: list[Array]) -> None:
        mean, low, high = interval(np.array([np.nanmean(one) if len(one) else 0.0 for one in worlds]))
        figures.add(name, mean)
        stem, unit = name.removesuffix("_bps"), "_bps" if name.endswith("_bps") else ""
        figures.add(f"{stem}_low{unit}", low)
        figures.add(f"{stem}_high{unit}", high)

    for size, (low, high) in SIZES.items():
        of_size = [[one for one in world if low <= one.size < high] for world in found]
        for part in ("quote_bps", "quotes", "paid_bps", "leaked_bps", "all_in_bps"):
            add(f"hiding_{size}_{part}", [np.array([getattr(o.hidden, part) for o in w]) for w in of_size])
    add("hiding_own_set_all_in_bps", [np.array([one.own_set_bps for one in world]) for world in found])
    for place, premium in enumerate(PREMIUMS):
        name = f"hiding_at_premium_{round(100 * premium)}_percent_all_in_bps"
        add(name, [np.array([one.swept_bps[place] for one in world]) for world in found])
    promised = [np.array([one.promised_bps for one in world]) for world in found]
    saved = [-np.array([one.own_set_bps for one in world]) for world in found]
    add("hiding_promised_saving_bps", promised)
    add("hiding_promised_less_real_saving_bps", [p - s for p, s in zip(promised, saved, strict=True)])
    # Hidden where the models advise it, and shown elsewhere; beside the better of always and never.
    advised = [np.where(p > 0, -s, 0.0) for p, s in zip(promised, saved, strict=True)]
    add("hiding_as_advised_all_in_bps", advised)

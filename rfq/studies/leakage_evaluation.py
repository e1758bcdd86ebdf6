"""How well leakage is learned: estimates against the truth of a study world, per dealer and context."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dealers import behaviour_laws as laws
from ml.leakage import Leakage, fit_leakage
from ml.leakage_prior import posterior
from ml.outcomes import Outcome, RequestFacts
from ml.plain_leakage import fit_plain_leakage
from ml.scores import rank_correlation
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import DealerId
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import Chosen, DeskHabit
from rfq.studies.world_auction import MARK, Auction
from rfq.studies.world_requests import DAY_S, Request, WorldTerms
from rfq.studies.world_truth import Truth

Array = NDArray[np.float64]

SIZES, WINDOWS_S, VOLATILITY_BPS = (0.01, 0.04, 0.15), (5.0, 10.0, 20.0), 150.0
USUAL = (0.04, 10.0)
HELD_OUT = 2_000
"""Later auctions that thetas are tried on."""


class Estimate(Protocol):
    """What an estimator says of dealers in a context."""

    def expected_bps(self, facts: RequestFacts, dealers: Sequence[DealerId]) -> Array: ...

    def interval_bps(self, facts: RequestFacts, dealer: DealerId) -> tuple[float, float]: ...


class Seen(NamedTuple):
    """An auction, and what was hidden in it: only oracles look."""

    auction: Auction
    inventory: Array
    """Of every dealer in the request's sector, before anybody won."""


def next_auction(world: DealerWorld, habit: DeskHabit, request: Request | None = None) -> Seen:
    """One more request by habit, settled and learned from."""
    request = request or world.next_request()
    held = world.inventory[:, request.sector].copy()
    rng = np.random.default_rng([world.seed, 0xB0, request.number])
    auction = world.play(request, habit.choose(request.facts, world.dealers, None, rng))
    world.settle(auction)
    habit.learn(auction.outcome)
    return Seen(auction, held)


def probed(world: DealerWorld, request: Request, rng: np.random.Generator) -> Auction:
    """The same request sent to dealers drawn at random, so many as chance has it; nothing comes of it."""
    count = int(rng.integers(world.terms.least, world.terms.most + 1))
    places = rng.permutation(len(world.dealers))[:count]
    return world.play(request, Chosen(tuple(world.dealers[i] for i in places.tolist()), ()))


class Contexts:
    """Requests on which truth and estimates are compared: sizes, windows, anonymous and two desks; and a usual named
    one, averaged over desks."""

    def __init__(self, world: DealerWorld, facts: RequestFacts) -> None:
        self.dealers = world.dealers
        plain = facts.but(two_way=False, volatility_bps=VOLATILITY_BPS, anonymous=False)
        desks = world.requests.desks
        ways = [{"anonymous": True}, {"desk": desks[0]}, {"desk": desks[len(desks) // 2]}]
        self.cells = [plain.but(size=s, window_s=w, **way) for s in SIZES for w in WINDOWS_S for way in ways]
        usual = [plain.but(size=USUAL[0], window_s=USUAL[1], desk=desk) for desk in desks]
        self.usual = usual[0]
        truth = Truth(world)
        self.truth = np.mean([truth.leakage_bps(f) for f in usual], axis=0)
        self.cells_truth = np.array([truth.leakage_bps(f) for f in self.cells])

    def judged(self, found: Estimate) -> dict[str, float]:
        """RMSE also over that of the best constant: of all dealers, and of each context."""
        usual = found.expected_bps(self.usual, self.dealers)
        cells = np.array([found.expected_bps(f, self.dealers) for f in self.cells])
        ranked = [rank_correlation(t, e) for t, e in zip(self.cells_truth, cells, strict=True)]
        away = self.cells_truth - self.cells_truth.mean(axis=1, keepdims=True)
        return {
            "spearman": rank_correlation(self.truth, usual),
            "rmse_bps": _rms(usual - self.truth),
            "rmse_of_constant": _rms(usual - self.truth) / float(self.truth.std()),
            "cover90": self._covered(found, [self.usual], self.truth[None]),
            "mean_of_true": float(usual.mean() / self.truth.mean()),
            "contexts_spearman": float(np.mean(ranked)),
            "contexts_rmse_of_constant": _rms(cells - self.cells_truth) / _rms(away),
            "contexts_cover90": self._covered(found, self.cells, self.cells_truth),
        }

    def _covered(self, found: Estimate, cells: Sequence[RequestFacts], truth: Array) -> float:
        bounds = np.array([[found.interval_bps(f, d) for d in self.dealers] for f in cells])
        return float(((bounds[:, :, 0] <= truth) & (truth <= bounds[:, :, 1])).mean())


class Knowing:
    """Knows all but each dealer's rate: the noise and its covariance, the control's coefficient, hedging, drift, and
    how every dealer's leakage bends with the context. The prior is the model's."""

    def __init__(self, world: DealerWorld, seen: Sequence[Seen], contexts: Contexts) -> None:
        self._truth, self._place, self._base = Truth(world), world.place, contexts.truth
        terms, count = world.terms, len(world.dealers)
        horizons = np.array(MARK_OUT_HORIZONS_S)
        error = terms.control_noise**2
        left = 1.0 - terms.sector_share + terms.sector_share * error / (1.0 + error)
        covariance = terms.noise**2 * left * np.minimum.outer(horizons, horizons) / DAY_S
        weight = np.linalg.inv(covariance)
        precision, pull = np.zeros((count, count)), np.zeros(count)
        for one in seen:
            outcome = one.auction.outcome
            facts = outcome.facts
            if outcome.mark_out_bps is None or facts.two_way:
                continue
            lost = [self._place[a.dealer] for a in outcome.asked if a.lost]
            x = np.zeros((len(horizons), count))
            x[:, lost] = self._paths(world, facts, lost)
            drift = terms.urgent_drift * facts.urgent * np.sqrt(horizons / DAY_S)
            moves = np.array(outcome.mark_outs_bps) - np.array(outcome.controls_bps) / (1.0 + error)
            y = (moves - hedging_bps(world, one)) / facts.volatility_bps - drift
            precision += x.T @ weight @ x
            pull += x.T @ (weight @ y)
        precision += 1e-9 * np.trace(precision) * np.eye(count)
        drawn = posterior(precision, pull, np.random.default_rng([world.seed, 0x0C])).draws
        self._mean = drawn.mean(0)
        self._low, self._high = np.quantile(drawn, (0.05, 0.95), axis=0)

    def _paths(self, world: DealerWorld, facts: RequestFacts, places: list[int]) -> Array:
        """[horizons, places]: expected moves, in daily volatilities, of dealers whose usual leakage is 1 bp."""
        ahead, _ = world.kernels(facts.window_s)
        share = self._truth.leakage_bps(facts) / (self._base * facts.volatility_bps)
        return (share * ahead / ahead[MARK])[:, places]

    def _bent(self, facts: RequestFacts) -> Array:
        return self._truth.leakage_bps(facts) / self._base

    def expected_bps(self, facts: RequestFacts, dealers: Sequence[DealerId]) -> Array:
        return (self._mean * self._bent(facts))[[self._place[d] for d in dealers]]

    def interval_bps(self, facts: RequestFacts, dealer: DealerId) -> tuple[float, float]:
        place = self._place[dealer]
        bent = float(self._bent(facts)[place])
        return float(self._low[place] * bent), float(self._high[place] * bent)


class Constant:
    """The mean of all dealers in truth, bent as the truth is on average: no constant does better."""

    def __init__(self, contexts: Contexts) -> None:
        self._of = {id(f): t.mean() for f, t in zip(contexts.cells, contexts.cells_truth, strict=True)}
        self._usual = float(contexts.truth.mean())

    def expected_bps(self, facts: RequestFacts, dealers: Sequence[DealerId]) -> Array:
        return np.full(len(dealers), self._of.get(id(facts), self._usual))

    def interval_bps(self, facts: RequestFacts, dealer: DealerId) -> tuple[float, float]:
        middle = self._of.get(id(facts), self._usual)
        return middle, middle


def hedging_bps(world: DealerWorld, seen: Seen) -> Array:
    """[horizons]: what the winners' hedging moved the mid by."""
    auction = seen.auction
    facts, adv = auction.outcome.facts, auction.request.instrument.adv
    t = world.columns
    hedge, _ = laws.after_trade(t, seen.inventory, facts.sign, auction.won_lots, laws.usual_lots(t, adv))
    _, hedging = world.kernels(facts.window_s)
    return facts.volatility_bps * (hedging @ (hedge / adv) ** world.kernel.exponent)


def table(seed: int, sizes: Sequence[int], terms: WorldTerms, *, cheat: bool) -> dict[str, float]:
    """One world's figures: every estimator at every number of RFQs, and the median noise-to-leakage ratio. With
    `cheat`, also what dealers' identities are worth on a later stretch of the log: as they are, shuffled, and by the
    truth."""
    world = DealerWorld(seed, terms)
    habit = DeskHabit(world.terms, world.requests.unusual)
    seen = [next_auction(world, habit) for _ in range(max(sizes))]
    outcomes = [one.auction.outcome for one in seen]
    contexts, truth = Contexts(world, outcomes[0].facts), Truth(world)
    found: dict[str, float] = {}
    fitted: Leakage | None = None
    for size in sizes:
        fitted = fit_leakage(outcomes[:size], seed)
        ways: dict[str, Estimate] = {
            "constant": Constant(contexts),
            "plain": fit_plain_leakage(outcomes[:size]),
            "model": fitted,
            "knowing": Knowing(world, seen[:size], contexts),
        }
        for way, estimate in ways.items():
            for name, value in contexts.judged(estimate).items():
                found[f"{way}_{name}_{shown(size)}"] = value
    sided = [o for o in outcomes[:4000] if not o.facts.two_way]
    found["noise_to_leakage"] = float(np.median([truth.noise_to_leakage(o, controlled=False) for o in sided]))
    found["noise_to_leakage_controlled"] = float(np.median([truth.noise_to_leakage(o) for o in sided]))
    if cheat and fitted is not None:
        later = [next_auction(world, habit).auction.outcome for _ in range(HELD_OUT)]
        found |= _identities(world, fitted, later, seed)
    return found


def _identities(world: DealerWorld, fitted: Leakage, later: Sequence[Outcome], seed: int) -> dict[str, float]:
    """How much of the expected leakage's own square the identities explain of later mark-outs: 1 where they are right,
    about 0 where they say nothing, below where they mislead."""
    rng, truth = np.random.default_rng([seed, 0x5F]), Truth(world)
    everybody = np.array(world.dealers)
    gains = {"as_logged": 0.0, "shuffled": 0.0, "by_truth": 0.0}
    most = 0.0
    for outcome in later:
        facts = outcome.facts
        if outcome.mark_out_bps is None or facts.two_way:
            continue
        names = [a.dealer for a in outcome.asked if a.lost]
        others = rng.choice(everybody, len(names), replace=False).tolist()
        sigma = facts.volatility_bps
        left = outcome.mark_out_bps / sigma - fitted.unrelated(outcome)
        usual = fitted.expected_bps(facts, world.dealers).mean() * len(names) / sigma
        real = truth.leakage_bps(facts)
        right = real[[world.place[d] for d in names]].sum() / sigma
        level = real.mean() * len(names) / sigma
        told = {
            "as_logged": (fitted.expected_bps(facts, names).sum() / sigma, usual),
            "shuffled": (fitted.expected_bps(facts, others).sum() / sigma, usual),
            "by_truth": (right, level),
        }
        for way, (expected, alike) in told.items():
            gains[way] += (left - alike) ** 2 - (left - expected) ** 2
        most += (right - level) ** 2
    return {f"identities_{way}": gain / most for way, gain in gains.items()}


def shown(requests: int) -> str:
    """2k for 2,000."""
    return f"{requests // 1000}k" if requests >= 1000 else str(requests)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))

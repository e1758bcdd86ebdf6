"""How well quotes, answers and fades are predicted: dealers drawn at random, in a world that goes on as desks do.

Models learn from the desks' own log. Then every request is also sent to a random set, of which nothing comes: what
those dealers say is judged against what was predicted for them.
"""

import numpy as np
from numpy.typing import NDArray

from ml.dealer_models import DealerModels
from ml.features import FEATURES, features
from ml.memory import PanelMemory
from ml.outcomes import Answer, Outcome, RequestFacts
from ml.quote_law import reference_cost_bps
from ml.quote_model import Margin, calibrated, fit_margin, fit_quantiles, raw_quantiles, relative_quantiles, scale_of
from ml.scores import auc, brier, pinball
from ml.train_dealers import CHECK, FIT, train_on
from ml.training_rows import TrainingRows, training_rows
from rfq.domain.selection import QUANTILES
from rfq.domain.values import DealerId
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.desk_habit import DeskHabit
from rfq.studies.leakage_evaluation import Seen, next_auction, probed
from rfq.studies.world_requests import WorldTerms
from rfq.studies.world_truth import Truth

Array = NDArray[np.float64]
Rows = NDArray[np.float32]

PROBES = 800
"""Later requests that are also sent to a random set."""


class _Probes:
    """Rows of dealers drawn at random: features as a desk has them, the truth, and what was said."""

    def __init__(self) -> None:
        self.x: list[Rows] = []
        self.answered: list[bool] = []
        self.cost: list[float] = []
        self.facts: list[RequestFacts] = []
        self.hidden: list[list[float]] = []
        self.truth: dict[str, list[Array]] = {"knowing": [], "unknowing": []}
        self.likely: list[float] = []
        self.fade: list[float] = []
        self.fade_truth: list[float] = []
        self.others: list[Rows] = []

    def add(
        self, world: DealerWorld, truth: Truth, memory: PanelMemory, probe: Outcome, rng: np.random.Generator
    ) -> None:
        """Features of those asked, and as if each were somebody else."""
        facts, names = probe.facts, [a.dealer for a in probe.asked]
        matrix, state = features(facts, names, memory, [len(names)])
        swapped = [DealerId(str(d)) for d in rng.permutation(np.array(world.dealers))[: len(names)]]
        others, _ = features(facts, swapped, memory, [len(names)])
        fades = truth.fade_probability(facts)
        for row, asked in enumerate(probe.asked):
            self.x.append(matrix[0, row])
            self.others.append(others[0, row])
            self.answered.append(asked.answer is Answer.QUOTED)
            self.cost.append(np.nan if asked.cost_bps is None else asked.cost_bps)
            self.facts.append(facts)
            self.fade.append(float(state.fade_rate[row]))
            self.fade_truth.append(float(fades[world.place[asked.dealer]]))


def hidden_of(facts: RequestFacts, inventory: float, belief_bps: float) -> list[float]:
    """What no desk sees, as two features over the reference cost: the dealer's inventory, and the belief of informed
    ones."""
    reference = reference_cost_bps(facts)
    return [facts.sign * inventory * facts.volatility_bps / reference, facts.sign * belief_bps / reference]


def table(seed: int, requests: int, terms: WorldTerms) -> dict[str, float]:
    """One world's figures: pinball loss per daily volatility, coverage of the 90% interval, answers and fades."""
    world = DealerWorld(seed, terms)
    habit = DeskHabit(world.terms, world.requests.unusual)
    seen = [next_auction(world, habit) for _ in range(requests)]
    rows = training_rows((one.auction.outcome for one in seen), seed)
    models = train_on(rows, seed, "an evaluation")
    memory = PanelMemory.of(rows.outcomes)
    truth, probes, rng = Truth(world), _Probes(), np.random.default_rng([seed, 0x9B])
    for _ in range(PROBES):
        request = world.next_request()
        probe = probed(world, request, rng).outcome
        asked = [world.place[a.dealer] for a in probe.asked]
        probes.add(world, truth, memory, probe, rng)
        held = world.inventory[asked, request.sector]
        probes.hidden += [hidden_of(request.facts, float(i), request.belief_bps) for i in held]
        probes.likely += truth.answer_probability(request, len(asked))[asked].tolist()
        for way, found in probes.truth.items():
            quantiles = truth.quote_quantiles(request, len(asked), QUANTILES, knowing=way == "knowing")
            found += list(quantiles[asked])
        memory.push(next_auction(world, habit, request).auction.outcome)
    return {
        **_quotes(seed, world, seen, rows, models, probes),
        **_answers(models, rows, probes),
    }


def _quotes(
    seed: int, world: DealerWorld, seen: list[Seen], rows: TrainingRows, models: DealerModels, probes: _Probes
) -> dict[str, float]:
    count = len(rows.outcomes)
    fit = rows.between(0, int(FIT * count)) & rows.priced
    check = rows.between(int(FIT * count), int(CHECK * count)) & rows.priced
    relative = rows.cost_bps / rows.reference_bps
    cost = np.array(probes.cost)
    said = ~np.isnan(cost)
    x, others, cost = np.array(probes.x)[said], np.array(probes.others)[said], cost[said]
    facts = [f for f, quoted in zip(probes.facts, said, strict=True) if quoted]
    reference = np.array([reference_cost_bps(f) for f in facts])[:, None]
    volatility = np.array([f.volatility_bps for f in facts])

    def raw(unit: Array) -> Array:
        y = rows.cost_bps / unit
        return raw_quantiles((rows.x[fit], y[fit]), (rows.x[check], y[check]), x, seed)

    margin = fit_margin(rows.x[fit], relative[fit])
    shape = np.quantile((relative[fit] - margin.at(rows.x[fit])) / scale_of(rows.x[fit]), QUANTILES)
    ways = {
        "constant": np.quantile(relative[fit], QUANTILES) * reference,
        "plain": (margin.at(x)[:, None] + scale_of(x)[:, None] * shape) * reference,
        "raw_trees": raw(np.ones(len(rows.x))),
        "raw_trees_per_volatility": raw(rows.volatility_bps) * volatility[:, None],
        "raw_trees_per_reference": raw(rows.reference_bps) * reference,
        "model": models.quote_quantiles(x) * reference,
        "model_shuffled": models.quote_quantiles(others) * reference,
        "truth_unknowing": np.array(probes.truth["unknowing"])[said],
        "truth_knowing": np.array(probes.truth["knowing"])[said],
        "model_told_hidden": _told(seed, world, seen, rows, (fit, check), x, np.array(probes.hidden)[said]) * reference,
    }
    found = {f"{way}_pinball": pinball(cost, q, QUANTILES, 1.0 / volatility) for way, q in ways.items()}
    found |= {f"{way}_cover90": float(((q[:, 0] <= cost) & (cost <= q[:, -1])).mean()) for way, q in ways.items()}
    for way in ("raw_trees", "raw_trees_per_volatility", "raw_trees_per_reference"):
        found[f"below_{way}"] = 1.0 - found["model_pinball"] / found[f"{way}_pinball"]
    gain = found["constant_pinball"] - found["model_pinball"]
    found["shuffled_gain_kept"] = (found["constant_pinball"] - found["model_shuffled_pinball"]) / gain
    found["told_hidden_gains"] = 1.0 - found["model_told_hidden_pinball"] / found["model_pinball"]
    found["truth_unknowing_below_raw_trees"] = 1.0 - found["truth_unknowing_pinball"] / found["raw_trees_pinball"]
    return found


def _told(
    seed: int,
    world: DealerWorld,
    seen: list[Seen],
    rows: TrainingRows,
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    x: Rows,
    hidden: Array,
) -> Array:
    """The same model with two more features that no desk has: the margin takes them, trees go on top."""
    fit, check = masks
    told: list[list[float]] = []
    for one in seen:
        request, asked = one.auction.request, one.auction.outcome.asked
        held = one.inventory[[world.place[a.dealer] for a in asked]].tolist()
        told += [hidden_of(request.facts, inventory, request.belief_bps) for inventory in held]
    wide, later = (
        np.concatenate([a, b.astype(np.float32)], axis=1) for a, b in ((rows.x, np.array(told)), (x, hidden))
    )
    relative = rows.cost_bps / rows.reference_bps
    margin: Margin = fit_margin(wide[fit], relative[fit])
    trees = fit_quantiles(wide[fit], relative[fit], margin, (wide[check], relative[check]), seed)
    margin = calibrated(trees, margin, wide[check], relative[check])
    return relative_quantiles(trees.inplace_predict, margin, later)


def _answers(models: DealerModels, rows: TrainingRows, probes: _Probes) -> dict[str, float]:
    x, answered = np.array(probes.x), np.array(probes.answered)
    fades = np.array(probes.fade) - np.array(probes.fade_truth)
    usual = np.full(len(x), rows.answered.mean())
    rate = x[:, FEATURES.index("sector_answer_rate")]
    found: dict[str, float] = {}
    ways = {"constant": usual, "plain": rate, "model": models.answer_probability(x), "knowing": np.array(probes.likely)}
    for way, probability in ways.items():
        found[f"answers_{way}_auc"] = auc(answered, probability)
        found[f"answers_{way}_brier"] = brier(answered, probability)
    truth = np.array(probes.fade_truth)
    found["fades_rmse"] = float(np.sqrt(np.mean(fades**2)))
    found["fades_rmse_of_constant"] = float(np.sqrt(np.mean(fades**2)) / truth.std())
    return found

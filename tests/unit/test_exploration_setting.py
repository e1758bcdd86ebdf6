"""Exploration as the service runs it: a setting, exact propensities in the decision, slots where doubt is not known."""

import math
from collections import Counter

import msgspec
import numpy as np
import pytest
from choosing import PANEL, request

from ml.choosing import Chooser, prior_selection
from ml.dealer_models import DealerModels
from ml.memory import PanelMemory
from ml.model_process import ModelProcess
from ml.outcomes import Answer, Asked, Outcome, facts_of
from ml.selection import Bounds, Exploration, Path, choose
from ml.thompson import Doubts, Thompson
from rfq.app import _exploration
from rfq.domain.errors import BadInput
from rfq.domain.values import RfqId
from rfq.settings import BadSettings, Settings, load


@pytest.fixture(scope="module")
def models() -> DealerModels:
    return DealerModels.load()


@pytest.mark.parametrize("explore", [Exploration(), Exploration(0.3, 0.4), Exploration(0.0, 1.0)])
def test_a_sets_propensity_is_its_frequency(explore):
    path, rng, draws = Path((2, 0, 5, 1), (30.0, 20.0, 15.0, 14.0, 14.5)), np.random.default_rng(0), 8000
    seen, said = Counter(), {}
    for _ in range(draws):
        choice = choose(path, range(7), Bounds(1, 4), explore, rng)
        seen[frozenset(choice.chosen)] += 1
        said[frozenset(choice.chosen)] = choice.of_set
    assert sum(said.values()) == pytest.approx(1.0), "so many draws meet every set there is"
    for one, probability in said.items():
        assert seen[one] / draws == pytest.approx(probability, abs=4 * math.sqrt(probability / draws))


def test_thompson_is_logged_with_exact_propensities_and_says_so(models):
    chooser, explored, plain = Chooser(models, Thompson(budget_bps=2.0)), 0, Chooser(models, Exploration(0.0, 0.0))
    for seed in range(8):
        made = chooser.select(request(seed=seed), PanelMemory())
        assert made == chooser.select(request(seed=seed), PanelMemory())
        assert made.exploration.startswith("thompson") and "2 bps" in made.exploration
        fifths = [5 * p for p in (*made.propensities.values(), made.set_propensity)]
        assert fifths == pytest.approx([round(f) for f in fifths])
        assert min(made.propensities[d] for d in made.chosen) >= made.set_propensity > 0
        assert set(made.propensities) == set(PANEL) and set(made.explored) <= set(made.chosen)
        explored += bool(made.explored)
    assert explored > 0
    assert not Chooser(models, Thompson(budget_bps=0.0)).select(request(), PanelMemory()).explored
    slots = plain.select(request(), PanelMemory())
    assert slots.exploration.startswith("slots") and slots.set_propensity == 1.0


def test_thompson_keeps_to_terms_and_to_the_leakage_budget(models):
    chooser = Chooser(models, Thompson(budget_bps=20.0))
    free = chooser.select(request(quantity=400_000), PanelMemory())
    leak = {score.dealer_id: score.leakage_bps for score in free.ranking}
    budget = 0.6 * sum(leak[d] for d in free.chosen)
    for seed in range(6):
        asked = request(quantity=400_000, seed=seed, include=(PANEL[9],), max_dealers=6).but(leakage_budget_bps=budget)
        made = chooser.select(asked, PanelMemory())
        assert PANEL[9] in made.chosen and made.propensities[PANEL[9]] == 1.0 and len(made.chosen) <= 6
        leak = {score.dealer_id: score.leakage_bps for score in made.ranking}
        assert sum(leak[d] for d in made.chosen) <= budget + 0.3 or any("budget" in note for note in made.notes)


def test_where_doubts_cannot_be_had_slots_explore_and_the_record_says_so(models):
    broken = DealerModels.load()
    broken.leakage = msgspec.structs.replace(broken.leakage, own_spread=math.nan)
    made = Chooser(broken, Thompson()).select(request().but(intervals=True), PanelMemory())
    assert made.exploration.startswith("slots") and any("Thompson" in note for note in made.notes)
    assert made.chosen and made.marginal_low_bps == () and 0 < made.set_propensity < 1
    with pytest.raises(BadInput, match=r"doubts\.cost_bps"):
        Doubts(np.ones(2), np.array([1.0, math.nan]), np.ones(2))
    with pytest.raises(BadInput, match=r"doubts\.response"):
        Doubts(np.ones(2), np.ones(2), np.array([1.0, -1.0]))


def test_history_that_is_no_number_and_panels_of_nobody_and_one(models):
    chooser, facts = Chooser(models, Thompson()), facts_of(request())
    spoilt = Asked(PANEL[0], 1.0, Answer.QUOTED, response_s=math.nan, cost_bps=math.inf, quoted_size=math.nan)
    earlier = facts.but(at=facts.at.replace(hour=12))
    made = chooser.select(request(), PanelMemory.of([Outcome(RfqId("r"), earlier, (spoilt,), math.nan, 1.0)]))
    assert made.exploration.startswith("thompson") and np.isfinite(made.curve_bps).all()
    nobody = chooser.select(request(PANEL, exclude=PANEL), PanelMemory())
    assert nobody.chosen == () and nobody.propensities == {} and nobody.set_propensity == 1.0
    one = chooser.select(request(PANEL[:1]), PanelMemory())
    assert one.chosen == PANEL[:1] and one.propensities == {PANEL[0]: 1.0} and one.set_propensity == 1.0


def test_priors_draw_every_set_alike():
    made = prior_selection(request(max_dealers=5, include=(PANEL[3],)), ())
    assert made.set_propensity == pytest.approx(1 / math.comb(11, 4)) and made.exploration.startswith("priors")


def test_the_setting_chooses_and_is_checked():
    assert _exploration(Settings()) == Exploration()
    given = load({"SOTTO_EXPLORATION": "thompson", "SOTTO_EXPLORATION_BUDGET_BPS": "0.25"})
    assert _exploration(given) == Thompson(budget_bps=0.25)
    assert _exploration(load({"SOTTO_EXPLORATION": "thompson"})) == Thompson()
    for wrong in ({"SOTTO_EXPLORATION": "dice"}, {"SOTTO_EXPLORATION_BUDGET_BPS": "-1"}):
        with pytest.raises(BadSettings, match=next(iter(wrong))):
            load(wrong)


async def test_a_process_of_its_own_explores_as_it_is_told(models):
    async with ModelProcess(exploration=Thompson(budget_bps=1.0)) as process:
        chosen = await process.select(request(seed=3), ())
    assert chosen == Chooser(models, Thompson(budget_bps=1.0)).select(request(seed=3), PanelMemory())

"""What the choice does with what it cannot use: it refuses, or falls back and says so in the record."""

import math

import numpy as np
import pytest
from choosing import NO_DRAW, NOON, PANEL, QDI, request

from ml.choosing import Chooser
from ml.dealer_models import DealerModels
from ml.memory import PanelMemory
from ml.outcomes import Answer, Asked, Outcome, facts_of
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId, RfqId


@pytest.fixture(scope="module")
def models() -> DealerModels:
    return DealerModels.load()


def met(dealer: DealerId = PANEL[0], minutes: int = 60, **changes) -> Outcome:
    """An auction some time before NOON."""
    facts = facts_of(request()).but(at=NOON.replace(hour=17 - minutes // 60))
    said = dict(response_s=2.0, cost_bps=12.0, quoted_size=0.04)
    asked = Asked(dealer, 1.0, Answer.QUOTED, **(said | changes))
    return Outcome(rfq=RfqId("r"), facts=facts, asked=(asked,), mark_out_bps=3.0, control_bps=1.0)


def test_a_dealer_nobody_knows_is_widened_and_says_so(models):
    made = Chooser(models, NO_DRAW).select(request(), PanelMemory.of([met()]))
    said = {score.dealer_id: score.fallback for score in made.ranking}
    assert said[PANEL[0]] == ""
    assert all("widened" in said[dealer] for dealer in PANEL[1:])


def test_a_sector_never_seen_is_noted(models):
    chooser = Chooser(models, NO_DRAW)
    assert any("sector" in note for note in chooser.select(request(), PanelMemory()).notes)
    assert not any("sector" in note for note in chooser.select(request(), PanelMemory.of([met()])).notes)


def test_a_panel_of_one_is_asked_and_a_demand_for_three_is_noted(models):
    made = Chooser(models).select(request(PANEL[:1]), PanelMemory())
    assert made.chosen == PANEL[:1] and made.propensities == {PANEL[0]: 1.0}
    demanded = Chooser(models).select(request(PANEL[:1]).but(regulatory_least=3), PanelMemory())
    assert "only 1 of the 3 dealers demanded can be asked" in demanded.notes


def test_nobody_there_is_an_empty_choice_that_prices_the_residual(models):
    made = Chooser(models).select(request(PANEL, exclude=PANEL), PanelMemory())
    assert made.chosen == () and made.propensities == {} and made.expected_cost_bps > 0


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["response_s", "cost_bps", "quoted_size", "mark_out_bps"])
def test_what_is_no_number_in_history_counts_as_missing(models, wrong, field):
    good = [met(minutes=120) for _ in range(3)]
    spoilt = met().but(mark_out_bps=wrong) if field == "mark_out_bps" else met(**{field: wrong})
    memory = PanelMemory.of([*good, spoilt])
    state = memory.state(PANEL[:2], facts_of(request()), 120.0)
    for name in state.__struct_fields__:
        value = getattr(state, name)
        assert all(np.isfinite(part).all() for part in (value if isinstance(value, tuple) else (value,))), name
    made = Chooser(models, NO_DRAW).select(request(), memory)
    assert all(np.isfinite(score.quote_cost_bps).all() for score in made.ranking)
    assert np.isfinite(made.curve_bps).all()


@pytest.mark.parametrize("field", ["size", "volatility_bps", "spread_bps", "window_s"])
def test_facts_that_are_missing_are_refused(field):
    with pytest.raises(BadInput, match=field):
        facts_of(request()).but(**{field: math.nan})


def test_a_book_without_a_side_is_priced_by_the_usual_spread(models):
    bare = request()
    bare = bare.but(market=bare.market.but(ask=None))
    assert facts_of(bare).spread_bps == QDI.spread_bps
    assert Chooser(models, NO_DRAW).select(bare, PanelMemory()).chosen


def test_more_are_asked_than_terms_allow_where_a_rule_demands_it(models):
    made = Chooser(models, NO_DRAW).select(request(max_dealers=2).but(regulatory_least=3), PanelMemory())
    assert len(made.chosen) == 3
    assert any("max_dealers raised from 2" in note for note in made.notes)


def test_a_leakage_budget_is_kept_or_its_breach_is_said(models):
    free = Chooser(models, NO_DRAW).select(request(quantity=400_000), PanelMemory())
    leak = {score.dealer_id: score.leakage_bps for score in free.ranking}
    spent = sum(leak[d] for d in free.chosen)
    assert spent > 0
    for seed in range(20):
        asked = request(quantity=400_000, seed=seed).but(leakage_budget_bps=0.7 * spent)
        made = Chooser(models).select(asked, PanelMemory())
        leak = {score.dealer_id: score.leakage_bps for score in made.ranking}
        over = sum(leak[d] for d in made.chosen) > 0.7 * spent + 0.3
        assert not over or any("budget" in note for note in made.notes)
    tight = Chooser(models, NO_DRAW).select(request(quantity=400_000).but(leakage_budget_bps=1e-3), PanelMemory())
    assert len(tight.chosen) == 3 and any("exceeded" in note for note in tight.notes)


def test_a_plan_says_how_sure_each_saving_is(models):
    made = Chooser(models, NO_DRAW).select(request().but(intervals=True), PanelMemory())
    assert len(made.marginal_low_bps) == len(made.marginal_high_bps) == len(made.marginal_bps)
    for low, middle, high in zip(made.marginal_low_bps, made.marginal_bps, made.marginal_high_bps, strict=True):
        assert low <= middle <= high
    assert max(made.marginal_high_bps) > max(made.marginal_bps)
    assert Chooser(models, NO_DRAW).select(request(), PanelMemory()).marginal_low_bps == ()

"""Thompson sampling: exact propensities, a budget that holds, doubt where little is known. And the log's estimates."""

import numpy as np
import pytest
from choosing import PANEL, cost_of, forecast

from ml.expected_cost import BlockTerms, default_rest
from ml.forest import Forest
from ml.off_policy import LoggedChoice, doubly_robust
from ml.selection import Allowance, Bounds, greedy
from ml.thompson import Doubts, Thompson, curve_interval, draw
from rfq.domain.errors import BadInput

BLOCK, REST = BlockTerms(size=0.05), default_rest(0.05, 150.0, 5.0)


def doubts(dealers: int = 6, cost: float = 3.0) -> Doubts:
    return Doubts(np.full(dealers, 0.5), np.full(dealers, cost), np.full(dealers, 0.1))


def drawn(seed: int, how: Thompson | None = None, doubt: Doubts | None = None):
    rng = np.random.default_rng(seed)
    return draw(forecast(2), doubt or doubts(), BLOCK, REST, Bounds(2, 4), how or Thompson(budget_bps=9.0), rng)


def test_propensities_are_shares_of_the_sets_and_chosen_is_one_of_them():
    explored = 0
    for seed in range(20):
        made = drawn(seed)
        assert made.chosen in made.sets and len(made.sets) == 5
        for dealer in range(6):
            assert made.propensities[dealer] == sum(dealer in one for one in made.sets) / 5
        assert made.of_set == sum(set(one) == set(made.chosen) for one in made.sets) / 5
        assert made.of_set > 0 and min(made.propensities[list(made.chosen)]) >= 0.2
        explored += set(made.chosen) != set(made.best)
    assert 3 <= explored <= 20


def test_the_draw_of_a_set_is_as_likely_as_is_said():
    """The same sets, drawn again and again: frequencies are the propensities."""

    class Repeated:
        """A generator whose beliefs are always the same, and whose last draw is not."""

        def __init__(self, last: int) -> None:
            self._same, self._last = np.random.default_rng(5), np.random.default_rng(last)

        def standard_normal(self, shape):
            return self._same.standard_normal(shape)

        def integers(self, high):
            return self._same.integers(high) if high == 2**63 else self._last.integers(high)

    counts, made = np.zeros(6), None
    for last in range(400):
        made = draw(forecast(2), doubts(), BLOCK, REST, Bounds(2, 4), Thompson(budget_bps=9.0), Repeated(last))
        counts[list(made.chosen)] += 1
    np.testing.assert_allclose(counts / 400, made.propensities, atol=0.08)


def test_no_set_is_expected_to_cost_more_than_the_budget():
    cost = cost_of(forecast(2))
    for budget in (0.0, 0.2):
        for seed in range(10):
            made = drawn(seed, Thompson(budget_bps=budget))
            gap = cost.of(made.chosen) - cost.of(made.best)
            assert gap <= budget + 0.35  # Priced over other draws here.
            if not budget:
                assert abs(gap) < 0.35
    with pytest.raises(BadInput, match="budget_bps"):
        Thompson(budget_bps=-1.0)
    with pytest.raises(BadInput, match="beliefs"):
        Thompson(beliefs=1)


def test_without_doubt_nothing_is_explored_and_with_more_doubt_intervals_widen():
    sure = Doubts(np.zeros(6), np.zeros(6), np.zeros(6))
    assert all(drawn(seed, doubt=sure).chosen == drawn(seed, doubt=sure).best for seed in range(5))
    path = greedy(cost_of(forecast(2)), range(6), 4)
    widths = []
    for cost in (0.5, 4.0):
        low, high = curve_interval(forecast(2), doubts(cost=cost), BLOCK, REST, path, np.random.default_rng(1))
        widths.append((high - low).mean())
    assert widths[0] < widths[1]


def test_the_log_tells_what_another_policy_costs_even_where_the_models_are_wrong():
    """Two sets of true cost 10 and 14, logged evenly; the models think 12 of both."""
    rng = np.random.default_rng(0)
    took = rng.random(4000) < 0.5
    costs = np.where(took, 10.0, 14.0) + rng.standard_normal(4000)
    log = [LoggedChoice(float(c), 12.0, 0.5, float(t), 12.0) for c, t in zip(costs, took, strict=True)]
    found = doubly_robust(log)
    assert found.low_bps < 10.0 < found.high_bps and found.high_bps - found.low_bps < 0.5
    assert found.models_bps == 12.0 and found.effective == pytest.approx(took.sum())
    never = doubly_robust([LoggedChoice(11.0, 12.0, 0.5, 0.0, 12.0)] * 50)
    assert never.effective == 0 and never.mean_bps == 12.0 and np.isinf(never.high_bps)


@pytest.mark.parametrize(
    "spoilt", [dict(propensity=0.0), dict(propensity=1.5), dict(cost_bps=float("nan")), dict(candidate_propensity=-0.1)]
)
def test_a_log_without_exact_propensities_is_refused(spoilt):
    good = dict(cost_bps=1.0, expected_bps=1.0, propensity=0.5, candidate_propensity=0.5, candidate_bps=1.0)
    with pytest.raises(BadInput):
        doubly_robust([LoggedChoice(**good), LoggedChoice(**(good | spoilt))])
    with pytest.raises(BadInput, match="log"):
        doubly_robust([LoggedChoice(**good)])


def test_a_path_keeps_its_allowance_and_asks_the_least_that_it_must():
    made = forecast(3)
    leak = made.leakage_bps[0]
    cost = cost_of(made)
    roomy = greedy(cost, range(6), 6, (), Allowance(leak, float(leak.sum()) / 2, 1))
    assert leak[list(roomy.order)].sum() <= leak.sum() / 2
    none = greedy(cost, range(6), 6, (), Allowance(leak, 0.0, 2))
    assert list(none.order) == np.argsort(leak)[:2].tolist()


def test_a_forest_says_what_xgboost_says():
    import xgboost as xgb

    from ml.dealer_models import DealerModels
    from ml.features import FEATURES

    models, rng = DealerModels.load(), np.random.default_rng(1)
    varying = [FEATURES.index(name) for name in ("log_asked", "law")]
    panel = rng.standard_normal((11, len(FEATURES))).astype(np.float32)
    several = np.tile(panel, (4, 1))
    several[:, varying] = np.repeat(rng.standard_normal((4, 2)), 11, axis=0)
    for booster in filter(None, (models._response, models._quote, models._leakage_trees)):
        used = booster.num_features()
        forest = Forest(booster, [column for column in varying if column < used])
        for rows in (panel[:, :used], several[:, :used], panel[:1, :used]):
            np.testing.assert_allclose(forest.inplace_predict(rows), booster.inplace_predict(rows), atol=1e-5)
    forest = Forest(models._quote, varying)
    said = models._quote.predict(xgb.DMatrix(panel, nthread=1), pred_contribs=True, approx_contribs=True)
    said = said.reshape(len(panel), -1, len(FEATURES) + 1)
    for output in (0, 2):
        np.testing.assert_allclose(forest.contributions(panel, output), said[:, output, :-1], atol=2e-6)


def test_the_same_choice_with_xgboost_itself():
    from choosing import NO_DRAW, request

    from ml.choosing import Chooser
    from ml.dealer_models import DealerModels
    from ml.memory import PanelMemory

    models = DealerModels.load()
    ours, theirs = (Chooser(m, NO_DRAW).select(request(PANEL), PanelMemory()) for m in (models, models.by_xgboost()))
    assert ours.chosen == theirs.chosen
    np.testing.assert_allclose(ours.curve_bps, theirs.curve_bps, atol=1e-4)

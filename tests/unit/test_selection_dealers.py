"""Choosing whom to ask: greedy against enumeration, what moves the choice, exact propensities, the port."""

import itertools

import numpy as np
import pytest
from choosing import NO_DRAW, PANEL, cost_of, forecast, request

from ml.choosing import Chooser, prior_selection
from ml.dealer_models import DealerModels
from ml.expected_cost import default_rest
from ml.features import FEATURES
from ml.memory import PanelMemory
from ml.selection import Bounds, Exploration, Path, best_count, choose, greedy
from ml.set_cost import draw_costs, reading
from rfq.domain.errors import BadInput
from rfq.domain.selection import QUANTILES
from rfq.domain.values import DealerId


def test_greedy_is_as_good_as_trying_every_set():
    gaps = []
    for seed in range(12):
        cost = cost_of(forecast(seed))
        path = greedy(cost, range(6), 6)
        every = [s for k in range(1, 7) for s in itertools.combinations(range(6), k)]
        gaps.append(min(path.curve_bps) - min(cost.of(s) for s in every))
    assert min(gaps) > -1e-9
    assert max(gaps) < 0.05
    assert np.mean(gaps) < 0.01


def test_the_curve_is_the_cost_of_the_path_and_order_within_a_set_means_nothing():
    cost = cost_of(forecast(3))
    path = greedy(cost, range(6), 6)
    assert path.curve_bps[0] == cost.of([]) == cost.of_none()
    for k in range(1, 7):
        assert cost.of(path.order[:k]) == pytest.approx(path.curve_bps[k], abs=1e-9)
        assert cost.of(path.order[:k][::-1]) == pytest.approx(path.curve_bps[k], abs=1e-9)


def test_one_certain_dealer_costs_what_arithmetic_says():
    flat = forecast(
        0, 1, response=np.ones((1, 1)), fade=np.zeros(1), cost_bps=np.full((1, 1, len(QUANTILES)), 10.0),
        leakage_bps=np.full((1, 1), 3.0), quoted_size=np.array([0.02]),
    )  # fmt: skip
    rest = default_rest(0.05, 150.0, 5.0)
    # 40% at 10 bps, the rest worked; nobody asked goes unhit, so nothing leaks.
    assert cost_of(flat).of([0]) == pytest.approx(0.4 * 10.0 + rest[120])
    # Least fill of half the block cannot be had: everything is worked, and the dealer knows.
    assert cost_of(flat, least_share=0.5).of([0]) == pytest.approx(rest[-1] + 3.0)


@pytest.mark.parametrize(("winners", "least_share"), [(1, 0.0), (2, 0.6), (3, 0.0), (3, 0.9), (5, 0.3)])
def test_compiled_costs_are_the_plain_ones(winners, least_share):
    """Draw by draw and set by set: the best quotes are taken one by one, and stopping is as cheap as it ever is."""
    size = 0.05
    made = forecast(winners, quoted_size=np.array([0.004, 0.01, 0.02, 0.03, 0.05, 0.2]))
    cost = cost_of(made, size, least_share=least_share, max_winners=winners)
    rest, lots = default_rest(size, 150.0, 5.0), np.minimum(1.0, made.quoted_size / size)

    def plain(asked: tuple[int, ...]) -> float:
        quotes, leak, total = cost._cost[len(asked) - 1], made.leakage_bps[len(asked) - 1], 0.0
        for m in range(quotes.shape[1]):
            told, filled, paid = leak[list(asked)].sum(), 0.0, 0.0
            costs = [rest[-1] + told]
            best = sorted((q, d) for d in asked if (q := quotes[d, m]) < np.inf)[:winners]
            for quote, dealer in best:
                taken = min(lots[dealer], 1.0 - filled)
                filled, paid = filled + taken, paid + taken * quote
                told -= leak[dealer] * (taken > 0)
                left = max(0.0, 1.0 - filled)
                if filled + 1e-9 >= least_share:
                    costs.append(paid + rest[int(left * 200 + 0.5)] + told * max(left, 0.25))
            total += min(costs) / quotes.shape[1]
        return total

    for asked in [(0,), (4,), (1, 3), (5, 0, 2), (2, 3, 1, 0), (0, 1, 2, 3, 4, 5)]:
        assert cost.of(asked) == pytest.approx(plain(asked), abs=1e-9)
    assert np.isfinite(cost._cost[5]).any() and np.isinf(cost._cost[5]).any()


def test_leakage_keeps_a_dealer_out_and_a_dear_residual_lets_more_in():
    tame = forecast(8)
    leaks = tame.leakage_bps.copy()
    best = greedy(cost_of(tame), range(6), 6).order[0]
    leaks[:, best] = 60.0
    loud = forecast(8, leakage_bps=leaks)
    path = greedy(cost_of(loud), range(6), 6)
    assert best not in path.order[: best_count(path, Bounds(1, 6))]
    counts = []
    for scale in (0.2, 1.0, 3.0):
        path = greedy(cost_of(forecast(8), scale=scale), range(6), 6)
        counts.append(best_count(path, Bounds(0, 6)))
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_fading_dealers_are_worth_less():
    sure, fading = forecast(4, fade=np.zeros(6)), forecast(4, fade=np.full(6, 0.6))
    assert cost_of(sure).of([0, 1, 2]) < cost_of(fading).of([0, 1, 2])


@pytest.mark.parametrize("include", [(), (3,), (0, 5)])
@pytest.mark.parametrize("explore", [NO_DRAW, Exploration(0.3, 0.2), Exploration(1.0, 0.0), Exploration(0.0, 1.0)])
def test_propensities_are_the_frequencies_of_being_asked(explore, include):
    path = Path((2, 0, 5, 1), (30.0, 20.0, 15.0, 14.0, 14.5)) if not include else None
    if path is None:
        path = greedy(cost_of(forecast(6)), range(7 - 1), 4, include)
    bounds, rng, draws = Bounds(1, 4, include), np.random.default_rng(0), 6000
    asked, size = np.zeros(6), []
    for _ in range(draws):
        choice = choose(path, range(6), bounds, explore, rng)
        assert len(set(choice.chosen)) == len(choice.chosen)
        assert set(include) <= set(choice.chosen)
        asked[list(choice.chosen)] += 1
        size.append(len(choice.chosen))
    np.testing.assert_allclose(asked / draws, choice.propensities, atol=0.025)
    assert choice.propensities.sum() == pytest.approx(np.mean(size), abs=0.05)
    assert ((choice.propensities >= 0) & (choice.propensities <= 1 + 1e-12)).all()


def test_impossible_exploration_is_refused():
    with pytest.raises(BadInput, match="exploration"):
        Exploration(0.8, 0.3)


# --- with the shipped models ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models() -> DealerModels:
    return DealerModels.load()


def test_the_same_request_gives_the_same_selection(models):
    chooser = Chooser(models)
    assert chooser.select(request(), PanelMemory()) == chooser.select(request(), PanelMemory())
    seen = {chooser.select(request(seed=s), PanelMemory()).chosen for s in range(12)}
    assert len(seen) > 1


def test_terms_bound_the_choice(models):
    chooser = Chooser(models, NO_DRAW)
    made = chooser.select(
        request(include=(PANEL[7],), exclude=(PANEL[0], PANEL[1]), max_dealers=4, min_dealers=4), PanelMemory()
    )
    assert len(made.chosen) == 4 and PANEL[7] in made.chosen
    assert not {PANEL[0], PANEL[1]} & {s.dealer_id for s in made.ranking}
    assert len(made.ranking) == 10 and len(made.curve_bps) == 5
    assert made.propensities[PANEL[7]] == 1.0
    assert {s.dealer_id for s in made.ranking[:4]} == set(made.chosen)
    absent = chooser.select(request(include=(DealerId("D77"),)), PanelMemory())
    assert any("D77" in note for note in absent.notes)


def test_an_empty_panel_gives_an_empty_choice(models):
    made = Chooser(models).select(request(panel=()), PanelMemory())
    assert made.chosen == () and made.ranking == () and len(made.curve_bps) == 1


def test_two_way_and_unworked_requests_are_chosen_for_too(models):
    chooser = Chooser(models)
    assert chooser.select(request(side="two_way"), PanelMemory()).chosen
    unworked = chooser.select(request(residual=None), PanelMemory())
    assert unworked.chosen and any("not filled" in note for note in unworked.notes)


def test_quantiles_never_cross_and_newcomers_say_so(models):
    made = Chooser(models).select(request(), PanelMemory())
    for score in made.ranking:
        assert list(score.quote_cost_bps) == sorted(score.quote_cost_bps)
        assert 0 < score.response_probability < 1
        assert "lookback" in score.fallback
        assert -20 < score.quote_cost_bps[QUANTILES.index(0.5)] < 80
        assert 1 <= len(score.reasons) <= 5 and set(score.reasons) <= set(FEATURES)


def test_fifty_dealers_are_chosen_from(models):
    panel = [DealerId(f"P{i:02d}") for i in range(50)]
    made = Chooser(models).select(request(panel, max_dealers=50), PanelMemory())
    assert len(made.curve_bps) == 51 and len(made.ranking) == 50


def test_prior_propensities_are_frequencies():
    counts = dict.fromkeys(PANEL, 0)
    for seed in range(1500):
        made = prior_selection(request(max_dealers=5, include=(PANEL[3],), seed=seed), ())
        for dealer in made.chosen:
            counts[dealer] += 1
    for dealer in PANEL:
        assert counts[dealer] / 1500 == pytest.approx(made.propensities[dealer], abs=0.05)


@pytest.mark.parametrize("draws", [7, 128])
def test_costs_are_read_off_quantiles_and_their_tails_run_on(draws: int) -> None:
    known = np.array([-3.0, -1.0, 2.0, 4.0, 9.0, 11.0, 12.0])
    at = reading(QUANTILES, draws)
    ranks = (np.arange(draws) + 0.5) / draws
    expected = np.interp(ranks, QUANTILES, known)
    first, last = ranks < QUANTILES[0], ranks >= QUANTILES[-1]
    expected[first] = -3.0 - (1 - ranks[first] / 0.05) * 2.0
    expected[last] = 12.0 + 2 * (ranks[last] - 0.95) / 0.05 * 1.0
    found = known[at.below] + at.share * (known[at.above] - known[at.above - 1])
    assert found == pytest.approx(expected) and (np.diff(found) > 0).all()
    # As drawn: who answers has the cost of its rank, who does not none.
    answer, level = np.random.default_rng(1).permuted(np.tile(np.arange(draws), (2, 1, 1)), axis=2)
    cost, chance, everyone = np.zeros((1, draws)), np.array([0.6]), np.array([0])
    draw_costs(known[None], chance, answer, level, *at, np.zeros(1, bool), cost, everyone)
    answers = ranks[answer[0]] < 0.6
    assert (np.isfinite(cost[0]) == answers).all() and cost[0][answers] == pytest.approx(expected[level[0]][answers])

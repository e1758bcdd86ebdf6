"""The dealer models learn what the study world holds, beat constants on later data, and are stored safely."""

import json

import msgspec
import numpy as np
import pytest

from ml.dealer_models import KIND, DealerModels
from ml.features import FEATURES, schema_hash
from ml.leakage import fit_leakage
from ml.leakage_trees import fit_leakage_trees
from ml.memory import PanelMemory
from ml.model_card import CARD, card
from ml.registry import SHIPPED, ModelMismatch
from ml.scores import auc, brier, pinball, rank_correlation
from ml.train_dealers import train_dealers
from ml.training_rows import training_rows
from rfq.domain.errors import BadInput
from rfq.domain.selection import QUANTILES
from rfq.domain.values import DealerId
from rfq.studies.dealer_training import fleet_world, leakage_against_truth
from rfq.studies.dealer_world import DealerWorld

REQUESTS = 2500


@pytest.fixture(scope="module")
def world() -> DealerWorld:
    return fleet_world(11, REQUESTS)


@pytest.fixture(scope="module")
def history(world):
    return list(world.history())


@pytest.fixture(scope="module")
def models(history) -> DealerModels:
    return train_dealers(history, seed=1, trained_on="a test")


def test_later_answers_and_quotes_are_predicted_better_than_by_constants(models):
    found = models.manifest.metrics
    # Far above .9 would mean that something hidden had slipped into the features.
    assert 0.54 < found["response_auc"] < 0.9
    assert found["response_brier"] < found["response_brier_constant"]
    assert found["quote_pinball_bps"] < 0.97 * found["quote_pinball_bps_scaled_constant"]
    assert found["quote_pinball_bps"] < 0.8 * found["quote_pinball_bps_constant"]
    assert 0.83 < found["quote_cover_of_90_percent"] < 0.96


def test_who_leaks_is_found(world, models):
    found = leakage_against_truth(world, models)
    assert found["leakage_truth_rmse_bps"] < 0.7 * found["leakage_truth_rmse_bps_constant"]
    facts = next(world.history()).facts.but(two_way=False)
    names = [t.dealer for t in world.panel]
    expected = dict(zip(names, models.leakage.expected_bps(facts, names), strict=True))
    assert {"D03", "D09"} == set(sorted(expected, key=expected.__getitem__)[-2:])
    hidden = models.leakage.expected_bps(facts.but(two_way=True), names)
    assert hidden.max() < 0.3 * max(expected.values())


def test_without_the_control_leakage_is_found_less_well(world, history):
    """The control must be used: shuffling it among auctions has to hurt."""
    order = np.random.default_rng(0).permutation(len(history))
    blind = [o.but(controls_bps=history[n].controls_bps) for o, n in zip(history, order, strict=True)]
    assert fit_leakage(blind).noise > 1.1 * fit_leakage(history).noise


def test_leakage_trees_find_a_bend_that_thetas_cannot(history):
    """Mark-outs with a leak only from dealers asked in wide markets: trees must see it, and lower the loss."""
    rows = training_rows(history, 1)
    spread = rows.x[:, FEATURES.index("spread_now")]
    bend = np.where(spread > 0.0, 0.6, 0.0) * rows.leak_scale * rows.lost
    sums = np.bincount(rows.auction, weights=bend, minlength=len(history))
    moves = sums * np.array([o.facts.volatility_bps for o in history])
    bent = [
        o.but(mark_out_bps=float(m), control_bps=0.0, mark_outs_bps=(), controls_bps=())
        for o, m in zip(history, moves, strict=True)
    ]
    rows = training_rows(bent, 1)
    leakage = fit_leakage(bent[:1700])
    trees, losses = fit_leakage_trees(rows, leakage, (0, 1700), (1700, REQUESTS), seed=1)
    assert trees is not None
    assert losses["check_loss_trees"] < 0.7 * losses["check_loss_theta"]


def test_forecasts_have_the_right_signs_and_never_cross(models, history):
    memory = PanelMemory.of(history)
    names = [*sorted({a.dealer for o in history for a in o.asked}), DealerId("D99")]
    for outcome in history[-200::20]:
        made = models.forecast(outcome.facts, names, memory, [1, 2, 4, 8])
        assert made.cost_bps.shape == (4, len(names), len(QUANTILES))
        assert (np.diff(made.cost_bps, axis=2) >= 0).all()
        assert (np.diff(made.response, axis=0) <= 1e-9).all()
        assert made.seen.tolist() == [True] * 12 + [False]
        assert np.isfinite(made.cost_bps).all() and (made.leakage_bps >= 0).all()
    facts = history[-1].facts
    small, large = (models.forecast(facts.but(size=s), names, memory, [4]).cost_bps.mean() for s in (0.01, 0.2))
    calm, wild = (models.forecast(facts.but(volatility_bps=v), names, memory, [4]).cost_bps.mean() for v in (90, 300))
    assert small < large and calm < wild


def test_reasons_add_up_to_the_difference_between_dealers(models, history):
    memory, facts = PanelMemory.of(history), history[-1].facts
    names = sorted({a.dealer for o in history for a in o.asked})
    made = models.forecast(facts, names, memory, [4])
    reasons = models.reasons(facts, made.x[0], most=len(FEATURES))
    explained = np.array([sum(r.values()) for r in reasons])
    median = made.cost_bps[0, :, QUANTILES.index(0.5)]
    np.testing.assert_allclose(explained - explained[0], median - median[0], atol=1.5)
    assert np.corrcoef(explained, median)[0, 1] > 0.9


def test_the_same_seed_gives_the_same_models(history, tmp_path):
    one, two = (train_dealers(history[:450], seed=5, trained_on="a test").save(tmp_path / n) for n in "ab")
    assert one.version == two.version
    assert (tmp_path / "a/quote.ubj").read_bytes() == (tmp_path / "b/quote.ubj").read_bytes()


def test_saved_models_predict_the_same_after_loading(models, history, tmp_path):
    models.save(tmp_path)
    read = DealerModels.load(tmp_path)
    memory, facts = PanelMemory.of(history), history[-1].facts
    names = sorted({a.dealer for o in history for a in o.asked})
    before, after = (m.forecast(facts, names, memory, [1, 3]) for m in (models, read))
    np.testing.assert_array_equal(before.cost_bps, after.cost_bps)
    np.testing.assert_array_equal(before.response, after.response)
    np.testing.assert_array_equal(before.leakage_bps, after.leakage_bps)
    assert read.version == models.version and read.manifest.seed == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m | {"schema": "0123456789abcdef"}, "feature schema"),
        (lambda m: m | {"kind": "slicers"}, "slicers"),
        (lambda m: m | {"parameters": {}}, "incomplete"),
        (lambda m: {"kind": KIND}, "no readable model"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(models, tmp_path, change, says):
    models.save(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ModelMismatch, match=says):
        DealerModels.load(tmp_path)


def test_files_damaged_or_missing_are_refused(models, tmp_path):
    models.save(tmp_path)
    quote = tmp_path / "quote.ubj"
    quote.write_bytes(quote.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelMismatch, match="not the file"):
        DealerModels.load(tmp_path)
    quote.unlink()
    with pytest.raises(ModelMismatch, match="lacks"):
        DealerModels.load(tmp_path)
    with pytest.raises(ModelMismatch, match="no readable model"):
        DealerModels.load(tmp_path / "nowhere")


def test_the_shipped_models_fit_this_code_and_are_small():
    shipped = DealerModels.load()
    assert shipped.manifest.schema == schema_hash()
    assert sum(f.stat().st_size for f in (SHIPPED / KIND).iterdir()) < 1_200_000
    found = shipped.manifest.metrics
    assert found["response_brier"] < found["response_brier_constant"]
    assert found["quote_pinball_bps"] < found["quote_pinball_bps_scaled_constant"]
    assert found["leakage_truth_rmse_bps"] < found["leakage_truth_rmse_bps_constant"]


def test_the_shipped_card_is_of_the_shipped_models():
    manifest = DealerModels.load().manifest
    told = (SHIPPED / KIND / CARD).read_text()
    assert told == card(manifest)
    for value in (manifest.version, manifest.trained_on, str(manifest.seed), manifest.code, *manifest.digests.values()):
        assert value in told
    for name in ("response_brier", "response_brier_constant", "quote_pinball_bps", "leakage_truth_rmse_bps"):
        assert f"{manifest.metrics[name]:.6g}" in told
    assert all(f"`{name}`" in told for name in manifest.features)
    other = card(msgspec.structs.replace(manifest, metrics={"response_brier": 0.5}))
    assert "| 0.5 |" in other and "pinball" not in other


def test_too_little_or_unordered_history_is_refused(history):
    with pytest.raises(BadInput, match="at least"):
        train_dealers(history[:100], 1, "a test")
    with pytest.raises(BadInput, match="time order"):
        train_dealers(history[::-1], 1, "a test")


def test_scores_agree_with_their_definitions():
    assert auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == pytest.approx(0.75)
    assert auc([1, 0], [0.5, 0.5]) == 0.5
    assert brier([1, 0], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)
    assert pinball([3.0], [[1.0, 5.0]], [0.1, 0.9]) == pytest.approx((0.2 + 0.2) / 2)
    assert rank_correlation([1, 2, 3, 4], [10, 20, 40, 30]) == pytest.approx(0.8)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0.0

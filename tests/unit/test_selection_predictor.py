"""The predictor port: worker thread, history read in pages and kept fresh, priors when it takes too long."""

import asyncio
import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from choosing import NOON, PANEL, QDI, Rows, StillClock, asked_once, request

from ml import predictor as predictor_module
from ml.choosing import Chooser
from ml.dealer_models import DealerModels
from ml.features import FEATURES, features
from ml.memory import PanelMemory
from ml.outcomes import auctions, facts_of
from ml.predictor import PanelPredictor


@pytest.fixture(scope="module")
def models() -> DealerModels:
    return DealerModels.load()


async def test_prediction_runs_in_a_worker_thread_and_reads_history_when_it_is_due(models):
    rows, clock = Rows(), StillClock()
    with ThreadPoolExecutor(1) as pool:
        predictor = PanelPredictor(Chooser(models), rows, {QDI.symbol: QDI}, clock, pool, refresh_s=60.0)
        first = await predictor.select(request())
        assert first.model_version == models.version and not any("history" in note for note in first.notes)
        await predictor.select(request())
        assert rows.reads == 1
        clock.at += dt.timedelta(seconds=61)
        await predictor.select(request())
        await predictor.close()
    assert rows.reads == 2


async def test_history_that_cannot_be_read_is_said(models):
    predictor = PanelPredictor(Chooser(models), Rows(away=True), {}, StillClock())
    made = await predictor.select(request())
    assert made.chosen and any("history could not be read" in note for note in made.notes)


async def test_what_comes_too_late_is_chosen_by_priors(models):
    predictor = PanelPredictor(Chooser(models), Rows(wait_s=30.0), {}, StillClock(), deadline_s=0.05)
    made = await predictor.select(request(max_dealers=5, include=(PANEL[3],)))
    await predictor.close()
    assert made.model_version == "priors" and "over 0.05 s" in made.notes[-1]
    assert len(made.chosen) == 5 and made.chosen[0] == PANEL[3]


async def test_only_the_newest_history_is_read_and_then_only_what_is_new(models, monkeypatch):
    monkeypatch.setattr(predictor_module, "MOST_ROWS", 40)
    rows = [asked_once(600 - 5 * i, PANEL[i % 3]) for i in range(100)]
    reader, clock = Rows(rows), StillClock()
    predictor = PanelPredictor(Chooser(models), reader, {QDI.symbol: QDI}, clock)
    await predictor.start(NOON)
    assert reader.reads == 1
    facts = facts_of(request())

    def remembered():
        return features(facts, PANEL[:4], predictor._memory, [3])[0]

    np.testing.assert_array_equal(
        remembered(), features(facts, PANEL[:4], PanelMemory.of(auctions(rows[-40:], {QDI.symbol: QDI})), [3])[0]
    )
    # One of them was lifted and refused after it was first read: it is read again, and nothing counts twice.
    rows[-1] = rows[-1].but(lifted=True, refused=True)
    before = remembered()
    clock.at += dt.timedelta(seconds=61)
    await predictor.start(NOON)
    await asyncio.gather(predictor._reading)
    assert reader.reads == 2
    fade, asked = FEATURES.index("fade_rate"), FEATURES.index("asked")
    changed = PANEL.index(rows[-1].dealer_id)
    assert remembered()[0, changed, fade] > before[0, changed, fade]
    np.testing.assert_array_equal(remembered()[:, :, asked], before[:, :, asked])


async def test_auctions_still_open_when_read_do_not_pass_for_silence(models):
    open_still = asked_once(0.5, PANEL[0], answered=False, response_s=None, quote_price=None, mid_at_quote=None)
    predictor = PanelPredictor(Chooser(models), Rows([open_still]), {QDI.symbol: QDI}, StillClock())
    await predictor.start(NOON)
    later = facts_of(request()).but(at=NOON + dt.timedelta(minutes=10))
    assert features(later, PANEL[:1], predictor._memory, [3])[1].asked[0] == 0

"""A further wave as the models decide it: what waiting risks, where that comes from, and what they cannot say."""

import asyncio
import math

import msgspec
import pytest
from choosing import PANEL, QDI, Rows, StillClock, asked_once, request
from examples import ACME, AUCTION, at

from ml import widening
from ml.choosing import Chooser
from ml.dealer_models import DealerModels
from ml.memory import PanelMemory
from ml.model_process import ModelProcess
from ml.predictor import PanelPredictor
from rfq.api import events
from rfq.domain import events as ev
from rfq.domain.errors import BadInput, OurFault
from rfq.domain.selection import WaveDecision
from rfq.domain.values import DealerId, Quantity
from rfq.ports import Answered, WaveRequest

ALL = Quantity(100_000)


@pytest.fixture(scope="module")
def models() -> DealerModels:
    return DealerModels.load()


def wave(cost_bps: float | None = 40.0, lapses: bool = False, panel=PANEL[:6], **terms) -> WaveRequest:
    """The first of the panel has quoted for all, the second has not quoted; the others may be asked."""
    first = Answered(panel[0], cost_bps, ALL, lapses)
    return WaveRequest(request(panel, **terms), 2, (first, *(Answered(d) for d in panel[1:2])))


def test_a_dear_quote_in_hand_is_worth_widening_and_a_cheap_one_is_taken(models):
    dear, cheap = (widening.further(models, wave(cost), PanelMemory()) for cost in (60.0, -5.0))
    assert dear.further and dear.by == "models" and dear.saving_bps > dear.margin_bps == 0.1
    assert not {*PANEL[:2]} & {*dear.further} and {*dear.further} <= {*PANEL[2:6]}
    assert not cheap.further and cheap.saving_bps < 0.1 and "not expected" in cheap.reason
    assert (dear.wave, dear.holds, dear.model_version) == (2, 0.85, models.version) and dear.moved_bps > 0
    assert dear == widening.further(models, wave(60.0), PanelMemory())
    assert not any(sign.isdigit() for sign in dear.reason + cheap.reason), "a figure would tell of sealed quotes"


def test_what_would_lapse_or_be_taken_back_is_not_counted_on(models):
    good = 4.0
    stays, lapses = (widening.further(models, wave(good, gone), PanelMemory(), 1.0) for gone in (False, True))
    likely, unlikely = (widening.further(models, wave(good), PanelMemory(), holds) for holds in (1.0, 0.3))
    assert stays.saving_bps > lapses.saving_bps and likely.saving_bps > unlikely.saving_bps


def test_holding_is_learned_from_what_was_taken_back():
    kept = [asked_once(i, PANEL[0]) for i in range(80)]
    assert widening.holds_of([]) == pytest.approx(0.85)
    assert widening.holds_of(kept) == pytest.approx(97 / 100)
    assert widening.holds_of([row.but(withdrawn=True) for row in kept]) == pytest.approx(17 / 100)
    silent = [row.but(mid_at_quote=None, quote_price=None, withdrawn=False) for row in kept]
    assert widening.holds_of(silent) == pytest.approx(0.85), "who did not quote says nothing of quotes"


def test_nobody_left_and_bad_input(models):
    nobody = widening.further(models, wave(panel=PANEL[:2]), PanelMemory())
    assert nobody.further == () and nobody.saving_bps == 0.0
    assert widening.further(models, wave(None), PanelMemory()).wave == 2
    assert widening.further(models, wave(panel=tuple(DealerId(f"P{i}") for i in range(40))), PanelMemory()).further
    for holds in (math.nan, 1.5):
        with pytest.raises(BadInput, match="holds"):
            widening.further(models, wave(), PanelMemory(), holds)


def broken() -> DealerModels:
    """Models that expect a leak of no number."""
    models = DealerModels.load()
    models.leakage = msgspec.structs.replace(models.leakage, peers=math.nan, theta={})
    return models


async def test_models_that_are_broken_say_so_to_whoever_asks():
    predictor = PanelPredictor(Chooser(broken()), Rows(), {QDI.symbol: QDI}, StillClock())
    with pytest.raises(OurFault, match="models failed"):
        await predictor.further(wave())
    slow = PanelPredictor(Chooser(DealerModels.load()), Rows(wait_s=30.0), {QDI.symbol: QDI}, StillClock())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await slow.further(wave())
    await slow.close()


async def test_the_predictor_takes_holding_from_its_history(models):
    taken_back = [asked_once(600 - i, PANEL[i % 3], withdrawn=True) for i in range(60)]
    predictor = PanelPredictor(Chooser(models), Rows(taken_back), {QDI.symbol: QDI}, StillClock())
    decision = await predictor.further(wave())
    assert decision.holds == pytest.approx(17 / 80)


async def test_a_process_of_its_own_decides_as_at_home_and_one_bad_question_harms_no_other(models):
    strange = WaveRequest(request(PANEL[:4]), 2, (Answered(DealerId("nobody here"), 3.0, ALL),))
    async with ModelProcess() as process:
        found = await asyncio.gather(
            process.further(wave(), 0.9), process.further(strange, 0.9), process.select(request(), ()),
            return_exceptions=True,
        )  # fmt: skip
    assert found[0] == widening.further(models, wave(), PanelMemory(), 0.9)
    assert isinstance(found[1], OurFault) and "nobody here" in str(found[1])
    assert found[2] == Chooser(models).select(request(), PanelMemory())


def test_while_quotes_are_sealed_the_decision_does_not_tell_of_them():
    decision = WaveDecision(2, (DealerId("d2"),), "models", "why", 3.0, 0.1, 0.85, 0.2, "v")
    stamped = ev.Stamped(3, ev.WaveDecided(AUCTION, decision), at(1), at(1))
    hidden = events.event(stamped, ACME, {AUCTION}).data["decision"]
    shown = events.event(stamped, ACME, ()).data["decision"]
    assert (shown["saving_bps"], shown["moved_bps"]) == (3.0, 0.2)
    assert hidden == {**shown, "saving_bps": None, "moved_bps": None}

"""Models in a process of their own choose as they would at home; if it dies, priors choose until it is back."""

import asyncio
import datetime as dt
import os
import signal
from pathlib import Path

import msgspec
import pytest

from ml.choosing import Chooser
from ml.dealer_models import DealerModels
from ml.memory import PanelMemory
from ml.model_process import ModelProcess
from ml.outcomes import Asked, Outcome, facts_of
from ml.predictor import PanelPredictor
from rfq.clocks import SystemClock
from rfq.domain.errors import OurFault
from rfq.domain.rfq import Leg, RequestSide, RfqTerms
from rfq.domain.values import DealerId, Price, Quantity, RfqId, Symbol
from rfq.instruments import directory
from rfq.ports import MarketView, SelectionRequest

NOON = dt.datetime(2026, 3, 2, 17, 0, tzinfo=dt.UTC)
QDI = directory()[Symbol("QDI")].instrument
PANEL = tuple(DealerId(f"D{i:02d}") for i in range(1, 13))


def request(seed: int, quantity: int = 40_000, panel: tuple[DealerId, ...] = PANEL, **terms) -> SelectionRequest:
    market = MarketView(QDI.symbol, Price(19_995), Price(20_005), Quantity(1), Quantity(1), None, Quantity(0), NOON)
    leg = Leg(QDI.symbol, RequestSide.BUY, Quantity(quantity))
    return SelectionRequest(RfqTerms(legs=(leg,), **terms), QDI, market, NOON, panel, None, seed)


def remembered() -> PanelMemory:
    """D03 was asked an hour ago, and did not answer."""
    facts = msgspec.structs.replace(facts_of(request(0)), at=NOON - dt.timedelta(hours=1))
    return PanelMemory.of([Outcome(RfqId("before"), facts, (Asked(PANEL[2], 1.0),))])


class NoHistory:
    async def outcomes(self, since: dt.datetime, limit: int):
        for row in ():
            yield row


async def test_what_waits_is_chosen_for_together_and_each_as_it_would_be_alone():
    requests = [request(seed, 1_000 * seed, max_dealers=1 + seed % 7) for seed in range(1, 40)]
    requests.append(request(99, panel=()))
    at_home, memory = Chooser(DealerModels.load()), remembered()
    async with ModelProcess() as models:
        models.remember(memory)
        chosen = await asyncio.gather(*(models.select(one, ("noted",)) for one in requests))
        assert models.version == at_home.version
    assert chosen == [at_home.select(one, memory, ("noted",)) for one in requests]
    assert chosen[0] != at_home.select(requests[0], PanelMemory(), ("noted",)), "the memory reached the process"


async def test_a_request_that_cannot_be_chosen_for_harms_no_other():
    bad = msgspec.structs.replace(request(1), instrument=msgspec.structs.replace(QDI, adv=Quantity(0)))
    async with ModelProcess() as models:
        found = await asyncio.gather(
            *(models.select(one, ()) for one in (request(1), bad, request(2))), return_exceptions=True
        )
    assert isinstance(found[1], OurFault)
    assert found[0].seed == 1 and found[2].seed == 2


async def test_a_process_that_dies_is_started_again_and_priors_choose_meanwhile():
    async with ModelProcess() as models:
        predictor = PanelPredictor(models, NoHistory(), {QDI.symbol: QDI}, SystemClock(), deadline_s=30.0)
        before = await predictor.select(request(5))
        assert models.pid is not None
        os.kill(models.pid, signal.SIGKILL)
        meanwhile = await predictor.select(request(5))
        assert meanwhile.model_version == "priors" and "models" in meanwhile.notes[-1]
        async with asyncio.timeout(60):
            while (after := await predictor.select(request(5))).model_version == "priors":  # noqa: ASYNC110
                await asyncio.sleep(0.2)  # It starts when it starts: there is nothing to wait on but trying.
        await predictor.close()
    assert after == before


async def test_models_that_cannot_be_loaded_say_why(tmp_path: Path):
    with pytest.raises(OurFault, match="models cannot be used"):
        async with ModelProcess(tmp_path / "nothing here"):
            pass

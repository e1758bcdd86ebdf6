"""The service with weights of its own: real processes and sockets, a block's residual sliced by what was learned."""

from pathlib import Path

import pytest
from slicers import a_slicer

from ml.slicer.weights import save
from rfq.api.messages import LegBody, ResidualBody, RfqBody
from rfq.app import weights
from rfq.client import Client
from rfq.demo import follow, manned, reported
from rfq.domain.errors import BadInput, OurFault
from rfq.domain.rfq import RequestSide, Schedule
from rfq.settings import Settings
from rfq.stage import Stage, scratch
from rfq.tca.report import Worked

PLAIN = {"SOTTO_PORT": "0", "SOTTO_EXCHANGE_PORT": "0", "SOTTO_SIMULATION_SPEED": "30"}


async def sourced(desk: Client, said: list[str]) -> Worked:
    body = RfqBody(
        legs=(LegBody(symbol="HALM", side=RequestSide.SELL, quantity="6000"),),
        client_order_id="learned",
        max_dealers=1,
        quote_window_s=0.3,
        residual=ResidualBody(horizon_s=120.0, max_participation=0.5, schedule=Schedule.LEARNED),
    )
    await manned(desk)
    rfq = await desk.create_rfq(body)
    await follow(desk, rfq.rfq_id, "learned", said.append)
    report = await reported(desk, await desk.get(rfq.rfq_id))
    assert report is not None
    (worked,) = report.worked
    return worked


async def test_the_report_and_the_story_name_the_weights(tmp_path: Path) -> None:
    save(a_slicer((3, 3, 5), version="toy-2"), tmp_path / "s.safetensors")
    said: list[str] = []
    with scratch() as folder:
        settings = PLAIN | {"SOTTO_SLICER": str(tmp_path / "s.safetensors")}
        async with Stage(folder, said.append, settings) as stage, stage.client("desk") as desk:
            worked = await sourced(desk, said)
    assert (worked.schedule, worked.policy, worked.weights) == (Schedule.LEARNED, "learned", "toy-2")
    assert worked.decisions >= 10 and worked.by_rule < worked.decisions
    assert any("slices by learned policy, weights toy-2" in line for line in said)


async def test_weights_that_do_not_fit_are_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "s.safetensors").write_bytes(b"nonsense")
    with scratch() as folder, pytest.raises(OurFault, match="slicer"):
        async with Stage(folder, print, PLAIN | {"SOTTO_SLICER": str(tmp_path / "s.safetensors")}):
            pass


def test_without_weights_in_the_package_a_rule_stands_in_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("rfq.app.SHIPPED", tmp_path / "none.safetensors")
    assert weights(Settings(), said.append) is None
    assert len(said) == 1 and said[0].startswith("slicer: a rule works what is left, without weights")
    with pytest.raises(BadInput, match="slicer"):
        weights(Settings(slicer=tmp_path / "none.safetensors"), said.append)
    save(a_slicer(), tmp_path / "none.safetensors")
    found = weights(Settings(), said.append)
    assert found is not None and found.version == "one" and len(said) == 1

"""A slicer's file: what is written is read again, and what is no slicer's is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ml.slicer.features import NAMES
from ml.slicer.network import Actor, Critic
from ml.slicer.rules import Rule
from ml.slicer.weights import Envelope, Slicer, load, save
from rfq.domain.errors import BadInput


def a_slicer() -> Slicer:
    torch.manual_seed(1)
    low = torch.zeros(len(NAMES))
    opinions = (Critic().quantiles, Critic().quantiles)
    bounds = Envelope(low, low + 1, torch.tensor(0.25))
    return Slicer(Actor(), Critic(), Rule(grace=0.3), bounds, {"version": "one"}, opinions)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    slicer, path = a_slicer(), tmp_path / "deep" / "s.safetensors"
    save(slicer, path)
    again = load(path)
    x, may = torch.randn(5, len(NAMES)), torch.ones(5, 18, dtype=torch.bool)
    assert all(torch.equal(a, b) for a, b in zip(slicer.actor(x, may), again.actor(x, may), strict=True))
    assert torch.equal(slicer.critic(x)[1], again.critic(x)[1]) and again.envelope.apart == 0.25
    assert len(again.opinions) == 2
    assert all(torch.equal(a(x), b(x)) for a, b in zip(slicer.opinions, again.opinions, strict=True))
    assert again.rule == slicer.rule and again.version == "one" and torch.equal(again.envelope.high, low_high()[1])
    assert path.stat().st_size < 5_000_000 and not path.with_suffix(".part").exists()


def low_high() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(len(NAMES)), torch.ones(len(NAMES))


def test_what_is_no_slicers_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with pytest.raises(BadInput, match="must be a slicer's weights"):
        load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="must be a slicer's weights"):
        load(path)
    card = '{"features": ["left"], "heads": [6, 6, 6], "rule": {}}'
    save_file({"a": torch.zeros(1)}, path, {"card": card})
    with pytest.raises(BadInput, match="other features"):
        load(path)
    with pytest.raises(BadInput, match="must be writable"):
        save(a_slicer(), Path("/proc/none/s.safetensors"))

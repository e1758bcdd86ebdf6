"""The slicer as a file: networks, the rule it is judged against and falls back on, what it was trained on.

One safetensors file: tensors by name, and beside them, as text, the rule and the model card.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ml.slicer.actions import HEADS
from ml.slicer.features import NAMES
from ml.slicer.network import LEVELS, Actor, Critic, layers
from ml.slicer.rules import Rule
from rfq.domain.errors import BadInput

SHIPPED = Path(str(files("ml.slicer"))) / "shipped" / "slicer.safetensors"


class Envelope(NamedTuple):
    """Between which values each feature lay in training, all but the outermost thousandth on either side; [F] each."""

    low: torch.Tensor
    high: torch.Tensor
    apart: torch.Tensor = torch.tensor(torch.inf)
    """How far forecasts of the cost lay apart there in all but the last thousandth, usual spreads, []; see Guard."""


class Slicer(NamedTuple):
    """Everything that decides."""

    actor: Actor
    critic: Critic
    rule: Rule
    envelope: Envelope
    card: dict[str, Any]
    """Data, seed, code version, figures; `version` names the weights."""
    opinions: tuple[nn.Sequential, ...] = ()
    """Forecasts of the cost by the critics of other seeds; see Guard."""

    @property
    def version(self) -> str:
        return str(self.card["version"])


def save(slicer: Slicer, path: Path) -> None:
    """Writes the whole file or nothing. Raises BadInput for a place that is not writable."""
    tensors = {f"actor.{name}": value for name, value in slicer.actor.state_dict().items()}
    tensors |= {f"critic.{name}": value for name, value in slicer.critic.state_dict().items()}
    tensors |= {f"envelope.{name}": value for name, value in slicer.envelope._asdict().items()}
    for place, opinion in enumerate(slicer.opinions):
        tensors |= {f"opinion.{place}.{name}": value for name, value in opinion.state_dict().items()}
    card = slicer.card | {"rule": slicer.rule._asdict(), "features": list(NAMES), "heads": list(HEADS)}
    half = path.with_suffix(".part")
    try:
        half.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, half, {"card": json.dumps(card)})
        half.replace(path)
    except OSError as reason:
        half.unlink(missing_ok=True)
        raise BadInput("out", str(path), f"must be writable: {reason}") from None


def load(path: Path = SHIPPED, device: str | torch.device = "cpu") -> Slicer:
    """Raises BadInput for a file that is not a slicer's, or one of another schema of features or actions."""
    try:
        with safe_open(path, "pt", str(device)) as file:
            card = json.loads(file.metadata()["card"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as reason:
        raise BadInput("slicer", str(path), f"must be a slicer's weights: {reason}") from None
    if card["features"] != list(NAMES) or card["heads"] != list(HEADS):
        raise BadInput("slicer", str(path), "was trained on other features or actions")
    actor, critic = Actor().to(device), Critic().to(device)
    count = len({name.split(".")[1] for name in tensors if name.startswith("opinion.")})
    opinions = tuple(layers(len(LEVELS), 1.0).to(device) for _ in range(count))
    try:
        actor.load_state_dict(_of(tensors, "actor."))
        critic.load_state_dict(_of(tensors, "critic."))
        envelope = Envelope(**_of(tensors, "envelope."))
        for place, opinion in enumerate(opinions):
            opinion.load_state_dict(_of(tensors, f"opinion.{place}."))
    except (RuntimeError, TypeError) as reason:
        raise BadInput("slicer", str(path), f"must hold this actor and critic: {reason}") from None
    for network in (actor, critic, *opinions):
        network.eval().requires_grad_(False)
    return Slicer(actor, critic, Rule(**card["rule"]), envelope, card, opinions)


def _of(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

"""The forecasters as a file, and what they say when a decision is taken.

One safetensors file: the tensors of both networks by name, and beside them, as text, the model card.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ml.forecasters.networks import KINDS, Forecaster
from ml.forecasters.samples import CONTINUOUS, FILLS, IMPACTS, MOVES
from ml.forecasters.windows import CHANNELS, LOOKS, ORDER, Snapshots, Usual, about, inputs, order_inputs
from rfq.domain.errors import BadInput

SHIPPED = Path(str(files("ml.forecasters"))) / "shipped" / "forecasters.safetensors"
SAID = (*(name for name in CONTINUOUS if name not in IMPACTS), "move_15_width", *FILLS, "disagreement")
"""What `predicted` says: means, the width of nine tenths of the 15 s move, chances of fills, and by how much the two
networks' 15 s moves differ."""
_SCHEMA = {"channels": list(CHANNELS), "looks": LOOKS, "targets": [*CONTINUOUS, *FILLS]}


class Forecasters(NamedTuple):
    """Both networks by kind."""

    networks: dict[str, Forecaster]
    card: dict[str, Any]
    """Data, seed, code version, figures; `version` names the weights."""

    @property
    def version(self) -> str:
        return str(self.card["version"])

    def predicted(self, seen: Snapshots, usual: Usual) -> torch.Tensor:
        """What is expected from now on, float32 [B, SAID], the networks' mean; moves in usual spreads, positive
        upwards."""
        x, kind = inputs(seen, usual), about(usual)
        none = torch.zeros(len(x), ORDER, device=x.device)
        said = [network(x, kind, none) for network in self.networks.values()]
        mean = torch.stack([one.mean for one in said])
        quantiles = torch.stack([one.quantiles.sort(2).values for one in said]).mean(0)[:, CONTINUOUS.index("move_15")]
        chances = torch.stack([one.fills for one in said]).mean(0).sigmoid()
        moves = mean[:, :, CONTINUOUS.index("move_15")]
        apart = moves.amax(0) - moves.amin(0)
        plain, width = mean.mean(0)[:, : len(CONTINUOUS) - len(IMPACTS)], quantiles[:, -1:] - quantiles[:, :1]
        return torch.cat([plain, width, chances, apart[:, None]], 1)

    def moved_by(self, order: torch.Tensor, seen: Snapshots, usual: Usual) -> torch.Tensor:
        """The mean change of the mid after 5, 15 and 60 s if an order crosses now, signed lots [B], what the market
        does by itself included: float32 [B, 3], usual spreads."""
        x, kind, own = inputs(seen, usual), about(usual), order_inputs(order, seen, usual)
        mean = torch.stack([network(x, kind, own).mean for network in self.networks.values()]).mean(0)
        return mean[:, : len(MOVES)] + mean[:, -len(IMPACTS) :]


def save(forecasters: Forecasters, path: Path) -> None:
    """Writes the whole file or nothing. Raises BadInput for a place that is not writable."""
    tensors = {f"{kind}.{name}": value.contiguous().cpu()
               for kind, network in forecasters.networks.items()
               for name, value in network.state_dict().items()}  # fmt: skip
    half = path.with_suffix(".part")
    try:
        half.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, half, {"card": json.dumps(forecasters.card | _SCHEMA)})
        half.replace(path)
    except OSError as reason:
        half.unlink(missing_ok=True)
        raise BadInput("out", str(path), f"must be writable: {reason}") from None


def load(path: Path = SHIPPED, device: str | torch.device = "cpu") -> Forecasters:
    """Raises BadInput for a file that is not the forecasters', or one of other inputs or targets."""
    try:
        with safe_open(path, "pt", str(device)) as file:
            card = json.loads(file.metadata()["card"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as reason:
        raise BadInput("forecasters", str(path), f"must be forecasters' weights: {reason}") from None
    if any(card.get(name) != value for name, value in _SCHEMA.items()):
        raise BadInput("forecasters", str(path), "were trained on other inputs or targets")
    networks = {kind: Forecaster(kind).to(device) for kind in KINDS}
    for kind, network in networks.items():
        own = {name.removeprefix(f"{kind}."): value for name, value in tensors.items() if name.startswith(f"{kind}.")}
        try:
            network.load_state_dict(own)
        except RuntimeError as reason:
            raise BadInput("forecasters", str(path), f"must hold this {kind}: {reason}") from None
        network.eval().requires_grad_(False)
    return Forecasters(networks, card)

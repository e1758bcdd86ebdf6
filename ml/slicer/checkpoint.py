"""A learner half-way, as a file: what training took up again goes on exactly as if it had never stopped."""

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ml.slicer import dqn, ppo
from rfq.domain.errors import BadInput

Learner = ppo.Learner | dqn.Learner
Progress = ppo.Progress | dqn.Progress


def save(learner: Learner, update: int, terms: Mapping[str, Any], path: Path) -> None:
    """Writes the whole file or nothing, after `update` updates. `terms` are what training depends on besides (what JSON
    can say: the plan, the seed, the rule, ...). Raises BadInput for a place that is not writable."""
    parts = {name: _state(part) for name, part in learner._asdict().items()}
    half = path.with_suffix(".part")
    try:
        half.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"update": update, "terms": json.dumps(dict(terms)), "learner": parts}, half)
        half.replace(path)
    except (OSError, RuntimeError) as reason:
        half.unlink(missing_ok=True)
        raise BadInput("checkpoint", str(path), f"must be writable: {reason}") from None


def restore(learner: Learner, terms: Mapping[str, Any], path: Path) -> int:
    """Makes a learner, begun alike, what it was when it was saved; how many updates it has had. Raises BadInput for a
    file that is no checkpoint, or one of other terms."""
    try:
        # Weights only: a file holds tensors and plain values, never code.
        kept = torch.load(path, map_location="cpu", weights_only=True)
        was, parts, update = json.loads(kept["terms"]), kept["learner"], int(kept["update"])
    except (OSError, RuntimeError, EOFError, UnpicklingError, LookupError, AttributeError, TypeError, ValueError) as no:
        raise BadInput("resume", str(path), f"must be a checkpoint: {no}".splitlines()[0]) from None
    now = json.loads(json.dumps(dict(terms)))
    other = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    if other:
        raise BadInput("resume", str(path), f"was begun with other {', '.join(other)}")
    if parts.keys() != learner._asdict().keys():
        raise BadInput("resume", str(path), "must hold this learner: it is another algorithm's")
    try:
        for name, part in learner._asdict().items():
            if isinstance(part, torch.Generator):
                part.set_state(parts[name])
            elif part is not None:
                part.load_state_dict(parts[name])
    except (RuntimeError, LookupError, TypeError, ValueError) as no:
        raise BadInput("resume", str(path), f"must hold this learner: {no}".splitlines()[0]) from None
    return update


def _state(part: Any) -> Any:
    return part.get_state() if isinstance(part, torch.Generator) else None if part is None else part.state_dict()

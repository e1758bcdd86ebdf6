"""What a learner remembers of its episodes: transitions in tensors on its device, the oldest overwritten first."""

from typing import Any, NamedTuple

import torch

from ml.slicer.actions import HEADS
from ml.slicer.features import NAMES
from rfq.domain.errors import BadInput


class Transitions(NamedTuple):
    """From a decision to the one some decisions later; [N, ...]."""

    x: torch.Tensor
    """float32 [N, F]."""
    allowed: torch.Tensor
    """bool [N, choices]."""
    action: torch.Tensor
    """int64 [N, heads]."""
    gained: torch.Tensor
    """float32 [N]: reward in between."""
    goes_on: torch.Tensor
    """float32 [N]: 1 where there is a later decision, else 0."""
    expected: torch.Tensor
    """float32 [N]: what was to be had from here on, as far as the market was to blame."""
    to_come: torch.Tensor
    """float32 [N]: plain cost from here on."""


class Replay:
    """A ring of transitions (Lin 1992)."""

    def __init__(self, capacity: int, device: str | torch.device = "cpu") -> None:
        def none(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(capacity, *shape, dtype=dtype, device=device)

        lit = none(sum(HEADS), dtype=torch.bool)
        action = none(len(HEADS), dtype=torch.int64)
        self._kept = Transitions(none(len(NAMES)), lit, action, none(), none(), none(), none())
        self._later = none(dtype=torch.int64)
        """Place of the later decision; its own where there is none."""
        self._come = 0

    def __len__(self) -> int:
        return min(self._come, len(self._later))

    def add(self, transitions: Transitions, later: torch.Tensor) -> None:
        """`later`, int64 [N], is the later decision's place among these. A decision is never overwritten before those
        that lead to it, as long as it is not before them. Raises BadInput for more than there is room for."""
        capacity, count = len(self._later), len(later)
        if count > capacity:
            raise BadInput("capacity", capacity, f"must hold all {count:,} decisions of a set's episodes")
        at = (torch.arange(count, device=later.device) + self._come) % capacity
        for kept, new in zip(self._kept, transitions, strict=True):
            kept.index_copy_(0, at, new)
        self._later.index_copy_(0, at, at[later])
        # Rings never forget how far they came, so that a restored one goes on where it was.
        self._come += count

    def drawn(
        self, count: int, generator: torch.Generator | None = None
    ) -> tuple[Transitions, torch.Tensor, torch.Tensor]:
        """Uniformly, with replacement: transitions, features of their later decisions [count, F] and what is allowed
        there [count, choices]."""
        at = torch.randint(len(self), (count,), generator=generator, device=self._later.device)
        later = self._later[at]
        return Transitions(*(kept[at] for kept in self._kept)), self._kept.x[later], self._kept.allowed[later]

    def state_dict(self) -> dict[str, Any]:
        """Everything, as plain values and tensors."""
        return {**self._kept._asdict(), "later": self._later, "come": self._come}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what another of the same capacity had."""
        for name, kept in [*self._kept._asdict().items(), ("later", self._later)]:
            kept.copy_(state[name])
        self._come = int(state["come"])

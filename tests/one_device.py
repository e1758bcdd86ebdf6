"""A check that work keeps to one device, without an accelerator: on torch's `meta` device tensors have shapes but no
values, so whatever is read back, comes from the processor, or has a shape that depends on a value, raises."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")


class OneDevice(TorchDispatchMode):
    """Every operation takes and gives tensors of the meta device only. `counts` lets numbers on the processor pass: an
    optimiser counts its steps there, and what has no dimension goes along with an operation without waiting."""

    def __init__(self, counts: bool = False) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, given)):
            if isinstance(leaf, torch.Tensor) and leaf.device != META and not (self.counts and leaf.dim() == 0):
                raise RuntimeError(f"{func} has a tensor on {leaf.device}")
        return given

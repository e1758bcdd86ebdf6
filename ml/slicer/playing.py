"""Residuals worked to their end by a policy, with or without a record of what it saw and did."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from ml.slicer.actions import allowed, intended
from ml.slicer.features import features
from ml.slicer.rules import Rule, intend
from ml.slicer.situation import Intent, Moment, Recent, Residual, View, remembered

Act = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Features [B, F] and what is allowed [B, choices] -> action, int64 [B, heads]."""


class Underway(Protocol):
    """Residuals on their way, in the simulator or on recorded days; see `Execution`."""

    residual: Residual

    @property
    def over(self) -> bool: ...
    @property
    def left(self) -> torch.Tensor: ...
    def moment(self) -> Moment: ...
    def view(self) -> View: ...
    def step(self, intent: Intent) -> None: ...
    def shortfall(self) -> torch.Tensor: ...


Policy = Callable[[Underway], torch.Tensor]
"""Works residuals to their end; their shortfalls in price units, [B]."""


class Played(NamedTuple):
    """[decisions, B, ...]."""

    x: torch.Tensor
    allowed: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    """Fall of the shortfall, usual spreads: it telescopes to minus the shortfall."""


def by_rule(rule: Rule, execution: Underway) -> torch.Tensor:
    """Works all residuals to the end by the rule; their shortfalls, see `Execution.shortfall`."""
    while not execution.over:
        execution.step(intend(rule, execution.residual, execution.view(), execution.moment()))
    return execution.shortfall()


def by_policy(act: Act, rule: Rule, execution: Underway) -> torch.Tensor:
    """Works all residuals to the end by a learned policy beside its rule; their shortfalls."""
    recent: Recent | None = None
    while not execution.over:
        _, _, _, recent = _decide(act, rule, execution, recent)
    return execution.shortfall()


def played(act: Act, rule: Rule, execution: Underway) -> Played:
    """The same, with what it saw, did and got."""
    recent: Recent | None = None
    unit, was = execution.residual.spread, torch.zeros_like(execution.residual.lots)
    steps: list[tuple[torch.Tensor, ...]] = []
    while not execution.over:
        x, may, action, recent = _decide(act, rule, execution, recent)
        now = execution.shortfall() / unit
        steps.append((x, may, action, (was - now).float()))
        was = now
    return Played(*(torch.stack(part) for part in zip(*steps, strict=True)))


def _decide(
    act: Act, rule: Rule, execution: Underway, recent: Recent | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Recent]:
    residual, seen, moment = execution.residual, execution.view(), execution.moment()
    recent = remembered(recent, seen)
    suggested = intend(rule, residual, seen, moment)
    x, may = features(residual, seen, recent, moment, suggested), allowed(residual)
    action = act(x, may)
    execution.step(intended(action, suggested, residual, seen, moment))
    return x, may, action, recent

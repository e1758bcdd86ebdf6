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
    held: torch.Tensor
    """Share of the residual, signed by its side, that a decision left to the market: not filled, not crossed."""
    mid: torch.Tensor
    """At the decision, usual spreads from arrival."""


def by_rule(rule: Rule, execution: Underway) -> torch.Tensor:
    """Works all residuals to the end by the rule; their shortfalls, see `Execution.shortfall`."""
    while not execution.over:
        execution.step(intend(rule, execution.residual, execution.view(), execution.moment()))
    return execution.shortfall()


def by_policy(act: Act, rule: Rule, execution: Underway) -> torch.Tensor:
    """Works all residuals to the end by a learned policy beside its rule; their shortfalls."""
    recent: Recent | None = None
    while not execution.over:
        recent = _decided(act, rule, execution, recent).recent
    return execution.shortfall()


def played(act: Act, rule: Rule, execution: Underway) -> Played:
    """The same, with what it saw, did and got."""
    recent: Recent | None = None
    r = execution.residual
    was = torch.zeros_like(r.lots)
    steps: list[Played] = []
    while not execution.over:
        step = _decided(act, rule, execution, recent)
        recent, seen = step.recent, step.seen
        now = execution.shortfall() / r.spread
        held = r.side * (seen.left - step.intent.cross) / r.lots
        mid = (seen.mid - r.arrival) / r.spread
        steps.append(Played(step.x, step.allowed, step.action, (was - now).float(), held.float(), mid.float()))
        was = now
    return Played(*(torch.stack(part) for part in zip(*steps, strict=True)))


class _Step(NamedTuple):
    x: torch.Tensor
    allowed: torch.Tensor
    action: torch.Tensor
    seen: View
    intent: Intent
    recent: Recent


def _decided(act: Act, rule: Rule, execution: Underway, recent: Recent | None) -> _Step:
    residual, seen, moment = execution.residual, execution.view(), execution.moment()
    recent = remembered(recent, seen)
    suggested = intend(rule, residual, seen, moment)
    x, may = features(residual, seen, recent, moment, suggested), allowed(residual)
    action = act(x, may)
    intent = intended(action, suggested, residual, seen, moment)
    execution.step(intent)
    return _Step(x, may, action, seen, intent, recent)

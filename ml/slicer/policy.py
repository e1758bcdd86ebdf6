"""The learned slicer at work: observations of all working parents in, proposals out, one forward pass for all.

What was trained with decides here, `deciding.decide`, in its compiled form.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lit_router.domain.observation import Observation
from lit_router.ports import Proposal, Slice
from lit_router.schedules import dark_limit
from lit_router.volume_curve import CONTINUOUS, VolumeCurve
from ml.slicer.actions import CROSS, DARK, PLACE
from ml.slicer.compiled_deciding import Deciding
from ml.slicer.features import NAMES
from ml.slicer.guard import Guard
from ml.slicer.network import Actor, Critic
from ml.slicer.observed import Observed
from ml.slicer.rules import Rule, read
from ml.slicer.situation import POOLS
from ml.slicer.weights import SHIPPED, Envelope, Slicer
from rfq.domain.errors import BadInput
from rfq.domain.order import ParentOrder, TimeInForce
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import Instrument, ParentId, Price, Quantity, Symbol

DECISIONS = 40
"""In a horizon."""
PACE_S = (5.0, 30.0)
"""Shortest and longest time between two decisions, as in training."""
NO_WEIGHTS = "no weights"
NO_LIT = "no lit venue"
TUNED = SHIPPED.with_name("rules.json")

Doubts = Callable[[Sequence[Observation]], Sequence[str]]
"""Why each of these is not to be left to the policy, as where forecasters disagree; empty: it may be."""


class LearnedSlices:
    """Implements lit_router.ports.SlicePolicy over a Slicer. Lives on one event loop."""

    name = "learned"

    def __init__(
        self,
        slicer: Slicer,
        instruments: Mapping[Symbol, Instrument],
        curve: VolumeCurve = CONTINUOUS,
        doubts: Doubts | None = None,
    ) -> None:
        self.version, self._doubts = slicer.version, doubts
        self._guard = Guard(slicer)
        self._observed = Observed(instruments, curve)
        self._decide = Deciding(slicer)

    def pace_s(self, order: ParentOrder) -> float:
        shortest, longest = PACE_S
        return min(longest, max(shortest, order.horizon_s / DECISIONS))

    def forget(self, parent_id: ParentId) -> None:
        self._observed.forget(parent_id)

    def propose(self, observations: Sequence[Observation]) -> list[Slice]:
        """As the port says. Where a side of the book is empty nothing is proposed, and nothing is decided."""
        fit = [seen for seen in observations if seen.bid is not None and seen.ask is not None]
        decided = iter(self._slices(fit) if fit else ())
        return [Slice(()) if seen.bid is None or seen.ask is None else next(decided) for seen in observations]

    def _slices(self, observations: Sequence[Observation]) -> list[Slice]:
        doubts = self._doubts(observations) if self._doubts else [""] * len(observations)
        doubts = [why or ("" if seen.lit_venue else NO_LIT) for seen, why in zip(observations, doubts, strict=True)]
        d = self._decide(self._observed.rows(observations).numpy(), np.array([not why for why in doubts]))
        self._observed.remember(observations, d.recent)
        # Seldom needed, and cheaper for all at once than row by row.
        reasons = doubts if d.trusted.all() else self._guard.reasons(d.x)
        per_row = zip(
            observations, doubts, reasons,
            d.action.tolist(), d.trusted.tolist(), d.intent.tolist(), d.estimate.tolist(), strict=True,
        )  # fmt: skip
        found: list[Slice] = []
        for seen, doubt, reason, action, trusted, intent, estimate in per_row:
            why = "" if trusted else doubt or reason
            told = [round(number, 4) for number in estimate]
            found.append(Slice(self._proposals(seen, intent), self._decision(seen, action, why, told)))
        return found

    def _decision(self, seen: Observation, action: Sequence[int], why: str, told: Sequence[float]) -> SliceDecision:
        actions = tuple(names[at] for names, at in zip((CROSS, PLACE, DARK), action, strict=True))
        value, cost = (None, ()) if why else (told[0], tuple(told[1:]))
        return SliceDecision(self.name, self.version, seen.digest, actions, why, value, cost)

    def _proposals(self, seen: Observation, intent: Sequence[int]) -> list[Proposal]:
        cross, rest, price, *dark = intent
        pools = self._observed.pools(seen)
        if not seen.lit_venue:  # Nothing of the kind was ever trained: all that is left waits, evenly.
            share, more = divmod(seen.remaining, max(1, len(pools)))
            dark = [share + (place == min(pools.values(), default=0)) * more for place in range(POOLS)]
            cross = rest = 0
        found: list[Proposal] = []
        if cross > 0:
            found.append(Proposal(seen.lit_venue, Quantity(cross), None, TimeInForce.IOC))
        if rest > 0:
            found.append(Proposal(seen.lit_venue, Quantity(rest), Price(price)))
        room = seen.remaining - max(0, cross) - max(0, rest)
        for venue, place in pools.items():
            lots = min(dark[place], room)
            if lots > 0:
                found.append(Proposal(venue, Quantity(lots), dark_limit(seen, venue)))
                room -= lots
        return found


def by_rule_alone(
    rule: Rule, instruments: Mapping[Symbol, Instrument], curve: VolumeCurve = CONTINUOUS
) -> LearnedSlices:
    """The same without weights: every decision is the rule's, and says so."""
    nothing = torch.zeros(len(NAMES))
    slicer = Slicer(Actor(), Critic(), rule, Envelope(nothing, nothing), {"version": "none"})
    return LearnedSlices(slicer, instruments, curve, lambda observations: [NO_WEIGHTS] * len(observations))


def tuned_rule(path: Path = TUNED) -> Rule:
    """The strong rule as tuned; untuned where no file of rules is. Raises BadInput for what is no such file."""
    if not path.exists():
        return Rule()
    try:
        return read(path)["strong"]
    except KeyError:
        raise BadInput("rules", str(path), "must be a file of tuned rules: there is none called strong") from None


def on_one_core() -> None:
    """For the process that lives on this: more threads would only wait for one another, the tensors being small."""
    torch.set_num_threads(1)

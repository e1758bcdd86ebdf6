"""The learned slicer at work: observations of all working parents in, proposals out, one forward pass for all.

What was trained with decides here: `remembered`, `intend`, `features`, `allowed`, the networks, `intended`. They are
traced once (torch.jit) and played as one program: dispatching their four hundred small operations from Python takes
longer than the operations do. A test holds the traced decision to the plain one, bit by bit.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, cast

import torch

from lit_router.domain.observation import Observation
from lit_router.ports import Proposal, Slice
from lit_router.schedules import dark_limit
from lit_router.volume_curve import CONTINUOUS, VolumeCurve
from ml.slicer.actions import CROSS, DARK, PLACE, allowed, intended
from ml.slicer.features import NAMES, features
from ml.slicer.guard import Guard
from ml.slicer.network import LEVELS, Actor, Critic, best
from ml.slicer.observed import PARTS, Observed, Possible, as_row, situations
from ml.slicer.rules import Rule, intend, read
from ml.slicer.situation import POOLS, Intent, remembered
from ml.slicer.weights import SHIPPED, Envelope, Slicer
from rfq.domain.errors import BadInput
from rfq.domain.order import ParentOrder, TimeInForce
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import Instrument, ParentId, Price, Quantity, Symbol

DECISIONS = 40
"""In a horizon."""
PACE_S = (5.0, 30.0)
"""Shortest and longest time between two decisions, as in training."""
TOLD = (0.05, 0.5, 0.95)
"""Quantiles of the cost to come that are recorded."""
ALWAYS = ("rule", "nothing")
"""Choices of the first two heads that no limit forbids: what the rule may not do is kept from it elsewhere."""
NO_WEIGHTS = "no weights"
NO_LIT = "no lit venue"
TUNED = SHIPPED.with_name("rules.json")
WARM = (1, 2, 64)
"""Batches played before the first that counts: the traced program is made up in its first runs."""

Doubts = Callable[[Sequence[Observation]], Sequence[str]]
"""Why each of these is not to be left to the policy, as where forecasters disagree; empty: it may be."""

Play = Callable[[torch.Tensor, torch.Tensor], Sequence[torch.Tensor]]


class Decided(NamedTuple):
    """For each row; int64 and bool unless said otherwise."""

    action: torch.Tensor
    """[B, heads]: what is done. 0 is the rule, in every head."""
    trusted: torch.Tensor
    """bool [B]."""
    beyond: torch.Tensor
    """float32 [B, F]: how far features lie outside, see Guard."""
    intent: torch.Tensor
    """[B, 3 + POOLS]: lots to cross, to rest, at which price, in each pool."""
    estimate: torch.Tensor
    """float32 [B, 1 + len(TOLD)]: value, then quantiles of the cost to come."""
    recent: torch.Tensor
    """float64: to be remembered."""


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
        self.version, self._rule, self._doubts = slicer.version, slicer.rule, doubts
        # A copy: whoever made the slicer may go on training it.
        self._actor, self._critic = (deepcopy(n).eval().requires_grad_(False) for n in (slicer.actor, slicer.critic))
        self._guard = Guard(slicer.envelope)
        self._observed = Observed(instruments, curve)
        self._play = traced(self.decide)

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
        rows = self._observed.rows(observations)
        with torch.inference_mode():
            d = Decided(*self._play(rows, torch.tensor([not why for why in doubts])))
        self._observed.remember(observations, d.recent)
        per_row = zip(
            observations, doubts, d.action.tolist(), d.trusted.tolist(), d.intent.tolist(), d.estimate.tolist(),
            strict=True,
        )  # fmt: skip
        found: list[Slice] = []
        for place, (seen, why, action, trusted, intent, estimate) in enumerate(per_row):
            if not trusted:
                why = why or self._guard.reason(d.beyond[place])
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

    def decide(self, rows: torch.Tensor, certain: torch.Tensor) -> Decided:
        """The decision itself, on rows of `Observed`; `certain`, bool [B], is False where there is a doubt."""
        residual, moment, seen, recent, possible = situations(rows)
        recent = remembered(recent, seen)
        rule = intend(self._rule, residual, seen, moment)
        rule = rule._replace(cross=rule.cross * possible.cross)
        x = features(residual, seen, recent, moment, rule)
        beyond = self._guard.beyond(x)
        trusted = self._guard.trusts(beyond) & certain
        action = best(self._actor(x, allowed(residual) & within_limits(possible))) * trusted[:, None]
        value, quantiles = self._critic(x)
        intent = held_back(intended(action, rule, residual, seen, moment), possible)
        lots = torch.cat([torch.stack([intent.cross, intent.rest, intent.price], 1), intent.dark], 1)
        estimate = torch.cat([value[:, None], levels(quantiles, TOLD)], 1)
        return Decided(action, trusted, beyond, lots, estimate, as_row(recent))


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


def within_limits(possible: Possible) -> torch.Tensor:
    """Which choices venues and the desk's limit leave, bool [B, sum(HEADS)]."""
    needs = [*(0 if name in ALWAYS else 1 for name in CROSS), *(0 if name in ALWAYS else 2 for name in PLACE)]
    needs[len(CROSS) + PLACE.index("improve")] = 3
    kinds = torch.stack([torch.ones_like(possible.lit), possible.cross, possible.lit, possible.improve], 1)
    return kinds[:, torch.tensor([*needs, *[0] * len(DARK)])]


def held_back(intent: Intent, possible: Possible) -> Intent:
    """Where nothing can be crossed, what was to be (at the end all that is left is) rests instead."""
    crossing = intent.cross * possible.cross
    return intent._replace(cross=crossing, rest=intent.rest + intent.cross - crossing)


def levels(quantiles: torch.Tensor, wanted: Sequence[float]) -> torch.Tensor:
    """Quantiles at these levels, [B, len(wanted)], between the nearest two of LEVELS."""
    ordered, count = quantiles.sort(1).values, len(LEVELS)
    at = (torch.tensor(wanted) * count - 0.5).clamp(0, count - 1)
    low = at.long().clamp(max=count - 2)
    below = ordered[:, low]
    return below + (at - low) * (ordered[:, low + 1] - below)


def traced(decide: Play) -> Play:
    """The same operations without Python between them, for any number of rows."""
    rows, certain = torch.ones(2, sum(PARTS), dtype=torch.float64), torch.ones(2, dtype=torch.bool)
    with torch.inference_mode(), warnings.catch_warnings():
        # Columns are taken apart one by one: their number is fixed, which is what tracing warns of.
        warnings.simplefilter("ignore", Warning)
        torch.jit.set_fusion_strategy([])  # Kernels of one's own for every new number of rows would hold up the loop.
        played = cast(Play, torch.jit.trace(decide, (rows, certain), check_trace=False))
        for count in WARM * 3:
            played(rows[:1].expand(count, -1).contiguous(), certain[:1].expand(count))
    return played

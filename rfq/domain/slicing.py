"""How the slices of a parent order are decided: one decision as it was taken, and what became of them so far."""

from rfq.domain.values import Frozen


class SliceDecision(Frozen, frozen=True):
    """One decision of a policy that learned, for whoever has to explain it afterwards."""

    policy: str
    version: str
    """Of its weights."""
    observation: str
    """SHA-256 of what it saw: see Observation.digest."""
    actions: tuple[str, ...]
    """What it chose, by head; empty if it came to no choice."""
    guard: str = ""
    """Why the choice was left to the rule; empty: it was not."""
    value: float | None = None
    """What it expects from here on, usual spreads, positive if good. None where the rule decides: it claims nothing."""
    cost: tuple[float, ...] = ()
    """5, 50 and 95% quantiles of the cost to come, usual spreads a lot of the whole order; empty likewise."""


class Sliced(Frozen, frozen=True):
    """A parent's decisions so far."""

    policy: str
    version: str
    """As of the last decision."""
    decisions: int
    by_rule: int
    """Of these, how many the guard left to the rule."""


def after(sliced: Sliced | None, decision: SliceDecision) -> Sliced:
    decisions, by_rule = (sliced.decisions, sliced.by_rule) if sliced else (0, 0)
    return Sliced(decision.policy, decision.version, decisions + 1, by_rule + bool(decision.guard))

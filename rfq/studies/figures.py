"""What a bench or an evaluation found: figures with their unit in the name, goals with their bound, one shape for all.

Printed as a table for people, or with `--json` as one object: `figures` (name -> value) and `goals` (a list of name,
value, bound, met).
"""

import sys
from pathlib import Path
from typing import Literal

import msgspec

from rfq.domain.errors import BadInput
from rfq.domain.values import Frozen

Value = float | int | str | None


class Goal(Frozen, frozen=True):
    """A figure and what it should be. `bound` is written as it is read: "<= 3" or ">= 0.9"."""

    name: str
    value: float
    bound: str
    met: bool


class Figures:
    """Collects figures and goals in the order in which they are to be shown."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.figures: dict[str, Value] = {}
        self.goals: list[Goal] = []

    def add(self, name: str, value: Value) -> None:
        """`name` ends in its unit: `award_p99_ms`. Raises BadInput for a name that is taken."""
        if name in self.figures:
            raise BadInput("figure", name, "is given twice")
        self.figures[name] = rounded(value)

    def goal(self, name: str, value: float, how: Literal["<=", "<", ">=", ">"], bound: float) -> None:
        """Judges `value` as measured, not as rounded for show. What is not a number meets nothing."""
        met = {"<=": value <= bound, "<": value < bound, ">=": value >= bound, ">": value > bound}[how]
        shown = rounded(value)
        assert isinstance(shown, float | int)
        self.goals.append(Goal(name, shown, f"{how} {bound:g}", met))

    def include(self, other: "Figures", prefix: str) -> None:
        """All figures and goals of another, each name after `prefix`. Raises BadInput for a name that is taken."""
        for name, value in other.figures.items():
            self.add(f"{prefix}_{name}", value)
        self.goals += [goal.but(name=f"{prefix}_{goal.name}") for goal in other.goals]

    def json(self) -> str:
        return msgspec.json.encode({"figures": self.figures, "goals": self.goals}).decode()

    def table(self) -> str:
        """Figures one a line, then the goals."""
        width = max(map(len, [*self.figures, *(goal.name for goal in self.goals)]), default=0)
        lines = [self.title, ""]
        lines += [f"  {name:<{width}}  {shown(value)}" for name, value in self.figures.items()]
        if self.goals:
            lines += ["", "goals"]
        for goal in self.goals:
            verdict = "met" if goal.met else "NOT MET"
            lines.append(f"  {goal.name:<{width}}  {shown(goal.value):>10}  {goal.bound:<10}  {verdict}")
        return "\n".join(lines)

    def write(self, path: Path, code: str) -> None:
        """The table as a report that names the code it was made with. Raises BadInput for a place that is not
        writable."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# {self.title}\n\nCode version: {code}.\n\n```\n{self.table()}\n```\n")
        except OSError as reason:
            raise BadInput("report", str(path), f"must be writable: {reason}") from None

    def print(self, *, as_json: bool) -> None:
        print(self.json() if as_json else self.table(), flush=True)


def rounded(value: Value) -> Value:
    """Floats to five significant digits: more would be noise."""
    return float(f"{value:.5g}") if isinstance(value, float) else value


def shown(value: Value) -> str:
    """As people read it: thousands apart, no exponents."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or isinstance(value, int) else f"{value:,.4g}"


def progress(line: str) -> None:
    """How far it is, for whoever waits: on stderr, so that `--json` stays one object."""
    print(line, file=sys.stderr, flush=True)

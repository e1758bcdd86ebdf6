"""State machines as data: one transition table per noun, one function that advances."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from rfq.domain.errors import IllegalTransition

S = TypeVar("S", bound=StrEnum)

Table = Mapping[tuple[S, str], S]
"""(state, event name) -> next state. What is not listed is illegal."""


def advance(noun: str, table: Table[S], state: S, event: str) -> S:
    """The state after `event`. Raises IllegalTransition, with nothing changed, if the table does not list it."""
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransition(noun, state.value, event) from None


def terminal(table: Table[S], states: type[S]) -> frozenset[S]:
    """States that no event leaves."""
    leaves = {state for (state, _), after in table.items() if after is not state}
    return frozenset(set(states) - leaves)


def mermaid(table: Table[S], start: S) -> str:
    """A Mermaid state diagram drawn from the table (the docs are generated from this, never by hand)."""
    lines = ["stateDiagram-v2", f"    [*] --> {start.value}"]
    lines += [f"    {before.value} --> {after.value}: {event}" for (before, event), after in table.items()]
    lines += [f"    {state.value} --> [*]" for state in sorted(terminal(table, type(start)))]
    return "\n".join(lines)

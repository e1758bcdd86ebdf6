"""Every table, against the lives as they were agreed, written out here a second time on purpose."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
from make_state_diagrams import LIVES, PAGE, Life, page

from lit_router.domain.child import CHILD_OVER, CHILD_TABLE, ChildStatus
from rfq.domain.errors import IllegalTransition
from rfq.domain.lifecycle import advance, terminal
from rfq.domain.rfq import OVER, RFQ_TABLE, RfqStatus

AGREED = {
    "RFQ": """
        received: reject rejected, open_auction auctioning, work_residual working, cancel cancelled, expire expired
        auctioning: close_auction awaiting_award
        awaiting_award: open_auction auctioning, work_residual working, finish done, cancel cancelled, expire expired
        working: finish done, cancel cancelled
        done: ; rejected: ; cancelled: ; expired:
    """,
    "Auction": """
        open: ask open, close closed
        closed: award awarding, settle settled
        awarding: award awarding, settle settled
        settled:
    """,
    "Request": """
        asked: quote quoted, decline declined, miss unreached, lapse silent
        quoted: quote quoted, decline declined
        declined: quote quoted
        unreached: quote quoted, decline declined, lapse silent
        silent:
    """,
    "Quote": """
        live: revise live, withdraw withdrawn, expire expired, lift lifting, lose lost
        lifting: confirm confirmed, refuse refused, lose_contact unknown
        unknown: confirm confirmed, refuse refused
        confirmed: ; refused: ; expired: ; withdrawn: ; lost: ; late:
    """,
    "Lift": """
        sent: confirm confirmed, refuse refused, lose_contact unknown
        unknown: confirm confirmed, refuse refused
        confirmed: ; refused:
    """,
    "Parent order": """
        pending: start working, cancel cancelling
        working: pause paused, cancel cancelling, finish done
        paused: resume working, cancel cancelling, finish done
        cancelling: finish done
        done:
    """,
    "Child order": """
        created: send sent, cancelled cancelled
        sent: acknowledge acknowledged, reject rejected, cancel cancelling, cancelled cancelled, expire expired,
              complete filled
        acknowledged: replace replacing, cancel cancelling, cancelled cancelled, expire expired, complete filled
        replacing: replaced acknowledged, cancel cancelling, cancel_rejected acknowledged, cancelled cancelled,
              expire expired, complete filled
        cancelling: acknowledge cancelling, cancelled cancelled, cancel_rejected acknowledged, reject rejected,
              replaced cancelling, expire expired, complete filled
        filled: ; cancelled: ; rejected: ; expired:
    """,
}


def agreed(noun: str) -> dict[tuple[str, str], str]:
    """The agreed life of a noun as (state, event) -> state."""
    steps: dict[tuple[str, str], str] = {}
    joined = AGREED[noun].replace(",\n", ", ").replace(";", "\n")
    for line in filter(None, (raw.strip() for raw in joined.splitlines())):
        state, _, rest = line.partition(":")
        for step in filter(None, (s.strip() for s in rest.split(","))):
            event, after = step.split()
            steps[state, event] = after
    return steps


def every_pair() -> list[Any]:
    found = []
    for life in LIVES:
        events = sorted({event for _, event in life.table} | {event for _, event in agreed(life.noun)} | {"explode"})
        found += [
            pytest.param(life, state, event, id=f"{life.noun}-{state.value}-{event}")
            for state in life.states
            for event in events
        ]
    return found


@pytest.mark.parametrize(("life", "state", "event"), every_pair())
def test_every_pair_does_what_was_agreed_or_raises(life: Life, state: StrEnum, event: str) -> None:
    after = agreed(life.noun).get((state.value, event))
    if after is None:
        with pytest.raises(IllegalTransition) as caught:
            advance(f"{life.noun} 7", life.table, state, event)
        assert (caught.value.noun, caught.value.state, caught.value.event) == (f"{life.noun} 7", state.value, event)
    else:
        assert advance(f"{life.noun} 7", life.table, state, event) is life.states(after)


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.noun)
def test_every_state_can_be_reached_and_left_or_is_an_end(life: Life) -> None:
    reached, edge = {life.start}, [life.start]
    while edge:
        state = edge.pop()
        for (before, _), after in life.table.items():
            if before is state and after not in reached:
                reached.add(after)
                edge.append(after)
    assert reached | set(life.apart) == set(life.states)
    ends = {state for state in life.states if not any(before is state for before, _ in life.table)}
    assert terminal(life.table, life.states) == ends


def test_what_is_over_is_what_no_event_leaves() -> None:
    assert terminal(RFQ_TABLE, RfqStatus) == OVER
    assert terminal(CHILD_TABLE, ChildStatus) == CHILD_OVER


def test_the_page_of_diagrams_is_fresh() -> None:
    assert PAGE.read_text() == page(), "run python docs/make_state_diagrams.py"


def test_a_diagram_has_an_arrow_for_every_row() -> None:
    for life in LIVES:
        section = page().split(f"## {life.noun}\n")[1].split("```")[1]
        for (before, event), after in life.table.items():
            assert f"{before.value} --> {after.value}: {event}" in section

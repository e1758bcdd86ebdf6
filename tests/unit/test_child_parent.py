"""Every pair of the child's and parent's tables: legal and as listed, or raising with nothing changed."""

import copy
from datetime import timedelta

import pytest
from order_floor import SYMBOL, parent
from virtual_time import START

from lit_router.domain.child import CHILD_OVER, CHILD_TABLE, Child, ChildStatus
from lit_router.domain.parent import PARENT_TABLE, Parent, ParentStatus, WorkedParent, begin
from rfq.domain import events as ev
from rfq.domain.errors import IllegalTransition, Inconsistent
from rfq.domain.fill import Fill, Where
from rfq.domain.order import ChildOrder
from rfq.domain.values import ChildId, FillId, ParentId, Price, Quantity

ORDER = parent(1000)
CHILD = ChildId("child-1")
_C, _P = ChildStatus, ParentStatus


def child_order(quantity: int = 100, child_id: ChildId = CHILD) -> ChildOrder:
    return ChildOrder(child_id, ORDER.parent_id, "lit", SYMBOL, ORDER.side, Quantity(quantity), Price(19_990))


def fill(quantity: int, child_id: ChildId = CHILD, number: int = 1) -> ev.ChildFilled:
    at = START + timedelta(seconds=1)
    return ev.ChildFilled(
        Fill(
            FillId(f"{child_id}:{number}"),
            ORDER.rfq_id,
            SYMBOL,
            ORDER.side,
            Price(19_990),
            Quantity(quantity),
            Where.LIT,
            "lit",
            at,
            at,
            Price(19_995),
            parent_id=ORDER.parent_id,
            child_id=child_id,
        )
    )


CHILD_EVENTS: dict[str, ev.ChildEvent] = {
    "send": ev.ChildSent(CHILD),
    "acknowledge": ev.ChildAcknowledged(CHILD),
    "reject": ev.ChildRejected(CHILD, "no"),
    "replace": ev.ChildReplacing(CHILD, Quantity(50), Price(19_990)),
    "replaced": ev.ChildReplaced(CHILD),
    "cancel": ev.ChildCancelling(CHILD),
    "cancelled": ev.ChildCancelled(CHILD),
    "cancel_rejected": ev.ChildCancelRejected(CHILD, "too late"),
    "expire": ev.ChildExpired(CHILD),
    "complete": fill(100),
}
PARENT_EVENTS: dict[str, ev.ParentEvent] = {
    "start": ev.ParentStarted(ORDER.parent_id),
    "pause": ev.ParentPaused(ORDER.parent_id, "halted"),
    "resume": ev.ParentResumed(ORDER.parent_id),
    "cancel": ev.ParentCancelling(ORDER.parent_id, "desk"),
    "finish": ev.ParentDone(ORDER.parent_id, "horizon over"),
}


def worked_with(child: Child) -> WorkedParent:
    open_children = {} if child.status in CHILD_OVER else {CHILD: child}
    return WorkedParent(Parent(ORDER, ParentStatus.WORKING), {CHILD: child}, open_children)


def test_the_events_above_are_all_that_the_tables_name() -> None:
    assert {event for _, event in CHILD_TABLE} == set(CHILD_EVENTS)
    assert {event for _, event in PARENT_TABLE} == set(PARENT_EVENTS)


@pytest.mark.parametrize("status", list(_C))
@pytest.mark.parametrize("event", CHILD_EVENTS)
def test_child_pair(status: ChildStatus, event: str) -> None:
    pending = Quantity(50) if status is _C.REPLACING else None
    worked = worked_with(Child(child_order(), status, pending_quantity=pending, pending_price=Price(19_990)))
    before = copy.deepcopy(worked)
    if (status, event) in CHILD_TABLE:
        worked.apply(CHILD_EVENTS[event])
        assert worked.children[CHILD].status is CHILD_TABLE[status, event]
        assert (CHILD in worked.open) == (worked.children[CHILD].status not in CHILD_OVER)
    elif event == "complete" and status in CHILD_OVER:
        worked.apply(CHILD_EVENTS[event])  # A late fill is a fact: it counts, and changes no state.
        assert worked.children[CHILD].status is status
        assert worked.parent.filled == worked.children[CHILD].filled == 100
    else:
        with pytest.raises(IllegalTransition):
            worked.apply(CHILD_EVENTS[event])
        assert worked == before


@pytest.mark.parametrize("status", list(_P))
@pytest.mark.parametrize("event", PARENT_EVENTS)
def test_parent_pair(status: ParentStatus, event: str) -> None:
    worked = WorkedParent(Parent(ORDER, status))
    before = copy.deepcopy(worked)
    if (status, event) in PARENT_TABLE:
        worked.apply(PARENT_EVENTS[event])
        assert worked.parent.status is PARENT_TABLE[status, event]
    else:
        with pytest.raises(IllegalTransition):
            worked.apply(PARENT_EVENTS[event])
        assert worked == before


def story(*events: ev.OrderEvent) -> WorkedParent:
    worked = begin(ORDER)
    for event in (ev.ParentStarted(ORDER.parent_id), ev.ChildCreated(child_order()), ev.ChildSent(CHILD), *events):
        worked.apply(event)
    return worked


def test_lots_are_with_a_child_until_it_is_over() -> None:
    worked = story(ev.ChildAcknowledged(CHILD), fill(30))
    assert (worked.parent.filled, worked.with_children, worked.free) == (30, 70, 900)
    worked.apply(ev.ChildCancelling(CHILD))
    assert worked.free == 900
    worked.apply(ev.ChildCancelled(CHILD))
    assert (worked.with_children, worked.free) == (0, 970)


def test_a_replace_in_flight_holds_the_larger_size() -> None:
    worked = story(ev.ChildAcknowledged(CHILD), ev.ChildReplacing(CHILD, Quantity(150), Price(19_990)))
    assert worked.with_children == 150
    worked.apply(ev.ChildCancelRejected(CHILD, "no"))
    assert worked.with_children == 100
    worked.apply(ev.ChildReplacing(CHILD, Quantity(40), Price(19_990)))
    assert worked.with_children == 100
    worked.apply(ev.ChildReplaced(CHILD))
    assert worked.with_children == 40


def test_fills_that_overtake_a_smaller_size_complete_it() -> None:
    worked = story(ev.ChildAcknowledged(CHILD), ev.ChildReplacing(CHILD, Quantity(40), Price(19_990)), fill(60))
    worked.apply(ev.ChildReplaced(CHILD))
    assert worked.children[CHILD].status is _C.FILLED
    assert not worked.live


def test_a_late_fill_of_lots_sent_again_shows_as_overcommitted() -> None:
    other = ChildId("child-2")
    worked = story(ev.ChildAcknowledged(CHILD), ev.ChildCancelling(CHILD), ev.ChildCancelled(CHILD))
    worked.apply(ev.ChildCreated(child_order(1000, other)))
    worked.apply(ev.ChildSent(other))
    assert not worked.overcommitted
    worked.apply(fill(10))
    assert worked.overcommitted and worked.free == 0


def test_what_contradicts_the_record_is_refused() -> None:
    worked = story()
    before = copy.deepcopy(worked)
    for event in (ev.ChildCreated(child_order()), ev.ChildAcknowledged(ChildId("nobody")), fill(1, ChildId("nobody"))):
        with pytest.raises(Inconsistent):
            worked.apply(event)
        assert worked == before
    with pytest.raises(Inconsistent):
        begin(ORDER.but(quantity=Quantity(0)))


def test_a_break_is_kept_beside_the_parents_fills() -> None:
    worked = story(fill(100))
    worked.apply(ev.BreakFound(fill(25, number=2).fill, Quantity(25)))
    assert (worked.parent.filled, worked.excess) == (100, 25)
    assert worked.parent.order.parent_id == ParentId("parent-1")

"""The fold of a block, case by case: what moves lots, and what is refused with nothing changed."""

from collections.abc import Iterable
from typing import Any

import pytest
from examples import AUCTION, MID, at, lift, parent, quote, quote_fill, received, request, stamp, terms, work_fill

from rfq.domain import events as ev
from rfq.domain.award import AuctionStatus, Award
from rfq.domain.block import Block, fold
from rfq.domain.errors import IllegalTransition, Inconsistent
from rfq.domain.quote import LiftStatus, QuoteStatus, RequestStatus
from rfq.domain.rfq import AwardMode, RequestSide, RfqStatus
from rfq.domain.slicing import Sliced, SliceDecision
from rfq.domain.values import (
    AuctionId,
    ChildId,
    DealerId,
    FillId,
    LiftId,
    ParentId,
    Price,
    Quantity,
    QuoteId,
    RequestId,
    Side,
)

A, B = quote("a", quantity=60, minimum=10), quote("b", MID + 14, 100)
OPENED = (
    received(),
    ev.AuctionOpened(AUCTION),
    ev.DealersAsked(AUCTION, 1, at(10), (request("a"), request("b"), request("mute"))),
    ev.QuoteReceived(A),
    ev.QuoteReceived(B),
)
CLOSED = (*OPENED, ev.AuctionClosed(AUCTION, (RequestId("request-mute"),)))
AWARDED = (*CLOSED, ev.AwardDecided(Award(AUCTION, Side.BUY, ())))
LIFT_A = lift(A, 60)
LIFTED = (*AWARDED, ev.QuoteLifted(LIFT_A))
ORDER = parent(100)
WORKING = (*AWARDED, ev.ParentCreated(ORDER))


def block(events: Iterable[ev.AnyEvent]) -> Block:
    return fold(stamp(n, event) for n, event in enumerate(events, 1))


def lots(of: Block) -> tuple[int, int, int, int]:
    """Filled, reserved, working, unfilled."""
    return of.rfq.filled, of.rfq.reserved, of.rfq.working, of.rfq.unfilled


def and_then(events: tuple[ev.AnyEvent, ...], *more: ev.AnyEvent) -> Block:
    return block((*events, *more))


# --- what happens ----------------------------------------------------------------------------------------------------


def test_a_request_received_has_all_its_lots_unfilled() -> None:
    assert lots(and_then((), received())) == (0, 0, 0, 100)


def test_a_two_way_request_gets_its_side_from_the_award() -> None:
    first = received(terms(RequestSide.TWO_WAY, award=AwardMode.MANUAL))
    assert and_then((), first).rfq.side is None
    assert block((first, *AWARDED[1:])).rfq.side is Side.BUY


def test_the_close_says_who_was_silent() -> None:
    closed = block(CLOSED)
    assert closed.rfq.status is RfqStatus.AWAITING_AWARD
    assert closed.auctions[AUCTION].status is AuctionStatus.CLOSED
    assert {r.dealer_id: r.status for r in closed.requests.values()} == {
        "a": RequestStatus.QUOTED,
        "b": RequestStatus.QUOTED,
        "mute": RequestStatus.SILENT,
    }
    assert closed.requests[RequestId("request-a")].answered_at == A.received_at


def test_a_lift_reserves_and_a_confirmation_fills() -> None:
    assert lots(block(LIFTED)) == (0, 60, 0, 40)
    done = and_then(LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A)))
    assert lots(done) == (60, 0, 0, 40)
    assert done.quotes[A.quote_id].status is QuoteStatus.CONFIRMED


def test_a_partial_confirmation_gives_the_rest_back() -> None:
    done = and_then(LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A, 25)))
    assert lots(done) == (25, 0, 0, 75)


def test_a_refusal_gives_everything_back_and_the_next_best_can_be_lifted() -> None:
    refused = (*LIFTED, ev.LiftRefused(LIFT_A.lift_id, "moved"))
    assert lots(block(refused)) == (0, 0, 0, 100)
    assert lots(and_then(refused, ev.QuoteLifted(lift(B, 100)))) == (0, 100, 0, 0)


def test_an_unknown_lift_keeps_its_lots_until_it_is_resolved() -> None:
    unknown = (*LIFTED, ev.LiftUnknown(LIFT_A.lift_id, "line down"))
    assert lots(block(unknown)) == (0, 60, 0, 40)
    assert [x.lift_id for x in block(unknown).lifts_in(LiftStatus.UNKNOWN)] == [LIFT_A.lift_id]
    assert lots(and_then(unknown, ev.LiftRefused(LIFT_A.lift_id, "never seen"))) == (0, 0, 0, 100)
    assert lots(and_then(unknown, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A)))) == (60, 0, 0, 40)


def test_a_revision_replaces_and_keeps_the_time_of_the_first_answer() -> None:
    better = quote("a", MID + 8, 60, revision=2, received_s=5.0)
    revised = and_then(OPENED, ev.QuoteReceived(better))
    assert revised.quotes[A.quote_id] == better
    assert revised.requests[RequestId("request-a")].answered_at == A.received_at


def test_a_late_revision_leaves_the_quote_that_stands() -> None:
    late = quote("a", MID + 2, 60, revision=2, received_s=11.0)
    assert and_then(CLOSED, ev.QuoteCameLate(late)).quotes[A.quote_id] == A
    fresh = quote("mute", MID + 2, received_s=11.0)
    assert and_then(CLOSED, ev.QuoteCameLate(fresh)).quotes[fresh.quote_id].status is QuoteStatus.LATE


def test_the_residual_is_worked_filled_and_given_back() -> None:
    filled = (*WORKING, ev.ChildFilled(work_fill(ORDER, 30)))
    assert lots(block(WORKING)) == (0, 0, 100, 0)
    assert lots(block(filled)) == (30, 0, 70, 0)
    done = (*filled, ev.ParentDone(ORDER.parent_id, "horizon over"))
    assert lots(block(done)) == (30, 0, 0, 70)
    assert lots(and_then(done, ev.ChildFilled(work_fill(ORDER, 5, name="late")))) == (35, 0, 0, 65)


def test_decisions_on_slices_move_no_lots_and_are_counted() -> None:
    def decided(version: str, guard: str = "") -> ev.SliceDecided:
        return ev.SliceDecided(ORDER.parent_id, SliceDecision("learned", version, "ab", ("half",), guard))

    found = and_then(WORKING, decided("one"), decided("one", "outside of training: spread"), decided("two"))
    assert lots(found) == lots(block(WORKING))
    assert found.sliced == {ORDER.parent_id: Sliced("learned", "two", 3, 1)}
    with pytest.raises(Inconsistent):
        and_then(WORKING[:-1], decided("one"))


def test_a_late_fill_counts_even_when_the_request_is_over() -> None:
    over = (*WORKING, ev.ParentDone(ORDER.parent_id, "cancelled"), ev.RfqCancelled("by the desk"))
    late = and_then(over, ev.ChildFilled(work_fill(ORDER, 5)))
    assert lots(late) == (5, 0, 0, 95) and late.rfq.status is RfqStatus.CANCELLED


def test_a_second_parent_can_follow_the_first() -> None:
    first, second = parent(40), parent(60, 2)
    done = (ev.ParentCreated(first), ev.ParentDone(first.parent_id, "done"), ev.ParentCreated(second))
    assert lots(and_then(AWARDED, *done)) == (0, 0, 60, 40)


def test_lots_left_over_can_go_to_a_parent_while_a_lift_is_unknown() -> None:
    unknown = (*LIFTED, ev.LiftUnknown(LIFT_A.lift_id, "line down"), ev.ParentCreated(parent(40)))
    assert lots(block(unknown)) == (0, 60, 40, 0)
    refused = (*unknown, ev.LiftRefused(LIFT_A.lift_id, "never seen"))
    assert lots(and_then(refused, ev.QuoteLifted(lift(B, 60)))) == (0, 60, 40, 0)


def test_a_break_is_recorded_moves_no_lots_and_stops_the_request() -> None:
    confirmed = (*LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A)))
    excess = quote_fill(LIFT_A, 15, fill_id=FillId("break"))
    broken = and_then(confirmed, ev.BreakFound(excess, Quantity(15)))
    assert lots(broken) == (60, 0, 0, 40)
    assert broken.rfq.stopped and "a filled more than asked" in broken.rfq.needs_person
    assert broken.fills[FillId("break")] == excess
    settled = and_then(confirmed, ev.BreakFound(excess, Quantity(15)), ev.PersonSettled("supervisor", "returned"))
    assert not settled.rfq.stopped and not settled.rfq.needs_person


def test_a_word_on_one_thing_settles_nothing_else() -> None:
    unknown = (*LIFTED, ev.LiftUnknown(LIFT_A.lift_id, "silent"), ev.PersonNeeded("a is silent"))
    on_child = ev.PersonSettled("supervisor", "their log", child_id=ChildId("child"))
    assert and_then(unknown, on_child).rfq.needs_person == "a is silent"
    resolved = (*unknown, ev.LiftRefused(LIFT_A.lift_id, "by hand"))
    on_lift = ev.PersonSettled("supervisor", "phoned", LIFT_A.lift_id)
    assert not and_then(resolved, on_lift).rfq.needs_person
    confirmed = (*LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A)))
    excess = quote_fill(LIFT_A, 15, fill_id=FillId("break"))
    broken = and_then(confirmed, ev.BreakFound(excess, Quantity(15)), on_lift)
    assert broken.rfq.stopped and broken.rfq.needs_person


@pytest.mark.parametrize(
    ("end", "status"), [(ev.RfqDone, "done"), (ev.RfqCancelled, "cancelled"), (ev.RfqExpired, "expired")]
)
def test_the_ends_of_a_request(end: type[ev.RfqDone], status: str) -> None:
    ended = and_then(AWARDED, end("because"))
    assert (ended.rfq.status, ended.rfq.reason) == (RfqStatus(status), "because")


# --- what is refused, with nothing changed ---------------------------------------------------------------------------

OVER = (*AWARDED, ev.RfqDone("nothing wanted"))
TWO_PARENTS = (*AWARDED, ev.ParentCreated(parent(40)), ev.ParentCreated(parent(60, 2)))
SELLING = (received(terms(RequestSide.TWO_WAY, award=AwardMode.MANUAL)), *CLOSED[1:])
A2 = quote("a", MID + 8, 60, minimum=10, revision=2)
FILL_A = quote_fill(LIFT_A)


@pytest.mark.parametrize(
    ("events", "event", "error"),
    [
        ((), ev.AuctionOpened(AUCTION), Inconsistent),
        ((received(),), received(), Inconsistent),
        ((received(),), ev.RfqDone("too early"), IllegalTransition),
        (OPENED, ev.AuctionOpened(AuctionId("auction-2")), IllegalTransition),
        (OPENED, ev.DealersAsked(AUCTION, 2, at(10), (request("a"),)), Inconsistent),
        (OPENED, ev.DealersAsked(AuctionId("none"), 1, at(10), (request("new"),)), Inconsistent),
        (OPENED, ev.QuoteReceived(quote("stranger")), Inconsistent),
        (OPENED, ev.QuoteReceived(quote("a", revision=2, dealer_id=DealerId("b"))), Inconsistent),
        (OPENED, ev.QuoteReceived(A), Inconsistent),
        (OPENED, ev.QuoteReceived(quote("mute", received_s=10.000001)), Inconsistent),
        (OPENED, ev.QuoteWithdrawn(QuoteId("none")), Inconsistent),
        (OPENED, ev.QuotesExpired((A.quote_id, QuoteId("none"))), Inconsistent),
        (OPENED, ev.AuctionClosed(AUCTION, (RequestId("request-a"),)), IllegalTransition),
        (OPENED, ev.AwardDecided(Award(AUCTION, Side.BUY, ())), IllegalTransition),
        (CLOSED, ev.QuoteReceived(quote("mute")), IllegalTransition),
        (CLOSED, ev.AwardDecided(Award(AUCTION, Side.SELL, ())), Inconsistent),
        (CLOSED, ev.DealersAsked(AUCTION, 2, at(10), (request("new"),)), IllegalTransition),
        (AWARDED, ev.QuoteLifted(lift(quote("stranger"), 10)), Inconsistent),
        (AWARDED, ev.QuoteLifted(lift(A, 9)), Inconsistent),
        (AWARDED, ev.QuoteLifted(lift(A, 61)), Inconsistent),
        (AWARDED, ev.QuoteLifted(lift(B, 0)), Inconsistent),
        (AWARDED, ev.QuoteLifted(lift(B, -5)), Inconsistent),
        (AWARDED, ev.QuoteLifted(lift(A, 20, revision=2)), Inconsistent),
        (AWARDED, ev.QuoteLifted(lift(A, 20, price=Price(MID))), Inconsistent),
        (AWARDED, ev.QuoteLifted(lift(A, 20, dealer_id=DealerId("b"))), Inconsistent),
        (AWARDED, ev.QuoteLifted(lift(A, 20, auction_id=AuctionId("other"))), Inconsistent),
        ((*OPENED, ev.QuoteReceived(A2), *CLOSED[5:]), ev.QuoteLifted(lift(A, 20)), Inconsistent),
        ((*OPENED, ev.QuoteWithdrawn(A.quote_id)), ev.QuoteLifted(lift(A, 20)), IllegalTransition),
        (
            (*SELLING[:2], SELLING[2], ev.QuoteReceived(quote("a", MID + 10, bid=MID - 10)), ev.AuctionClosed(AUCTION)),
            ev.QuoteLifted(lift(quote("a", MID + 10, bid=MID - 10), 20, Side.SELL)),
            Inconsistent,
        ),
        (OVER, ev.QuoteLifted(lift(A, 20)), IllegalTransition),
        (OVER, ev.ParentCreated(parent(10)), IllegalTransition),
        (LIFTED, ev.QuoteLifted(lift(A, 20, lift_id=LiftId("again"))), IllegalTransition),
        (LIFTED, ev.QuoteLifted(lift(B, 20, lift_id=LIFT_A.lift_id)), Inconsistent),
        (LIFTED, ev.QuoteLifted(lift(B, 41)), Inconsistent),
        (LIFTED, ev.ParentCreated(parent(41)), Inconsistent),
        (LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A, 61)), Inconsistent),
        (LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A, 0)), Inconsistent),
        (LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A, -1)), Inconsistent),
        (LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A, price=Price(MID))), Inconsistent),
        (LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, quote_fill(LIFT_A, side=Side.SELL)), Inconsistent),
        (LIFTED, ev.RfqDone("lots are reserved"), Inconsistent),
        ((*LIFTED, ev.LiftRefused(LIFT_A.lift_id, "")), ev.LiftConfirmed(LIFT_A.lift_id, FILL_A), IllegalTransition),
        ((*LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, FILL_A)), ev.LiftRefused(LIFT_A.lift_id, ""), IllegalTransition),
        (
            (*LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, FILL_A), ev.QuoteLifted(lift(B, 40))),
            ev.LiftConfirmed(lift(B, 40).lift_id, quote_fill(lift(B, 40), fill_id=FILL_A.fill_id)),
            Inconsistent,
        ),
        ((*LIFTED, ev.LiftConfirmed(LIFT_A.lift_id, FILL_A)), ev.BreakFound(FILL_A, Quantity(60)), Inconsistent),
        (LIFTED, ev.BreakFound(quote_fill(LIFT_A, 60, fill_id=FillId("x")), Quantity(15)), Inconsistent),
        (LIFTED, ev.BreakFound(quote_fill(LIFT_A, 0, fill_id=FillId("x")), Quantity(0)), Inconsistent),
        (AWARDED, ev.ParentCreated(parent(0)), Inconsistent),
        (AWARDED, ev.ParentCreated(parent(-1)), Inconsistent),
        (AWARDED, ev.ParentCreated(parent(10, side=Side.SELL)), Inconsistent),
        (AWARDED, ev.ParentDone(ParentId("none"), ""), Inconsistent),
        (WORKING, ev.ParentCreated(ORDER), Inconsistent),
        (WORKING, ev.RfqDone("lots are worked"), Inconsistent),
        (WORKING, ev.ChildFilled(work_fill(ORDER, 101)), Inconsistent),
        (WORKING, ev.ChildFilled(work_fill(ORDER, 0)), Inconsistent),
        (WORKING, ev.ChildFilled(work_fill(ORDER, -1)), Inconsistent),
        (WORKING, ev.ChildFilled(work_fill(parent(1, 9), 1)), Inconsistent),
        (TWO_PARENTS, ev.ChildFilled(work_fill(parent(40), 41)), Inconsistent),
        ((*WORKING, ev.ChildFilled(work_fill(ORDER, 5))), ev.ChildFilled(work_fill(ORDER, 5)), Inconsistent),
        ((*WORKING, ev.ParentDone(ORDER.parent_id, "")), ev.ParentDone(ORDER.parent_id, ""), Inconsistent),
        (AWARDED, ev.KillSwitchThrown("operator", "not of this stream"), Inconsistent),
        (AWARDED, ev.LosersTold(AuctionId("none"), ()), Inconsistent),
        (AWARDED, ev.AuctionSettled(AuctionId("none"), None, None), Inconsistent),
    ],
)
def test_refused_means_unchanged(events: tuple[ev.AnyEvent, ...], event: ev.AnyEvent, error: type[Exception]) -> None:
    held, untouched = block(events), block(events)
    with pytest.raises(error):
        held.apply(stamp(len(events) + 1, event))
    assert vars(held) == vars(untouched)


@pytest.mark.parametrize("sequence", [0, 5, 7])
def test_an_event_out_of_its_place_is_refused(sequence: int) -> None:
    held = block(OPENED)
    with pytest.raises(Inconsistent, match="after 5"):
        held.apply(stamp(sequence, ev.CancelRequested("desk-1")))
    assert vars(held) == vars(block(OPENED))


# --- canonical bytes -------------------------------------------------------------------------------------------------


def test_canonical_bytes_are_written_down() -> None:
    """The log's format: a change here is a new schema version, not an edit of this test."""
    assert ev.to_bytes(ev.LiftRefused(LiftId("lift-1"), "moved")) == (
        b'{"event":"LiftRefused","lift_id":"lift-1","reason":"moved"}'
    )
    payload = ev.to_bytes(ev.QuoteReceived(A))
    assert b'"offer":{"price":20010,"quantity":60,"min_quantity":10}' in payload
    assert b'"received_at":"2026-03-02T14:30:01Z"' in payload


@pytest.mark.parametrize("event", [*LIFTED, ev.ParentCreated(ORDER), ev.ChildFilled(work_fill(ORDER, 1))])
def test_events_come_back_byte_for_byte(event: ev.AnyEvent) -> None:
    payload = ev.to_bytes(event)
    assert ev.from_bytes(payload) == event
    assert ev.to_bytes(ev.from_bytes(payload)) == payload


def test_keys_of_a_mapping_do_not_depend_on_insertion() -> None:
    from rfq.domain.selection import DealerScore, Selection

    def scored(reasons: dict[str, float]) -> bytes:
        score = DealerScore(DealerId("a"), 0.5, (1.0,) * 7, 0.0, 0.0, reasons)
        return ev.to_bytes(ev.PanelScored(Selection((score,), (), {}, (0.0,), "v1", 1)))

    assert scored({"size": 1.0, "adv": 2.0}) == scored({"adv": 2.0, "size": 1.0})


def test_every_event_of_a_block_is_named_once() -> None:
    names: list[Any] = [e.__name__ for e in ev.BlockEvent.__args__ + ev.SideEvent.__args__]  # type: ignore[attr-defined]
    assert len(names) == len(set(names)) >= 40

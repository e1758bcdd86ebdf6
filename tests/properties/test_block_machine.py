"""A block under a random life: legal steps that must be taken, and nonsense that must change nothing."""

from typing import Any

from examples import MID, RESIDUAL, RFQ, at, lift, parent, quote, quote_fill, received, request, terms, work_fill
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from nonsense import anything

from rfq.domain import events as ev
from rfq.domain.award import AuctionStatus, Award
from rfq.domain.block import Block, fold
from rfq.domain.errors import IllegalTransition, Inconsistent
from rfq.domain.quote import LiftStatus, Quote, QuoteStatus, RequestStatus
from rfq.domain.rfq import OVER, AwardMode, RequestSide, RfqStatus
from rfq.domain.selection import DealerScore, Selection
from rfq.domain.values import AuctionId, DealerId, LiftId, ParentId, Quantity, QuoteId, Side

UNRESOLVED = (LiftStatus.SENT, LiftStatus.UNKNOWN)


def snapshot(block: Block) -> dict[str, Any]:
    """Everything a block holds. Nouns are immutable, so copies of its containers are enough."""
    held = {name: getattr(value, "copy", lambda v=value: v)() for name, value in vars(block).items()}
    assert {"sequence", "_rfq", "quotes", "lifts", "fills", "open_parents"} <= set(held)
    return held


class BlockLife(RuleBasedStateMachine):
    """`_must` records a legal event; `_may` tries anything, and holds the block to 'refused means unchanged'."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.history: list[ev.Stamped] = []
        self.names = 0

    # --- doing ---------------------------------------------------------------------------------------------------

    def _stamp(self, event: ev.AnyEvent) -> ev.Stamped:
        n = len(self.history) + 1
        return ev.Stamped(n, event, at(n / 100), at(n))

    def _must(self, event: ev.AnyEvent) -> None:
        stamped = self._stamp(event)
        before = snapshot(self.block)
        touched = self.block.apply(stamped)
        self.history.append(stamped)
        self._check_touched(before, touched)
        payload = ev.to_bytes(event)
        again = ev.from_bytes(payload)
        assert again == event and ev.to_bytes(again) == payload

    def _may(self, event: ev.AnyEvent) -> None:
        stamped = self._stamp(event)
        before = snapshot(self.block)
        try:
            touched = self.block.apply(stamped)
        except (IllegalTransition, Inconsistent):
            assert snapshot(self.block) == before
        else:
            self.history.append(stamped)
            self._check_touched(before, touched)

    def _check_touched(self, before: dict[str, Any], touched: tuple[Any, ...]) -> None:
        """What `apply` returns is what changed, the RFQ first: the store writes these rows and no others."""
        assert touched[0] is self.block.rfq
        after = snapshot(self.block)
        for name in ("auctions", "requests", "quotes", "lifts", "fills", "parents"):
            changed = [noun for key, noun in after[name].items() if before[name].get(key) is not noun]
            assert all(any(noun is t for t in touched) for noun in changed), name
            assert set(before[name]) <= set(after[name])

    def _name(self, noun: str) -> str:
        self.names += 1
        return f"{noun}-{self.names}"

    # --- what is there -----------------------------------------------------------------------------------------------

    @property
    def _status(self) -> RfqStatus:
        return self.block.rfq.status

    @property
    def _open(self) -> bool:
        auction = self.block.auction
        return auction is not None and auction.status is AuctionStatus.OPEN

    def _live(self) -> list[Quote]:
        return [q for q in self.block.quotes.values() if q.status is QuoteStatus.LIVE]

    def _liftable(self) -> list[tuple[Quote, int, int]]:
        """Live quotes with the least and most lots that may be lifted now."""
        rfq, found = self.block.rfq, []
        if rfq.side is None or rfq.is_over:
            return []
        for q in self._live():
            offered = q.for_desk(rfq.side)
            if offered and max(1, offered.min_quantity) <= min(offered.quantity, rfq.unfilled):
                found.append((q, max(1, offered.min_quantity), min(offered.quantity, rfq.unfilled)))
        return found

    # --- the request ---------------------------------------------------------------------------------------------

    @initialize(side=st.sampled_from(RequestSide), quantity=st.integers(1, 60), data=st.data())
    def receive(self, side: RequestSide, quantity: int, data: st.DataObject) -> None:
        """Most lives begin with an auction in which somebody answered: what is interesting comes after that."""
        self._must(received(terms(side, quantity, award=AwardMode.MANUAL, residual=RESIDUAL)))
        if data.draw(st.integers(0, 4)):
            self.open()
            self.ask(3)
            for _ in range(3):
                self.answer(data, *data.draw(st.tuples(st.integers(1, 30), st.floats(0, 1), st.just(0.0))))
            if data.draw(st.booleans()):
                self.close()
                self.award(self.block.rfq.side or data.draw(st.sampled_from(Side)))

    @rule()
    def ask_to_cancel(self) -> None:
        self._must(ev.CancelRequested("desk-1"))

    @rule(reason=st.text(max_size=5))
    def need_and_settle_a_person(self, reason: str) -> None:
        self._must(ev.PersonNeeded(reason))
        assert self.block.rfq.needs_person == reason
        self._must(ev.PersonSettled("supervisor", "statement"))
        assert not self.block.rfq.needs_person

    @rule(bps=st.floats(-50, 50))
    def score(self, bps: float) -> None:
        score = DealerScore(DealerId("a"), 0.5, (bps,) * 7, bps, 0.1, {"size": bps, "adv": 0.0})
        self._must(ev.PanelScored(Selection((score,), (), {DealerId("a"): 0.5}, (0.0, bps), "v1", 7)))

    @precondition(lambda self: self._status in (RfqStatus.AWAITING_AWARD, RfqStatus.WORKING))
    @rule(patience=st.integers(0, 7))
    def finish(self, patience: int) -> None:
        rfq = self.block.rfq
        if patience and rfq.unfilled:
            return  # Few lives are cut short.
        if rfq.reserved or rfq.working:
            self._may(ev.RfqDone("too early"))
            assert not self.block.rfq.is_over
        else:
            self._must(ev.RfqDone("done"))

    # --- the auction -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self._status in (RfqStatus.RECEIVED, RfqStatus.AWAITING_AWARD))
    @rule()
    def open(self) -> None:
        self._must(ev.AuctionOpened(AuctionId(self._name("auction"))))

    @precondition(lambda self: self._open)
    @rule(dealers=st.integers(1, 3))
    def ask(self, dealers: int) -> None:
        auction, rfq = self.block.auction, self.block.rfq
        assert auction is not None
        requests = tuple(
            request(self._name("dealer"), rfq.terms.leg.side, auction_id=auction.auction_id) for _ in range(dealers)
        )
        self._must(ev.DealersAsked(auction.auction_id, auction.waves + 1, requests[0].deadline, requests))
        assert self.block.auctions[auction.auction_id].asked == auction.asked + dealers

    @precondition(lambda self: self._open and self.block.requests)
    @rule(data=st.data(), lots=st.integers(1, 70), share=st.floats(0, 1), late_look=st.sampled_from([0.0, 1.0]))
    def answer(self, data: st.DataObject, lots: int, share: float, late_look: float) -> None:
        asked = data.draw(st.sampled_from(list(self.block.requests.values())))
        if asked.status is RequestStatus.SILENT:
            return
        before = next((q for q in self._live() if q.request_id == asked.request_id), None)
        answer = quote(
            str(asked.dealer_id),
            MID + 2 * data.draw(st.integers(1, 5)),
            lots,
            bid=MID - 2 * data.draw(st.integers(1, 5)),
            minimum=int(share * lots),
            last_look_s=late_look,
            auction_id=asked.auction_id,
            quote_id=before.quote_id if before else QuoteId(self._name("quote")),
            revision=before.revision + 1 if before else 1,
        )
        self._must(ev.QuoteReceived(answer))
        assert self.block.requests[asked.request_id].status is RequestStatus.QUOTED

    @precondition(lambda self: self.block.requests)
    @rule(data=st.data())
    def answer_late(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(list(self.block.requests.values())))
        late = quote(
            str(asked.dealer_id), received_s=11.0, quote_id=QuoteId(self._name("quote")), auction_id=asked.auction_id
        )
        self._may(ev.QuoteReceived(late))
        assert late.quote_id not in self.block.quotes, "a quote after the deadline was taken as one in time"
        self._must(ev.QuoteCameLate(late))
        assert self.block.quotes[late.quote_id].status is QuoteStatus.LATE

    @precondition(lambda self: self._live())
    @rule(data=st.data(), how=st.sampled_from(["withdraw", "expire", "lose"]))
    def lose_a_quote(self, data: st.DataObject, how: str) -> None:
        gone = data.draw(st.sampled_from(self._live())).quote_id
        events = {
            "withdraw": ev.QuoteWithdrawn(gone),
            "expire": ev.QuotesExpired((gone,)),
            "lose": ev.QuotesLost((gone,)),
        }
        self._must(events[how])

    @precondition(lambda self: self._open and self._status is RfqStatus.AUCTIONING)
    @rule()
    def close(self) -> None:
        auction = self.block.auction
        assert auction is not None
        mute = tuple(
            r.request_id
            for r in self.block.requests_of(auction.auction_id)
            if r.status in (RequestStatus.ASKED, RequestStatus.UNREACHED)
        )
        self._must(ev.AuctionClosed(auction.auction_id, mute))

    @precondition(lambda self: self._status is RfqStatus.AWAITING_AWARD)
    @rule(side=st.sampled_from(Side))
    def award(self, side: Side) -> None:
        auction = self.block.auction
        assert auction is not None
        if auction.status not in (AuctionStatus.CLOSED, AuctionStatus.AWARDING):
            return
        fits = self.block.rfq.side in (None, side)
        (self._must if fits else self._may)(ev.AwardDecided(Award(auction.auction_id, side, ())))
        assert (self.block.rfq.side is side) == fits

    @precondition(lambda self: self._liftable())
    @rule(data=st.data())
    def lift(self, data: st.DataObject) -> None:
        of, least, most = data.draw(st.sampled_from(self._liftable()))
        side = self.block.rfq.side
        assert side is not None
        lots = data.draw(st.integers(least, most))
        self._must(ev.QuoteLifted(lift(of, lots, side, lift_id=LiftId(self._name("lift")))))

    @precondition(lambda self: self.block.lifts_in(*UNRESOLVED))
    @rule(data=st.data(), answer=st.sampled_from(["all", "part", "refuse", "unknown"]))
    def resolve(self, data: st.DataObject, answer: str) -> None:
        of = data.draw(st.sampled_from(self.block.lifts_in(*UNRESOLVED)))
        unfilled, filled = self.block.rfq.unfilled, self.block.rfq.filled
        if answer == "refuse":
            self._must(ev.LiftRefused(of.lift_id, "moved"))
            assert self.block.rfq.unfilled == unfilled + of.quantity
        elif answer == "unknown":
            (self._must if of.status is LiftStatus.SENT else self._may)(ev.LiftUnknown(of.lift_id, "line down"))
            assert self.block.rfq.unfilled == unfilled, "lots of an unknown lift are still reserved"
        else:
            lots = of.quantity if answer == "all" else data.draw(st.integers(1, of.quantity))
            self._must(ev.LiftConfirmed(of.lift_id, quote_fill(of, lots)))
            assert self.block.rfq.filled == filled + lots
            assert self.block.rfq.unfilled == unfilled + of.quantity - lots, "the rest is given back"

    # --- the residual ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self._status in (RfqStatus.RECEIVED, RfqStatus.AWAITING_AWARD, RfqStatus.WORKING))
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        rfq = self.block.rfq
        if rfq.unfilled:
            lots = data.draw(st.integers(1, rfq.unfilled))
            side = rfq.side or data.draw(st.sampled_from(Side))
            self._must(ev.ParentCreated(parent(lots, side=side, parent_id=ParentId(self._name("parent")))))
            assert self.block.rfq.status is RfqStatus.WORKING

    @precondition(lambda self: self.block.parents)
    @rule(data=st.data())
    def fill_work(self, data: st.DataObject) -> None:
        """While it is worked, or late: then out of what was given back."""
        order = data.draw(st.sampled_from(list(self.block.parents.values())))
        room = self.block.open_parents.get(order.parent_id, self.block.rfq.unfilled)
        if room:
            lots = data.draw(st.integers(1, room))
            self._must(ev.ChildFilled(work_fill(order, lots, name=self._name("n"))))

    @precondition(lambda self: self.block.open_parents)
    @rule(data=st.data())
    def end_work(self, data: st.DataObject) -> None:
        ended = data.draw(st.sampled_from(list(self.block.open_parents)))
        back = self.block.open_parents[ended]
        unfilled = self.block.rfq.unfilled
        self._must(ev.ParentDone(ended, "horizon over"))
        assert self.block.rfq.unfilled == unfilled + back

    # --- nonsense ----------------------------------------------------------------------------------------------------

    @rule(data=st.data(), lots=st.sampled_from([-60, -1, 0, 1, 5, 61, 10**9]), side=st.sampled_from(Side))
    def nonsense(self, data: st.DataObject, lots: int, side: Side) -> None:
        """Any event about anything, known or not, with any number of lots."""
        self._may(data.draw(st.sampled_from(anything(self.block, data, self._name, Quantity(lots), side))))

    @rule(jump=st.sampled_from([-1, 0, 2, 100]))
    def a_gap_in_the_stream(self, jump: int) -> None:
        before = snapshot(self.block)
        stamped = ev.Stamped(self.block.sequence + jump, ev.CancelRequested("desk-1"), at(1), at(1))
        try:
            self.block.apply(stamped)
        except Inconsistent:
            assert snapshot(self.block) == before
        else:
            raise AssertionError("an event out of its place was taken")

    # --- always true -------------------------------------------------------------------------------------------------

    @invariant()
    def every_lot_is_somewhere_once(self) -> None:
        if not self.history:
            return
        block, rfq = self.block, self.block.rfq
        broken = {e.event.fill.fill_id for e in self.history if isinstance(e.event, ev.BreakFound)}
        assert rfq.filled == sum(f.quantity for i, f in block.fills.items() if i not in broken)
        assert rfq.reserved == sum(x.quantity for x in block.lifts_in(*UNRESOLVED))
        assert rfq.working == sum(block.open_parents.values())
        assert min(rfq.filled, rfq.reserved, rfq.working, rfq.unfilled) >= 0
        assert rfq.filled + rfq.reserved + rfq.working + rfq.unfilled == rfq.terms.leg.quantity
        for parent_id, left in block.open_parents.items():
            had = sum(f.quantity for f in block.fills.values() if f.parent_id == parent_id and f.fill_id not in broken)
            assert left == block.parents[parent_id].quantity - had >= 0

    @invariant()
    def no_quote_is_lifted_twice(self) -> None:
        lifted = [x.quote_id for x in self.block.lifts.values()]
        assert len(lifted) == len(set(lifted))
        same = {
            LiftStatus.SENT: QuoteStatus.LIFTING,
            LiftStatus.UNKNOWN: QuoteStatus.UNKNOWN,
            LiftStatus.CONFIRMED: QuoteStatus.CONFIRMED,
            LiftStatus.REFUSED: QuoteStatus.REFUSED,
        }
        for x in self.block.lifts.values():
            of = self.block.quotes[x.quote_id]
            assert of.status is same[x.status]
            assert of.received_at <= self.block.requests[of.request_id].deadline
            assert x.side is self.block.rfq.side and x.rfq_id == RFQ

    @invariant()
    def what_is_over_holds_nothing_open(self) -> None:
        if self.history and self.block.rfq.status in OVER:
            assert self.block.rfq.reserved == self.block.rfq.working == 0

    @invariant()
    def the_fold_of_the_history_is_the_block(self) -> None:
        assert snapshot(fold(self.history)) == snapshot(self.block)
        assert self.block.sequence == len(self.history)


BlockLife.TestCase.settings = settings(max_examples=50, stateful_step_count=40)
TestBlockLife = BlockLife.TestCase

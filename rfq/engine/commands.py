"""What a desk or a supervisor may tell a live RFQ: pick quotes, cancel, settle what the engine could not."""

from collections.abc import Sequence
from typing import Literal

from rfq.domain import events as ev
from rfq.domain.award import Allocation, Award
from rfq.domain.errors import BadInput, NotFound, WrongState
from rfq.domain.quote import LiftStatus, QuoteStatus
from rfq.domain.rfq import AwardMode, Rfq, RfqStatus
from rfq.domain.values import ChildId, Frozen, LiftId, Price, Quantity, QuoteId, Side
from rfq.engine import hear
from rfq.engine.accept import arrival_of
from rfq.engine.confirm import expected_bps, place
from rfq.engine.sourcing import Sourcing


class Pick(Frozen, frozen=True):
    """A quote the desk takes, and how many lots of it. `side` is needed only when a two-way request hid it."""

    quote_id: QuoteId
    quantity: Quantity
    revision: int | None = None
    side: Side | None = None


class CancelAnswer(Frozen, frozen=True):
    """What a cancel found: what had been done and stays done, and what is still being settled."""

    rfq: Rfq
    done: tuple[str, ...]
    pending: tuple[str, ...]


async def pick(s: Sourcing, picks: Sequence[Pick], by: str) -> Award:
    """A manual award: all picks or none. Returns when it is recorded and the lifts are out.

    Raises WrongState outside the award window, NotFound, and BadInput naming the pick that breaks a rule.
    """
    rfq = s.rfq
    auction = s.block.auction
    if rfq.terms.award is not AwardMode.MANUAL:
        raise WrongState("RFQ", rfq.rfq_id, "awarded automatically", "be awarded by hand")
    if rfq.status is not RfqStatus.AWAITING_AWARD or auction is None or rfq.cancelling or rfq.stopped:
        raise WrongState("RFQ", rfq.rfq_id, rfq.status.value, "be awarded now")
    if s.block.lifts_in(LiftStatus.SENT):
        raise WrongState("RFQ", rfq.rfq_id, "already lifting", "be awarded again before the dealers have answered")
    if not picks:
        raise BadInput("picks", 0, "must hold at least one quote")
    side = rfq.side or next((p.side for p in picks if p.side), None)
    if side is None:
        raise BadInput("picks[0].side", None, "is needed: the request is two_way")
    allocations = tuple(_allocation(s, i, p, side) for i, p in enumerate(picks))
    if len({a.quote_id for a in allocations}) < len(allocations):
        raise BadInput("picks", len(picks), "names a quote twice")
    won = {lift.dealer_id for lift in s.block.lifts_in(LiftStatus.CONFIRMED, LiftStatus.UNKNOWN)}
    if len(won | {a.dealer_id for a in allocations}) > rfq.terms.max_winners:
        raise BadInput("picks", len(picks), f"must not share the award among more than {rfq.terms.max_winners}")
    limit = rfq.terms.leg.limit_price
    for i, a in enumerate(allocations):
        if limit is not None and side.sign * (a.price - limit) > 0:
            raise BadInput(f"picks[{i}].quote_id", a.quote_id, "is beyond the request's own limit price")
    arrival_of(s.parts, s.market)  # Nothing is traded against a market that is halted or stale.
    lots = sum(a.quantity for a in allocations)
    if lots > rfq.unfilled:
        raise BadInput("picks", lots, f"must not exceed the {rfq.unfilled} lots that are unfilled")
    if lots + rfq.filled < rfq.terms.least_at_quotes:
        raise BadInput("picks", lots, f"must reach the minimum fill of {rfq.terms.least_at_quotes} lots")
    award = Award(
        auction_id=auction.auction_id,
        side=side,
        allocations=allocations,
        residual=Quantity(rfq.unfilled - lots) if rfq.terms.residual else Quantity(0),
        expected_quote_bps=expected_bps(allocations, side, rfq.arrival.mid, rfq.terms.leg.quantity),
        by=by,
        reason="picked by the desk",
        decided_at=s.now(),
    )
    await place(s, award)
    return award


def _allocation(s: Sourcing, i: int, chosen: Pick, side: Side) -> Allocation:
    quote = s.block.quotes.get(chosen.quote_id)
    if quote is None:
        raise NotFound("quote", chosen.quote_id)
    if chosen.side not in (None, side):
        raise BadInput(f"picks[{i}].side", chosen.side, f"must be {side.value}")
    if quote.status is not QuoteStatus.LIVE or quote.expires_at <= s.now():
        state = "expired" if quote.status is QuoteStatus.LIVE else quote.status.value
        raise WrongState("quote", quote.quote_id, state, "be picked")
    if chosen.revision not in (None, quote.revision):
        raise BadInput(f"picks[{i}].revision", chosen.revision, f"must be {quote.revision}, the one that stands")
    offered = quote.for_desk(side)
    if offered is None:
        raise BadInput(f"picks[{i}].quote_id", chosen.quote_id, f"has no side for a desk that would {side.value}")
    if not max(1, offered.min_quantity) <= chosen.quantity <= offered.quantity:
        bounds = f"must be from {max(1, offered.min_quantity)} to {offered.quantity} lots"
        raise BadInput(f"picks[{i}].quantity", chosen.quantity, bounds)
    return Allocation(quote.quote_id, quote.revision, quote.dealer_id, offered.price, chosen.quantity)


async def cancel(s: Sourcing, by: str) -> CancelAnswer:
    """Stops everything that can be stopped, at once; the record follows. Says what is done and cannot be undone."""
    if not s.rfq.cancelling and not s.rfq.is_over:
        s.journal.note(ev.CancelRequested(by))
        await s.journal.flush()
    done = tuple(
        f"{s.instrument.format_quantity(f.quantity)} at {s.instrument.format_price(f.price)} with {f.venue}"
        for f in s.block.fills.values()
    )
    pending = tuple(
        f"{s.instrument.format_quantity(lift.quantity)} lifted from {lift.dealer_id}: {lift.status.value}"
        for lift in s.block.lifts_in(LiftStatus.SENT, LiftStatus.UNKNOWN)
    )
    if s.rfq.working:
        pending += (f"{s.instrument.format_quantity(s.rfq.working)} being taken back from the venues",)
    return CancelAnswer(s.rfq, done, pending)


async def settle(
    s: Sourcing,
    lift_id: LiftId | None,
    answer: Literal["confirmed", "refused"] | None,
    evidence: str,
    by: str,
    quantity: Quantity | None,
) -> Rfq:
    """A person's word, with evidence, on what the engine could not resolve; then the story goes on.

    With a lift: what became of it. Without: what the RFQ needed a person for has been dealt with (a break). A break
    is settled by itself, after the lifts: what is said of a lift is no evidence on it.
    """
    if not evidence.strip():
        raise BadInput("evidence", evidence, "must say how this is known")
    if not s.rfq.needs_person:
        raise WrongState("RFQ", s.rfq.rfq_id, "in no need of a person", "be settled")
    if lift_id is not None:
        lift = s.block.lifts.get(lift_id)
        if lift is None:
            raise NotFound("lift", lift_id)
        if lift.status is not LiftStatus.UNKNOWN:
            raise WrongState("lift", lift_id, lift.status.value, "be settled")
        if answer == "confirmed":
            hear.confirm(s, lift, quantity)
        elif answer == "refused":
            s.journal.note(ev.LiftRefused(lift_id, f"settled by {by}"))
        else:
            raise BadInput("answer", answer, "must be confirmed or refused for a lift")
    elif s.block.lifts_in(LiftStatus.UNKNOWN):
        raise BadInput("lift_id", None, "is needed: a lift is unknown")
    await s.journal.write(ev.PersonSettled(by, evidence, lift_id))
    return s.rfq


async def settle_order(
    s: Sourcing, child_id: ChildId, filled: Quantity, price: Price | None, evidence: str, by: str
) -> Rfq:
    """A person's word, with evidence, on a child order that its venue would not account for. Raises NotFound."""
    if not evidence.strip():
        raise BadInput("evidence", evidence, "must say how this is known")
    if not s.rfq.needs_person:
        raise WrongState("RFQ", s.rfq.rfq_id, "in no need of a person", "be settled")
    history = await s.parts.store.load(s.journal.stream)
    if not any(isinstance(h.event, ev.ChildCreated) and h.event.order.child_id == child_id for h in history):
        raise NotFound("child order", child_id)
    s.parts.router.settle(child_id, filled, price)
    await s.journal.write(ev.PersonSettled(by, evidence, child_id=child_id))
    return s.rfq

"""Dealer models learn from the record what they would have learned from the auctions themselves: blocks are put into
PostgreSQL as events, read back as history, and trained on."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from examples import ACME, lift, quote, quote_fill, request, terms
from stored_blocks import Pen

from db.database import Database
from db.history import PostgresHistory
from db.rfq_store import PostgresRfqStore
from ml.dealer_models import DealerModels
from ml.outcomes import Answer, Asked, Outcome, auctions
from rfq.domain import events as ev
from rfq.domain.award import Allocation, Award
from rfq.domain.errors import BadInput
from rfq.domain.fill import MARK_OUT_HORIZONS_S, MarkOut
from rfq.domain.rfq import Arrival, RequestSide, ResidualTerms, Urgency
from rfq.domain.selection import Selection
from rfq.domain.values import AuctionId, DeskId, Price, Quantity, QuoteId, RequestId, RfqId
from rfq.ports import StreamId
from rfq.studies.dealer_training import fleet_world, train_from_history

SHARE = ACME.but(adv=Quantity(10**9))
"""Lots and prices so fine that hardly anything is rounded."""
MID = Price(10**12)
AUCTIONS = 420


def of_one_share(outcome: Outcome) -> Outcome:
    """The same auction in one instrument, with what the record does not hold left out."""
    facts = outcome.facts.but(
        symbol=SHARE.symbol,
        sector=SHARE.sector,
        volatility_bps=SHARE.volatility_bps,
        usual_volatility_bps=SHARE.volatility_bps,
        usual_spread_bps=SHARE.spread_bps,
        spread_bps=min(max(outcome.facts.spread_bps, SHARE.spread_bps / 9), SHARE.spread_bps * 9),
        desk="",
        size=round(outcome.facts.size * SHARE.adv) / SHARE.adv,
    )
    asked = tuple(
        # Clocks tick in microseconds.
        a.but(quoted_size=None, response_s=None if a.response_s is None else round(a.response_s, 6))
        for a in sorted(outcome.asked, key=lambda a: a.dealer)
    )
    return outcome.but(facts=facts, asked=asked, in_auction=len(asked))


def price_at(outcome: Outcome, cost_bps: float) -> Price:
    assert outcome.facts.side
    return Price(round(MID * (1 + outcome.facts.side.sign * cost_bps / 1e4)))


def life_of(outcome: Outcome) -> list[ev.AnyEvent]:
    """The auction as the engine would have recorded it, up to what became of its lifts."""
    facts, rfq_id = outcome.facts, outcome.rfq
    assert facts.side
    lots, auction = round(facts.size * SHARE.adv), AuctionId(f"{rfq_id}/auction")
    side = RequestSide.TWO_WAY if facts.two_way else RequestSide(facts.side.value)
    hurry = Urgency.HIGH if facts.urgent else Urgency.LOW
    wanted = terms(
        side, lots,
        intent=facts.side if facts.two_way else None,
        anonymous=facts.anonymous,
        disclose_residual=facts.residual_disclosed,
        residual=ResidualTerms(horizon_s=3600.0, urgency=hurry) if facts.residual_disclosed or facts.urgent else None,
        quote_window_s=facts.window_s,
    )  # fmt: skip
    half = round(MID * facts.spread_bps / 2e4)
    deadline = facts.at + timedelta(seconds=facts.window_s)
    requests = {
        a.dealer: request(
            a.dealer, side, lots, rfq_id=rfq_id, auction_id=auction, request_id=RequestId(f"{rfq_id}/{a.dealer}"),
            propensity=a.propensity, asked_at=facts.at, market_asked_at=facts.at, deadline=deadline, mid_at_ask=MID,
            requester="" if facts.anonymous else "desk-1",
        )
        for a in outcome.asked
    }  # fmt: skip
    selection = Selection(
        (), tuple(requests), dict(zip(outcome.candidates, outcome.propensities, strict=True)), (0.0,), "v1", 7,
        set_propensity=outcome.set_propensity,
    )  # fmt: skip
    events: list[ev.AnyEvent] = [
        ev.RfqReceived(rfq_id, DeskId("desk-1"), wanted, Arrival(Price(MID - half), Price(MID + half), MID, facts.at)),
        ev.PanelScored(selection),
        ev.AuctionOpened(auction),
        ev.DealersAsked(auction, 1, deadline, tuple(requests.values())),
    ]
    quotes = {a.dealer: answer_of(outcome, a, lots, auction) for a in outcome.asked if a.answer is Answer.QUOTED}
    events += [ev.QuoteReceived(one) for one in quotes.values()]
    declined = [a for a in outcome.asked if a.answer is Answer.NONE and a.response_s is not None]
    events += [ev.RequestDeclined(requests[a.dealer].request_id, "no interest") for a in declined]
    events.append(ev.AuctionClosed(auction))
    lifted = [a for a in outcome.asked if a.lifted]
    if lifted:
        share = lots // len(lifted)
        taken = {a.dealer: quotes[a.dealer] for a in lifted}
        prices = {dealer: q.for_desk(facts.side).price for dealer, q in taken.items()}
        allocations = tuple(
            Allocation(q.quote_id, 1, dealer, prices[dealer], Quantity(share)) for dealer, q in taken.items()
        )
        events.append(ev.AwardDecided(Award(auction, facts.side, allocations, Quantity(lots - share * len(lifted)))))
        for a in lifted:
            one = lift(taken[a.dealer], share, facts.side, rfq_id=rfq_id, sent_at=deadline, answer_by=deadline)
            events.append(ev.QuoteLifted(one))
            done = ev.LiftConfirmed(one.lift_id, quote_fill(one, mid_at_fill=MID))
            events.append(done if a.confirmed else ev.LiftRefused(one.lift_id, "moved"))
    return events


def answer_of(outcome: Outcome, asked: Asked, lots: int, auction: AuctionId) -> Any:
    assert outcome.facts.side and asked.cost_bps is not None and asked.response_s is not None
    price = price_at(outcome, asked.cost_bps)
    side = {"offer": price} if outcome.facts.side.sign > 0 else {"bid": price}
    heard = outcome.facts.at + timedelta(seconds=asked.response_s)
    return quote(
        asked.dealer, quantity=lots, **side, auction_id=auction, mid_at_quote=MID,
        quote_id=QuoteId(f"{outcome.rfq}/{asked.dealer}/q"), request_id=RequestId(f"{outcome.rfq}/{asked.dealer}"),
        received_at=heard, market_received_at=heard, expires_at=heard + timedelta(minutes=5),
    )  # fmt: skip


def marks_of(outcome: Outcome) -> ev.MarkOutsTaken:
    facts = outcome.facts
    assert facts.side
    marks = [
        MarkOut(
            f"{outcome.rfq}/{a.dealer}", RfqId(outcome.rfq), horizon_s, facts.at + timedelta(seconds=horizon_s), MID,
            None if move is None else price_at(outcome, move),
            None if control is None else facts.side.sign * control,
        )
        for a in outcome.asked
        for horizon_s, move, control in zip(
            MARK_OUT_HORIZONS_S, outcome.mark_outs_bps, outcome.controls_bps, strict=True
        )
    ]  # fmt: skip
    return ev.MarkOutsTaken(tuple(marks))


async def record(store: PostgresRfqStore, outcomes: list[Outcome]) -> None:
    async def one(outcome: Outcome) -> None:
        when, waits = outcome.facts.at, {f"{outcome.rfq}/{a.dealer}": a.response_s for a in outcome.asked}
        pen = Pen(store, outcome.rfq)
        pen.when = lambda event: when + timedelta(
            seconds=(waits[event.request_id] or 0.0) if isinstance(event, ev.RequestDeclined) else 0.0
        )
        await pen.note(life_of(outcome))
        await store.append_next(StreamId("markout", outcome.rfq), marks_of(outcome), when, when)

    for first in range(0, len(outcomes), 60):
        await asyncio.gather(*(one(outcome) for outcome in outcomes[first : first + 60]))


def leaves(outcome: Outcome) -> dict[str, Any]:
    """Everything that an outcome holds, by where it stands in it."""
    found: dict[str, Any] = {}

    def walk(at: str, value: Any) -> None:
        if isinstance(value, dict):
            each = value.items()
        elif isinstance(value, list | tuple):
            each = enumerate(value)
        else:
            found[at] = value
            return
        for name, inner in each:
            walk(f"{at}.{name}", inner)

    told = msgspec.to_builtins(outcome)
    told["chances"] = dict(zip(told.pop("candidates"), told.pop("propensities"), strict=True))
    walk("", told)
    return found


def nearly(found: dict[str, Any]) -> dict[str, Any]:
    return {
        at: pytest.approx(one, rel=1e-6, abs=1e-5) if isinstance(one, float) else one for at, one in found.items()
    }


async def test_the_record_teaches_what_the_auctions_did(
    database: Database, store: PostgresRfqStore, tmp_path: Path
) -> None:
    played = [of_one_share(outcome) for outcome in fleet_world(7, AUCTIONS).history()]
    await record(store, played)
    begin = played[0].facts.at
    rows = [row async for row in PostgresHistory(database).outcomes(begin, 100_000)]
    read = list(auctions(rows, {SHARE.symbol: SHARE}))
    for found, was in zip(read, played, strict=True):
        assert leaves(found) == nearly(leaves(was))
    assert any(o.facts.urgent for o in read) and any(o.facts.two_way for o in read)
    assert all(o.set_propensity and len(o.candidates) == 12 for o in read)

    history = PostgresHistory(database)
    models = await train_from_history(history, {SHARE.symbol: SHARE}, begin, tmp_path / "dealers")
    assert models.manifest.trained_on.startswith("stored history since")
    again = DealerModels.load(tmp_path / "dealers")
    assert again.version == models.version
    with pytest.raises(BadInput, match="must hold at least 400 auctions"):
        await train_from_history(history, {SHARE.symbol: SHARE}, played[100].facts.at, tmp_path / "few")
    assert not (tmp_path / "few").exists()


async def test_of_a_part_of_those_chosen_no_probability_is_made_up(
    database: Database, store: PostgresRfqStore
) -> None:
    (outcome,) = [of_one_share(one) for one in fleet_world(7, 1).history()]
    life = life_of(outcome)
    wanted = next(event.selection for event in life if isinstance(event, ev.PanelScored))
    more = msgspec.structs.replace(wanted, chosen=(*wanted.chosen, *list(wanted.propensities)[-1:], "further"))
    life[1] = ev.PanelScored(more)
    await Pen(store, outcome.rfq).note(life)
    (read,) = auctions(
        [row async for row in PostgresHistory(database).outcomes(outcome.facts.at, 10)], {SHARE.symbol: SHARE}
    )
    assert read.set_propensity is None
    assert dict(zip(read.candidates, read.propensities, strict=True)) == wanted.propensities
    assert [a.propensity for a in read.asked] == [a.propensity for a in outcome.asked]

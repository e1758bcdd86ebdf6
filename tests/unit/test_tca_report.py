"""A block's costs, worked out by hand and then by the report."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from examples import (
    ACME,
    AUCTION,
    MID,
    RFQ,
    at,
    lift,
    parent,
    quote,
    quote_fill,
    received,
    request,
    stamp,
    terms,
    work_fill,
)

from rfq.domain import events as ev
from rfq.domain.award import Award
from rfq.domain.block import Block, fold
from rfq.domain.errors import Inconsistent
from rfq.domain.fill import MarkOut, Where
from rfq.domain.quote import QuoteStatus, RequestStatus
from rfq.domain.rfq import AwardMode, RequestSide
from rfq.domain.selection import DealerScore, Selection
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import DealerId, FillId, Price, Quantity, RequestId, Side
from rfq.tca.report import BlockReport, latest_mid, report
from rfq.tca.table import as_table

D = Decimal


def score(dealer: str, cost: float) -> DealerScore:
    costs = tuple(cost + away for away in (-3, -2, -1, 0, 1, 2, 3))
    return DealerScore(DealerId(dealer), 0.8, costs, 0.4, 0.1, {"size": 1.5})


SELECTION = Selection(
    ranking=(score("w", 4.0), score("x", 5.0), score("c", 6.0), score("m", 9.0)),
    chosen=(DealerId("w"), DealerId("x"), DealerId("c"), DealerId("d")),
    propensities={DealerId("w"): 1.0, DealerId("x"): 0.9, DealerId("c"): 0.2, DealerId("m"): 0.1},
    curve_bps=(20.0, 12.0, 10.0, 9.0, 8.5),
    model_version="dealers-7",
    seed=11,
    explored=(DealerId("c"),),
    notes=("one prior used",),
)


def a_block() -> Block:
    """To buy 100 lots at a mid of 20000 units ($100.00): 50 at a quote, 20 lit, 10 dark, 20 not filled.

    The best dealer fades, a worse one confirms; one covers, one declines, one is silent, one is late.
    """
    faded = quote("x", MID + 8, 60, last_look_s=1.0, mid_at_quote=Price(MID + 2))
    won = quote("w", MID + 12, 60, mid_at_quote=Price(MID + 4))
    cover = quote("c", MID + 20, 60, mid_at_quote=Price(MID + 4))
    lost_lift, good_lift = lift(faded, 50), lift(won, 50)
    work = parent(50)
    lit = {"where": Where.LIT, "venue": "lit", "fee_bps": 0.3, "market_filled_at": at(60)}
    dark = {"where": Where.DARK, "venue": "dark", "fee_bps": 0.1, "market_filled_at": at(90)}
    events: list[ev.AnyEvent] = [
        received(terms(client_order_id="mine")),
        ev.PanelScored(SELECTION),
        ev.AuctionOpened(AUCTION),
        ev.DealersAsked(AUCTION, 1, at(10), tuple(request(d, propensity=0.9) for d in ("w", "x", "c", "d", "s", "l"))),
        ev.QuoteReceived(faded),
        ev.QuoteReceived(won),
        ev.QuoteReceived(cover),
        ev.RequestDeclined(RequestId("request-d"), "no axe"),
        ev.QuoteCameLate(quote("l", MID + 2, received_s=11.0)),
        ev.AuctionClosed(AUCTION, (RequestId("request-s"), RequestId("request-l"))),
        ev.AwardDecided(Award(AUCTION, Side.BUY, (), Quantity(50), 2.0, 4.0, reason="least cost", decided_at=at(10))),
        ev.QuoteLifted(lost_lift),
        ev.LiftRefused(lost_lift.lift_id, "moved"),
        ev.QuoteLifted(good_lift),
        ev.LiftConfirmed(good_lift.lift_id, quote_fill(good_lift)),
        ev.QuotesLost((cover.quote_id,)),
        ev.AuctionSettled(AUCTION, Price(MID + 12), Price(MID + 20)),
        ev.ParentCreated(work),
        *(ev.SliceDecided(work.parent_id, SliceDecision("learned", "v3", "ab", (), why)) for why in ("", "far", "")),
        ev.ChildFilled(work_fill(work, 20, MID + 20, "a", mid_at_fill=Price(MID + 10), **lit)),
        ev.ChildFilled(work_fill(work, 10, MID + 30, "b", mid_at_fill=Price(MID + 30), **dark)),
        ev.ParentDone(work.parent_id, "horizon over"),
        ev.RfqDone("horizon over"),
    ]
    return fold(stamp(n, event) for n, event in enumerate(events, 1))


@pytest.fixture
def done() -> BlockReport:
    return report(a_block(), ACME, last_mid=Price(MID + 40), benchmarks={"twap": 12.0, "vwap": 11.0})


def test_where_it_was_filled(done: BlockReport) -> None:
    at_quotes, lit, dark = done.places
    # A unit of 0.005 on a lot of 100 shares is 0.50 dollars.
    assert (at_quotes.quantity, at_quotes.value, at_quotes.average_price) == (5000, D("500300.00"), D("100.060000"))
    assert (at_quotes.spread, at_quotes.delay, at_quotes.drift) == (50 * 8 * D("0.5"), 50 * 4 * D("0.5"), 0)
    assert (at_quotes.fees, at_quotes.cost) == (0, D(300))
    assert at_quotes.cost_bps == pytest.approx(6.0)
    assert (lit.quantity, lit.average_price) == (2000, D("100.1"))
    assert (lit.spread, lit.delay, lit.drift) == (D(100), D(100), 0)
    assert lit.fees == D("0.00003") * D("200200")
    assert (dark.spread, dark.delay, dark.drift) == (0, D(50), D(100))
    assert dark.fees == D("0.00001") * D("100150")
    assert dark.cost == D(150) + dark.fees


def test_the_shortfall_is_paper_less_real(done: BlockReport) -> None:
    fees = D("6.006") + D("1.0015")
    paid = D("500300") + D("200200") + D("100150") + fees
    paper, worth = D(100 * 10_000), D("100.20") * 2_000
    assert done.shortfall.total.money == paid + worth - paper
    assert done.shortfall.opportunity.money == 20 * 40 * D("0.5")
    assert done.shortfall.fees.money == fees
    assert done.all_in_bps == pytest.approx(float((paid + worth - paper) / paper * 10_000))
    assert done.filled_bps == pytest.approx(float((D(650) + fees) / D(800_000) * 10_000))


def test_the_quantities(done: BlockReport) -> None:
    assert (done.asked, done.filled, done.unfilled, done.open, done.excess) == (10_000, 8_000, 2_000, 0, 0)
    assert (done.arrival, done.last_mid) == (D("100.000"), D("100.200"))
    assert done.arrival_spread_bps == pytest.approx(10.0)


def test_the_auction_in_counts(done: BlockReport) -> None:
    (auction,) = done.auctions
    assert (auction.asked, auction.quoted, auction.declined, auction.silent) == (6, 3, 1, 2)
    assert (auction.late, auction.fades, auction.unknown, auction.unreached) == (1, 1, 0, 0)
    assert (auction.best, auction.cover) == (D("100.06"), D("100.10"))
    assert auction.best_to_cover_bps == pytest.approx(4.0)


def test_each_dealer(done: BlockReport) -> None:
    by = {d.dealer_id: d for d in done.dealers}
    won, faded, late = by[DealerId("w")], by[DealerId("x")], by[DealerId("l")]
    assert (won.confirmed, won.lifted, won.faded, won.quote_status) == (5_000, 5_000, False, QuoteStatus.CONFIRMED)
    assert won.cost_bps == pytest.approx(6.0) and won.response_s == 1.0
    assert won.spread_bps == pytest.approx(8 / 20_004 * 1e4)
    assert (won.expected_rank, won.expected_cost_bps, won.reasons) == (1, 4.0, {"size": 1.5})
    assert (faded.confirmed, faded.lifted, faded.faded, faded.firm) == (0, 5_000, True, False)
    assert (late.late, late.price, late.outcome, late.response_s) == (True, None, RequestStatus.SILENT, None)
    assert (by[DealerId("d")].outcome, by[DealerId("d")].reason) == (RequestStatus.DECLINED, "no axe")
    assert [d.dealer_id for d in done.dealers if d.explored] == ["c"]
    assert by[DealerId("s")].expected_rank is None


def test_the_best_execution_record(done: BlockReport) -> None:
    record = done.best_execution
    assert (record.model_version, record.seed, record.notes) == ("dealers-7", 11, ("one prior used",))
    assert record.expected_cost_bps == 8.5 and record.not_asked == ("m",)
    assert (record.decided_by, record.decided_because, record.decided_at) == ("automatic", "least cost", at(10))
    assert {(p.dealer_id, p.price, p.status) for p in record.passed_over} == {
        ("x", D("100.04"), QuoteStatus.REFUSED),
        ("l", D("100.01"), QuoteStatus.LATE),
    }


def test_expected_and_realised(done: BlockReport) -> None:
    expected = done.expectation
    assert expected is not None
    assert (expected.expected_quote_bps, expected.expected_residual_bps) == (2.0, 4.0)
    assert expected.realised_quote_bps == pytest.approx(3.0)
    assert expected.realised_residual_bps == pytest.approx(3.5 + 0.070075)
    assert expected.surprise_bps == pytest.approx(0.570075)


def test_benchmarks_are_compared_with_the_all_in_cost(done: BlockReport) -> None:
    assert [(b.name, b.cost_bps) for b in done.benchmarks] == [("twap", 12.0), ("vwap", 11.0)]
    assert done.benchmarks[0].saved_bps == pytest.approx(12.0 - done.all_in_bps)


def test_a_seller_pays_when_prices_fall() -> None:
    bid = quote("w", bid=MID - 12, quantity=60, mid_at_quote=Price(MID - 4))
    taken = lift(bid, 50, Side.SELL)
    sold = fold(
        stamp(n, event)
        for n, event in enumerate(
            [
                received(terms(RequestSide.SELL)),
                ev.AuctionOpened(AUCTION),
                ev.DealersAsked(AUCTION, 1, at(10), (request("w", RequestSide.SELL),)),
                ev.QuoteReceived(bid),
                ev.AuctionClosed(AUCTION),
                ev.AwardDecided(Award(AUCTION, Side.SELL, ())),
                ev.QuoteLifted(taken),
                ev.LiftConfirmed(taken.lift_id, quote_fill(taken)),
                ev.RfqDone("done"),
            ],
            1,
        )
    )
    found = report(sold, ACME, last_mid=Price(MID - 20))
    assert (found.places[0].spread, found.places[0].delay) == (D(200), D(100))
    assert found.shortfall.opportunity.money == D(500)
    assert found.places[0].cost_bps == pytest.approx(6.0)


# --- what is not there -----------------------------------------------------------------------------------------------


def test_a_fill_without_a_mid_is_not_attributed() -> None:
    block = a_block()
    for fill_id, fill in list(block.fills.items()):
        block.fills[fill_id] = fill.but(mid_at_fill=None)
    lit = report(block, ACME).places[1]
    assert (lit.spread, lit.delay, lit.drift, lit.unattributed) == (0, 0, 0, D(200))


def test_a_request_nobody_has_decided_costs_nothing_yet() -> None:
    two_way = fold([stamp(1, received(terms(RequestSide.TWO_WAY, award=AwardMode.MANUAL)))])
    found = report(two_way, ACME, last_mid=Price(MID + 500))
    assert (found.side, found.all_in_bps, found.filled_bps, found.expectation) == (None, 0.0, None, None)
    assert found.mark_outs == () and found.auctions == ()
    assert "two-way" in as_table(found)


def test_lots_under_way_are_open_and_cost_nothing() -> None:
    working = fold([stamp(1, received()), stamp(2, ev.ParentCreated(parent(70)))])
    found = report(working, ACME, last_mid=Price(MID + 40))
    assert (found.open, found.unfilled) == (7_000, 3_000)
    assert found.shortfall.total.money == 30 * 40 * D("0.5")


def test_a_break_is_shown_and_costs_nothing(done: BlockReport) -> None:
    block = a_block()
    over = quote_fill(lift(quote("w", MID + 12), 15), fill_id=FillId("excess"))
    block.apply(stamp(block.sequence + 1, ev.BreakFound(over, Quantity(15))))
    found = report(block, ACME, last_mid=Price(MID + 40))
    assert found.excess == 1_500
    assert found.shortfall == done.shortfall and found.places == done.places


def test_a_block_without_a_request_is_refused() -> None:
    with pytest.raises(Inconsistent):
        report(Block(), ACME)


def test_the_last_mid_known_is_the_latest_of_all() -> None:
    block = a_block()
    assert latest_mid(block) == MID + 30
    later = MarkOut("request-w", RFQ, 1800.0, at(1800), MID, Price(MID + 50), None)
    missing = MarkOut("request-x", RFQ, 1800.0, at(9000), MID, None, None)
    assert latest_mid(block, [later, missing]) == MID + 50
    assert latest_mid(fold([stamp(1, received())])) == MID
    assert report(block, ACME, [later]).last_mid == D("100.250")


# --- afterwards ------------------------------------------------------------------------------------------------------


def marks(subject: str, *moves: int | None, control: float | None = 1.0) -> list[MarkOut]:
    horizons = (1.0, 10.0, 60.0, 300.0, 1800.0)
    return [
        MarkOut(subject, RFQ, h, at(h), MID, None if m is None else Price(MID + m), None if m is None else control)
        for h, m in zip(horizons, moves, strict=False)
    ]


def test_mark_outs_of_winners_and_losers_net_of_the_market() -> None:
    found = report(
        a_block(),
        ACME,
        [*marks("request-w", 2, 20), *marks("request-x", 4, None), *marks("request-c", 8, 10, control=None)],
    )
    by = {(m.group, m.horizon_s): m for m in found.mark_outs}
    winners, losers = by["winners", 1.0], by["losers", 1.0]
    assert (winners.count, winners.missing, winners.move_bps) == (1, 0, pytest.approx(1.0))
    assert winners.net_bps == pytest.approx(0.0)
    assert (losers.count, losers.missing, losers.move_bps) == (2, 3, pytest.approx(3.0))
    assert losers.net_bps == pytest.approx(1.0)  # Only the one whose control is known.
    assert (by["losers", 10.0].count, by["losers", 10.0].net_bps) == (1, None)
    assert (by["lit", 1800.0].count, by["lit", 1800.0].missing, by["lit", 1800.0].move_bps) == (0, 1, None)


# --- on the wire and on a terminal -----------------------------------------------------------------------------------


def test_it_goes_over_the_wire_exactly(done: BlockReport) -> None:
    plain: Any = msgspec.json.decode(msgspec.json.encode(done))
    assert plain["arrival"] == "100.000" and plain["places"][0]["value"] == "500300.000"
    assert msgspec.json.decode(msgspec.json.encode(done), type=BlockReport) == done


def test_who_worked_the_rest(done: BlockReport) -> None:
    (worked,) = done.worked
    assert (worked.policy, worked.weights, worked.decisions, worked.by_rule) == ("learned", "v3", 3, 1)
    plain = fold(stamp(n, event) for n, event in enumerate([received(), ev.ParentCreated(parent(50))], 1))
    (worked,) = report(plain, ACME).worked
    assert (worked.schedule.value, worked.policy, worked.decisions) == ("twap", "", 0)
    assert "worked by twap\n" in as_table(report(plain, ACME))


def test_the_table_says_what_matters(done: BlockReport) -> None:
    table = as_table(done)
    lines = table.splitlines()
    assert lines[0] == "rfq-1: buy 10,000 ACME, done (horizon over)"
    assert f"all-in cost {done.all_in_bps:+.2f} bps of arrival" in table
    assert "worked by twap, weights v3: 3 decisions, 1 of them by the rule" in lines
    quote_row = next(line for line in lines if line.startswith("quote "))
    assert " ".join(quote_row.split()) == "quote 1 5,000 100.0600 200.00 100.00 0.00 0.00 300.00 +6.00"
    assert next(line for line in lines if line.startswith("twap")).split()[1] == "+12.00"
    faded = next(line for line in lines if line.startswith("x "))
    assert faded.split()[-1] == "faded"
    assert max(map(len, lines)) <= 110

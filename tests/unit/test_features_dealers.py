"""Features: only what was known, bounded lookback, the same numbers from every source of rows."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest

from ml import features as module
from ml.features import FEATURES, features, schema_hash
from ml.memory import DEPTH, PanelMemory
from ml.outcomes import MARK_OUT_S, Answer, Asked, Outcome, RequestFacts, auctions, facts_of
from ml.quote_law import reference_cost_bps
from rfq.domain.errors import BadInput
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.rfq import Leg, RequestSide, RfqTerms
from rfq.domain.values import (
    DealerId,
    Instrument,
    Price,
    Quantity,
    RequestId,
    RfqId,
    Side,
    Symbol,
    TickBand,
)
from rfq.ports import DealerOutcome, MarketView, SelectionRequest
from rfq.studies.dealer_training import fleet_world

NOON = dt.datetime(2026, 3, 2, 17, 0, tzinfo=dt.UTC)
ONE, TWO, NEW = DealerId("D01"), DealerId("D02"), DealerId("D99")
ACME = Instrument(
    symbol=Symbol("ACME"),
    currency="USD",
    price_unit=Decimal("0.005"),
    tick_bands=(TickBand(Price(0), 2),),
    adv=Quantity(1_000_000),
    sector="energy",
)


def facts(at: dt.datetime = NOON, **changes) -> RequestFacts:
    values = dict(
        at=at,
        symbol=ACME.symbol,
        sector="energy",
        side=Side.BUY,
        two_way=False,
        size=0.05,
        volatility_bps=150.0,
        spread_bps=5.0,
        usual_volatility_bps=150.0,
        usual_spread_bps=5.0,
    )
    return RequestFacts(**(values | changes))


def outcome(at: dt.datetime, cost_bps: float = 12.0, **changes) -> Outcome:
    asked = Asked(ONE, 1.0, Answer.QUOTED, response_s=2.0, cost_bps=cost_bps, quoted_size=0.04)
    values = dict(rfq=RfqId("r"), facts=facts(at), asked=(asked,), mark_out_bps=3.0, control_bps=1.0)
    return Outcome(**(values | changes))


def minutes(n: float) -> dt.timedelta:
    return dt.timedelta(minutes=n)


def row(memory: PanelMemory, at: dt.datetime = NOON, dealer: DealerId = ONE, **changes) -> dict[str, float]:
    matrix, _ = features(facts(at, **changes), [dealer], memory, [3])
    return dict(zip(FEATURES, matrix[0, 0].tolist(), strict=True))


@pytest.fixture(scope="module")
def history() -> list[Outcome]:
    return list(fleet_world(4, 300).history())


def test_every_feature_is_finite_for_known_and_unknown_dealers(history):
    memory = PanelMemory.of(history)
    matrix, state = features(history[-1].facts, [ONE, NEW], memory, [1, 4, 8])
    assert matrix.shape == (3, 2, len(FEATURES)) and matrix.dtype == np.float32
    assert np.isfinite(matrix).all()
    assert state.seen.tolist() == [True, False]


def test_what_comes_later_changes_nothing(history):
    now = history[200].facts
    dealers = sorted({a.dealer for o in history for a in o.asked})
    before, _ = features(now, dealers, PanelMemory.of(history[:200]), [4])
    after, _ = features(now, dealers, PanelMemory.of(history), [4])
    # All 300 auctions fit in the memory, so nothing but the look-ahead could tell the two apart.
    assert max(sum(a.dealer == d for o in history for a in o.asked) for d in dealers) < DEPTH
    np.testing.assert_array_equal(before, after)


def test_an_auction_counts_once_it_is_over_and_a_mark_out_once_it_is_due():
    memory = PanelMemory.of([outcome(NOON)])
    assert row(memory, NOON + minutes(1.9))["asked"] == 0
    over = row(memory, NOON + minutes(2.1))
    assert over["asked"] > 0 and over["lost_move"] == 0
    assert row(memory, NOON + dt.timedelta(seconds=MARK_OUT_S + 1))["lost_move"] > 0


def test_old_outcomes_and_those_beyond_the_depth_are_forgotten():
    memory = PanelMemory.of([outcome(NOON - dt.timedelta(days=31))])
    assert row(memory)["asked"] == 0
    many = [outcome(NOON - minutes(10 + 5 * DEPTH - i), cost_bps=90.0) for i in range(DEPTH)]
    cheap = [outcome(NOON - minutes(10 + DEPTH - i), cost_bps=5.0) for i in range(DEPTH)]
    np.testing.assert_array_equal(
        list(row(PanelMemory.of(many + cheap)).values()), list(row(PanelMemory.of(cheap)).values())
    )


def test_a_dealer_keen_lately_shows_it_on_that_side_and_the_other_way_round():
    usual = [outcome(NOON - dt.timedelta(days=9, minutes=i), cost_bps=15.0) for i in range(40)]
    keen = [outcome(NOON - minutes(10 + i), cost_bps=2.0) for i in range(4)]
    memory = PanelMemory.of(usual + keen)
    assert row(memory, side=Side.BUY)["axe"] < 0 < row(memory, side=Side.SELL)["axe"]
    assert row(memory, side=None)["axe"] == 0


def test_fades_raise_the_fade_rate_from_its_prior():
    faded = Asked(ONE, 1.0, Answer.QUOTED, cost_bps=10.0, lifted=True, confirmed=False)
    kept = faded.but(confirmed=True)
    assert row(PanelMemory())["fade_rate"] == pytest.approx(0.05)
    fader = PanelMemory.of([outcome(NOON - minutes(10 + i), asked=(faded,)) for i in range(10)])
    honest = PanelMemory.of([outcome(NOON - minutes(10 + i), asked=(kept,)) for i in range(10)])
    assert row(fader)["fade_rate"] == pytest.approx(11 / 30)
    assert row(honest)["fade_rate"] == pytest.approx(1 / 30)


def stored(history: list[Outcome]) -> list[DealerOutcome]:
    """The same auctions as the store would hand them out."""
    rows = []
    for o in history:
        f, mid = o.facts, Price(20_000_000_000_000)
        assert f.side is not None
        for a in o.asked:
            price = None if a.cost_bps is None else Price(round(mid * (1 + f.side.sign * a.cost_bps / 1e4)))
            marks = tuple(o.mark_out_bps if h == MARK_OUT_S else None for h in MARK_OUT_HORIZONS_S)
            rows.append(
                DealerOutcome(
                    request_id=RequestId(f"{o.rfq}-{a.dealer}"), rfq_id=o.rfq, dealer_id=a.dealer, symbol=f.symbol,
                    side=f.side, shown_side=RequestSide.TWO_WAY if f.two_way else RequestSide(f.side.value),
                    quantity=Quantity(int(f.size * 1_000_000)), asked=len(o.asked), propensity=a.propensity,
                    session_at=f.at, market_at=f.at, mid_at_ask=mid, anonymous=f.anonymous,
                    answered=a.answer is Answer.QUOTED, response_s=a.response_s, quote_price=price,
                    mid_at_quote=mid if price else None, lifted=a.lifted, confirmed=a.confirmed,
                    refused=a.lifted and not a.confirmed, window_s=o.facts.window_s, withdrawn=False, mark_outs=marks,
                    controls=tuple(o.control_bps if m is not None else None for m in marks),
                )
            )  # fmt: skip
    return rows


def plain(history: list[Outcome]) -> list[Outcome]:
    """History reduced to what the store keeps: no live volatility, spread or quoted quantity."""
    return [
        o.but(
            facts=o.facts.but(
                size=int(o.facts.size * 1_000_000) / 1_000_000,
                volatility_bps=o.facts.usual_volatility_bps,
                spread_bps=o.facts.usual_spread_bps,
                residual_disclosed=False,
            ),
            asked=tuple(a.but(quoted_size=None) for a in sorted(o.asked, key=lambda a: a.dealer)),
            control_bps=o.control_bps if o.mark_out_bps is not None else None,
        )
        for o in history
    ]


def test_stored_rows_and_study_outcomes_give_the_same_features(history):
    world = fleet_world(4, 300)
    instruments = {i.symbol: i.but(adv=Quantity(1_000_000)) for i in world.requests.instruments}
    ours, theirs = plain(history), list(auctions(reversed(stored(history)), instruments))
    assert len(ours) == len(theirs)
    dealers = sorted({a.dealer for o in history for a in o.asked})
    now = ours[-1].facts
    mine, _ = features(now, dealers, PanelMemory.of(ours), [4])
    read, _ = features(theirs[-1].facts, dealers, PanelMemory.of(theirs), [4])
    np.testing.assert_allclose(mine, read, rtol=1e-5, atol=1e-7)


def test_a_live_request_gives_the_facts_that_its_stored_row_gives_later():
    terms = RfqTerms(legs=(Leg(ACME.symbol, RequestSide.SELL, Quantity(50_000)),), quote_window_s=10.0)
    market = MarketView(ACME.symbol, Price(19_995), Price(20_005), Quantity(1), Quantity(1), None, Quantity(0), NOON)
    live = facts_of(SelectionRequest(terms, ACME, market, NOON, (ONE,), None, 1))
    later = stored([outcome(NOON, facts=facts(side=Side.SELL))])
    (read,) = auctions(later, {ACME.symbol: ACME})
    assert [m for m in read.mark_outs_bps if m is not None] == [read.mark_out_bps] == [3.0]
    assert [c for c in read.controls_bps if c is not None] == [read.control_bps] == [1.0]
    assert live == read.facts
    assert live.spread_bps == pytest.approx(5.0)


def test_a_book_in_mid_update_does_not_become_the_spread():
    terms = RfqTerms(legs=(Leg(ACME.symbol, RequestSide.TWO_WAY, Quantity(500), intent=Side.BUY),))
    wild = MarketView(ACME.symbol, Price(10), Price(40_000), Quantity(1), Quantity(1), None, Quantity(0), NOON)
    assert facts_of(SelectionRequest(terms, ACME, wild, NOON, (), None, 1)).spread_bps == 50.0
    empty = wild.but(ask=None)
    assert facts_of(SelectionRequest(terms, ACME, empty, NOON, (), None, 1)).spread_bps == 5.0


def test_rows_of_unknown_instruments_are_left_out():
    assert list(auctions(stored([outcome(NOON)]), {})) == []


def test_the_schema_hash_follows_names_and_rules(monkeypatch):
    first = schema_hash()
    monkeypatch.setattr(module, "RULES", "another")
    assert schema_hash() != first


def test_impossible_facts_are_refused():
    with pytest.raises(BadInput, match="volatility_bps"):
        facts(volatility_bps=0.0)
    assert reference_cost_bps(facts(size=0.2)) > reference_cost_bps(facts(size=0.1))

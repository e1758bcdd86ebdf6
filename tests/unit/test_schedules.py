"""What each schedule is due when, and where it places it."""

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from order_floor import ASK, BID, DARK, INSTRUMENT, SYMBOL, parent, seen
from virtual_time import START

from lit_router.domain.observation import Observation, Resting
from lit_router.schedules import benchmarks, schedules
from lit_router.trajectories import POV_RATE, AlmgrenChriss, pov, twap, vwap
from lit_router.volume_curve import CONTINUOUS, U_SHAPE, VolumeCurve
from rfq.domain.errors import BadInput
from rfq.domain.order import TimeInForce
from rfq.domain.rfq import Schedule, Urgency
from rfq.domain.values import ChildId, Price, Quantity, Side, TradingHours

INSTRUMENTS = {SYMBOL: INSTRUMENT}


def propose(schedule: Schedule, observation: Observation):
    (proposals,) = (s.proposals for s in schedules(INSTRUMENTS)[schedule].propose([observation]))
    cross = sum(p.quantity for p in proposals if p.price is None)
    rest = sum(p.quantity for p in proposals if p.price is not None and p.venue == "lit")
    dark = sum(p.quantity for p in proposals if p.venue in DARK)
    return proposals, cross, rest, dark


def test_twap_is_even_and_ends_exactly() -> None:
    order = parent(1000, horizon_s=600)
    for at_s in range(0, 600, 37):
        assert twap(seen(order, at_s), 5.0) == pytest.approx(min(1, (at_s + 5) / 600))
    assert twap(seen(order, 595), 5.0) == 1.0


def test_vwap_follows_the_days_curve() -> None:
    zone = ZoneInfo("America/New_York")
    open_at = datetime(2026, 3, 2, 9, 30, tzinfo=zone)
    order = parent(10_000, horizon_s=6.5 * 3600, starts_at=open_at)
    total = sum(U_SHAPE.shares)
    for half_hour in range(1, 13):
        due = vwap(seen(order, half_hour * 1800 - 5, curve=U_SHAPE), 5.0)
        assert due == pytest.approx(sum(U_SHAPE.shares[:half_hour]) / total, abs=1e-6)
    morning = vwap(seen(order, 0, curve=U_SHAPE, decision_s=1800), 1800)
    noon = vwap(seen(order, 3 * 3600, curve=U_SHAPE, decision_s=1800), 1800) - vwap(
        seen(order, 3 * 3600, curve=U_SHAPE), 0
    )
    assert morning > 2.5 * noon
    assert vwap(seen(order, 6.5 * 3600 - 5, curve=U_SHAPE), 5) == 1.0


def test_the_curve_counts_only_the_session() -> None:
    hours = TradingHours()
    zone = ZoneInfo(hours.time_zone)
    evening = datetime(2026, 3, 2, 15, 30, tzinfo=zone)
    two_days = datetime(2026, 3, 3, 10, 0, tzinfo=zone)
    assert U_SHAPE.between(hours, evening, two_days) == pytest.approx(0.135 + 0.15)
    # The last half hour, then the night: all that is expected has come by the close.
    assert U_SHAPE.progress(hours, evening, 3600, evening + timedelta(minutes=30)) == pytest.approx(1.0)
    night = datetime(2026, 3, 2, 20, 0, tzinfo=zone)
    assert U_SHAPE.progress(hours, night, 3600, night + timedelta(minutes=15)) == pytest.approx(0.25)
    assert CONTINUOUS.progress(hours, night, 3600, night + timedelta(minutes=15)) == pytest.approx(0.25)
    assert U_SHAPE.between(hours, evening.astimezone(ZoneInfo("UTC")), two_days) == pytest.approx(0.285)
    for shares in ((0.0, 0.0), (-1.0, 2.0)):
        with pytest.raises(BadInput):
            VolumeCurve(shares)


@pytest.mark.parametrize("urgency", list(Urgency))
def test_pov_aims_at_its_share_of_volume(urgency: Urgency) -> None:
    order = parent(100_000, max_participation=0.1, urgency=urgency)
    assert pov(seen(order, 100, volume=50_000), 0) == pytest.approx(0.1 * POV_RATE[urgency] * 50_000 / 100_000)
    assert pov(seen(order, 100, volume=50_000), 10) == pytest.approx(0.1 * POV_RATE[urgency] * 55_000 / 100_000)
    assert pov(seen(order, 0), 10) == 0.0


def test_almgren_chriss_is_twap_when_risk_is_not_feared() -> None:
    order = parent(1000, horizon_s=10_800)
    neutral = AlmgrenChriss(INSTRUMENTS, dict.fromkeys(Urgency, 0.0))
    for at_s in range(0, 10_800, 600):
        assert neutral(seen(order, at_s), 5.0) == pytest.approx(twap(seen(order, at_s), 5.0), abs=1e-9)


def test_almgren_chriss_hurries_with_urgency_and_matches_the_formula() -> None:
    from math import sinh, sqrt

    policy = AlmgrenChriss(INSTRUMENTS)
    halfway = []
    for urgency, risk in ((Urgency.LOW, 1e-6), (Urgency.MEDIUM, 1e-5), (Urgency.HIGH, 1e-4)):
        order = parent(1000, horizon_s=10_800, urgency=urgency)
        price = 19_995 * 0.005
        sigma, eta = 0.015 * price, 0.0005 * price / (0.01 * 2_000_000)
        steepness = sqrt(risk * sigma**2 / eta) * 10_800 / (6.5 * 3600)
        share = policy(seen(order, 5_400), 0)
        assert share == pytest.approx(1 - sinh(steepness / 2) / sinh(steepness), rel=1e-6)
        halfway.append(share)
        path = [policy(seen(order, at_s), 0) for at_s in range(0, 10_801, 300)]
        assert path[0] == 0 and path[-1] == 1
        assert all(later >= earlier for earlier, later in pairwise(path))
    assert 0.5 < halfway[0] < halfway[1] < halfway[2]


def test_extreme_risk_aversion_does_not_overflow() -> None:
    policy = AlmgrenChriss(INSTRUMENTS, dict.fromkeys(Urgency, 1e9))
    order = parent(1000, horizon_s=86_400)
    assert policy(seen(order, 43_200), 0) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("schedule", list(schedules(INSTRUMENTS)))
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("filled", [0, 10, 400, 999, 1000])
def test_never_more_than_is_left(schedule: Schedule, side: Side, filled: int) -> None:
    order = parent(1000, side=side, max_participation=0.5)
    for at_s in (0.0, 5.0, 300.0, 590.0, 595.0):
        _, cross, rest, dark = propose(schedule, seen(order, at_s, filled=filled, volume=int(at_s * 50)))
        assert cross + rest + dark <= 1000 - filled


def test_what_is_due_rests_at_the_own_best_then_crosses() -> None:
    order = parent(1000, horizon_s=600)
    proposals, cross, rest, dark = propose(Schedule.TWAP, seen(order, 0))
    assert (cross, rest) == (0, 23)  # Due by 5 s, and 9 s ahead of it.
    assert dark == int(0.5 * 977)
    assert {p.price for p in proposals if p.venue == "lit"} == {BID}
    _, cross, _, _ = propose(Schedule.TWAP, seen(order, 300, filled=100))
    assert cross == round(1000 * (305 - 12) / 600) - 100  # What is more than 12 s (0.02 of the horizon) late.
    sell = parent(1000, side=Side.SELL)
    proposals, _, _, _ = propose(Schedule.TWAP, seen(sell, 0))
    assert {p.price for p in proposals if p.venue == "lit"} == {ASK}
    assert {p.price for p in proposals if p.venue in DARK} == {BID}


def test_urgency_shortens_the_grace() -> None:
    crossed = [
        propose(Schedule.TWAP, seen(parent(1000, urgency=urgency), 300, filled=450))[1]
        for urgency in (Urgency.LOW, Urgency.MEDIUM, Urgency.HIGH)
    ]
    assert crossed[0] < crossed[1] < crossed[2]


@pytest.mark.parametrize("schedule", [Schedule.TWAP, Schedule.VWAP, Schedule.ALMGREN_CHRISS])
def test_the_last_decision_crosses_all_that_is_left(schedule: Schedule) -> None:
    _, cross, rest, dark = propose(schedule, seen(parent(1000), 595, filled=317, curve=U_SHAPE))
    assert (cross, rest, dark) == (683, 0, 0)


def test_no_more_on_show_than_others_show() -> None:
    _, _, rest, _ = propose(Schedule.TWAP, seen(parent(100_000), 0, shown=40))
    assert rest == 40


def test_a_dark_limit_is_kept_while_it_makes_sense() -> None:
    order = parent(1000)
    observation = seen(order, 0)
    for standing, expected in ((ASK, ASK), (Price(ASK + 4), Price(ASK + 4)), (Price(ASK + 40), ASK), (BID, ASK)):
        resting = Resting(ChildId("c"), "pool_a", standing, Quantity(10), START)
        proposals, _, _, _ = propose(Schedule.TWAP, observation.but(resting=(resting,)))
        assert next(p.price for p in proposals if p.venue == "pool_a") == expected


def test_nothing_is_proposed_into_a_one_sided_market() -> None:
    assert propose(Schedule.TWAP, seen(parent(1000), 300, ask=None))[0] == []


@pytest.mark.parametrize("schedule", [Schedule.TWAP, Schedule.VWAP])
def test_benchmarks_are_market_orders_that_finish_the_order(schedule: Schedule) -> None:
    policy, order, filled = benchmarks()[schedule], parent(1003), 0
    for at_s in range(0, 600, 5):
        (proposals,) = (s.proposals for s in policy.propose([seen(order, at_s, filled=filled, curve=U_SHAPE)]))
        assert all(p.price is None and p.time_in_force is TimeInForce.IOC and p.venue == "lit" for p in proposals)
        filled += sum(p.quantity for p in proposals)
    assert filled == 1003


def test_several_orders_are_proposed_for_in_one_call() -> None:
    policy = schedules(INSTRUMENTS)[Schedule.TWAP]
    observations = [seen(parent(1000), 0), seen(parent(2000), 300)]
    both = policy.propose(observations)
    assert [policy.propose([one])[0] for one in observations] == both

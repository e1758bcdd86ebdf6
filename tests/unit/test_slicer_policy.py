"""The learned policy at work: what it sees is what it was trained on, what it wants becomes proposals, and where it has
no experience the rule decides and the record says so."""

import json
import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from order_floor import ASK, BID, INSTRUMENT, SYMBOL, parent, seen
from slicers import ALL_OF_IT, POOLS, a_slicer, observed, resting

from lit_router.domain.observation import Observation
from lit_router.market.parameters import load
from lit_router.volume_curve import U_SHAPE
from ml.slicer.actions import CROSS, DARK, PLACE
from ml.slicer.deciding import TOLD, levels
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.execution import ADDED, FIRST_POOL, RESTING, Execution
from ml.slicer.features import NAMES, features
from ml.slicer.guard import Guard
from ml.slicer.network import Actor, tail_level
from ml.slicer.observed import MOST_REMEMBERED, Observed, places, situations
from ml.slicer.policy import LearnedSlices, by_rule_alone, tuned_rule
from ml.slicer.rules import Rule, intend
from ml.slicer.situation import Recent, remembered
from ml.slicer.weights import Envelope, Slicer
from rfq.domain.errors import BadInput
from rfq.domain.order import ParentOrder, TimeInForce
from rfq.domain.rfq import Urgency
from rfq.domain.values import Price, Quantity, Side

INSTRUMENTS = {SYMBOL: INSTRUMENT}
RULE, NOTHING, HALF, PACE, MUCH, ALL = range(6)
AT_BEST, IMPROVE, BEHIND = 3, 4, 5
SPLIT = 5


def policy(wants: tuple[int, int, int] | None = None, **more: object) -> LearnedSlices:
    return LearnedSlices(a_slicer(wants, **more), INSTRUMENTS)  # type: ignore[arg-type]


def now(order: ParentOrder, at_s: float = 60.0, **changes: object) -> Observation:
    return observed(seen(order, at_s, decision_s=15.0, volume=int(80 * at_s)), **changes)


def some(count: int) -> list[Observation]:
    sides = (Side.BUY, Side.SELL)
    return [
        now(parent(900 + 7 * k, side=sides[k % 2], name=f"p{k}"), 15.0 * (k % 40), filled=Quantity(11 * (k % 40)))
        for k in range(count)
    ]


# --- what it sees --------------------------------------------------------------------------------------------------


def as_observed(run: Execution, k: int, order: ParentOrder, at_s: float) -> Observation:
    """What the router would observe of a market of the simulator: our own orders shown with the others'."""
    view, state, moment = run.view(), run.market.state, run.moment()
    buys = order.side is Side.BUY
    best = view.bid[k] if buys else view.ask[k]
    children = [
        resting("lit", int(state.price[k, slot]), int(state.leaves[k, slot]), order, f"c{slot}")
        for slot in (RESTING, ADDED)
        if state.side[k, slot]
    ]
    ours = sum(child.leaves for child in children if child.price == best)
    dark = dict(zip(POOLS, view.dark_resting[k].long().tolist(), strict=True))
    children += [resting(pool, 1, lots, order, pool) for pool, lots in dark.items() if lots]
    return now(
        order,
        at_s,
        elapsed=float(moment.elapsed[k]),
        filled=Quantity(int(run.filled[k])),
        bid=Price(int(view.bid[k])),
        ask=Price(int(view.ask[k])),
        bid_quantity=Quantity(int(view.bid_lots[k]) + ours * buys),
        ask_quantity=Quantity(int(view.ask_lots[k]) + ours * (not buys)),
        market_volume=Quantity(int(view.volume[k])),
        dark_filled={pool: Quantity(int(n)) for pool, n in zip(POOLS, view.dark_filled[k], strict=True)},
        resting=tuple(children),
        next_volume_curve=float(moment.curve_later[k]),
        dark_venues=tuple(pool for pool, may in zip(POOLS, run.residual.pools[k], strict=True) if may),
    )


def test_features_are_those_of_the_simulator_decision_by_decision() -> None:
    law = EpisodeLaw(horizon_s=300.0, decisions=20, warm_up_s=30.0)
    run, rule = Execution(load("large_tick"), range(6), law), Rule(lead=0.3, back=-0.5)
    watched, recent = Observed(INSTRUMENTS), None
    sides = {1: Side.BUY, -1: Side.SELL}
    orders = [
        parent(int(run.lots[k]), side=sides[int(run.side[k])], horizon_s=300.0, name=f"p{k}") for k in range(6)
    ]
    while not run.over:
        residual, view, moment = run.residual, run.view(), run.moment()
        recent = remembered(recent, view)
        intent = intend(rule, residual, view, moment)
        x = features(residual, view, recent, moment, intent)
        observations = [as_observed(run, k, orders[k], 15.0 * run.decision) for k in range(6)]
        _, moment_live, view_live, before, _ = situations(watched.rows(observations))
        recent_live = remembered(before, view_live)
        # Of the instrument another volume is usual than in this market: the residual is the simulator's.
        live = features(residual, view_live, recent_live, moment_live, intend(rule, residual, view_live, moment_live))
        assert torch.equal(x, live)
        for name, mine, theirs in zip(Recent._fields, recent_live, recent, strict=True):
            assert torch.equal(mine, theirs), name
        kept = [recent_live.mids, recent_live.volumes, recent_live.lean, recent_live.dark_filled]
        watched.remember(observations, torch.cat([*kept, recent_live.count[:, None]], 1))
        run.step(intent)
    assert run.by_slot[:, FIRST_POOL:].sum() > 0 and (run.filled == run.lots).all()


def test_the_residual_is_what_is_usual_of_the_instrument_and_wanted_by_the_desk() -> None:
    order = parent(1000, side=Side.SELL, horizon_s=1800.0, urgency=Urgency.HIGH)
    residual, moment, *_ = situations(Observed(INSTRUMENTS).rows([now(order, 45.0)]))
    told = {name: float(value[0]) for name, value in residual._asdict().items() if name != "pools"}
    spread = 5e-4 * 19_995
    assert told == {
        "side": -1.0,
        "lots": 1000.0,
        "arrival": 19_995.0,
        "horizon_s": 1800.0,
        "risk": 0.6,
        "spread": spread,
        "notch": 4.0,  # The tick is 2; a third of the usual spread, in ticks, is that.
        "volume_s": 2_000_000 / 23_400,
        "event_lots": 2_000_000 / 3_300,
    }
    assert residual.pools.tolist() == [[True, True, True]]
    assert moment.elapsed.item() == pytest.approx(45 / 1800) and moment.later.item() == pytest.approx(60 / 1800)


def test_usual_volume_follows_the_days_curve() -> None:
    """The order begins at 9:30 in New York, where 15% of the day come in the first half hour."""
    at_open = parent(1000, horizon_s=1800.0)
    opens = at_open.starts_at.replace(hour=14, minute=30, second=0, microsecond=0)
    at_open = at_open.but(starts_at=opens)
    residual, *_ = situations(Observed(INSTRUMENTS, U_SHAPE).rows([now(at_open)]))
    assert residual.volume_s.item() == pytest.approx(0.15 * 2_000_000 / 1800)
    by_night = at_open.but(starts_at=opens.replace(hour=5), parent_id="p2")
    residual, *_ = situations(Observed(INSTRUMENTS, U_SHAPE).rows([now(by_night)]))
    assert residual.volume_s.item() == pytest.approx(2_000_000 / 23_400), "no volume is usual then: as by day"


def test_our_own_orders_are_not_counted_among_those_displayed() -> None:
    order = parent(1000)
    rests = (resting("lit", BID, 300, order, "a"), resting("lit", BID - 2, 50, order, "b"))
    rests += (resting("dark_stream", ASK, 40, order, "c"),)
    _, _, view, _, _ = situations(Observed(INSTRUMENTS).rows([now(order, resting=rests)]))
    assert (view.bid_lots.item(), view.ask_lots.item()) == (9_700, 10_000)
    assert (view.resting.item(), view.resting_price.item()) == (350, BID)
    assert view.dark_resting.tolist() == [[0, 0, 40]]


def test_each_dark_venue_has_its_place_and_a_stranger_takes_the_brokers() -> None:
    assert places(POOLS) == {"dark_block": 0, "dark_broker": 1, "dark_stream": 2}
    assert places(("hidden",)) == {"hidden": 1}
    assert places(("dark_stream", "x", "y")) == {"dark_stream": 2, "x": 1}
    assert places((*POOLS, "x")) == places(POOLS)


def test_memory_is_bounded_and_a_parent_that_is_done_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.slicer.observed.MOST_REMEMBERED", 3)
    assert MOST_REMEMBERED > 1000
    learned = policy()
    for k in range(5):
        learned.propose([now(parent(100 + k, name=f"p{k}"))])
    assert len(learned._observed) == 3
    learned.forget(parent(1, name="p4").parent_id)
    learned.forget(parent(1, name="never").parent_id)
    assert len(learned._observed) == 2


# --- what it wants -------------------------------------------------------------------------------------------------


def test_what_is_chosen_becomes_proposals() -> None:
    order = parent(1000)
    (found,) = policy((HALF, IMPROVE, SPLIT)).propose([now(order, 60.0)])
    cross, rest, *dark = found.proposals
    assert (cross.venue, cross.quantity, cross.price, cross.time_in_force) == ("lit", 14, None, TimeInForce.IOC)
    assert (rest.venue, rest.quantity, rest.price, rest.time_in_force) == ("lit", 986, BID + 4, TimeInForce.DAY)
    assert dark == [] and found.decision is not None
    assert found.decision.actions == ("half", "improve", "split") and found.decision.guard == ""
    (found,) = policy((NOTHING, NOTHING, SPLIT)).propose([now(order, 60.0)])
    assert [(p.venue, p.quantity, p.price) for p in found.proposals] == [(pool, 333, ASK) for pool in POOLS]
    (found,) = policy((NOTHING, BEHIND, RULE)).propose([now(parent(500, side=Side.SELL), 60.0)])
    assert [(p.venue, p.quantity, p.price) for p in found.proposals] == [("lit", 500, ASK + 4)]


def test_an_order_in_a_pool_keeps_its_limit_while_that_makes_sense() -> None:
    order = parent(1000)
    kept = now(order, resting=(resting("dark_block", ASK + 6, 100, order),))
    limits = {p.venue: p.price for p in policy((NOTHING, NOTHING, SPLIT)).propose([kept])[0].proposals}
    assert limits == {"dark_block": ASK + 6, "dark_broker": ASK, "dark_stream": ASK}


def test_the_last_decision_crosses_all_that_is_left() -> None:
    late = now(parent(1000), 590.0, filled=Quantity(400))
    (found,) = policy((NOTHING, AT_BEST, SPLIT)).propose([late])
    assert [(p.quantity, p.price) for p in found.proposals] == [(600, None)]


@pytest.mark.parametrize(("side", "limit"), [(Side.BUY, ASK - 2), (Side.SELL, BID + 2)])
def test_beyond_the_desks_limit_nothing_crosses_and_nothing_improves(side: Side, limit: Price) -> None:
    order = parent(1000, side=side, limit_price=limit)
    chosen = policy((ALL, AT_BEST, RULE)).propose([now(order, 60.0)])[0]
    assert chosen.decision is not None and chosen.decision.actions[0] in ("rule", "nothing")
    assert chosen.proposals[0].price is not None and not [p for p in chosen.proposals if p.price is None]
    late = policy((RULE, RULE, RULE)).propose([now(order, 590.0)])[0].proposals
    assert [(p.venue, p.quantity) for p in late] == [("lit", 1000)], "at the end what is left rests instead"
    tight = order.but(limit_price=BID + 2 if side is Side.BUY else ASK - 2)
    (found,) = policy((NOTHING, IMPROVE, RULE)).propose([now(tight, 60.0)])
    assert found.decision is not None and found.decision.actions[1] != "improve"
    loose = order.but(limit_price=ASK if side is Side.BUY else BID)
    assert policy((ALL, RULE, RULE)).propose([now(loose, 60.0)])[0].proposals[0].quantity == 1000


def test_no_pool_that_is_not_open_is_used() -> None:
    (found,) = policy((NOTHING, NOTHING, 2)).propose([now(parent(1000), dark_venues=("dark_stream",))])
    assert found.decision is not None and found.decision.actions[2] != "block"
    assert {p.venue for p in found.proposals} <= {"dark_stream"}


def test_without_a_lit_venue_all_that_is_left_waits_in_the_dark() -> None:
    (found,) = policy((ALL, ALL, RULE)).propose([now(parent(1000), lit_venue="")])
    assert [(p.venue, p.quantity) for p in found.proposals] == [(POOLS[0], 334), (POOLS[1], 333), (POOLS[2], 333)]
    assert found.decision is not None and found.decision.guard == "no lit venue"


def test_one_side_missing_is_no_time_to_propose() -> None:
    learned, other = policy((ALL, RULE, RULE)), now(parent(700, name="p2"))
    none, found = learned.propose([now(parent(1000), bid=None), other])
    assert (none.proposals, none.decision) == ((), None) and found.proposals[0].quantity == 700
    assert learned.propose([now(parent(1000), ask=None)])[0].proposals == ()


def test_it_decides_as_often_as_it_was_trained_to() -> None:
    paces = [policy().pace_s(parent(10, horizon_s=horizon_s)) for horizon_s in (60.0, 300.0, 600.0, 1800.0, 10_800.0)]
    assert paces == [5.0, 7.5, 15.0, 30.0, 30.0]


# --- one pass for all ----------------------------------------------------------------------------------------------


def test_together_or_alone_the_same_is_decided() -> None:
    together = policy().propose(some(64))
    alone = policy()
    for one, found in zip(some(64), together, strict=True):
        (mine,) = alone.propose([one])
        assert mine.proposals == found.proposals
        assert mine.decision is not None and found.decision is not None
        assert mine.decision.actions == found.decision.actions
        assert mine.decision.cost == pytest.approx(found.decision.cost, abs=2e-4)


def test_what_is_recorded_is_what_the_critic_says() -> None:
    slicer, order = a_slicer(), parent(1000)
    (found,) = LearnedSlices(slicer, INSTRUMENTS).propose([now(order)])
    learned = LearnedSlices(slicer, INSTRUMENTS)
    residual, moment, view, recent, _ = situations(learned._observed.rows([now(order)]))
    x = features(residual, view, remembered(recent, view), moment, intend(slicer.rule, residual, view, moment))
    value, quantiles = slicer.critic(x)
    decision = found.decision
    assert decision is not None and (decision.policy, decision.version) == ("learned", "one")
    assert decision.observation == now(order).digest != now(order, 61.0).digest
    assert decision.value == pytest.approx(value.item(), abs=1e-4)
    assert decision.cost == pytest.approx([tail_level(quantiles, level).item() for level in TOLD], abs=1e-4)
    assert torch.allclose(levels(quantiles, (0.0, 0.3, 1.0))[0, 1], tail_level(quantiles, 0.3))


def test_whoever_trains_on_changes_nothing_here() -> None:
    slicer = a_slicer((HALF, NOTHING, NOTHING))
    learned = LearnedSlices(slicer, INSTRUMENTS)
    with torch.no_grad():
        for weight in slicer.actor.parameters():
            weight.zero_()
    assert all(weight.requires_grad for weight in slicer.actor.parameters())
    (found,) = learned.propose([now(parent(1000))])
    assert found.decision is not None and found.decision.actions[0] == "half"


# --- the guard -----------------------------------------------------------------------------------------------------


def rule_only(observation: Observation, rule: Rule) -> list[tuple[str, int, int | None]]:
    """What the rule proposes by itself."""
    residual, moment, view, _, _ = situations(Observed(INSTRUMENTS).rows([observation]))
    intent = intend(rule, residual, view, moment)
    found: list[tuple[str, int, int | None]] = []
    found += [("lit", int(intent.cross), None)] if intent.cross else []
    found += [("lit", int(intent.rest), int(intent.price))] if intent.rest else []
    far = ASK if observation.order.side is Side.BUY else BID
    return found + [(pool, lots, far) for pool, lots in zip(POOLS, intent.dark[0].tolist(), strict=True) if lots]


def narrow(**bounds: tuple[float, float]) -> Envelope:
    low, high = ALL_OF_IT.low.clone(), ALL_OF_IT.high.clone()
    for name, (least, most) in bounds.items():
        low[NAMES.index(name)], high[NAMES.index(name)] = least, most
    return Envelope(low, high)


@pytest.mark.parametrize("at_s", [0.0, 60.0, 300.0, 590.0])
@pytest.mark.parametrize("side", list(Side))
def test_outside_of_training_the_rule_decides_and_says_so(side: Side, at_s: float) -> None:
    slicer = a_slicer((ALL, RULE, RULE), narrow(spread=(2.0, 3.0)))
    observation = now(parent(1000, side=side), at_s)
    (found,) = LearnedSlices(slicer, INSTRUMENTS).propose([observation])
    assert [(p.venue, p.quantity, p.price) for p in found.proposals] == rule_only(observation, slicer.rule)
    decision = found.decision
    assert decision is not None and decision.guard == "outside of training: spread"
    assert decision.actions == (CROSS[0], PLACE[0], DARK[0]) == ("rule", "rule", "rule")
    assert decision.value is None and decision.cost == () and decision.version == "one"


def test_a_little_outside_in_one_or_two_is_borne_and_in_three_it_is_not() -> None:
    bounds = narrow(left=(0.0, 1.0), elapsed=(0.0, 1.0), risk=(0.0, 1.0), last=(0.0, 0.0))
    guard = Guard(a_slicer(envelope=bounds))
    place = {name: NAMES.index(name) for name in NAMES}

    def looks(**values: float) -> torch.Tensor:
        x = torch.zeros(1, len(NAMES))
        for name, value in values.items():
            x[0, place[name]] = value
        return x

    def trusts(**values: float) -> bool:
        return bool(guard.trusts(looks(**values)))

    assert trusts() and trusts(left=1.2) and trusts(left=1.2, elapsed=-0.2) and trusts(last=0.04)
    assert not trusts(left=1.2, elapsed=-0.2, risk=1.1), "three"
    assert not trusts(left=1.6), "far"
    assert not trusts(last=0.06), "what never varied is not known where it does"
    assert not trusts(left=math.nan) and not trusts(left=math.inf)
    assert guard.reasons(looks(left=1.2, risk=1.3, last=1.0)) == ["outside of training: last, risk, left"]
    many = dict.fromkeys(NAMES[:4], 6.0) | {"spread": 7.0, "adverse": 5.5}
    assert guard.reasons(looks(**many))[0].endswith(" and 2 more")


def test_where_forecasts_of_the_cost_disagree_the_rule_decides_and_says_so() -> None:
    slicer, observation = a_slicer((ALL, RULE, RULE)), now(parent(1000))
    other = deepcopy(slicer.critic.quantiles)
    with torch.no_grad():
        other.get_parameter("4.bias").add_(2.0)  # Always 2 spreads dearer: 2 / sqrt(2) apart.
    for most, agree in ((1.42, True), (1.41, False)):
        envelope = ALL_OF_IT._replace(apart=torch.tensor(most))
        doubled = slicer._replace(envelope=envelope, opinions=(other,))
        (found,) = LearnedSlices(doubled, INSTRUMENTS).propose([observation])
        assert found.decision is not None
        assert found.decision.guard == ("" if agree else "forecasts of the cost disagree")
        wanted = [(p.venue, p.quantity, p.price) for p in found.proposals]
        assert (wanted == rule_only(observation, slicer.rule)) == (not agree)
    agreed = slicer._replace(envelope=ALL_OF_IT._replace(apart=torch.tensor(0.0)), opinions=(slicer.critic.quantiles,))
    (found,) = LearnedSlices(agreed, INSTRUMENTS).propose([observation])
    assert found.decision is not None and not found.decision.guard


def test_a_doubt_from_elsewhere_hands_over_too() -> None:
    slicer = a_slicer((ALL, RULE, RULE))
    doubts = lambda seen: ["forecasters disagree" if one.order.quantity == 500 else "" for one in seen]  # noqa: E731
    learned = LearnedSlices(slicer, INSTRUMENTS, doubts=doubts)
    sure, unsure = learned.propose([now(parent(1000)), now(parent(500, name="p2"))])
    assert sure.proposals[0].quantity == 1000 and sure.decision is not None and not sure.decision.guard
    assert unsure.decision is not None and unsure.decision.guard == "forecasters disagree"
    assert [(p.venue, p.quantity, p.price) for p in unsure.proposals] == rule_only(
        now(parent(500, name="p2")), slicer.rule
    )


def test_without_weights_every_decision_is_the_rules() -> None:
    rule = Rule(grace=0.2, lead=0.1)
    alone = by_rule_alone(rule, INSTRUMENTS)
    for observation in some(12):
        (found,) = alone.propose([observation])
        assert [(p.venue, p.quantity, p.price) for p in found.proposals] == rule_only(observation, rule)
        assert found.decision is not None and (found.decision.guard, found.decision.version) == ("no weights", "none")


def test_the_rule_that_stands_in_is_the_tuned_one_if_there_is_one(tmp_path: Path) -> None:
    path, rule = tmp_path / "rules.json", Rule(grace=0.4, alarm=0.7)
    assert tuned_rule(path) == Rule()
    path.write_text(json.dumps({"strong": {"rule": rule._asdict(), "trials": 3}}))
    assert tuned_rule(path) == rule
    path.write_text(json.dumps({"weak": {}}))
    with pytest.raises(BadInput, match="tuned rules"):
        tuned_rule(path)


def test_an_untrained_slicer_is_the_rule() -> None:
    """Learning begins at parity with it."""
    slicer = a_slicer()
    torch.manual_seed(3)
    learned = LearnedSlices(Slicer(Actor(), *slicer[1:]), INSTRUMENTS)
    for observation in some(12):
        (found,) = learned.propose([observation])
        assert [(p.venue, p.quantity, p.price) for p in found.proposals] == rule_only(observation, slicer.rule)

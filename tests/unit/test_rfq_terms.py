"""What a desk may ask for: every combination that cannot be is refused, naming field, value and rule."""

from typing import Any

import pytest
from examples import ACME, MID, RESIDUAL, terms

from rfq.domain.errors import BadInput, LimitBreached
from rfq.domain.limits import DeskLimits, check
from rfq.domain.rfq import AwardMode, Leg, RequestSide, ResidualTerms, RfqTerms
from rfq.domain.values import DealerId, Quantity, Side

TWO_WAY = RequestSide.TWO_WAY


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("legs[0].quantity", {"quantity": 0}),
        ("legs[0].quantity", {"quantity": -5}),
        ("legs[0].limit_price", {"limit_price": 0}),
        ("legs[0].intent", {"intent": Side.BUY}),
        ("legs[0].intent", {"side": TWO_WAY}),
        ("legs[0].intent", {"side": TWO_WAY, "award": AwardMode.MANUAL, "limit_price": MID}),
        ("min_fill", {"min_fill": 101}),
        ("min_fill", {"min_fill": -1}),
        ("residual", {"all_or_none": True, "residual": RESIDUAL}),
        ("max_dealers", {"max_dealers": 0}),
        ("max_dealers", {"max_dealers": 51}),
        ("max_dealers", {"min_dealers": 9}),
        ("max_dealers", {"min_dealers": 0}),
        ("max_winners", {"max_winners": 0}),
        ("max_winners", {"max_winners": 11}),
        ("first_wave", {"first_wave": 0}),
        ("first_wave", {"first_wave": 8}),
        ("first_wave", {"first_wave": 2, "min_dealers": 3}),
        ("first_wave", {"first_wave": 1, "include": (DealerId("a"), DealerId("b"))}),
        ("exclude", {"include": (DealerId("a"), DealerId("b")), "exclude": (DealerId("b"),)}),
        ("include", {"include": tuple(DealerId(f"d{n}") for n in range(9))}),
        ("quote_window_s", {"quote_window_s": 0.01}),
        ("quote_window_s", {"quote_window_s": 601.0}),
        ("quote_window_s", {"quote_window_s": float("nan")}),
        ("award_window_s", {"award_window_s": 0.0}),
        ("award_window_s", {"award_window_s": float("inf")}),
        ("client_order_id", {"client_order_id": "x" * 65}),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        terms(**changes)
    assert caught.value.field == field
    assert caught.value.rule


@pytest.mark.parametrize("legs", [0, 2])
def test_exactly_one_leg(legs: int) -> None:
    with pytest.raises(BadInput, match="exactly one leg"):
        RfqTerms(legs=(Leg(ACME.symbol, RequestSide.BUY, Quantity(1)),) * legs)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("residual.horizon_s", {"horizon_s": 0.5}),
        ("residual.horizon_s", {"horizon_s": 86401.0}),
        ("residual.horizon_s", {"horizon_s": float("nan")}),
        ("residual.max_participation", {"horizon_s": 60.0, "max_participation": 0.0}),
        ("residual.max_participation", {"horizon_s": 60.0, "max_participation": 1.01}),
    ],
)
def test_residual_terms_that_cannot_be(field: str, changes: dict[str, float]) -> None:
    with pytest.raises(BadInput) as caught:
        ResidualTerms(**changes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quantity": 1},
        {"limit_price": MID},
        {"side": TWO_WAY, "intent": Side.SELL, "limit_price": MID},
        {"side": TWO_WAY, "award": AwardMode.MANUAL},
        {"min_fill": 100},
        {"all_or_none": True},
        {"residual": RESIDUAL, "min_fill": 50},
        {"min_dealers": 8, "max_dealers": 8},
        {"first_wave": 7},
        {"quote_window_s": 0.05, "award_window_s": 3600.0},
        {"max_dealers": 50, "max_winners": 10},
        {"include": (DealerId("a"),), "exclude": (DealerId("b"),)},
        {"client_order_id": "x" * 64},
    ],
)
def test_what_can_be(changes: dict[str, Any]) -> None:
    assert terms(**changes).leg.symbol == ACME.symbol


def test_the_desks_side_and_its_least() -> None:
    assert terms(RequestSide.SELL).leg.desk_side is Side.SELL
    assert terms(TWO_WAY, intent=Side.BUY).leg.desk_side is Side.BUY
    assert terms(TWO_WAY, award=AwardMode.MANUAL).leg.desk_side is None
    assert terms(min_fill=30).least_at_quotes == 30
    assert terms(all_or_none=True).least_at_quotes == 100
    assert terms().least_at_quotes == 0


@pytest.mark.parametrize(
    ("limit", "quantity", "open_rfqs"),
    [("largest_block", 5_001, 0), ("largest_share_of_adv", 4_001, 0), ("open_rfqs", 10, 3)],
)
def test_a_desk_past_its_limit_is_told_which(limit: str, quantity: int, open_rfqs: int) -> None:
    limits = DeskLimits(largest_block=ACME.money(MID * 5_000), open_rfqs=3, largest_share_of_adv=0.2)
    if limit == "largest_block":
        limits = limits.but(largest_share_of_adv=1.0)
    with pytest.raises(LimitBreached) as caught:
        check(limits, terms(quantity=quantity), ACME, MID, open_rfqs)
    assert caught.value.limit == limit
    check(limits, terms(quantity=quantity - 1), ACME, MID, max(0, open_rfqs - 1))

"""The split in words: cases a desk would recognise, beside the brute force of the properties."""

from itertools import pairwise

import pytest
from examples import MID, WINDOW_S, at, quote

from rfq.domain.auction import rank
from rfq.domain.blend import MOST_QUOTES, ResidualCurve, Split, split, sure_split
from rfq.domain.errors import BadInput
from rfq.domain.quote import Quote
from rfq.domain.values import NO_LOTS, Price, Quantity, Side

DEAR = ResidualCurve((NO_LOTS, Quantity(100)), (0.0, 100 * 50.0))
"""Working any lot costs 50 bps."""
CHEAP = ResidualCurve((NO_LOTS, Quantity(100)), (0.0, 100 * 1.0))
RISING = ResidualCurve((NO_LOTS, Quantity(50), Quantity(100)), (0.0, 50 * 2.0, 50 * 2.0 + 50 * 20.0))
"""The first fifty lots cost 2 bps each to work, the others 20."""


def over(*quotes: Quote, side: Side = Side.BUY, quantity: int = 100, **options: object) -> dict[str, int]:
    return taken(split(rank(quotes, side, at(WINDOW_S)), Quantity(quantity), side, MID, **options))  # type: ignore[arg-type]


def taken(found: Split) -> dict[str, int]:
    return {str(a.dealer_id): a.quantity for a in found.allocations}


def test_the_quote_is_taken_whole_when_working_is_dear() -> None:
    assert over(quote("a"), residual=DEAR) == {"a": 100}


def test_everything_is_worked_when_working_is_cheap() -> None:
    assert over(quote("a"), residual=CHEAP) == {}


def test_the_block_is_cut_where_working_gets_dearer_than_the_quote() -> None:
    assert over(quote("a"), residual=RISING) == {"a": 50}  # 5 bps at the quote against 2, then 20.


def test_a_minimum_pulls_lots_to_a_quote_or_loses_it() -> None:
    assert over(quote("a", minimum=60), residual=RISING) == {"a": 60}
    assert over(quote("a", MID + 38, minimum=100), residual=RISING) == {}  # 19 bps on all of it: no.


def test_all_or_none_quotes_do_not_add_up_to_more_than_is_wanted() -> None:
    both = [quote("a", quantity=60, minimum=60), quote("b", MID + 12, 60, minimum=60)]
    assert over(*both, residual=None) == {"a": 60}


def test_a_worse_quote_that_can_fill_the_least_beats_a_better_one_that_cannot() -> None:
    quotes = [quote("a", quantity=40), quote("b", MID + 12, 100)]
    assert over(*quotes, residual=None, least=Quantity(100), max_winners=1) == {"b": 100}
    assert over(*quotes, residual=None, least=Quantity(100), max_winners=2) == {"a": 40, "b": 60}


def test_less_than_the_least_is_nothing() -> None:
    assert over(quote("a", quantity=40), residual=None, least=Quantity(41)) == {}
    assert over(quote("a", quantity=40), residual=DEAR, least=Quantity(41)) == {}


def test_a_least_amount_never_forces_a_trade_that_working_beats() -> None:
    assert over(quote("a"), residual=CHEAP, least=Quantity(10)) == {}


def test_winners_are_bounded() -> None:
    quotes = [quote(d, MID + 10 + 2 * n, 30) for n, d in enumerate("abcd")]
    assert over(*quotes, residual=None, max_winners=2) == {"a": 30, "b": 30}
    assert over(*quotes, residual=None, max_winners=4) == {"a": 30, "b": 30, "c": 30, "d": 10}


def test_a_tie_goes_to_fewer_winners_of_better_rank() -> None:
    assert over(quote("b"), quote("a"), residual=None) == {"a": 100}


def test_a_tie_with_working_goes_to_the_quotes() -> None:
    even = ResidualCurve((NO_LOTS, Quantity(100)), (0.0, 100 * 5.0))
    assert over(quote("a"), residual=even) == {"a": 100}


def test_a_seller_takes_the_highest_bids() -> None:
    quotes = [quote("a", bid=MID - 20, quantity=60), quote("b", bid=MID - 10, quantity=60)]
    assert over(*quotes, side=Side.SELL, residual=None) == {"b": 60, "a": 40}


def test_costs_are_in_bps_of_arrival_times_lots() -> None:
    found = split(rank([quote("a", MID + 20, 60)], Side.BUY, at(WINDOW_S)), Quantity(100), Side.BUY, MID, residual=DEAR)
    assert (found.quote_cost, found.residual_cost) == (pytest.approx(60 * 10.0), pytest.approx(40 * 50.0))
    assert found.residual == 40 and found.cost == found.quote_cost + found.residual_cost


def test_only_the_ten_best_are_weighed_and_no_more_time_is_spent() -> None:
    quotes = [quote(f"d{n:02}", MID + 10 + 2 * n, 1) for n in range(MOST_QUOTES + 5)]
    assert sorted(over(*quotes, residual=None, max_winners=10)) == [f"d{n:02}" for n in range(10)]


def test_a_last_look_dealer_stands_alone_when_a_least_amount_is_wanted() -> None:
    quotes = [quote("soft", MID + 10, 60, last_look_s=1.0), quote("firm", MID + 12, 60)]
    ranked = rank(quotes, Side.BUY, at(WINDOW_S))
    apart = sure_split(ranked, Quantity(100), Side.BUY, MID, residual=None, least=Quantity(60))
    together = sure_split(ranked, Quantity(100), Side.BUY, MID, residual=None)
    assert taken(apart) == {"soft": 60}
    assert taken(together) == {"soft": 60, "firm": 40}


@pytest.mark.parametrize(
    ("lots", "cost"),
    [((0,), (0.0,)), ((0, 5), (0.0,)), ((1, 5), (0.0, 1.0)), ((0, 5), (1.0, 2.0)), ((0, 5, 5), (0.0, 1.0, 2.0))],
)
def test_a_curve_that_is_none_is_refused(lots: tuple[int, ...], cost: tuple[float, ...]) -> None:
    with pytest.raises(BadInput):
        ResidualCurve(tuple(Quantity(n) for n in lots), cost)


def test_a_curve_is_linear_between_its_points_and_beyond() -> None:
    assert [RISING.at(n) for n in (0, 25, 50, 75, 100, 110)] == [0.0, 50.0, 100.0, 600.0, 1100.0, 1300.0]
    assert all(b > a for a, b in pairwise(RISING.at(n) for n in range(120)))


def test_prices_of_examples_are_what_the_comments_say() -> None:
    assert (Price(MID + 10) - MID) / MID * 1e4 == pytest.approx(5.0)

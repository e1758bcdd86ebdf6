"""The split against brute force: every way of taking whole lots, enumerated, on blocks small enough for that."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from examples import at, quote
from hypothesis import given, settings
from hypothesis import strategies as st
from residuals import QDI, request

from ml.hedging_cost import Hedging
from ml.residual_cost import SquareRootResidual
from rfq.domain.auction import RankedQuote, rank
from rfq.domain.blend import ResidualCurve, Split, split, sure_split
from rfq.domain.values import DealerId, Price, Quantity, Side

ARRIVAL = Price(10_000)  # One price unit is one basis point: costs are whole numbers.


@st.composite
def curves(draw: st.DrawFn, quantity: int) -> ResidualCurve:
    """Any shape at all: rising, falling, neither convex nor concave."""
    inner = draw(st.sets(st.integers(1, quantity), max_size=3))
    lots = (0, *sorted(inner | {quantity}))
    cost = (0.0, *(float(draw(st.integers(-60, 120))) for _ in lots[1:]))
    return ResidualCurve(tuple(Quantity(n) for n in lots), cost)


@st.composite
def hedged(draw: st.DrawFn, quantity: int) -> ResidualCurve:
    """Of a block that is much of a day's volume, with what winners hedge in it: a hump on the square-root law."""
    asked = request(quantity, horizon_s=draw(st.sampled_from([300.0, 1_800.0, 10_800.0])))
    thin = asked.but(instrument=QDI.but(adv=draw(st.integers(20, 2_000))))
    hedging = Hedging(share=draw(st.floats(0.3, 1.0)), horizon_s=draw(st.floats(120.0, 7_200.0)))
    return SquareRootResidual(hedging=hedging).curve(thin)


@st.composite
def problems(draw: st.DrawFn, worked: Callable[[int], st.SearchStrategy[ResidualCurve]] = curves) -> dict[str, Any]:
    quantity = draw(st.integers(1, 7))
    side = draw(st.sampled_from(Side))
    quotes = []
    for dealer in "abcd"[: draw(st.integers(0, 4))]:
        lots = draw(st.integers(1, quantity + 2))
        price = ARRIVAL + 2 * side.sign * draw(st.integers(-4, 12))
        quotes.append(
            quote(
                dealer,
                price if side is Side.BUY else None,
                lots,
                bid=price if side is Side.SELL else None,
                minimum=draw(st.one_of(st.just(0), st.integers(0, lots))),
                last_look_s=draw(st.sampled_from([0.0, 1.0])),
            )
        )
    return {
        "ranked": rank(quotes, side, at(5)),
        "quantity": Quantity(quantity),
        "side": side,
        "arrival": ARRIVAL,
        "residual": draw(st.one_of(st.none(), worked(quantity))),
        "least": Quantity(draw(st.sampled_from([0, 0, 1, quantity // 2, quantity]))),
        "max_winners": draw(st.integers(1, 4)),
    }


def every_split(p: dict[str, Any]) -> Iterator[tuple[float, int, tuple[int, ...]]]:
    """(cost, lots at quotes, lots of each quote) of everything that the rules allow."""
    quotes: tuple[RankedQuote, ...] = p["ranked"]
    choices = [(0, *range(max(1, q.min_quantity), q.quantity + 1)) for q in quotes]
    for taken in product(*choices):
        lots = sum(taken)
        if lots > p["quantity"] or sum(n > 0 for n in taken) > p["max_winners"]:
            continue
        if lots and lots < p["least"]:
            continue
        cost = sum(p["side"].sign * (q.price - ARRIVAL) * n for q, n in zip(quotes, taken, strict=True))
        if p["residual"] is not None:
            cost += p["residual"].at(p["quantity"] - lots)
        yield float(cost), lots, taken


def best_of(options: list[tuple[float, int, tuple[int, ...]]], p: dict[str, Any]) -> tuple[float, int]:
    """Least cost, then most at the quotes; where nothing can be worked, most at the quotes, then least cost."""
    if p["residual"] is None:
        lots = max(lots for _, lots, _ in options)
        return min(cost for cost, n, _ in options if n == lots), lots
    cost = min(cost for cost, _, _ in options)
    return cost, max(n for c, n, _ in options if c < cost + 1e-6)


def as_taken(found: Split, p: dict[str, Any]) -> tuple[int, ...]:
    by_id = {a.quote_id: a for a in found.allocations}
    assert len(by_id) == len(found.allocations)
    for q in p["ranked"]:
        if (a := by_id.get(q.quote_id)) is not None:
            assert (a.revision, a.dealer_id, a.price) == (q.revision, q.dealer_id, q.price)
    return tuple(by_id[q.quote_id].quantity if q.quote_id in by_id else 0 for q in p["ranked"])


@settings(max_examples=300)
@given(st.one_of(problems(), problems(hedged)))
def test_nothing_allowed_is_cheaper(p: dict[str, Any]) -> None:
    found = split(**p)
    options = list(every_split(p))
    assert as_taken(found, p) in {taken for _, _, taken in options}
    cost, lots = best_of(options, p)
    assert found.cost == pytest.approx(cost, abs=1e-6)
    assert found.lots == lots
    assert found.residual == (p["quantity"] - lots if p["residual"] is not None else 0)


@settings(max_examples=300)
@given(problems())
def test_with_a_least_amount_no_last_look_can_leave_the_desk_short(p: dict[str, Any]) -> None:
    found = sure_split(**p)
    firm = {q.quote_id for q in p["ranked"] if q.firm}
    soft = [i for i, q in enumerate(p["ranked"]) if not q.firm]

    def sure(taken: tuple[int, ...]) -> bool:
        looked = sum(taken[i] > 0 for i in soft)
        return not p["least"] or looked == 0 or (looked == 1 and sum(n > 0 for n in taken) == 1)

    options = [option for option in every_split(p) if sure(option[2])]
    assert sure(as_taken(found, p))
    cost, lots = best_of(options, p)
    assert found.cost == pytest.approx(cost, abs=1e-6)
    assert found.lots == lots
    if p["least"] and len(found.allocations) > 1:
        assert all(a.quote_id in firm for a in found.allocations)


@given(problems(), st.randoms(use_true_random=False))
def test_a_dealers_name_decides_nothing_but_ties(p: dict[str, Any], random_: Any) -> None:
    names = [DealerId(n) for n in "wxyz"]
    random_.shuffle(names)
    renamed = tuple(q.but(dealer_id=n) for q, n in zip(p["ranked"], names, strict=False))
    before, after = split(**p), split(**(p | {"ranked": renamed}))
    assert as_taken(before, p) == tuple(
        next((a.quantity for a in after.allocations if a.quote_id == q.quote_id), 0) for q in p["ranked"]
    )

"""Quotes at the same price: larger first, then firm, then earlier, then by name. Arrival order decides nothing else."""

from typing import Any

import pytest
from always_true import check
from house import MID, House, Quotes, offer, terms

PRICE = MID + 11


@pytest.mark.parametrize(
    ("alpha", "bravo", "winner"),
    [
        pytest.param({"quantity": 10_000}, {"quantity": 12_000, "after_s": 2.0}, "bravo", id="larger"),
        pytest.param({"last_look_s": 1.0}, {"after_s": 2.0}, "bravo", id="firm"),
        pytest.param({"after_s": 2.0}, {"after_s": 1.0}, "bravo", id="earlier"),
        pytest.param({"after_s": 1.0}, {"after_s": 1.0}, "alpha", id="name"),
        pytest.param({"quantity": 12_000, "last_look_s": 1.0}, {}, "alpha", id="larger before firm"),
        pytest.param({"after_s": 2.0}, {"after_s": 1.0, "last_look_s": 1.0}, "alpha", id="firm before earlier"),
    ],
)
async def test_the_written_tie_break(house: House, alpha: dict[str, Any], bravo: dict[str, Any], winner: str) -> None:
    house.offers("bravo", PRICE, **bravo)
    house.offers("alpha", PRICE, **alpha)
    rfq_id = await house.submit(terms(max_winners=1))
    rfq = await house.until(rfq_id)

    assert [(f.dealer_id, f.quantity) for f in await house.fills(rfq_id)] == [(winner, rfq.terms.leg.quantity)]
    await check(house, [rfq_id])


async def test_a_revision_that_stands_counts_from_its_own_arrival(house: House) -> None:
    house.dealer("alpha").on_request(Quotes(1.0, offer=offer(PRICE + 4)), Quotes(4.0, offer=offer(PRICE)))
    house.offers("bravo", PRICE, after_s=2.0)
    house.offers("charlie", PRICE + 8, after_s=5.0)
    rfq_id = await house.submit(terms(max_winners=1))
    await house.until(rfq_id)
    assert [f.dealer_id for f in await house.fills(rfq_id)] == ["bravo"]
    await check(house, [rfq_id])

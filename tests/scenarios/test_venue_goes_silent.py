"""A venue stops answering: its lots stay with the order until a person says, with evidence, what became of them."""

import pytest
from always_true import check
from house import BLOCK, HOUR, House, terms
from order_floor import ASK

from rfq.domain import events as ev
from rfq.domain.errors import BadInput, NotFound
from rfq.domain.rfq import RfqStatus
from rfq.domain.values import ChildId, Quantity


async def test_a_person_settles_a_child_that_its_venue_does_not_account_for(house: House) -> None:
    house.lit.mute = True
    rfq_id = await house.submit(terms(residual=HOUR.but(venues=("lit",))))
    rfq = await house.needs_person(rfq_id)
    assert rfq.status is RfqStatus.WORKING and rfq.working == BLOCK, "its lots are given to nobody else"
    child = (await house.events(rfq_id, ev.ChildCreated))[0].order

    with pytest.raises(BadInput, match="evidence"):
        await house.engine.settle_order(rfq_id, child.child_id, Quantity(0), None, " ", "sue")
    with pytest.raises(NotFound):
        await house.engine.settle_order(rfq_id, ChildId("child-x"), Quantity(0), None, "phoned", "sue")
    with pytest.raises(BadInput, match="filled"):
        await house.engine.settle_order(rfq_id, child.child_id, Quantity(child.quantity + 1), ASK, "phoned", "sue")
    with pytest.raises(BadInput, match="price"):
        await house.engine.settle_order(rfq_id, child.child_id, Quantity(1), None, "phoned", "sue")

    house.lit.fill(child.child_id, child.quantity - house.lit.filled[child.child_id], ASK)  # And does not say so.
    house.lit.mute = False
    await house.engine.settle_order(rfq_id, child.child_id, child.quantity, ASK, "their ticket", "sue")
    rfq = await house.until(rfq_id)
    assert (rfq.status, rfq.needs_person) == (RfqStatus.DONE, "")
    (by_hand,) = [f for f in await house.fills(rfq_id) if f.child_id == child.child_id]
    assert (by_hand.quantity, by_hand.price) == (child.quantity, ASK)
    await check(house, [rfq_id])

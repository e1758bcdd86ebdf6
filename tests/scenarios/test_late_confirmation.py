"""A dealer holds to have traded what was resolved as refused: a fact in dispute, recorded once, for a person."""

import pytest
from house import MID, House, takes, terms

from dealers.scripted_trader import ScriptedTrader
from rfq.domain import events as ev
from rfq.domain.rfq import ResidualTerms, RfqStatus, Schedule
from rfq.domain.values import RfqId


async def settled_as_refused(house: House, alpha: ScriptedTrader, residual: ResidualTerms | None) -> RfqId:
    alpha.on_lift()
    rfq_id = await house.submit(terms(residual=residual))
    await house.needs_person(rfq_id)
    (lift,) = await house.reader.lifts(rfq_id)
    await house.engine.settle(rfq_id, lift.lift_id, "refused", "phoned the dealer", "sue")
    return rfq_id


@pytest.mark.parametrize("over", [False, True])
async def test_it_is_a_break_while_the_request_lives_and_after(house: House, over: bool) -> None:
    alpha = house.offers("alpha", MID + 11)
    residual = None if over else ResidualTerms(horizon_s=3600.0, schedule=Schedule.ALMGREN_CHRISS)
    rfq_id = await settled_as_refused(house, alpha, residual)
    if over:
        assert (await house.until(rfq_id)).status is RfqStatus.EXPIRED
    else:
        await house.until(rfq_id, "working")
    (take,) = takes(alpha)

    alpha.seat.confirm(take.lift_id)
    alpha.seat.confirm(take.lift_id)
    rfq = await house.needs_person(rfq_id)
    assert "filled more than asked" in rfq.needs_person and rfq.stopped
    await house.sleep(0.5)  # Until it is on record.
    (broken,) = await house.events(rfq_id, ev.BreakFound)
    assert (broken.fill.dealer_id, broken.excess) == ("alpha", take.quantity)

    await house.engine.settle(rfq_id, None, None, "they withdrew their ticket", "sue")
    rfq = await house.until(rfq_id)
    assert (rfq.needs_person, rfq.stopped) == ("", False)
    assert (await house.recorded(rfq_id)).rfq == rfq

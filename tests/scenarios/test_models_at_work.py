"""The models in a live auction: how dealers are drawn, whether more are asked, and what happens when they fail."""

import asyncio
from typing import Any

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, Quotes, asks, offer, terms
from order_floor import INSTRUMENT, SYMBOL
from virtual_time import counted

from db.history import PostgresHistory
from dealers.scripted_trader import Withdraws
from ml.choosing import Chooser
from ml.dealer_models import DealerModels
from ml.predictor import PanelPredictor
from ml.selection import Exploration
from ml.thompson import Thompson
from rfq.api.report import report
from rfq.domain import events as ev
from rfq.domain.rfq import RfqStatus
from rfq.domain.selection import WaveDecision
from rfq.domain.values import RfqId
from rfq.ports import WaveRequest
from rfq.tca.table import as_table

GOOD, DEAR = MID + 3, MID + 201
ASKS_ALL = 5


@pytest.fixture
def models() -> DealerModels:
    return DealerModels.load()


def chosen_by(house: House, models: DealerModels, exploration: Any = None) -> PanelPredictor:
    """The models choose from now on, and read the house's own history."""
    chooser = Chooser(models, exploration or Exploration(swap=0.0, count=0.0), at_least=ASKS_ALL)
    history = counted(PostgresHistory(house._database), house.loop)
    predictor = PanelPredictor(chooser, history, {SYMBOL: INSTRUMENT}, house.clock)
    house.parts.predictor = predictor
    return predictor


async def decisions(house: House, rfq_id: RfqId) -> list[WaveDecision]:
    return [e.decision for e in await house.events(rfq_id, ev.WaveDecided)]


async def waves(house: House, rfq_id: RfqId) -> list[set[str]]:
    return [{r.dealer_id for r in e.requests} for e in await house.events(rfq_id, ev.DealersAsked)]


# --- further waves -------------------------------------------------------------------------------------------------


async def test_a_dear_quote_makes_the_models_ask_on_and_the_report_says_why(house: House, models: DealerModels) -> None:
    for name in ("alpha", "bravo", "charlie"):
        house.offers(name, DEAR)
    chosen_by(house, models)
    rfq_id = await house.submit(terms(first_wave=1, residual=HOUR))
    rfq = await house.until(rfq_id)
    first, *further = await waves(house, rfq_id)
    made = await decisions(house, rfq_id)
    assert len(first) == 1 and further and set.union(*further) == {"alpha", "bravo", "charlie"} - first
    assert made[0].by == "models" and set(made[0].further) == further[0] and made[0].saving_bps > made[0].margin_bps
    assert made[0].model_version == models.version and made[0].holds == pytest.approx(0.85, abs=0.02)
    (auction,) = await house.reader.auctions(rfq_id)
    assert list(auction.decisions) == made, "the row is the fold of the log"
    told = await report(house.reader, rfq, INSTRUMENT, {})
    assert list(told.auctions[0].decisions) == made
    assert "wave 2: asked" in as_table(told) and "by models" in as_table(told)
    await check(house, [rfq_id])


async def test_a_good_quote_is_taken_and_why_nobody_else_was_asked_is_on_record(
    house: House, models: DealerModels
) -> None:
    traders = [house.offers(name, GOOD) for name in ("alpha", "bravo", "charlie")]
    chosen_by(house, models)
    rfq_id = await house.submit(terms(first_wave=1, residual=HOUR))
    rfq = await house.until(rfq_id)
    (decision,) = await decisions(house, rfq_id)
    assert decision.further == () and decision.by == "models" and decision.saving_bps is not None
    assert sum(bool(asks(t)) for t in traders) == 1 and rfq.filled == BLOCK
    assert "nobody asked, by models" in as_table(await report(house.reader, rfq, INSTRUMENT, {}))
    await check(house, [rfq_id])


class TooSlow:
    """Chooses as the models do, and never comes to a decision on waves."""

    def __init__(self, predictor: PanelPredictor) -> None:
        self.select = predictor.select

    async def further(self, wave: WaveRequest) -> WaveDecision:
        await asyncio.sleep(3600.0)
        raise AssertionError("nobody waits so long")


async def test_models_that_take_too_long_are_not_waited_for(house: House, models: DealerModels) -> None:
    for name in ("alpha", "bravo"):
        house.offers(name, DEAR)
    house.parts.predictor = TooSlow(chosen_by(house, models))  # type: ignore[assignment]
    rfq_id = await house.submit(terms(first_wave=1, residual=HOUR))
    await house.until(rfq_id)
    (decision,) = await decisions(house, rfq_id)
    assert decision.by == "rule" and decision.reason.endswith("the models took too long") and decision.further
    decided, asked = [
        next(s.session_at for s in await house.history(rfq_id) if isinstance(s.event, kind) and test(s.event))
        for kind, test in ((ev.QuoteReceived, lambda e: True), (ev.DealersAsked, lambda e: e.wave == 2))
    ]
    assert 0.4 <= (asked - decided).total_seconds() <= 0.7
    await check(house, [rfq_id])


async def test_a_quote_about_to_lapse_is_not_waited_out(house: House, models: DealerModels) -> None:
    """Half of what it has left, at most: it can still be taken."""
    traders = [house.offers(name, GOOD, good_for_s=0.5) for name in ("alpha", "bravo")]
    house.parts.predictor = TooSlow(chosen_by(house, models))  # type: ignore[assignment]
    rfq_id = await house.submit(terms(first_wave=1, residual=HOUR))
    rfq = await house.until(rfq_id)
    (decision,) = await decisions(house, rfq_id)
    assert decision.by == "rule" and "would lapse" in decision.reason and rfq.filled == BLOCK
    assert sum(bool(asks(t)) for t in traders) == 1
    (fill,) = await house.fills(rfq_id)
    assert fill.dealer_id in ("alpha", "bravo")
    await check(house, [rfq_id])


async def test_models_that_are_broken_leave_the_decision_to_the_rule(house: House, models: DealerModels) -> None:
    house.offers("alpha", DEAR)
    house.offers("bravo", DEAR)
    predictor = chosen_by(house, models)

    def fails(*_: object) -> None:
        raise ValueError("no such thing as a forecast")

    predictor._chooser.further = fails  # type: ignore[method-assign]
    rfq_id = await house.submit(terms(first_wave=1, residual=HOUR))
    await house.until(rfq_id)
    (decision,) = await decisions(house, rfq_id)
    assert decision.by == "rule" and "no such thing as a forecast" in decision.reason
    await check(house, [rfq_id])


async def test_everybody_else_is_gone(house: House, models: DealerModels) -> None:
    """Nobody is left who could be asked: there is nothing to decide, and the auction closes."""
    for name in ("alpha", "bravo", "charlie"):
        house.dealer(name).on_request(Quotes(5.0, offer=offer(DEAR)))
    chosen_by(house, models)
    rfq_id = await house.submit(terms(first_wave=1, residual=HOUR))
    await house.sleep(2.0)
    for trader in house.dealers.values():
        if not asks(trader):
            trader.seat.drop()
    rfq = await house.until(rfq_id)
    assert await decisions(house, rfq_id) == [] and len(await waves(house, rfq_id)) == 1
    assert rfq.status is RfqStatus.DONE
    await check(house, [rfq_id])


async def test_quotes_taken_back_before_make_the_next_ones_count_for_less(house: House, models: DealerModels) -> None:
    for name in ("alpha", "bravo", "charlie"):
        house.dealer(name).on_request(Quotes(1.0, offer=offer(DEAR)), Withdraws(2.0))
    house.dealer("delta")  # Silent: auctions stay open until their deadline.
    await house.until(await house.submit(terms()))
    chosen_by(house, models)
    rfq_id = await house.submit(terms(first_wave=2, residual=HOUR), key="key-2")
    await house.until(rfq_id)
    made = await decisions(house, rfq_id)
    assert made and made[0].holds <= 17 / 23


# --- response times ------------------------------------------------------------------------------------------------


async def test_stored_rows_say_how_long_a_dealer_had_and_took(house: House, models: DealerModels) -> None:
    house.offers("alpha", GOOD, after_s=1.5)
    house.dealer("bravo").on_request(Quotes(1.0, offer=offer(DEAR)), Withdraws(1.2))
    house.dealer("charlie")
    chosen_by(house, models)
    rfq_id = await house.submit(terms(residual=HOUR, quote_window_s=4.0))
    rfq = await house.until(rfq_id)
    reader = counted(PostgresHistory(house._database), house.loop)
    rows = {row.dealer_id: row async for row in reader.outcomes(rfq.market_received_at, 10)}
    assert {d: (row.window_s, row.response_s, row.withdrawn) for d, row in rows.items()} == {
        "alpha": (4.0, 1.5, False),
        "bravo": (4.0, 1.0, True),
        "charlie": (4.0, None, False),
    }
    told = {d.dealer_id: d for d in (await report(house.reader, rfq, INSTRUMENT, {})).dealers}
    expected = models.times.median_s(4.0, [told[n].dealer_id for n in ("alpha", "bravo", "charlie")])
    assert [told[n].expected_response_s for n in ("alpha", "bravo", "charlie")] == pytest.approx(expected.tolist())
    await check(house, [rfq_id])


# --- exploration ---------------------------------------------------------------------------------------------------


async def test_thompson_sampling_is_on_record_with_its_propensities(house: House, models: DealerModels) -> None:
    for name in ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf"):
        house.offers(name, GOOD)
    chosen_by(house, models, Thompson(budget_bps=5.0))
    rfq_id = await house.submit(terms(residual=HOUR, max_dealers=5))
    rfq = await house.until(rfq_id)
    (scored,) = await house.events(rfq_id, ev.PanelScored)
    selection = scored.selection
    assert selection.exploration.startswith("thompson") and selection == await house.reader.selection(rfq_id)
    asked = {r.dealer_id: r.propensity for r in await house.reader.requests(rfq_id)}
    assert asked == {d: selection.propensities[d] for d in selection.chosen}
    assert min(asked.values()) >= selection.set_propensity >= 0.2
    told = (await report(house.reader, rfq, INSTRUMENT, {})).best_execution
    assert (told.exploration, told.set_propensity) == (selection.exploration, selection.set_propensity)
    plan = await house.engine.plan(terms(residual=HOUR, max_dealers=5))
    assert plan.selection.exploration == selection.exploration and plan.selection.marginal_low_bps
    await check(house, [rfq_id])

"""A residual worked by a learned policy: the record names it, decision by decision, and says when a rule took over."""

import pytest
from always_true import check
from house import BLOCK, HOUR, MID, House, World, terms
from order_floor import ASK, BID, INSTRUMENT, SYMBOL
from slicers import ALL_OF_IT, a_slicer
from virtual_time import counted

from db.audit import rebuild
from db.database import Database
from ml.slicer.features import NAMES
from ml.slicer.policy import LearnedSlices
from ml.slicer.weights import Envelope
from rfq.api.report import block_of, report
from rfq.domain import events as ev
from rfq.domain.rfq import RfqStatus, Schedule
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import Price
from rfq.tca.report import Worked
from rfq.tca.table import as_table

LEARNED = HOUR.but(schedule=Schedule.LEARNED)
PACE, AT_BEST, SPLIT = 3, 3, 5


def learned(envelope: Envelope = ALL_OF_IT) -> LearnedSlices:
    return LearnedSlices(a_slicer((PACE, AT_BEST, SPLIT), envelope, version="toy-1"), {SYMBOL: INSTRUMENT})


def usual_spread_only() -> Envelope:
    """Trained where the spread is near the usual one."""
    low, high = ALL_OF_IT.low.clone(), ALL_OF_IT.high.clone()
    low[NAMES.index("spread")], high[NAMES.index("spread")] = 0.5, 2.0
    return Envelope(low, high)


async def decisions(house: House, rfq_id: str) -> list[SliceDecision]:
    return [event.decision for event in await house.events(rfq_id, ev.SliceDecided)]  # type: ignore[arg-type]


async def rebuilt_alike(house: House) -> None:
    """The state tables computed anew from the log, decisions and all, are what they are."""
    database = counted(await _opened(house), house.loop)
    found = await rebuild(database)
    assert (found.differences, found.repaired) == ((), False)
    await database.close()


async def _opened(house: House) -> Database:
    with house.loop.in_flight("opening"):
        return await Database.open(house.url)


async def test_what_the_dealers_leave_is_worked_by_the_policy_and_the_record_names_it(
    database_url: str, world: World
) -> None:
    async with House.open(database_url, world, learned=learned()) as house:
        house.offers("alpha", MID + 1, 6000)
        rfq_id = await house.submit(terms(residual=LEARNED))
        rfq = await house.until(rfq_id)
        assert (rfq.status, rfq.filled) == (RfqStatus.DONE, BLOCK)
        (parent,) = await house.events(rfq_id, ev.ParentCreated)
        assert parent.order.schedule is Schedule.LEARNED
        told = await decisions(house, rfq_id)
        assert len(told) > 20 and {(d.policy, d.version, d.guard) for d in told} == {("learned", "toy-1", "")}
        assert {d.actions[0] for d in told} == {"pace"} and {d.actions[1] for d in told} == {"all"}
        assert len({d.observation for d in told}) == len(told) and all(len(d.cost) == 3 for d in told)
        instrument = house.parts.instruments[SYMBOL]
        told_desk = await report(house.reader, rfq, instrument, {})
        worked = Worked(parent.order.parent_id, Schedule.LEARNED, "learned", "toy-1", len(told), 0)
        assert told_desk.worked == (worked,)
        assert f"worked by learned, weights toy-1: {len(told)} decisions, 0 of them by the rule" in as_table(told_desk)
        await check(house, [rfq_id])
        await rebuilt_alike(house)


async def test_where_it_has_no_experience_the_rule_takes_over_and_gives_back(database_url: str, world: World) -> None:
    async with House.open(database_url, world, learned=learned(usual_spread_only())) as house:
        rfq_id = await house.submit(terms(residual=LEARNED))
        await house.until(rfq_id, "working")
        await house.sleep(15.0)
        house.market.bid, house.market.ask = Price(BID - 40), Price(ASK + 40)
        await house.sleep(10.0)
        house.market.bid, house.market.ask = BID, ASK
        rfq = await house.until(rfq_id)
        assert rfq.filled == BLOCK
        guards = [d.guard for d in await decisions(house, rfq_id)]
        at = [place for place, guard in enumerate(guards) if guard]
        assert {guards[place] for place in at} == {"outside of training: spread"} and len(at) > 5
        assert at == list(range(at[0], at[-1] + 1)) and at[0] > 0 and at[-1] < len(guards) - 1, "while it was wide"
        rule = [d for d in await decisions(house, rfq_id) if d.guard]
        assert {d.actions for d in rule} == {("rule", "rule", "rule")} and {d.value for d in rule} == {None}
        (sliced,) = (await block_of(house.reader, rfq_id)).sliced.values()
        assert (sliced.decisions, sliced.by_rule) == (len(guards), len(rule))
        await check(house, [rfq_id])


@pytest.mark.parametrize("after", [40, 80])
async def test_it_goes_on_after_a_crash(database_url: str, world: World, after: int) -> None:
    """Another engine takes the order up from the record; what was seen before is lost with the process, and said so
    by nobody: the policy begins to look back anew."""
    async with House.open(database_url, world, learned=learned(), cut=(after, True)) as house:
        rfq_id = await house.submit(terms(residual=LEARNED))
        assert house.cut_store is not None
        await house.cut_store.cut.wait()
        await house.crash()
    async with House.open(database_url, world, holder="engine-b", seed=2, learned=learned()) as house:
        rfq = await house.until(rfq_id)
        assert rfq.filled == BLOCK
        told = await decisions(house, rfq_id)
        assert len({d.observation for d in told}) > 20 and {d.version for d in told} == {"toy-1"}
        await check(house, [rfq_id])
        await rebuilt_alike(house)

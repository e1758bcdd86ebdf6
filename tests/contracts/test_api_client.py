"""The typed client against the edge on a real socket: answers, refusals, repeats, and events across lost lines."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest
from edge_double import House, tell_groups
from stored_blocks import life_of

from rfq import client as c
from rfq.api.messages import LegBody, LimitsBody, PickBody, ResidualBody, RfqBody, SettleBody
from rfq.client import Client
from rfq.domain.rfq import RequestSide, RfqStatus
from rfq.domain.values import RfqId

BLOCK = RfqBody(
    legs=(LegBody(symbol="ACME", side=RequestSide.BUY, quantity="10000"),), residual=ResidualBody(horizon_s=60)
)
LIFE = life_of("rfq-1", desk="alpha")
LAST = sum(len(group) for group in LIFE)


@pytest.fixture(scope="module")
def shared() -> House:
    return House(event_heartbeat_s=0.2)


@pytest.fixture
async def house(shared: House) -> AsyncIterator[House]:
    shared.fresh()
    async with shared.served() as url:
        shared.url = url  # type: ignore[attr-defined]
        yield shared


@pytest.fixture
async def desk(house: House) -> AsyncIterator[Client]:
    async with Client(house.url, "k-alpha", timeout_s=5) as desk:  # type: ignore[attr-defined]
        yield desk


async def test_a_desk_at_work(house: House, desk: Client) -> None:
    rfq = await desk.create_rfq(BLOCK)
    assert (rfq.rfq_id, rfq.status, rfq.unfilled) == ("rfq-1", RfqStatus.RECEIVED, "10000")
    assert rfq.terms == BLOCK
    assert await desk.get("rfq-1") == rfq
    for _ in range(3):
        await desk.create_rfq(BLOCK)
    assert [r.rfq_id async for r in desk.rfqs()] == ["rfq-4", "rfq-3", "rfq-2", "rfq-1"]
    assert (await desk.cancel("rfq-1")).rfq.cancelling
    assert (await desk.plan(BLOCK)).expected_cost_bps == 5.0
    assert (await desk.dealers())[0].connected
    assert (await desk.instruments())[0].symbol == "ACME"
    assert (await desk.ready()).ready


async def test_what_came_of_it(house: House, desk: Client) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    assert (await desk.auctions("rfq-1"))[0].cover == "100.03"
    assert {q.quote_id for q in await desk.quotes("rfq-1")} == {"rfq-1/d1/q", "rfq-1/d2/q"}
    assert (await desk.awards("rfq-1")).lifts[0].quantity == "4000"
    assert (await desk.orders("rfq-1"))[0].children[0].filled == "5000"
    report = await desk.report("rfq-1")
    assert (report.filled, report.places[0].average_price) == (9000, Decimal("100.02"))
    assert sum(int(f.quantity) for f in await desk.fills("rfq-1")) == 9000


async def test_supervisors_and_operators(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    async with Client(house.url, "k-super") as boss:  # type: ignore[attr-defined]
        bounds = LimitsBody(largest_block="5", open_rfqs=1, largest_share_of_adv=0.5)
        assert (await boss.set_limits("alpha", bounds)) == await boss.limits("alpha")
        assert (await boss.kill("drill")).thrown and (await boss.kill_switch()).thrown
        assert not (await boss.release()).thrown
        assert len((await boss.audit("rfq-1")).events) == LAST
        assert (await boss.settle("rfq-1", SettleBody(evidence="call"))).rfq_id == "rfq-1"


async def test_refusals_carry_their_problem(house: House, desk: Client) -> None:
    with pytest.raises(c.Missing):
        await desk.get("nope")
    await desk.create_rfq(BLOCK, "key-1")
    with pytest.raises(c.BadRequest) as bad:
        await desk.award("rfq-1", PickBody(quote_id="q", quantity="1"))
    assert bad.value.problem.field == "picks[0].quantity"
    with pytest.raises(c.NotPermitted):
        await desk.kill("no")
    with pytest.raises(c.KeyReused):
        await desk.create_rfq(RfqBody(legs=BLOCK.legs), "key-1")
    async with Client(house.url, "wrong") as stranger:  # type: ignore[attr-defined]
        with pytest.raises(c.NotPermitted):
            await stranger.page()


async def test_nobody_there() -> None:
    async with Client("http://127.0.0.1:9", "k", timeout_s=1) as lost:
        with pytest.raises(c.Unreachable):
            await lost.award("rfq-1", PickBody(quote_id="q", quantity="100"))


async def test_an_answer_that_is_lost_does_not_post_twice(house: House) -> None:
    """The service acts and its answer never arrives: the client sends again under the same key."""

    class LosesAnswers(httpx.AsyncHTTPTransport):
        lost = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            if self.lost < 2:
                self.lost += 1
                await response.aread()
                raise httpx.ReadError("cut off")
            return response

    transport = LosesAnswers()
    async with Client(house.url, "k-alpha", transport=transport) as desk:  # type: ignore[attr-defined]
        rfq = await desk.create_rfq(BLOCK)
    assert (transport.lost, rfq.rfq_id, len(house.held.blocks)) == (2, "rfq-1", 1)


async def test_events_to_the_end(house: House, desk: Client) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    assert [e.sequence async for e in desk.events("rfq-1")] == list(range(1, LAST + 1))
    assert [e.sequence async for e in desk.events("rfq-1", after=LAST - 2)] == [LAST - 1, LAST]
    assert [e.sequence async for e in desk.events("rfq-1", after=LAST)] == []


async def test_events_go_on_where_a_lost_line_left_them(house: House, desk: Client) -> None:
    tell_groups(house.held, "rfq-1", LIFE[:2])
    seen: list[int] = []

    async def follow() -> None:
        async for event in desk.events("rfq-1"):
            seen.append(event.sequence)

    following = asyncio.create_task(follow())
    for group in LIFE[2:]:
        async with asyncio.timeout(5):
            while len(seen) < house.held.blocks[RfqId("rfq-1")].sequence:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        house.edge.close_streams()
        house.held.tell("rfq-1", *group)
    await asyncio.wait_for(following, 10)
    assert seen == list(range(1, LAST + 1))


async def test_waiting_until_it_is_over(house: House, desk: Client) -> None:
    tell_groups(house.held, "rfq-1", LIFE[:2])
    with pytest.raises(TimeoutError):
        await desk.wait_until_over("rfq-1", 0.3)
    asyncio.get_running_loop().call_later(0.1, tell_groups, house.held, "rfq-1", LIFE[2:])
    assert (await desk.wait_until_over("rfq-1", 10)).status is RfqStatus.DONE


async def test_events_of_nothing(house: House, desk: Client) -> None:
    with pytest.raises(c.Missing):
        async for _ in desk.events("nope"):
            pass

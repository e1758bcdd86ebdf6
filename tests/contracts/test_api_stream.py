"""The event stream over a real socket: every fact once and in order, resumed where it was left, sealed while open."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from edge_double import House, tell_groups
from examples import at, quote, request, terms
from stored_blocks import life_of

from rfq.domain import events as ev
from rfq.domain.values import AuctionId, RfqId

HEARTBEAT_S = 0.2
LIFE = life_of("rfq-1", desk="alpha")
LAST = sum(len(group) for group in LIFE)


@pytest.fixture(scope="module")
def shared() -> House:
    return House(event_heartbeat_s=HEARTBEAT_S, event_streams=3)


@pytest.fixture
async def house(shared: House) -> AsyncIterator[House]:
    shared.fresh()
    async with shared.served() as url:
        shared.url = url  # type: ignore[attr-defined]
        yield shared


def listen(house: House, last_id: int | None = None, key: str = "k-alpha", **query: Any) -> Any:
    headers = {"Authorization": f"Bearer {key}"} | ({} if last_id is None else {"Last-Event-ID": str(last_id)})
    return httpx.AsyncClient(base_url=house.url, headers=headers, timeout=5).stream(  # type: ignore[attr-defined]
        "GET", "/v1/rfqs/rfq-1/events", params=query
    )


async def read(response: httpx.Response, most: int = 1000) -> list[dict[str, Any]]:
    """Parsed messages until the stream ends or `most` have come; comments as {'comment': ...}."""
    found: list[dict[str, Any]] = []
    one: dict[str, Any] = {}
    async with asyncio.timeout(10):
        async for line in response.aiter_lines():
            if line.startswith(":"):
                found.append({"comment": line[1:].strip()})
            elif line:
                name, _, value = line.partition(": ")
                one[name] = json.loads(value) if name == "data" else value
            elif one:
                found.append(one)
                one = {}
            if len(found) >= most:
                break
    return found


def numbered(messages: list[dict[str, Any]]) -> list[int]:
    return [int(m["id"]) for m in messages if "id" in m]


async def test_a_finished_life_is_told_whole_and_ends(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    async with listen(house) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        messages = await read(response)
    assert numbered(messages) == list(range(1, LAST + 1))
    assert messages[-1] == {"event": "end", "data": {}}
    assert messages[0]["event"] == messages[0]["data"]["event"] == "RfqReceived"
    lifted = next(m for m in messages if m.get("event") == "QuoteLifted")
    assert lifted["data"]["data"]["lift"]["price"] == "100.02"


async def test_told_as_it_happens(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE[:2])
    async with listen(house) as response:
        lines = response.aiter_lines()

        async def next_ids(count: int) -> list[int]:
            ids: list[int] = []
            async with asyncio.timeout(5):
                async for line in lines:
                    if line.startswith("id: "):
                        ids.append(int(line[4:]))
                        if len(ids) == count:
                            break
            return ids

        assert await next_ids(4) == [1, 2, 3, 4]
        for group in LIFE[2:]:
            before = house.held.blocks[RfqId("rfq-1")].sequence
            house.held.tell("rfq-1", *group)
            assert await next_ids(len(group)) == list(range(before + 1, before + len(group) + 1))


@pytest.mark.parametrize("after", [0, 1, 7, LAST - 1])
async def test_resumed_by_last_event_id(house: House, after: int) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    async with listen(house, after) as response:
        assert numbered(await read(response)) == list(range(after + 1, LAST + 1))
    async with listen(house, after=after) as response:
        assert numbered(await read(response)) == list(range(after + 1, LAST + 1))


async def test_nothing_more_to_tell_is_204(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    async with listen(house, LAST) as response:
        assert response.status_code == 204
        assert await response.aread() == b""


@pytest.mark.parametrize(
    ("after", "field"), [("-1", "Last-Event-ID"), ("x", "Last-Event-ID"), ("999", "Last-Event-ID")]
)
async def test_a_place_that_is_not_in_the_stream(house: House, after: str, field: str) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    headers = {"Authorization": "Bearer k-alpha", "Last-Event-ID": after}
    async with httpx.AsyncClient(base_url=house.url, headers=headers) as http:  # type: ignore[attr-defined]
        answer = await http.get("/v1/rfqs/rfq-1/events")
    assert (answer.status_code, answer.json()["field"]) == (400, "Last-Event-ID")


async def test_a_quiet_stream_says_that_it_is_alive(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE[:1])
    async with listen(house) as response:
        messages = await read(response, most=3)
    assert [set(m) for m in messages] == [{"id", "event", "data"}, {"comment"}, {"comment"}]


async def test_events_written_by_another_process_arrive_by_the_next_heartbeat(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE[:1])
    async with listen(house) as response:
        waiting = asyncio.create_task(read(response))
        await asyncio.sleep(HEARTBEAT_S / 4)
        woken, house.held._waiting = house.held._waiting, {}
        tell_groups(house.held, "rfq-1", LIFE[1:])
        house.held._waiting = woken
        assert numbered(await waiting) == list(range(1, LAST + 1))


async def test_quotes_are_sealed_while_their_auction_is_open_and_shown_after(house: House) -> None:
    auction = AuctionId("auction-1")
    house.held.tell("rfq-1", ev.RfqReceived(RfqId("rfq-1"), "alpha", terms(), LIFE[0][0].arrival))  # type: ignore[arg-type]
    asked = ev.DealersAsked(auction, 1, at(10), (request("d1"),))
    house.held.tell("rfq-1", ev.AuctionOpened(auction), asked, ev.QuoteReceived(quote("d1", 20_004)))
    async with listen(house) as response:
        open_ = await read(response, most=4)
    sealed = open_[3]["data"]["data"]["quote"]
    assert (open_[3]["event"], sealed["sealed"], sealed["offer"], sealed["bid"]) == ("QuoteReceived", True, None, None)
    assert "100.02" not in json.dumps(open_)
    house.held.tell("rfq-1", ev.AuctionClosed(auction))
    async with listen(house) as response:
        shown = (await read(response, most=5))[3]["data"]["data"]["quote"]
    assert shown["offer"]["price"] == "100.02"


async def test_as_many_streams_as_may_be_and_not_one_more(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE[:1])
    async with listen(house) as one, listen(house) as two, listen(house) as three:
        for response in (one, two, three):
            await read(response, most=1)
        async with listen(house) as four:
            assert four.status_code == 429
    async with asyncio.timeout(5):
        while house.edge._streams:  # noqa: ASYNC110  (each leaves when its caller has gone)
            await asyncio.sleep(0.01)
    async with listen(house) as again:
        assert len(await read(again, most=1)) == 1


async def test_a_stream_closed_by_the_service_ends_without_saying_that_it_is_over(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE[:2])
    async with listen(house) as response:
        asyncio.get_running_loop().call_later(0.1, house.edge.close_streams)
        messages = await read(response)
    assert numbered(messages) == [1, 2, 3, 4]
    assert all(m.get("event") != "end" for m in messages)


async def test_a_store_that_fails_ends_the_stream_and_it_can_be_resumed(house: House) -> None:
    from rfq.domain.errors import StoreUnavailable

    tell_groups(house.held, "rfq-1", LIFE)
    reader, calls = house.edge.reader.events, 0

    async def failing(rfq_id: RfqId, after: int, limit: int) -> list[ev.Stamped]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreUnavailable("away")
        return await reader(rfq_id, after, 3)

    house.edge.reader.events = failing  # type: ignore[method-assign]
    try:
        async with listen(house) as response:
            first = await read(response)
        async with listen(house, numbered(first)[-1]) as response:
            rest = await read(response)
    finally:
        del house.edge.reader.events
    assert numbered(first) == [1, 2, 3]
    assert numbered(rest) == list(range(4, LAST + 1))

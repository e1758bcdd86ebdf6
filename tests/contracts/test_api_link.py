"""The dealers' WebSocket over a real socket: keys, subprotocols, frames both ways, closing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from edge_double import House, shared_house
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from rfq.domain.errors import PeerGone

JSON, MSGPACK = Subprotocol("sotto.v1.json"), Subprotocol("sotto.v1.msgpack")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = shared_house().fresh()
    async with house.served() as url:
        house.url = url.replace("http", "ws") + "/v1/dealers/link"  # type: ignore[attr-defined]
        yield house


def dial(house: House, key: str | None = "k-d1", *subprotocols: Subprotocol) -> connect:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url: str = house.url  # type: ignore[attr-defined]
    return connect(url, additional_headers=headers, subprotocols=subprotocols or (JSON,), open_timeout=5)


async def refused(house: House, key: str | None, *subprotocols: Subprotocol) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as turned_away:
        async with dial(house, key, *subprotocols):
            pass
    assert house.lines == []
    return turned_away.value


@pytest.mark.parametrize("key", [None, "nobody's"])
async def test_without_a_known_key(house: House, key: str | None) -> None:
    answer = (await refused(house, key)).response
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert b"urn:sotto:problem:unauthenticated" in (answer.body or b"")


@pytest.mark.parametrize("key", ["k-alpha", "k-super", "k-ops"])
async def test_for_dealers_only(house: House, key: str) -> None:
    assert (await refused(house, key)).response.status_code == 403


@pytest.mark.parametrize("offered", ["sotto.v9.json", "chat"])
async def test_a_subprotocol_that_we_speak(house: House, offered: str) -> None:
    answer = (await refused(house, "k-d1", Subprotocol(offered))).response
    assert answer.status_code == 400
    assert b"Sec-WebSocket-Protocol" in (answer.body or b"")


@pytest.mark.parametrize(
    ("offered", "chosen"), [((JSON,), JSON), ((MSGPACK,), MSGPACK), ((Subprotocol("x"), MSGPACK, JSON), MSGPACK)]
)
async def test_agrees_on_the_first_that_both_speak(
    house: House, offered: tuple[Subprotocol, ...], chosen: Subprotocol
) -> None:
    async with dial(house, "k-d1", *offered) as line:
        assert line.subprotocol == chosen
        await line.send("hello")
        await line.recv()
    assert house.lines[0][0] == "D01"
    assert house.lines[0][1].subprotocol == chosen


async def echoed(line: ClientConnection, frame: str | bytes) -> str | bytes:
    async with asyncio.timeout(5):
        await line.send(frame)
        return await line.recv()


async def test_frames_keep_their_kind(house: House) -> None:
    async with dial(house) as line:
        assert await echoed(line, "text \u20ac") == "text \u20ac"
        assert await echoed(line, b"\x00\xff") == b"\x00\xff"
        assert await echoed(line, b"") == b""


async def test_closed_by_the_service_with_its_reason(house: House) -> None:
    async with dial(house) as line:
        await line.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                await line.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "asked to")


async def test_a_dealer_that_goes_is_gone(house: House) -> None:
    async with dial(house) as line:
        await echoed(line, "hello")
    held = house.lines[0][1]
    async with asyncio.timeout(5):
        while held._open:  # noqa: ASYNC110  (the service learns of it by itself)
            await asyncio.sleep(0.01)
    with pytest.raises(PeerGone):
        await held.send("more")
    with pytest.raises(PeerGone):
        await held.recv()
    await held.close(1000, "harmless")


async def test_a_frame_too_large_ends_the_line(house: House) -> None:
    async with dial(house) as line:
        await line.send("x" * 70_000)
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                await line.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009

"""The bench's lean clients against real servers, and what it sees of a process."""

import asyncio
import os
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from rfq.domain.errors import OurFault, PeerGone
from rfq.studies.child_process import ChildProcess
from rfq.studies.lean_clients import TEXT, LeanHttp, LeanSocket


async def test_a_lean_socket_speaks_with_the_websockets_library_in_frames_of_every_length_of_head():
    async def echo(line: ServerConnection) -> None:
        assert line.request is not None and line.request.headers["Authorization"] == "Bearer secret"
        assert line.subprotocol == "echo.v1"
        await line.ping()
        async for frame in line:
            await line.send(frame)

    heard: list[bytes] = []
    async with serve(echo, "127.0.0.1", 0, subprotocols=["echo.v1"], compression=None) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        line = await LeanSocket.connect(
            "127.0.0.1", port, lambda _, payload: heard.append(payload), key="secret", subprotocol="echo.v1"
        )
        sizes = (0, 1, 125, 126, 4_000, 65_535)
        for size in sizes:
            line.send(b"x" * size)
        line.send("grüße".encode(), TEXT)
        async with asyncio.timeout(5):
            while len(heard) <= len(sizes):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert heard == [*(b"x" * size for size in sizes), "grüße".encode()]
        assert (line.sent, line.received) == (7, 7) and not line.closed
        line.close()


async def test_frames_that_arrive_in_pieces_and_together_are_put_in_order():
    heard: list[bytes] = []
    line = LeanSocket(lambda _, payload: heard.append(payload))
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"\x82\x03abc" + b"\x82\x7e\x00\x80" + b"d" * 128
    stream += b"\x82\x7f" + (70_000).to_bytes(8, "big") + b"e" * 70_000 + b"\x81\x01f"
    for at in range(0, 200):
        line.data_received(stream[at : at + 1])
    line.data_received(stream[200:])
    assert heard == [b"abc", b"d" * 128, b"e" * 70_000, b"f"] and line.opened.done()
    with pytest.raises(OurFault, match="fragmented"):
        line.data_received(b"\x02\x01a")


async def test_a_refused_upgrade_says_so():
    async def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(401, "no\n")

    async def never(_: ServerConnection) -> None:
        raise AssertionError("not let in")

    async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
        with pytest.raises(PeerGone, match="401"):
            await LeanSocket.connect("127.0.0.1", server.sockets[0].getsockname()[1], lambda *_: None)


async def test_lean_http_keeps_its_connection_and_knows_when_it_is_closed():
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in (b'{"n":1}', b""):
            head = await reader.readuntil(b"\r\n\r\n")
            requests.append(head + await reader.readexactly(2))
            whole = b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\nx: y\r\n\r\n" % len(body) + body
            writer.write(whole[:20])
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(whole[20:])
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        connection = await LeanHttp.connect("127.0.0.1", server.sockets[0].getsockname()[1])
        head = b"POST /v1/rfqs HTTP/1.1\r\nHost: x\r\n"
        assert await connection.request(head, b"{}") == (201, b'{"n":1}')
        assert await connection.request(head, b"{}") == (201, b"")
        assert requests[0] == head + b"Content-Length: 2\r\n\r\n{}"
        with pytest.raises(PeerGone):
            await connection.request(head, b"{}")
        assert connection.closed


async def test_a_child_is_heard_weighed_and_ended(tmp_path: Path):
    program = "import sys; x = bytearray(50_000_000); print('up', flush=True); sys.stdin.read(); print('down')"
    async with ChildProcess("-c", program, environ=os.environ, log=tmp_path / "log") as child:
        assert await child.line() == "up"
        assert 50 < child.resident_mb() < 200
        assert 0 <= child.cpu_s() < 10
        pid = child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_child_that_ends_too_early_leaves_its_last_words(tmp_path: Path):
    async with ChildProcess("-c", "raise SystemExit('no luck')", environ=os.environ, log=tmp_path / "log") as child:
        with pytest.raises(OurFault, match="no luck"):
            await child.line()

"""`rfq dealers example` and `rfq dealers check`: the example keeps every rule, and each broken rule is found."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dealer_bench import ACME, D1, INSTRUMENTS, Inbox, WallClock
from virtual_time import SeededIds

from dealers import commands
from dealers.check import Report
from dealers.check_dealer import DealerCheck
from dealers.check_service import ServiceCheck
from dealers.counterparty import Counterparty, Patience
from dealers.gateway import WireGateway
from dealers.listener import listen
from dealers.session import SessionBounds
from rfq.domain.errors import BadInput, PeerGone
from rfq.domain.values import Price, Quantity

KEY = "the-key-of-a-dealer"
MIDS = '{"ACME": "100.00"}'
PATIENCE = Patience(window_s=1.0, answer_s=0.5, beat_s=0.4, return_s=3.0, quiet_s=0.15)


def verdicts(report: Report) -> dict[str, str]:
    return {finding.rule.name: finding.verdict for finding in report.findings}


def counterparty() -> Counterparty:
    return Counterparty(
        ACME, Quantity(50), Price(20_000), clock=WallClock(), ids=SeededIds(), key=KEY, patience=PATIENCE
    )


async def check_program(text: str, folder: Path) -> Report:
    """Runs a dealer's program as an engineer would, in a process of its own, against the check."""
    program = folder / "dealer.py"
    program.write_text(text, encoding="utf-8")
    running: list[asyncio.Task[asyncio.subprocess.Process]] = []

    def start(line: str) -> None:
        environment = os.environ | {"SOTTO_URL": line.split()[-1], "SOTTO_KEY": KEY, "MIDS": MIDS}
        starting = asyncio.create_subprocess_exec(sys.executable, str(program), env=environment)
        running.append(asyncio.ensure_future(starting))

    try:
        return await DealerCheck(counterparty()).run("127.0.0.1", 0, wait_s=10.0, say=start)
    finally:
        for process in await asyncio.gather(*running):
            if process.returncode is None:
                process.kill()
            await process.wait()


async def check_source(text: str, key: str = KEY, mids: str = MIDS, wait_s: float = 5.0) -> Report:
    """The same in this process, for many at once."""
    running: list[asyncio.Task[None]] = []

    def start(line: str) -> None:
        os.environ |= {"SOTTO_URL": line.split()[-1], "SOTTO_KEY": key, "MIDS": mids}
        module: dict = {"__name__": "dealer"}
        exec(compile(text, "dealer.py", "exec"), module)
        headers, url = {"Authorization": f"Bearer {key}"}, os.environ["SOTTO_URL"]
        connect = module["connect"]
        module["connect"] = lambda *_, **given: connect(url, **(given | {"additional_headers": headers}))
        running.append(asyncio.ensure_future(module["main"]()))

    try:
        return await DealerCheck(counterparty()).run("127.0.0.1", 0, wait_s=wait_s, say=start)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What `check_source` sets is put back."""
    for name in ("SOTTO_URL", "SOTTO_KEY", "MIDS"):
        monkeypatch.setenv(name, "")


async def test_the_example_is_short_runs_as_printed_and_keeps_every_rule(tmp_path):
    text = commands.example_text()
    code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(code) < 85
    report = await check_program(text, tmp_path)
    assert report.passed, report.as_text()
    assert len(report.findings) == 18


BROKEN = {
    "quote": ('if request["side"] != "sell"', 'if request["side"] == "two_way"'),
    "sides": ('if request["side"] != "buy"', 'if request["side"] == "sell"'),
    "symbol": ('return {"type": "decline", "request_id": name, "reason": "unknown_symbol"}', "return None"),
    "lift": ('"type": "confirm" if ours else "refuse"', '"type": "refuse"'),
    "again": (
        'return said.setdefault(lift_id, {"type": "confirm" if ours else "refuse", "lift_id": lift_id})',
        'said[lift_id] = {"type": "refuse" if lift_id in said or not ours else "confirm", "lift_id": lift_id}\n'
        "            return said[lift_id]",
    ),
    "status": ('state = STATES[said[lift_id]["type"]]', 'state = "refused"'),
    "stale": (" in quoted\n", " in quoted or True\n"),
    "unknown": ('            said.setdefault(lift_id, {"type": "refuse"', '            {}.setdefault(lift_id, {"": ""'),
    "trade": ('return {"type": "trade_ack", "lift_id": lift_id}', "return None"),
    "notices": ('case "error" | "logout":', 'case "outcome":\n            raise RuntimeError\n        case "error":'),
    "newer": ('case "error" | "logout":', 'case "weather":\n            raise RuntimeError\n        case "error":'),
    "resumed": ('"quote_id": "q1", "valid', '"quote_id": f"q{len(request)}", "valid'),
    "garbage": ('print("not understood:", frame, flush=True)', "raise"),
    "heartbeat": ("await asyncio.sleep(every_s)", "await asyncio.sleep(every_s * 1000)"),
    "return": ('"session_id": heard["session_id"], ', ""),
    "repeat": ('"quote_id": "q1", "valid', '"quote_id": f"q{len(quoted)}", "valid'),
    "mistakes": ("await socket.send('{\"type\": \"heartbeat\"}')", "await socket.send('{\"type\": \"ping\"}')"),
}


async def test_each_broken_rule_is_found():
    """One mutant of the example for each rule; all checked at once."""
    text = commands.example_text()

    async def check(rule: str) -> tuple[str, Report]:
        before, after = BROKEN[rule]
        assert text.count(before) == 1, f"{rule}: the example has changed"
        return rule, await check_source(text.replace(before, after))

    for rule, report in await asyncio.gather(*(check(rule) for rule in BROKEN)):
        assert verdicts(report)[rule] == "FAIL", f"{rule}\n{report.as_text()}"
        assert not report.passed
    assert set(BROKEN) == set(verdicts(report)) - {"logon"}, "every rule is broken once"


async def test_a_dealer_that_shows_another_key_is_told_from_one_that_fails():
    report = await check_source(commands.example_text(), key="another", wait_s=1.0)
    assert verdicts(report)["logon"] == "FAIL" and set(verdicts(report).values()) == {"FAIL", "unchecked"}
    assert "showed another key" in report.as_text()


async def test_a_dealer_that_declines_everything_is_not_called_good():
    report = await check_source(commands.example_text(), mids="{}")
    assert verdicts(report)["quote"] == "unchecked" and not report.passed
    assert "name one that it quotes" in report.as_text()


# --- checking a service ------------------------------------------------------------------------------------------


@asynccontextmanager
async def service(kind: type[WireGateway] = WireGateway, who=None, **bounds):
    gateway = kind(
        clock=WallClock(), ids=SeededIds(), instruments=INSTRUMENTS, session_bounds=SessionBounds(**bounds)
    )
    gateway.attach(Inbox())
    async with gateway, listen(gateway, who or {KEY: D1}.get) as url:
        yield url


async def test_our_own_service_keeps_every_rule():
    said: list[str] = []
    async with service(heartbeat_s=0.3) as url:
        assert await commands.check_service(url, KEY, say=said.append) == 0
    assert said[-1].endswith("13 of 13 rules kept")


class Brittle(WireGateway):
    """Hangs up on whatever it does not understand."""

    def _take(self, line, session, frame, received_at):
        try:
            session.codec.decode(frame)
        except Exception:
            session.cut("gone")
            return
        super()._take(line, session, frame, received_at)


class Forgetful(WireGateway):
    """Never knows a session again."""

    def _welcome(self, line, session, logon):
        self.session_id += "x"
        super()._welcome(line, session, logon)


class Mute(WireGateway):
    async def _pulse(self):
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        (Brittle, {"malformed", "fields", "errors"}),
        (Forgetful, {"resume", "future"}),
        (Mute, {"heartbeat"}),
    ],
)
async def test_a_service_that_breaks_rules_is_told_which(kind, rules):
    async with service(kind, heartbeat_s=0.3) as url:
        report = await ServiceCheck(url, KEY).run()
    assert {name for name, verdict in verdicts(report).items() if verdict == "FAIL"} == rules, report.as_text()


async def test_a_service_that_lets_anyone_in_is_found():
    async with service(who=lambda _: D1, heartbeat_s=0.3) as url:
        said: list[str] = []
        assert await commands.check_service(url, KEY, say=said.append) == 1
    assert "let in a connection with an unknown key" in said[-1]


async def test_no_server_and_no_url_are_said_plainly():
    with pytest.raises(PeerGone, match="no server"):
        await commands.check_service("ws://127.0.0.1:9/", KEY, say=print)
    for url in ("http://127.0.0.1/", "ws:///x", "ws://127.0.0.1:99999/"):
        with pytest.raises(BadInput, match="url"):
            await commands.check_service(url, KEY, say=print)

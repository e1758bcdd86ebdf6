"""`rfq replay` to its end on the recorded day: every lot accounted for, fill by fill."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rfq.domain.fill import Where
from rfq.domain.rfq import RequestSide, Schedule
from rfq.replay import account, run

GOOG = "lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip"


async def test_a_block_on_the_recorded_book(data_folder: Path) -> None:
    said: list[str] = []
    status = await run(
        data_folder / GOOG,
        side=RequestSide.BUY,
        quantity="30000",
        begin="10:00",
        horizon_s=300.0,
        participation=0.5,
        schedule=Schedule.TWAP,
        dealers=4,
        speed=60.0,
        latency_s=0.01,
        say=said.append,
    )
    page = "\n".join(said)
    assert status == 0 and page.endswith("adds up"), page
    assert "buy 30000 GOOG, arrival" in page and "twap" in page


async def test_a_block_on_recorded_ticks(data_folder: Path) -> None:
    folder = data_folder / "us_equity_tick_nbbo" / "ibm"
    said: list[str] = []
    status = await run(
        folder / "20131008_quote.zip",
        trades=folder / "20131008_trade.zip",
        side=RequestSide.SELL,
        quantity="30000",
        begin="10:00",
        horizon_s=300.0,
        participation=0.5,
        schedule=Schedule.TWAP,
        dealers=4,
        speed=60.0,
        latency_s=0.01,
        say=said.append,
    )
    page = "\n".join(said)
    assert status == 0 and page.endswith("adds up"), page
    assert "sell 30000 IBM, arrival" in page and "20131008_quote.zip" in page


def test_lots_that_went_missing_are_noticed() -> None:
    def fill(where: Where, quantity: str) -> Any:
        return SimpleNamespace(where=where, quantity=quantity)

    def parent(quantity: str, filled: str) -> Any:
        return SimpleNamespace(quantity=quantity, filled=filled)

    fills = [fill(Where.QUOTE, "60"), fill(Where.LIT, "25"), fill(Where.DARK, "5")]
    assert account(Decimal(100), fills, [parent("40", "30")])[0]
    assert not account(Decimal(100), fills[:2], [parent("40", "30")])[0], "a fill lost"
    assert not account(Decimal(100), fills, [parent("50", "30")])[0], "more worked than was left"
    assert account(Decimal(100), fills[:1], [])[0], "forty not traded, and said so"

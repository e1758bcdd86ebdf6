"""Reading US equity ticks: sides carried forward, what is wrong with a bad file said with its line, real days whole."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from lit_router.market.nbbo import TickDay, read
from rfq.domain.errors import BadInput

OPEN = 34_200_000
QUOTES = [
    f"{OPEN - 500},1000000,300,0,0,N,1,0",
    f"{OPEN - 400},0,0,1000200,200,N,1,0",
    f"{OPEN + 100},1000000,300,0,0,Q,1,0",
    f"{OPEN + 200},1000100,100,0,0,Q,1,0",
    f"{OPEN + 200},0,0,1000300,500,P,1,0",
    f"{OPEN + 300},1,1,0,0,P,1,1",
    f"{OPEN + 400},0,0,1000100,500,P,1,0",
    "57600000,0,0,1000200,500,P,1,0",
]
TRADES = [
    f"{OPEN - 10},1000000,100,P,2000,0",
    f"{OPEN + 5},1000100,7,D,1,0",
    f"{OPEN + 6},1000100,900,N,40,0",
    f"{OPEN + 6},1000100,900,N,4000000,0",
    f"{OPEN + 7},1000200,50,Q,20000020,0",
    f"{OPEN + 8},1000200,50,Q,1,1",
]


def write(folder: Path, kind: str, lines: list[str], stem: str = "20131007_acme") -> Path:
    path = folder / f"{kind}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}_{kind}_Tick.csv", "".join(f"{line}\n" for line in lines))
    return path


def written(folder: Path, trades: list[str] = TRADES, quotes: list[str] = QUOTES) -> TickDay:
    return read(write(folder, "Trade", trades), write(folder, "Quote", quotes))


def test_quotes_are_carried_forward_from_what_stood_at_the_open(tmp_path: Path) -> None:
    day = written(tmp_path)
    assert (day.symbol, day.ends_s) == ("ACME", 23_400.0)
    assert day.begins_at.isoformat() == "2013-10-07T13:30:00+00:00"
    assert day.quote_times_s.tolist() == [0.0, 0.2, 0.2, 0.4], "one row a change: the third line restates the first"
    assert day.bids.tolist() == [1_000_000, 1_000_100, 1_000_100, 1_000_100]
    assert day.bid_lots.tolist() == [300, 100, 100, 100]
    assert day.asks.tolist() == [1_000_200, 1_000_200, 1_000_300, 1_000_100]
    assert day.ask_lots.tolist() == [200, 200, 500, 500]
    assert day.crossed.tolist() == [False, False, False, True]


def test_trades_of_the_session_are_kept_and_told_apart(tmp_path: Path) -> None:
    day = written(tmp_path)
    assert day.trade_times_s.tolist() == [0.005, 0.006, 0.007], "the official open repeats the auction's print"
    assert day.trade_lots.tolist() == [7, 900, 50]
    assert day.trade_prices.tolist() == [1_000_100, 1_000_100, 1_000_200]
    assert day.off_exchange.tolist() == [True, False, False]
    assert day.ordinary.tolist() == [True, False, True]
    assert day.dropped == 2


def test_a_side_not_yet_quoted_is_absent(tmp_path: Path) -> None:
    day = written(tmp_path, quotes=[QUOTES[2], *QUOTES[4:]])
    assert (day.asks[0], day.ask_lots[0], day.crossed[0]) == (0, 0, False)


def changed(lines: list[str], line: int, text: str) -> list[str]:
    return [text if number == line else old for number, old in enumerate(lines, 1)]


@pytest.mark.parametrize(
    ("kind", "line", "text", "rule"),
    [
        ("Quote", 4, f"{OPEN},1000100,100,0,0,Q,1,0", "earlier than the line before"),
        ("Quote", 4, f"{OPEN + 200},1000100,100,0,0,Q,1", "8 columns"),
        ("Quote", 4, "", "8 columns"),
        ("Quote", 4, f"{OPEN + 200},1000100,many,0,0,Q,1,0", "whole number"),
        ("Quote", 4, f"{OPEN + 200},100.5,100,0,0,Q,1,0", "whole number"),
        ("Quote", 4, f"{OPEN + 200},{10**30},100,0,0,Q,1,0", "whole number"),
        ("Quote", 4, f"{OPEN + 200},1000100,-100,0,0,Q,1,0", "negative size"),
        ("Quote", 4, f"{OPEN + 200},-1000100,100,0,0,Q,1,0", "negative price"),
        ("Quote", 4, f"{OPEN + 200},1000100,0,0,0,Q,1,0", "beside a price of the bid"),
        ("Quote", 5, f"{OPEN + 200},0,0,0,500,Q,1,0", "beside a price of the ask"),
        ("Quote", 5, f"{OPEN + 200},0,0,0,0,Q,1,0", "a bid or an ask"),
        ("Quote", 4, f"{OPEN + 200},1000100,100,0,0,Q,1,5", "0 or 1"),
        ("Quote", 8, "86400000,0,0,1000200,500,P,1,0", "after midnight"),
        ("Trade", 3, f"{OPEN + 6},1000100,0,N,40,0", "positive size"),
        ("Trade", 3, f"{OPEN + 6},0,900,N,40,0", "positive price"),
        ("Trade", 3, f"{OPEN + 6},1000100,900,N,regular,0", "hexadecimal"),
        ("Trade", 3, f"{OPEN + 4},1000100,900,N,40,0", "earlier than the line before"),
        ("Trade", 3, f"{OPEN + 6},1000100,900,40,0", "6 columns"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, kind: str, line: int, text: str, rule: str) -> None:
    trades = changed(TRADES, line, text) if kind == "Trade" else TRADES
    quotes = changed(QUOTES, line, text) if kind == "Quote" else QUOTES
    with pytest.raises(BadInput) as refused:
        written(tmp_path, trades, quotes)
    assert refused.value.field == f"20131007_acme_{kind}_Tick.csv:{line}"
    assert rule in refused.value.rule


def test_files_that_cannot_be_read_or_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    trades, quotes = write(tmp_path, "Trade", TRADES), write(tmp_path, "Quote", QUOTES)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"not a zip")
    with pytest.raises(BadInput, match="readable zip"):
        read(broken, quotes)
    with pytest.raises(BadInput, match="readable zip"):
        read(trades, tmp_path / "missing.zip")
    with pytest.raises(BadInput, match="exactly one file named DAY_SYMBOL_Trade_Tick"):
        read(quotes, trades)
    with pytest.raises(BadInput, match="same stock and day"):
        read(trades, write(tmp_path, "Quote", QUOTES, "20131008_acme"))
    with pytest.raises(BadInput, match="must be named"):
        read(write(tmp_path, "Trade", TRADES, "20131399_acme"), quotes)


def test_a_file_without_a_session_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must not be empty"):
        written(tmp_path, trades=[])
    with pytest.raises(BadInput, match="must have a trade"):
        written(tmp_path, trades=TRADES[:1])
    with pytest.raises(BadInput, match="bid below an ask"):
        written(tmp_path, quotes=QUOTES[:1])


def test_real_days_read_whole(data_folder: Path) -> None:
    folder = data_folder / "us_equity_tick_nbbo"
    for stock, off_exchange in (("bac", 0.41), ("ibm", 0.32)):
        day = read(folder / stock / "20131008_trade.zip", folder / stock / "20131008_quote.zip")
        assert day.off_exchange.mean() == pytest.approx(off_exchange, abs=0.01)
        assert (day.bid_lots > 0).all() and (day.ask_lots > 0).all()
        assert (np.diff(day.quote_times_s) >= 0).all() and day.quote_times_s[0] == 0
        assert 0 < day.crossed.mean() < 0.05
        assert not (day.bids % 100).any() and not (day.asks % 100).any()
        slot = np.searchsorted(day.quote_times_s, day.trade_times_s, side="left") - 1
        listed = day.ordinary & ~day.off_exchange & ~day.crossed[slot] & (slot >= 0)
        within = (day.trade_prices >= day.bids[slot]) & (day.trade_prices <= day.asks[slot])
        assert within[listed].mean() > 0.97, "trades fall between the quotes before them"

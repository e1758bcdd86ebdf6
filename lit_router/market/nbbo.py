"""Reads one stock's day of US equity ticks: the best bid and offer of all exchanges together (NBBO), and the trades.

Two zips with one CSV each, named DAY_SYMBOL_Quote_Tick.csv and DAY_SYMBOL_Trade_Tick.csv, in milliseconds after
midnight (New York) and prices x 10,000:

- quote: time, bid price, bid size, ask price, ask size, exchange, condition, suspicious. A row changes one side; the
  other one's price and size are 0 and what was quoted before stands.
- trade: time, price, size, exchange, condition, suspicious. Exchange D is off exchange (dark pools and wholesalers).

Source: QuantConnect Lean, format of US equity tick data; conditions are its TradeConditionFlags in hexadecimal.
"""

import io
import re
import zipfile
import zlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lit_router.market.lobster import NEW_YORK, Ints, at_line
from rfq.domain.errors import BadInput
from rfq.domain.values import Symbol

OFF_EXCHANGE = b"D"
OPEN_MS, CLOSE_MS = 34_200_000, 57_600_000
"""09:30 and 16:00: nothing outside of them is kept."""
LARGEST = 10**10
"""No price or size is larger: beyond it sums could overflow."""
OFFICIAL_PRICES = 0x0100_0000 | 0x0400_0000
"""Conditions of reports that are no trades: the official open and close, which repeat an auction's print."""
SPECIAL = (
    0x2 | 0x4 | 0x8  # Cash, next day, seller's option.
    | 0x40 | 0x80 | 0x100  # Opening, closing, reopening auction.
    | 0x200 | 0x400 | 0x800  # Price derived from elsewhere, form T, sold.
    | 0x1000 | 0x2000 | 0x4000  # Stopped, extended hours, out of sequence.
    | 0x10_0000 | 0x20_0000 | 0x200_0000  # Average price, cross, prior reference price.
)  # fmt: skip
"""Conditions of trades whose price or time says nothing about the quotes of that moment."""

Times = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_NAME = re.compile(r"(?P<day>\d{8})_(?P<symbol>[A-Za-z.]+)_(?P<kind>Quote|Trade)_Tick\.csv$")
_QUOTE = np.dtype([("ms", "i8"), ("bid", "i8"), ("bid_lots", "i8"), ("ask", "i8"), ("ask_lots", "i8"),
                   ("exchange", "S2"), ("condition", "S16"), ("suspicious", "i8")])  # fmt: skip
_TRADE = np.dtype([("ms", "i8"), ("price", "i8"), ("lots", "i8"), ("exchange", "S2"), ("condition", "S16"),
                   ("suspicious", "i8")])  # fmt: skip


class TickDay(NamedTuple):
    """One stock's session, 09:30 to 16:00. Times are seconds after `begins_at` (UTC), prices in units of 0.0001, sizes
    in shares.

    Quotes have a row for each change of the NBBO, with both sides as they then stood (price and size 0 before a side
    was ever quoted); the first one is at 0 s, what stood at the open. `crossed` marks rows with bid >= ask: locked
    or crossed. `off_exchange` trades have code D. Trades that are not `ordinary` (auctions, crosses, average prices,
    out of sequence) count as volume and say nothing about the quotes. `dropped` counts rows marked suspicious, which
    are left out.
    """

    symbol: Symbol
    begins_at: datetime
    ends_s: float
    quote_times_s: Times
    bids: Ints
    bid_lots: Ints
    asks: Ints
    ask_lots: Ints
    crossed: Flags
    trade_times_s: Times
    trade_prices: Ints
    trade_lots: Ints
    off_exchange: Flags
    ordinary: Flags
    dropped: int


def read(trades: Path, quotes: Path) -> TickDay:
    """Reads and checks both zips.

    Raises BadInput with `file:line` for whatever is wrong with one, and if they are not of the same stock and day.
    """
    trade_name, trade_text = _member(trades, "Trade")
    quote_name, quote_text = _member(quotes, "Quote")
    day, symbol, _ = _named(trade_name)
    if _named(quote_name)[:2] != (day, symbol):
        raise BadInput(str(quotes), quote_name, f"must be of the same stock and day as {trade_name}")
    prints, quoted = _table(trade_name, trade_text, _TRADE), _table(quote_name, quote_text, _QUOTE)
    _check_trades(trade_name, prints)
    _check_quotes(quote_name, quoted)
    conditions = _conditions(trade_name, prints["condition"])
    clean, sound = prints["suspicious"] == 0, quoted["suspicious"] == 0
    session = clean & (prints["ms"] >= OPEN_MS) & (prints["ms"] < CLOSE_MS) & (conditions & OFFICIAL_PRICES == 0)
    printed = prints[session]
    ms, sides = _nbbo(quoted[sound])
    bids, bid_lots, asks, ask_lots = sides
    crossed = (bid_lots > 0) & (ask_lots > 0) & (bids >= asks)
    if not len(printed):
        raise BadInput(trade_name, 0, "must have a trade between 09:30 and 16:00")
    if not ((bid_lots > 0) & (ask_lots > 0) & ~crossed).any():
        raise BadInput(quote_name, 0, "must have a bid below an ask between 09:30 and 16:00")
    midnight = datetime.combine(day, datetime.min.time(), NEW_YORK)
    return TickDay(
        symbol=symbol,
        begins_at=(midnight + timedelta(milliseconds=OPEN_MS)).astimezone(UTC),
        ends_s=(CLOSE_MS - OPEN_MS) / 1000,
        quote_times_s=(ms - OPEN_MS) / 1000,
        bids=bids,
        bid_lots=bid_lots,
        asks=asks,
        ask_lots=ask_lots,
        crossed=crossed,
        trade_times_s=(printed["ms"] - OPEN_MS) / 1000,
        trade_prices=printed["price"].copy(),
        trade_lots=printed["lots"].copy(),
        off_exchange=printed["exchange"] == OFF_EXCHANGE,
        ordinary=conditions[session] & SPECIAL == 0,
        dropped=int((~clean).sum() + (~sound).sum()),
    )


def _nbbo(quoted: np.ndarray) -> tuple[Ints, tuple[Ints, Ints, Ints, Ints]]:
    """Each side carried forward, from what stood at the open; rows that change nothing left out."""
    quoted = quoted[quoted["ms"] < CLOSE_MS]
    rows = np.arange(len(quoted))
    filled: list[Ints] = []
    for price, lots in (("bid", "bid_lots"), ("ask", "ask_lots")):
        known = np.maximum.accumulate(np.where(quoted[price] > 0, rows, -1))
        filled += [np.where(known >= 0, quoted[column][known], 0) for column in (price, lots)]
    first = max(0, int(np.searchsorted(quoted["ms"], OPEN_MS, side="right")) - 1)
    kept = np.stack(filled)[:, first:]
    changed = np.ones(kept.shape[1], dtype=bool)
    changed[1:] = (kept[:, 1:] != kept[:, :-1]).any(axis=0)
    bids, bid_lots, asks, ask_lots = kept[:, changed]
    return np.maximum(quoted["ms"][first:][changed], OPEN_MS), (bids, bid_lots, asks, ask_lots)


def _member(path: Path, kind: str) -> tuple[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name for name in archive.namelist() if name.endswith(f"_{kind}_Tick.csv")]
            if len(found) != 1:
                raise BadInput(str(path), found, f"must contain exactly one file named DAY_SYMBOL_{kind}_Tick.csv")
            return found[0], archive.read(found[0])
    except (OSError, zipfile.BadZipFile, zlib.error) as broken:
        raise BadInput(str(path), type(broken).__name__, f"must be a readable zip file ({broken})") from broken


def _named(name: str) -> tuple[date, Symbol, str]:
    found = _NAME.search(name)
    try:
        if found is not None:
            day = datetime.strptime(found["day"], "%Y%m%d").date()
            return day, Symbol(found["symbol"].upper()), found["kind"]
    except ValueError:
        pass
    raise BadInput(name, name, "must be named DAY_SYMBOL_Quote_Tick.csv or DAY_SYMBOL_Trade_Tick.csv")


def _table(name: str, text: bytes, kind: np.dtype) -> np.ndarray:
    """The CSV as a structured array. The fast reader says little about what is wrong, so a bad file is read by line."""
    if not text.strip():
        raise BadInput(f"{name}:1", "", "must not be empty")
    try:
        table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=kind, ndmin=1, comments=None)
    except ValueError as reason:
        raise _first_bad_line(name, text, kind) from reason
    if len(table) != len(text.splitlines()):
        raise _first_bad_line(name, text, kind)
    return table


def _first_bad_line(name: str, text: bytes, kind: np.dtype) -> BadInput:
    columns = [column[0].kind for column in (kind.fields or {}).values()]
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(), 1):
        fields = line.split(",")
        if len(fields) != len(columns):
            return BadInput(f"{name}:{number}", line, f"must have {len(columns)} columns")
        for column, field in zip(columns, fields, strict=True):
            if column == "i" and not re.fullmatch(r" *[-+]?\d{1,18} *", field, re.ASCII):
                return BadInput(f"{name}:{number}", field, "must be a whole number")
    return BadInput(name, "", "could not be read")


def _conditions(name: str, column: np.ndarray) -> Ints:
    """Hexadecimal flags as numbers; a file has only a few different ones."""
    distinct, place = np.unique(column, return_inverse=True)
    flags = []
    for code in distinct.tolist():
        try:
            flags.append(int(code, 16))
        except ValueError:
            raise at_line(name, column == code, code.decode("ascii", "replace"), "must be hexadecimal") from None
    return np.array(flags, dtype=np.int64)[place]


def _check_trades(name: str, prints: np.ndarray) -> None:
    _check(
        name,
        *_clock(prints),
        (_outside(prints["price"], least=1), prints["price"], "must be a positive price"),
        (_outside(prints["lots"], least=1), prints["lots"], "must be a positive size"),
    )


def _check_quotes(name: str, quoted: np.ndarray) -> None:
    _check(name, *_clock(quoted))
    for side in ("bid", "ask"):
        price, lots = quoted[side], quoted[f"{side}_lots"]
        _check(
            name,
            (_outside(price, least=0), price, "must not be a negative price"),
            (_outside(lots, least=0), lots, "must not be a negative size"),
            ((price > 0) != (lots > 0), lots, f"must be positive beside a price of the {side}, else 0"),
        )
    _check(name, ((quoted["bid"] == 0) & (quoted["ask"] == 0), quoted["bid"], "must quote a bid or an ask"))


def _clock(table: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, str]]:
    ms, suspicious = table["ms"], table["suspicious"]
    return [
        ((ms < 0) | (ms >= 86_400_000), ms, "must be milliseconds after midnight"),
        (np.diff(ms, prepend=ms[0]) < 0, ms, "must not be earlier than the line before"),
        ((suspicious != 0) & (suspicious != 1), suspicious, "must be 0 or 1 (suspicious)"),
    ]


def _outside(values: np.ndarray, *, least: int) -> np.ndarray:
    return (values < least) | (values > LARGEST)


def _check(name: str, *rules: tuple[np.ndarray, np.ndarray, str]) -> None:
    for bad, values, rule in rules:
        if bad.any():
            raise at_line(name, bad, int(values[np.argmax(bad)]), rule)

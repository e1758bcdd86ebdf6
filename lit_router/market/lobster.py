"""Reads a LOBSTER sample: a zip with one message and one orderbook CSV, row for row.

Message: seconds after midnight (New York), type, order id, size, price x 10,000, direction of the resting order
(1 buy, -1 sell). Types: 1 add, 2 partial cancel, 3 delete, 4 execution, 5 hidden execution, 6 cross, 7 halt.
Orderbook: ask price, ask size, bid price, bid size for each level, the state after the message; an absent level has
a price of 9,999,999,999 (ask) or its negative (bid). Source: lobsterdata.com, readme of the sample files.
"""

import io
import re
import zipfile
import zlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from rfq.domain.errors import BadInput
from rfq.domain.values import Instrument, Price, Quantity, Symbol, TickBand

ADD, PARTIAL_CANCEL, DELETE, EXECUTION, HIDDEN_EXECUTION, CROSS, HALT = 1, 2, 3, 4, 5, 6, 7
FALL, DARK_PRINT, PRINT, UNMOVED = 8, 9, 10, 11
"""Messages of recordings that are no LOBSTER files, where only the best prices are known: see `top_of_book`."""
TRADES = (EXECUTION, HIDDEN_EXECUTION, DARK_PRINT, PRINT)
"""Messages that are volume."""
PRICE_UNIT = Decimal("0.0001")
TICK = 100
ABSENT = 9_999_999_999
NEW_YORK = ZoneInfo("America/New_York")
_NAME = re.compile(
    r"(?P<symbol>[A-Z.]+)_(?P<day>\d{4}-\d\d-\d\d)_(?P<begin>\d+)_(?P<end>\d+)_(message|orderbook)_\d+\.csv$"
)

Ints = npt.NDArray[np.int64]


class Recording(NamedTuple):
    """One instrument's recorded day. Times are seconds after `begins_at`, prices in units of 0.0001, sizes shares.

    `asks` and `bids` have shape (messages, levels, 2), price and size, size 0 where a level is absent. `added_at` is
    for each message the row in which its order was added, -1 if that was before the recording or is not known.
    `crossed` marks rows after which the quotes are locked or crossed, and nobody can say where the market is; None:
    never.
    """

    symbol: Symbol
    begins_at: datetime
    ends_s: float
    times_s: npt.NDArray[np.float64]
    kinds: Ints
    sizes: Ints
    prices: Ints
    buys: npt.NDArray[np.bool_]
    asks: Ints
    bids: Ints
    added_at: Ints
    crossed: npt.NDArray[np.bool_] | None = None

    @property
    def mids(self) -> Ints:
        """Mid after each message, in price units; -1 while a side is empty or the quotes are crossed."""
        both = (self.asks[:, 0, 1] > 0) & (self.bids[:, 0, 1] > 0)
        if self.crossed is not None:
            both &= ~self.crossed
        return np.where(both, (self.asks[:, 0, 0] + self.bids[:, 0, 0]) // 2, -1)


def read(path: Path) -> Recording:
    """Reads and checks a LOBSTER zip. Raises BadInput naming file, line and rule for whatever is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            message_name, book_name = (_member(archive, path, kind) for kind in ("message", "orderbook"))
            message_text, book_text = archive.read(message_name), archive.read(book_name)
    except (OSError, zipfile.BadZipFile, zlib.error) as broken:
        raise BadInput(str(path), type(broken).__name__, f"must be a readable zip file ({broken})") from broken
    name = _NAME.search(message_name)
    if name is None:
        raise BadInput(message_name, message_name, "must be named SYMBOL_DATE_BEGIN_END_message_LEVELS.csv")
    messages = _table(message_name, message_text, floats=True, columns=6)
    book = _table(book_name, book_text, floats=False, columns=None)
    book_columns = book.shape[1]
    if book_columns % 4:
        raise BadInput(f"{book_name}:1", book_columns, "must have four columns for each level")
    if len(messages) != len(book):
        shorter = message_name if len(messages) < len(book) else book_name
        rows = min(len(messages), len(book))
        raise BadInput(f"{shorter}:{rows + 1}", "end of file", "is truncated: the other file goes on")
    levels = book.reshape(len(book), book_columns // 4, 2, 2)
    begin_s = int(name["begin"]) / 1000
    _check_messages(message_name, messages)
    _check_book(book_name, levels)
    asks, bids = levels[:, :, 0].copy(), levels[:, :, 1].copy()
    for side in (asks, bids):
        side[np.abs(side[:, :, 0]) == ABSENT] = 0
    kinds, ids = messages[:, 1].astype(np.int64), messages[:, 2].astype(np.int64)
    midnight = datetime.combine(date.fromisoformat(name["day"]), datetime.min.time(), NEW_YORK)
    return Recording(
        symbol=Symbol(name["symbol"]),
        begins_at=(midnight + timedelta(seconds=begin_s)).astimezone(ZoneInfo("UTC")),
        ends_s=int(name["end"]) / 1000 - begin_s,
        times_s=messages[:, 0] - begin_s,
        kinds=kinds,
        sizes=messages[:, 3].astype(np.int64),
        prices=messages[:, 4].astype(np.int64),
        buys=messages[:, 5] > 0,
        asks=asks,
        bids=bids,
        added_at=_added_at(kinds, ids),
    )


def instrument_of(recording: Recording) -> Instrument:
    """The recorded stock as an instrument: unit 0.0001, tick 0.01, with the day's own volume, volatility, spread."""
    mids = recording.mids
    known = mids > 0
    minutes = np.arange(0.0, recording.ends_s, 60.0)
    rows = np.searchsorted(recording.times_s[known], minutes, side="right") - 1
    sampled = mids[known][rows[rows >= 0]].astype(float)
    spreads = (recording.asks[known, 0, 0] - recording.bids[known, 0, 0]) / mids[known] * 1e4
    executed = np.isin(recording.kinds, TRADES)
    return Instrument(
        symbol=recording.symbol,
        currency="USD",
        price_unit=PRICE_UNIT,
        tick_bands=(TickBand(Price(0), TICK),),
        adv=Quantity(int(recording.sizes[executed].sum())),
        volatility_bps=float(np.sqrt(np.sum(np.diff(np.log(sampled)) ** 2)) * 1e4),
        spread_bps=float(np.median(spreads)),
    )


def _member(archive: zipfile.ZipFile, path: Path, kind: str) -> str:
    found = [name for name in archive.namelist() if f"_{kind}_" in name and name.endswith(".csv")]
    if len(found) != 1:
        raise BadInput(str(path), found, f"must contain exactly one {kind} CSV")
    return found[0]


def _table(name: str, text: bytes, *, floats: bool, columns: int | None) -> np.ndarray:
    """The CSV as an array. The fast reader says little about what is wrong, so a bad file is read again by line."""
    if not text.strip():
        raise BadInput(f"{name}:1", "", "must not be empty")
    kind = np.float64 if floats else np.int64
    try:
        table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=kind, ndmin=2, comments=None)
    except ValueError as reason:
        raise _first_bad_line(name, text, float if floats else int) from reason
    if columns is not None and table.shape[1] != columns:
        raise BadInput(f"{name}:1", table.shape[1], f"must have {columns} columns")
    if floats and not np.isfinite(table).all():
        raise at_line(name, np.asarray(~np.isfinite(table).all(axis=1)), "a number", "must be finite")
    return table


def _first_bad_line(name: str, text: bytes, parse: type[float] | type[int]) -> BadInput:
    width = None
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(), 1):
        fields = line.split(",")
        width = width or len(fields)
        if len(fields) != width:
            return BadInput(f"{name}:{number}", line, f"must have {width} columns, as the first line")
        for field in fields:
            try:
                parse(field)
            except ValueError:
                return BadInput(f"{name}:{number}", field, "must be a number")
    return BadInput(name, "", "could not be read")


def at_line(name: str, bad: np.ndarray, value: object, rule: str) -> BadInput:
    """What is wrong with the first row that is `bad`, one line of the file being one row."""
    return BadInput(f"{name}:{int(np.argmax(bad)) + 1}", value, rule)


def _check_messages(name: str, messages: np.ndarray) -> None:
    times, kinds, sizes, prices, directions = (messages[:, column] for column in (0, 1, 3, 4, 5))
    checks = (
        (np.diff(times, prepend=times[0]) < 0, times, "must not be earlier than the line before"),
        (~np.isin(kinds, range(1, 8)), kinds, "must be a message type from 1 to 7"),
        ((sizes <= 0) & (kinds != HALT), sizes, "must be a positive size"),
        ((prices <= 0) & (kinds != HALT), prices, "must be a positive price"),
        ((kinds == HALT) & ~np.isin(prices, (-1, 0, 1)), prices, "must be -1, 0 or 1 in a halt message"),
        ((np.abs(directions) != 1) & (kinds != HALT), directions, "must be a direction, 1 or -1"),
    )
    for bad, values, rule in checks:
        if bad.any():
            raise at_line(name, bad, float(values[np.argmax(bad)]), rule)


def _check_book(name: str, levels: np.ndarray) -> None:
    prices, sizes = levels[..., 0], levels[..., 1]
    present = np.abs(prices) != ABSENT
    negative = ((sizes < 0) | ((sizes == 0) & present) | (present & (prices <= 0))).any(axis=(1, 2))
    if negative.any():
        raise at_line(name, negative, "a level", "must have a positive price and size, or be absent")
    both = present[:, 0].all(axis=1)
    crossed = both & (prices[:, 0, 0] <= prices[:, 0, 1])
    if crossed.any():
        row = int(np.argmax(crossed))
        shown = f"ask {prices[row, 0, 0]}, bid {prices[row, 0, 1]}"
        raise at_line(name, crossed, shown, "must not be crossed or locked")
    deeper = present[:, 1:]
    worse = np.stack([np.diff(prices[:, :, 0]) > 0, np.diff(-prices[:, :, 1]) > 0], axis=-1)
    unsorted = (deeper & ~worse).any(axis=(1, 2))
    if unsorted.any():
        raise at_line(name, unsorted, "levels", "must be sorted from the best price")


def _added_at(kinds: Ints, ids: Ints) -> Ints:
    """For each row the last one up to it that added an order of its id; -1 if there is none."""
    by_id = np.argsort(ids, kind="stable")
    grouped, places = ids[by_id], np.arange(len(ids))
    begins = np.maximum.accumulate(np.where(grouped != np.roll(grouped, 1), places, 0))
    last_add = np.maximum.accumulate(np.where(kinds[by_id] == ADD, places, -1))
    added = np.empty(len(ids), dtype=np.int64)
    added[by_id] = np.where(last_add >= begins, by_id[last_add], -1)
    return added

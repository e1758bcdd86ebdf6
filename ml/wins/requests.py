"""A bank's RFQs and mids, read from CSV: every cell is checked, and what is wrong is named by file, line and column."""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rfq.domain.errors import BadInput

Floats = NDArray[np.float64]
Names = NDArray[Any]
"""Strings."""

COLUMNS = ("date_time", "instrument", "client", "price", "mid", "vol_MM", "dv01", "num_dealers", "side")
WON = "won"
MID_COLUMNS = ("date_time", "mid", "instrument")
LEAST_SIZE_MM = 1e-3


class Requests(NamedTuple):
    """RFQs in time order, each an entry of arrays of one length; those of one moment keep the order of their file.

    `time_s` counts UTC seconds since 1970. `price` is the bank's quote and `mid` the composite's, per 100 of face;
    `size_mm` is millions of face, `dv01` the price's move for one basis point of yield, times 100. `side` is 1 where
    the bank buys, else -1. `won` is 1, 0, or NaN where the outcome is not known.
    """

    time_s: Floats
    instrument: Names
    client: Names
    price: Floats
    mid: Floats
    size_mm: Floats
    dv01: Floats
    dealers: Floats
    side: Floats
    won: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Rows whose outcome is known."""
        return ~np.isnan(self.won)

    @property
    def edge_bps(self) -> Floats:
        """How much better than mid the quote is for the client, in basis points of yield: mostly below zero."""
        return (self.price - self.mid) * self.side * 100 / self.dv01

    def take(self, rows: slice | NDArray[Any]) -> "Requests":
        """Some of them, in the order given."""
        return Requests(*(column[rows] for column in self))


class Mids(NamedTuple):
    """Mids of all instruments in time order, arrays of one length."""

    time_s: Floats
    instrument: Names
    mid: Floats


NO_MIDS = Mids(np.empty(0), np.empty(0, dtype=object), np.empty(0))


def moments(time_s: Floats) -> Iterator[range]:
    """Rows of each moment, in order. Who asks several at once sees no answer before having asked them all."""
    bounds = [0, *(np.flatnonzero(np.diff(time_s)) + 1).tolist(), len(time_s)]
    for begin, end in pairwise(bounds):
        if begin < end:
            yield range(begin, end)


def read_requests(path: Path, *, outcomes: bool) -> Requests:
    """Reads RFQs in any order of rows and columns; further columns are ignored.

    With `outcomes` each row needs its `won`; without, the column may be absent and its cells empty. A dv01 that is not
    positive is replaced by the instrument's last one before it (else the file's median): a price sensitivity of
    nothing is a fault of the feed. Sizes below a thousand of face count as that.

    Raises BadInput for a file that cannot be read or has no rows, a missing column, and a cell that breaks its rule.
    """
    found = _table(path, COLUMNS, (WON,) if outcomes else (), optional=() if outcomes else (WON,))
    time_s = found.floats("date_time", _time)
    requests = Requests(
        time_s=time_s,
        instrument=found.texts("instrument"),
        client=found.texts("client"),
        price=found.floats("price", _positive),
        mid=found.floats("mid", _positive),
        size_mm=np.maximum(found.floats("vol_MM", _not_negative), LEAST_SIZE_MM),
        dv01=found.floats("dv01", _finite),
        dealers=found.floats("num_dealers", _at_least_one),
        side=found.floats("side", _side),
        won=found.floats(WON, _won if outcomes else _won_if_known)
        if WON in found.columns
        else np.full(len(time_s), math.nan),
    ).take(np.argsort(time_s, kind="stable"))
    return requests._replace(dv01=_repaired(requests))


def read_mids(path: Path) -> Mids:
    """Reads mids in any order of rows and columns. Raises BadInput as `read_requests` does."""
    found = _table(path, MID_COLUMNS, ())
    time_s = found.floats("date_time", _time)
    columns = (time_s, found.texts("instrument"), found.floats("mid", _positive))
    order = np.argsort(time_s, kind="stable")
    return Mids(*(column[order] for column in columns))


def joined(train: Requests, test: Requests) -> Requests:
    """Both, one after the other. Raises BadInput if the second begins before the first ends."""
    if test.time_s[0] < train.time_s[-1]:
        begins, ends = (datetime.fromtimestamp(moment, UTC) for moment in (test.time_s[0], train.time_s[-1]))
        raise BadInput("test", f"{begins:%F %T}", f"must not begin before the training file ends, {ends:%F %T}")
    return Requests(*(np.concatenate(pair) for pair in zip(train, test, strict=True)))


class _Table(NamedTuple):
    file: str
    columns: Mapping[str, int]
    rows: Sequence[tuple[int, Sequence[str]]]
    """Line in the file, and its cells."""

    def floats(self, name: str, convert: Callable[[str], float]) -> Floats:
        place = self.columns[name]
        values = np.empty(len(self.rows))
        for row, (line, cells) in enumerate(self.rows):
            cell = cells[place].strip()
            try:
                values[row] = convert(cell)
            except ValueError as reason:
                raise BadInput(f"{self.file} line {line}, {name}", cell, str(reason)) from None
        return values

    def texts(self, name: str) -> Names:
        place = self.columns[name]
        for line, cells in self.rows:
            if not cells[place].strip():
                raise BadInput(f"{self.file} line {line}, {name}", cells[place], "must not be empty")
        return np.array([cells[place].strip() for _, cells in self.rows], dtype=object)


def _table(path: Path, needed: Sequence[str], also: Sequence[str], optional: Sequence[str] = ()) -> _Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            head = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as reason:
        raise BadInput("file", str(path), f"must be readable as CSV: {reason}") from None
    for name in (*needed, *also):
        if name not in head:
            raise BadInput(f"{path.name} line 1, columns", ",".join(head), f"must have {name}")
    for name in (*needed, *also, *optional):
        if head.count(name) > 1:
            raise BadInput(f"{path.name} line 1, columns", name, "is there twice")
    if not rows:
        raise BadInput("file", str(path), "has no rows")
    for line, cells in rows:
        if len(cells) != len(head):
            raise BadInput(f"{path.name} line {line}", ",".join(cells), f"must have {len(head)} cells, as line 1")
    return _Table(path.name, {name: place for place, name in enumerate(head)}, rows)


def _time(cell: str) -> float:
    try:
        moment = datetime.fromisoformat(cell)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a date and time as 2019-01-25 08:03:15.0") from None


def _number(rule: str, keeps: Callable[[float], bool]) -> Callable[[str], float]:
    def convert(cell: str) -> float:
        try:
            value = float(cell)
        except ValueError:
            raise ValueError(rule) from None
        if not math.isfinite(value) or not keeps(value):
            raise ValueError(rule)
        return value

    return convert


_positive = _number("must be above zero", lambda value: value > 0)
_not_negative = _number("must not be below zero", lambda value: value >= 0)
_at_least_one = _number("must be at least 1", lambda value: value >= 1)
_finite = _number("must be a number", math.isfinite)
_side = _number("must be 1 (the bank buys) or -1", lambda value: value in (1, -1))
_won = _number("must be 0 or 1", lambda value: value in (0, 1))


def _won_if_known(cell: str) -> float:
    return _won(cell) if cell else math.nan


def _repaired(requests: Requests) -> Floats:
    found = requests.dv01.copy()
    usual = float(np.median(found[found > 0])) if (found > 0).any() else 10.0
    last: dict[str, float] = {}
    for row, instrument in enumerate(requests.instrument):
        if found[row] <= 0:
            found[row] = last.get(instrument, usual)
        last[instrument] = found[row]
    return found

"""Reading LOBSTER files: what is wrong with a bad one is said with file and line; the real ones read whole."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from lit_router.market.lobster import EXECUTION, HIDDEN_EXECUTION, instrument_of, read
from rfq.domain.errors import BadInput

STEM = "ACME_2012-06-21_34200000_57600000"
MESSAGES = ["34200.1,1,11,100,1000000,1", "34200.2,1,12,50,1000500,-1", "34201.0,4,12,20,1000500,-1"]
BOOKS = [
    "9999999999,0,1000000,100",
    "1000500,50,1000000,100",
    "1000500,30,1000000,100",
]


def write(folder: Path, messages: list[str], books: list[str]) -> Path:
    path = folder / "sample.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{STEM}_message_1.csv", "\n".join(messages) + "\n")
        archive.writestr(f"{STEM}_orderbook_1.csv", "\n".join(books) + "\n")
    return path


def test_a_good_file_reads_as_it_says(tmp_path: Path) -> None:
    recording = read(write(tmp_path, MESSAGES, BOOKS))
    assert (recording.symbol, recording.ends_s) == ("ACME", 23_400.0)
    assert recording.begins_at.isoformat() == "2012-06-21T13:30:00+00:00"
    assert recording.times_s == pytest.approx([0.1, 0.2, 1.0])
    assert recording.asks[:, 0].tolist() == [[0, 0], [1_000_500, 50], [1_000_500, 30]]
    assert recording.mids.tolist() == [-1, 1_000_250, 1_000_250]
    assert recording.added_at.tolist() == [0, 1, 1]


def change(lines: list[str], line: int, text: str | None) -> list[str]:
    return [
        text if number == line else old for number, old in enumerate(lines, 1) if not (number == line and text is None)
    ]


@pytest.mark.parametrize(
    ("messages", "books", "where", "rule"),
    [
        (change(MESSAGES, 3, "34200.1,4,12,20,1000500,-1"), BOOKS, "message_1.csv:3", "earlier than the line before"),
        (change(MESSAGES, 2, "34200.2,9,12,50,1000500,-1"), BOOKS, "message_1.csv:2", "message type from 1 to 7"),
        (change(MESSAGES, 2, "34200.2,1,12,-50,1000500,-1"), BOOKS, "message_1.csv:2", "positive size"),
        (change(MESSAGES, 2, "34200.2,1,12,50,0,-1"), BOOKS, "message_1.csv:2", "positive price"),
        (change(MESSAGES, 2, "34200.2,1,12,50,1000500,3"), BOOKS, "message_1.csv:2", "direction"),
        (change(MESSAGES, 2, "34200.2,7,0,0,5,-1"), BOOKS, "message_1.csv:2", "halt message"),
        (change(MESSAGES, 2, "34200.2,1,12,fifty,1000500,-1"), BOOKS, "message_1.csv:2", "must be a number"),
        (change(MESSAGES, 3, "34201.0,4,12"), BOOKS, "message_1.csv:3", "6 columns"),
        (change(MESSAGES, 3, None), BOOKS, "message_1.csv:3", "truncated"),
        (MESSAGES, change(BOOKS, 3, None), "orderbook_1.csv:3", "truncated"),
        (MESSAGES, change(BOOKS, 3, "1000500,30,1000500,100"), "orderbook_1.csv:3", "crossed or locked"),
        (MESSAGES, change(BOOKS, 2, "1000500,-50,1000000,100"), "orderbook_1.csv:2", "positive price and size"),
        (MESSAGES, change(BOOKS, 2, "1000500,0.5,1000000,100"), "orderbook_1.csv:2", "must be a number"),
        (MESSAGES, [f"{line},1" for line in BOOKS], "orderbook_1.csv:1", "four columns for each level"),
        (
            MESSAGES,
            [f"{line},1000400,10,999900,10" for line in BOOKS],
            "orderbook_1.csv:1",
            "sorted from the best price",
        ),
        ([], BOOKS, "message_1.csv:1", "must not be empty"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(
    tmp_path: Path, messages: list[str], books: list[str], where: str, rule: str
) -> None:
    with pytest.raises(BadInput) as refused:
        read(write(tmp_path, messages, books))
    assert refused.value.field.endswith(where)
    assert rule in refused.value.rule


def test_what_is_not_a_zip_and_what_lacks_a_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(BadInput, match="readable zip"):
        read(path)
    with pytest.raises(BadInput, match="readable zip"):
        read(tmp_path / "missing.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{STEM}_message_1.csv", "\n".join(MESSAGES))
    with pytest.raises(BadInput, match="exactly one orderbook"):
        read(path)


def test_the_goog_sample_reads_whole_and_describes_its_stock(data_folder: Path) -> None:
    recording = read(data_folder / "lobster" / "LOBSTER_SampleFile_GOOG_2012-06-21_10.zip")
    assert recording.asks.shape == (147_916, 10, 2)
    assert int((recording.kinds == EXECUTION).sum()) == 7_765
    assert int((recording.kinds == HIDDEN_EXECUTION).sum()) == 3_913
    stock = instrument_of(recording)
    assert stock.adv == recording.sizes[np.isin(recording.kinds, (4, 5))].sum()
    assert stock.spread_bps == pytest.approx(4.9, abs=0.1)
    assert 50 < stock.volatility_bps < 200

"""A bank's RFQs and mids are read strictly: every fault is named by file, line and column."""

import math

import numpy as np
import pytest

from ml.wins.requests import joined, moments, read_mids, read_requests
from rfq.domain.errors import BadInput

HEAD = "date_time,instrument,client,price,mid,vol_MM,dv01,num_dealers,side,won"
FIRST = "2019-01-25 08:03:15.0,A,X,101.5,101.4,4.5,9.0,5,-1,0"
SECOND = "2019-01-25 09:00:00.0,B,Y,99.5,99.4,0.5,5.0,6,1,1"


def written(tmp_path, *lines, name="rfqs.csv"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_are_sorted_by_time_whatever_the_order_of_rows_and_columns(tmp_path):
    names = HEAD.split(",")
    turned = [",".join(reversed(line.split(","))) + ",more" for line in (SECOND, FIRST)]
    path = written(tmp_path, ",".join(reversed(names)) + ",note", *turned)
    found = read_requests(path, outcomes=True)
    assert found.instrument.tolist() == ["A", "B"] and found.won.tolist() == [0, 1]
    assert found.time_s[1] - found.time_s[0] == 3405
    assert found.edge_bps == pytest.approx([-0.1 * 100 / 9, 0.1 * 100 / 5])


def test_rows_of_one_moment_keep_the_order_of_the_file_and_are_one_moment(tmp_path):
    same = SECOND.replace("09:00:00.0", "08:03:15.0")
    found = read_requests(written(tmp_path, HEAD, same, FIRST, SECOND), outcomes=True)
    assert found.instrument.tolist() == ["B", "A", "B"]
    assert list(moments(found.time_s)) == [range(0, 2), range(2, 3)]


def test_outcomes_may_be_absent_or_partly_unknown_where_they_are_not_needed(tmp_path):
    without = [line.rsplit(",", 1)[0] for line in (HEAD, FIRST, SECOND)]
    assert not read_requests(written(tmp_path, *without), outcomes=False).known.any()
    partly = written(tmp_path, HEAD, FIRST[:-1], SECOND)
    assert read_requests(partly, outcomes=False).known.tolist() == [False, True]
    with pytest.raises(BadInput, match=r"rfqs.csv line 2, won: '' must be 0 or 1"):
        read_requests(partly, outcomes=True)


def test_a_dv01_of_nothing_is_the_instruments_last_one_and_sizes_have_a_floor(tmp_path):
    later = FIRST.replace("08:03:15.0", "11:00:00.0").replace(",9.0,", ",0,").replace(",4.5,", ",0,")
    other = SECOND.replace(",B,", ",C,").replace(",5.0,", ",-1,")
    found = read_requests(written(tmp_path, HEAD, FIRST, SECOND, other, later), outcomes=True)
    assert found.dv01.tolist() == [9.0, 5.0, 7.0, 9.0]
    assert found.size_mm[-1] == 0.001


@pytest.mark.parametrize(
    ("cell", "instead", "said"),
    [
        ("2019-01-25 09:00:00.0", "yesterday", r"line 3, date_time: 'yesterday' must be a date and time"),
        (",B,", ",,", r"line 3, instrument: '' must not be empty"),
        (",Y,", ", ,", r"line 3, client: ' ' must not be empty"),
        ("99.5", "0", r"line 3, price: '0' must be above zero"),
        ("99.4", "nan", r"line 3, mid: 'nan' must be above zero"),
        (",0.5,", ",-2,", r"line 3, vol_MM: '-2' must not be below zero"),
        (",5.0,", ",inf,", r"line 3, dv01: 'inf' must be a number"),
        (",6,", ",0,", r"line 3, num_dealers: '0' must be at least 1"),
        (",1,1", ",buy,1", r"line 3, side: 'buy' must be 1 \(the bank buys\) or -1"),
        (",1,1", ",1,yes", r"line 3, won: 'yes' must be 0 or 1"),
        (",1,1", ",1", r"line 3: .* must have 10 cells"),
    ],
)
def test_each_fault_is_named_by_file_line_column_value_and_rule(tmp_path, cell, instead, said):
    assert cell in SECOND
    path = written(tmp_path, HEAD, FIRST, SECOND.replace(cell, instead))
    with pytest.raises(BadInput, match=r"^rfqs.csv " + said):
        read_requests(path, outcomes=True)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"absent.csv' must be readable as CSV"):
        read_requests(tmp_path / "absent.csv", outcomes=True)
    with pytest.raises(BadInput, match="has no rows"):
        read_requests(written(tmp_path, HEAD), outcomes=True)
    with pytest.raises(BadInput, match=r"rfqs.csv line 1, columns: .* must have won"):
        read_requests(written(tmp_path, HEAD.removesuffix(",won"), FIRST), outcomes=True)
    with pytest.raises(BadInput, match=r"columns: 'side' is there twice"):
        read_requests(written(tmp_path, HEAD + ",side", FIRST + ",1"), outcomes=True)
    binary = tmp_path / "rfqs.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="must be readable as CSV"):
        read_requests(binary, outcomes=True)


def test_mids_are_sorted_and_as_strict(tmp_path):
    head, rows = "date_time,mid,instrument", ("2019-01-25 09:00:00,101.5,B", "2019-01-25 08:00:00,99.5,A")
    found = read_mids(written(tmp_path, head, *rows, name="mids.csv"))
    assert found.mid.tolist() == [99.5, 101.5] and found.instrument.tolist() == ["A", "B"]
    with pytest.raises(BadInput, match=r"mids.csv line 2, mid: '' must be above zero"):
        read_mids(written(tmp_path, head, "2019-01-25 09:00:00,,B", name="mids.csv"))


def test_the_test_file_must_be_the_later_one(tmp_path):
    early = read_requests(written(tmp_path, HEAD, FIRST), outcomes=True)
    late = read_requests(written(tmp_path, HEAD, SECOND), outcomes=True)
    assert joined(early, late).won.tolist() == [0, 1]
    with pytest.raises(BadInput, match=r"test: '2019-01-25 08:03:15' must not begin before the training file ends"):
        joined(late, early)


def test_times_with_a_zone_are_taken_to_utc(tmp_path):
    zoned = FIRST.replace("08:03:15.0", "09:03:15+01:00")
    found = read_requests(written(tmp_path, HEAD, FIRST, zoned), outcomes=True)
    assert found.time_s[0] == found.time_s[1] and not math.isnan(found.time_s[0])
    assert np.isfinite(found.edge_bps).all()

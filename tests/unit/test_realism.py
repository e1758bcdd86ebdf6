"""The comparison of simulated markets with recorded ones: on a toy market, on distortions of it, and on a real day."""

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import run as run_process

import numpy as np
import pytest

from lit_router.market.lobster import read
from lit_router.market.recorded_stream import stream_of
from lit_router.market.stream import CANCEL, LIMIT, MARKET, BookStream
from rfq.domain.errors import BadInput
from rfq.studies import realism
from rfq.studies.realism import Comparison, alternate_blocks, compare, distance, figures_of
from rfq.studies.realism_page import Impact, write_page
from rfq.studies.stylised_facts import FACTS

GOOG = "lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip"
NAMES = [fact.name for fact in FACTS]
LEVELS, REACH = 6, 8
PNG = b"\x89PNG\r\n\x1a\n"


def zero_intelligence(seed: int, ends_s: float = 2400.0, rate: float = 4.0) -> BookStream:
    """A market of Poisson arrivals that know nothing of each other (Smith, Farmer, Gillemot, Krishnamurthy 2003)."""
    rng = np.random.default_rng(seed)
    times_s = np.cumsum(rng.exponential(1 / rate, int(ends_s * rate * 1.2)))
    times_s = times_s[times_s < ends_s]
    count = len(times_s)
    kinds = rng.choice((LIMIT, CANCEL, MARKET), count, p=(0.55, 0.3, 0.15))
    bid_sides, places, sizes = rng.random(count) < 0.5, rng.integers(1, REACH + 1, count), rng.choice((50, 100), count)
    book = {True: {1000 - n: 200 for n in range(1, LEVELS)}, False: {1000 + n: 200 for n in range(1, LEVELS)}}
    snapshots = [_shown(book)]
    events: list[tuple[float, int, bool, int, int, int, int]] = []
    for time_s, kind, bid, place, size in zip(times_s, kinds, bid_sides, places, sizes, strict=True):
        while len(snapshots) <= time_s:
            snapshots.append(_shown(book))
        own, towards = book[bool(bid)], -1 if bid else 1
        prices = sorted(own, reverse=bool(bid))
        if kind == LIMIT:
            facing = min(book[False]) if bid else max(book[True])
            price = facing + towards * int(place)
        else:
            price = prices[0] if kind == MARKET else prices[int(place) % len(prices)]
            # A cancel takes half of a queue, in lots of 50, so that the more there is, the more is cancelled.
            size = min(int(size), own[price]) if kind == MARKET else -(-own[price] // 100) * 50
            if size == own[price] and len(own) == 1:
                continue
        ticks = (price - prices[0]) * towards
        rank = -1 if ticks < 0 else sum((price - better) * towards > 0 for better in prices)
        own[price] = own.get(price, 0) + (int(size) if kind == LIMIT else -int(size))
        if not own[price]:
            del own[price]
        mid = max(book[True]) + min(book[False])
        events.append((time_s, kind, bool(bid), ticks, min(rank, LEVELS), int(size), mid))
    while len(snapshots) <= ends_s:
        snapshots.append(_shown(book))
    dtypes = (np.float64, np.int8, np.bool_, np.int32, np.int8, np.int64, np.int64)
    columns = (np.array(column, dtype=kind) for column, kind in zip(zip(*events, strict=True), dtypes, strict=True))
    sides = np.array(snapshots)
    return BookStream(*columns, np.arange(len(sides), dtype=float), sides[:, 0], sides[:, 1], 0.0, ends_s)


def _shown(book: dict[bool, dict[int, int]]) -> list[list[tuple[int, int]]]:
    sides = [sorted(book[True].items(), reverse=True), sorted(book[False].items())]
    return [(side + [(0, 0)] * LEVELS)[:LEVELS] for side in sides]


@pytest.fixture(scope="module")
def toys() -> list[BookStream]:
    return [zero_intelligence(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def goog(data_folder: Path) -> BookStream:
    return stream_of(read(data_folder / GOOG))


def halves(day: BookStream) -> tuple[BookStream, BookStream]:
    return day.between(0.0, 11_700.0), day.between(11_700.0, 23_400.0)


# --- the comparison ----------------------------------------------------------------------------------------------


def test_independent_days_of_one_market_are_alike(toys: list[BookStream]) -> None:
    found = compare(toys[0], toys[1], toys[2:], alternate_blocks(toys[0]))
    assert [one.fact.name for one in found] == NAMES
    # Each ratio is a draw over a draw, and a yardstick may by chance be tiny; what is alike is mostly within.
    assert sum(one.within for one in found) >= len(FACTS) - 3


Distortion = Callable[[BookStream], BookStream]
DISTORTIONS: dict[str, Distortion] = {
    "spread": lambda s: s._replace(asks=s.asks + np.array([3, 0])),
    "depth": lambda s: s._replace(bids=s.bids * np.array([1, 2]), asks=s.asks * np.array([1, 2])),
    "imbalance": lambda s: s._replace(bids=s.bids * np.array([1, 3])),
    "inter_arrivals": lambda s: s._replace(times_s=np.floor(s.times_s)),
    "limit_sizes": lambda s: s._replace(lots=np.where(s.kinds == LIMIT, s.lots * 2, s.lots)),
    "cancel_sizes": lambda s: s._replace(lots=np.where(s.kinds == CANCEL, s.lots * 2, s.lots)),
    "market_sizes": lambda s: s._replace(lots=np.where(s.kinds == MARKET, s.lots * 2, s.lots)),
    "limit_levels": lambda s: s._replace(ticks=np.where(s.kinds == LIMIT, s.ticks + 2, s.ticks)),
    "cancel_levels": lambda s: s._replace(ticks=np.where(s.kinds == CANCEL, s.ticks * 2, s.ticks)),
    "minute_volume": lambda s: s._replace(lots=s.lots * 3),
    "minute_move": lambda s: _with_mids(s, np.arange(len(s.sampled_s)) // 60 % 2 * 40),
    "volatility_signature": lambda s: _with_mids(s, np.arange(len(s.sampled_s)) % 2 * 6),
    "sign_autocorrelation": lambda s: s._replace(bid_queue=s.times_s // 20 % 2 == 0),
    "return_autocorrelation_1s": lambda s: _with_mids(s, np.arange(len(s.sampled_s)) % 2 * 6),
    "return_autocorrelation_10s": lambda s: _with_mids(s, np.arange(len(s.sampled_s)) // 10 % 2 * 20),
    "response_to_market": lambda s: s._replace(mids=s.mids * 3),
    "response_to_limit_at_best": lambda s: s._replace(mids=np.cumsum(np.where(s.bid_queue, 4, -4)) + 2000),
    "response_to_limit_inside": lambda s: s._replace(mids=s.mids * 3),
    "response_to_cancel_at_best": lambda s: s._replace(bid_queue=~s.bid_queue, mids=s.mids * 3),
}


def _with_mids(stream: BookStream, moved: np.ndarray) -> BookStream:
    more = np.stack([moved, np.zeros_like(moved)], axis=-1)[:, None]
    return stream._replace(bids=stream.bids + more, asks=stream.asks + more)


@pytest.mark.parametrize("name", NAMES)
def test_each_fact_notices_a_market_that_is_wrong_in_it(toys: list[BookStream], name: str) -> None:
    wrong = [DISTORTIONS[name](toy) for toy in toys[2:]]
    found = {one.fact.name: one for one in compare(toys[0], toys[1], wrong, alternate_blocks(toys[0]))}
    assert not found[name].within and found[name].ratio > 2


def test_only_levels_that_all_streams_show_are_compared(toys: list[BookStream]) -> None:
    shallow = [toy.within(2) for toy in toys]
    deep = compare(toys[0], toys[1], shallow[2:], alternate_blocks(toys[0]))
    assert deep[NAMES.index("depth")].held_out.shape[1] == 2
    cut = compare(shallow[0], shallow[1], shallow[2:], alternate_blocks(shallow[0]))
    assert [one.distance for one in deep] == [one.distance for one in cut]
    assert [one.yardstick for one in deep] == [one.yardstick for one in cut]


def test_a_large_sample_is_stood_for_by_its_order_statistics(toys: list[BookStream], monkeypatch) -> None:
    blocks = alternate_blocks(toys[0])
    whole = compare(toys[0], toys[1], toys[2:], blocks)
    monkeypatch.setattr(realism, "MOST", 1000)
    thinned, again = (compare(toys[0], toys[1], toys[2:], blocks) for _ in range(2))
    assert max(len(one.simulated) for one in thinned) == 1000 < max(len(one.simulated) for one in whole)
    for exact, near, same in zip(whole, thinned, again, strict=True):
        assert near.distance == same.distance
        assert near.distance == pytest.approx(exact.distance, rel=0.2, abs=0.01)


def test_distances_of_known_samples_and_curves() -> None:
    facts = {fact.name: fact for fact in FACTS}
    assert distance(facts["spread"], np.array([1.0, 3.0]), np.array([2.0, 6.0])) == 2.0
    logarithmic = distance(facts["limit_sizes"], np.array([0.0, 0.0]), np.expm1([1.0, 3.0]))
    assert logarithmic == pytest.approx(2.0)
    levels = np.array([[0.0, 0.0], [0.0, 0.0]]), np.expm1([[1.0, 4.0], [1.0, 6.0]])
    assert distance(facts["depth"], *levels) == pytest.approx((1 + 5) / 2)
    curves = np.array([1.0, np.nan, 2.0]), np.array([0.0, 5.0, 4.0])
    assert distance(facts["volatility_signature"], *curves) == 1.5
    assert np.isnan(distance(facts["spread"], np.array([]), np.array([1.0])))
    assert np.isnan(distance(facts["volatility_signature"], curves[0] * np.nan, curves[1]))


def test_blocks_take_turns_and_leave_nothing_out(toys: list[BookStream]) -> None:
    odd, even = alternate_blocks(toys[0], 500.0)
    assert [(block.begins_s, block.ends_s) for block in odd] == [(0, 500), (1000, 1500), (2000, 2400)]
    assert [(block.begins_s, block.ends_s) for block in even] == [(500, 1000), (1500, 2000)]
    assert sum(len(block.times_s) for block in odd + even) == len(toys[0].times_s)
    assert [len(block.sampled_s) for block in odd] == [501, 501, 401]  # With both ends.


def test_nothing_to_compare_with_is_refused(toys: list[BookStream]) -> None:
    with pytest.raises(BadInput, match="at least one of each"):
        compare(toys[0], toys[1], [], alternate_blocks(toys[0]))


# --- figures -----------------------------------------------------------------------------------------------------


def test_figures_have_every_distance_and_a_goal_for_each_fact() -> None:
    found = [
        Comparison(fact, *[np.ones(3)] * 3, distance=0.1 * place, yardstick=0.5, alternate=0.3)
        for place, fact in enumerate(FACTS)
    ]
    figures = figures_of(found)
    assert figures.figures["depth_distance"] == 0.1 and figures.figures["depth_yardstick"] == 0.5
    assert figures.figures["depth_alternate"] == 0.3
    assert figures.figures["depth_measure"] == "Wasserstein, log(1 + shares)"
    assert figures.figures["spread_measure"] == "Wasserstein, ticks"
    assert figures.figures["response_to_market_measure"] == "mean absolute difference, ticks"
    assert [goal.name for goal in figures.goals] == [f"{name}_ratio" for name in NAMES]
    assert [goal.met for goal in figures.goals] == [0.1 * place <= 1.0 for place in range(len(FACTS))]
    assert [goal.met for goal in figures.goals] == [one.within for one in found]


@pytest.mark.parametrize(
    ("apart", "yardstick", "ratio", "within"),
    [(0.0, 0.0, 0.0, True), (1.0, 0.0, np.inf, False), (np.nan, 1.0, np.nan, False), (2.0, 1.0, 2.0, True)],
)
def test_a_ratio_without_a_yardstick_or_a_distance_is_met_only_by_none(apart, yardstick, ratio, within) -> None:
    one = Comparison(FACTS[0], *[np.ones(3)] * 3, distance=apart, yardstick=yardstick, alternate=0.0)
    assert one.ratio == pytest.approx(ratio, nan_ok=True)
    assert one.within is within is figures_of([one]).goals[0].met


# --- the page ----------------------------------------------------------------------------------------------------

IMPACT = Impact(
    of_volume=np.array([0.01, 0.1]),
    peak_sigmas=np.array([0.1, 0.3]),
    half_widths=np.array([0.01, 0.02]),
    exponent=0.5,
    prefactor=1.0,
    decay_times=np.array([0.0, 1.0, 2.0]),
    decay_shares=np.array([1.0, 0.7, 0.6]),
)


def test_the_page_is_a_picture_that_grows_with_its_panels(toys: list[BookStream], tmp_path: Path) -> None:
    found = compare(toys[0], toys[1], toys[2:], alternate_blocks(toys[0]))
    few, more = tmp_path / "few.png", tmp_path / "more.png"
    write_page(few, found[:3], None, "few")
    write_page(more, found[:3], IMPACT, "more")
    sizes = [np.frombuffer(path.read_bytes()[16:24], dtype=">u4") for path in (few, more)]
    assert few.read_bytes().startswith(PNG) and more.read_bytes().startswith(PNG)
    assert sizes[0][0] == sizes[1][0] and sizes[1][1] > sizes[0][1]  # Five panels need a second row.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.png", "more.png"]


@pytest.mark.filterwarnings("error")
def test_a_simulation_in_which_nothing_happens_still_makes_a_page(toys: list[BookStream], tmp_path: Path) -> None:
    still = toys[2].between(0.0, 0.0)
    found = compare(toys[0], toys[1], [still], alternate_blocks(toys[0]))
    assert not any(one.within for one in found if one.fact.name not in ("spread", "depth", "imbalance"))
    write_page(tmp_path / "page.png", found, None, "nothing happens")
    assert (tmp_path / "page.png").read_bytes().startswith(PNG)


def test_a_page_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.png").mkdir()
    with pytest.raises(BadInput, match=r"page\.png.* must be writable"):
        write_page(tmp_path / "page.png", [], IMPACT, "impact only")
    with pytest.raises(BadInput, match="must be writable"):
        write_page(tmp_path / "nowhere" / "page.png", [], IMPACT, "impact only")
    assert [path.name for path in tmp_path.iterdir()] == ["page.png"]


def test_the_comparison_alone_loads_no_plotting() -> None:
    loaded = "import sys, rfq.cli, rfq.studies.realism; sys.exit('matplotlib' in sys.modules)"
    assert run_process([sys.executable, "-c", loaded], check=False).returncode == 0


# --- a real day --------------------------------------------------------------------------------------------------


def test_the_real_second_part_is_itself_and_the_first_is_a_yardstick_away(goog: BookStream) -> None:
    first, second = halves(goog)
    blocks = alternate_blocks(goog)
    for one in compare(first, second, [second], blocks):
        assert one.distance == 0 and one.ratio == 0 and one.within
        assert np.isfinite([one.yardstick, one.alternate]).all() and one.yardstick > 0 < one.alternate
    for one in compare(first, second, [first], blocks):
        assert one.distance == one.yardstick and one.ratio == 1


def test_a_market_of_zero_intelligence_is_not_the_real_one(goog: BookStream, toys: list[BookStream]) -> None:
    first, second = halves(goog)
    found = {one.fact.name: one for one in compare(first, second, toys, alternate_blocks(goog))}
    assert not found["inter_arrivals"].within  # Poisson arrivals do not cluster.
    assert not found["depth"].within


def test_a_run_reads_the_day_simulates_its_second_part_and_writes_the_page(
    goog: BookStream, data_folder: Path, tmp_path: Path
) -> None:
    asked: list[tuple[float, float]] = []

    def simulate(begins_s: float, ends_s: float) -> list[BookStream]:
        asked.append((begins_s, ends_s))
        return [goog.between(begins_s, ends_s)]

    figures = realism.run(data_folder / GOOG, simulate, tmp_path / "page.png", IMPACT)
    assert asked == [(11_700.0, 23_400.0)]
    assert len(figures.goals) == len(FACTS) and all(goal.met and goal.value == 0 for goal in figures.goals)
    assert (tmp_path / "page.png").read_bytes().startswith(PNG)


def test_a_recording_of_part_of_a_day_is_refused(tmp_path: Path) -> None:
    stem, path = "ACME_2012-06-21_34200000_37800000", tmp_path / "hour.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}_message_1.csv", "34200.1,1,11,100,1000000,1\n")
        archive.writestr(f"{stem}_orderbook_1.csv", "1000500,50,1000000,100\n")
    with pytest.raises(BadInput, match=r"hour\.zip.*09:30 to 16:00"):
        realism.run(path, lambda begins_s, ends_s: [], None)

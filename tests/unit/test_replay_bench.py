"""The measurement of replay: it plays the whole day, really rests orders, and how it steps changes no execution."""

import random
from pathlib import Path

import pytest
from recordings import random_recording

from lit_router.market import nbbo, top_of_book
from rfq.domain.errors import BadInput
from rfq.studies.replay_bench import replay_rate


def test_a_day_is_played_whole_and_our_orders_trade_in_it() -> None:
    recording = random_recording(random.Random(3), 2_000)
    by_second, by_minute = replay_rate(recording, step_s=1.0), replay_rate(recording, step_s=60.0)
    assert by_second.nothing_resting > 0 and by_second.both_resting > 0
    assert by_second.fills == by_minute.fills > 20


def test_steps_of_no_length_are_refused() -> None:
    with pytest.raises(BadInput, match="step_s"):
        replay_rate(random_recording(random.Random(3), 10), step_s=0.0)
    with pytest.raises(BadInput, match="repeats"):
        replay_rate(random_recording(random.Random(3), 10), repeats=0)


def test_a_real_day_of_ticks(data_folder: Path) -> None:
    folder = data_folder / "us_equity_tick_nbbo" / "ibm"
    recording = top_of_book.recording(nbbo.read(folder / "20131008_trade.zip", folder / "20131008_quote.zip"))
    assert replay_rate(recording, step_s=1.0).fills == replay_rate(recording, step_s=60.0).fills > 100

"""Which market the service trades in, and where it begins."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from rfq.domain.errors import BadInput
from rfq.domain.values import Price, Symbol
from rfq.markets import market
from rfq.settings import BadSettings, Settings, load

NOW = datetime(2026, 7, 6, 20, 15, tzinfo=UTC)
QDI = Symbol("QDI")
GOOG = "lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip"


def test_the_simulated_day_begins_at_the_open() -> None:
    begun = market(Settings(), NOW, None, {}, "run-1")
    assert begun.opens_at == datetime(2026, 7, 6, 13, 30, tzinfo=UTC), "09:30 in New York, in summer"
    assert begun.core.view(QDI).mid is not None


def test_a_market_that_starts_again_goes_on_in_time_and_price() -> None:
    until = NOW + timedelta(hours=3)
    again = market(Settings(), NOW, until, {QDI: Price(21_001)}, "run-2")
    mid = again.core.view(QDI).mid
    assert again.opens_at == until == again.core.now
    assert mid is not None and abs(mid - 21_001) <= 10
    assert again.core.mid_at(QDI, until - timedelta(seconds=1)) is None, "what was before is not known here"


def test_a_recording_is_played_from_where_it_is_told(data_folder: Path) -> None:
    played = market(Settings(replay_book=data_folder / GOOG, replay_from_s=1800.0), NOW, None, {}, "run-3")
    assert played.opens_at == datetime(2012, 6, 21, 14, 0, tzinfo=UTC)
    assert list(played.instruments) == ["GOOG"] and played.core.view(Symbol("GOOG")).mid is not None
    with pytest.raises(BadInput, match="replay_from_s"):
        market(Settings(replay_book=data_folder / GOOG, replay_from_s=80_000.0), NOW, None, {}, "run-4")


def test_recorded_ticks_are_played_as_a_market(data_folder: Path) -> None:
    folder = data_folder / "us_equity_tick_nbbo" / "ibm"
    given = Settings(
        replay_book=folder / "20131008_quote.zip",
        replay_trades=folder / "20131008_trade.zip",
        replay_from_s=1800.0,
    )
    played = market(given, NOW, None, {}, "run-5")
    assert played.opens_at == datetime(2013, 10, 8, 14, 0, tzinfo=UTC)
    assert list(played.instruments) == ["IBM"] and played.core.view(Symbol("IBM")).mid is not None
    assert played.core.books() == ("lit", "hidden")
    with pytest.raises(BadInput, match="exactly one file named DAY_SYMBOL_Trade"):
        market(msgspec.structs.replace(given, replay_trades=given.replay_book), NOW, None, {}, "run-6")


def test_trades_without_quotes_are_refused(data_folder: Path) -> None:
    trades = str(data_folder / "us_equity_tick_nbbo" / "ibm" / "20131008_trade.zip")
    with pytest.raises(BadSettings, match="needs replay_book, the quotes"):
        load({"SOTTO_REPLAY_TRADES": trades})

"""An accelerated clock never outruns the market that is being played."""

from datetime import UTC, datetime, timedelta

from lit_router.market.clock import AcceleratedMarketClock

OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def test_time_stands_at_the_bound_and_goes_on_from_there() -> None:
    elapsed_s = 0.0
    clock = AcceleratedMarketClock(anchor=OPEN, speed=100.0, elapsed_s=lambda: elapsed_s)
    clock.keep_within(OPEN + timedelta(seconds=30))
    elapsed_s = 1.0  # A hundred market seconds, were it free.
    assert clock.now() == OPEN + timedelta(seconds=30)
    elapsed_s = 5.0
    clock.keep_within(OPEN + timedelta(seconds=500))
    assert clock.now() == OPEN + timedelta(seconds=30), "what was lost at the bound is not caught up in a jump"
    elapsed_s = 6.0
    assert clock.now() == OPEN + timedelta(seconds=130)


def test_a_bound_in_the_past_does_not_turn_time_back() -> None:
    elapsed_s = 0.0
    clock = AcceleratedMarketClock(anchor=OPEN, speed=10.0, elapsed_s=lambda: elapsed_s)
    elapsed_s = 10.0
    seen = clock.now()
    clock.keep_within(OPEN)
    assert clock.now() == seen

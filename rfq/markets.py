"""The market that the service trades in: simulated, or a recorded day played again. Chosen by the settings."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from lit_router.market import lobster, nbbo, top_of_book
from lit_router.market.exchange import Listing, SimulatedExchange
from lit_router.market.matching_core import MatchingCore
from lit_router.market.recorded import RecordedExchange
from lit_router.market.running import RunningExchange
from lit_router.ports import Venue
from lit_router.venues.dark import dark_venues
from lit_router.venues.lit import LitVenue
from lit_router.venues.replay import replay_venues
from lit_router.volume_curve import CONTINUOUS, U_SHAPE, VolumeCurve
from rfq.domain.errors import BadInput
from rfq.domain.values import Instrument, Price, Symbol, TradingHours
from rfq.instruments import directory
from rfq.settings import Settings


class Market(NamedTuple):
    """A matching core, the market time at which it begins, what is listed, and the venues once it runs."""

    core: MatchingCore
    opens_at: datetime
    instruments: Mapping[Symbol, Instrument]
    venues: Callable[[RunningExchange], tuple[Venue, ...]]
    curve: VolumeCurve
    """How its volume is spread over the day: what VWAP follows."""


def market(
    settings: Settings, now: datetime, seen_until: datetime | None, last_mids: Mapping[Symbol, Price], run: str
) -> Market:
    """Raises BadInput for a recording that cannot be played.

    `seen_until` is the latest market time on record, which a market that starts again must not fall behind, and
    `last_mids` are those it begins from: mark-outs are taken across a restart. `run` is unique to this start and begins
    every fill's id.
    """
    if settings.replay_book is not None:
        return _recorded(settings, seen_until, run)
    listings = directory(settings.instruments)
    instruments = {symbol: listing.instrument for symbol, listing in listings.items()}
    # The simulated day begins at the open; one that was begun before goes on from where it stopped.
    opens_at = seen_until or opening(now, next(iter(instruments.values())).hours)
    core = SimulatedExchange(
        [Listing(one.instrument, last_mids.get(symbol, one.opening_mid)) for symbol, one in listings.items()],
        seed=settings.simulation_seed,
        opens_at=opens_at,
        name=run,
        latency_s=settings.venue_latency_s,
    )
    return Market(
        core,
        opens_at,
        instruments,
        lambda exchange: (LitVenue(exchange), *dark_venues(exchange)),
        CONTINUOUS,  # The simulated day is flat.
    )


def _recorded(settings: Settings, seen_until: datetime | None, run: str) -> Market:
    assert settings.replay_book is not None
    if settings.replay_trades is None:
        recording = lobster.read(settings.replay_book)
    else:
        recording = top_of_book.recording(nbbo.read(settings.replay_trades, settings.replay_book))
    core = RecordedExchange([recording], name=run, latency_s=settings.venue_latency_s)
    starts_at = recording.begins_at + timedelta(seconds=settings.replay_from_s)
    if settings.replay_from_s >= recording.ends_s:
        raise BadInput("replay_from_s", settings.replay_from_s, f"must be below {recording.ends_s:.0f}, the end")
    opens_at = max(starts_at, seen_until or starts_at)
    core.advance_to(opens_at)
    instrument = core.instrument(recording.symbol)
    return Market(core, opens_at, {instrument.symbol: instrument}, replay_venues, U_SHAPE)


def opening(now: datetime, hours: TradingHours) -> datetime:
    """The open of the session on the day of `now`, in UTC."""
    local = now.astimezone(ZoneInfo(hours.time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (local + timedelta(minutes=hours.opens)).astimezone(UTC)

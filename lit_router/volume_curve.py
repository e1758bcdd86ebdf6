"""How a day's volume is spread over its hours: what VWAP follows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from rfq.domain.errors import BadInput
from rfq.domain.values import Frozen, TradingHours


class VolumeCurve(Frozen, frozen=True):
    """Shares of a regular session's volume in equal bins from the open to the close; any positive scale.

    With no bins the market is continuous: volume comes evenly, day and night.
    """

    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.shares and (min(self.shares) < 0 or sum(self.shares) <= 0):
            raise BadInput("volume_curve.shares", self.shares, "must not be negative, nor all zero")

    def progress(self, hours: TradingHours, start: datetime, horizon_s: float, at: datetime) -> float:
        """Share, 0 to 1, of the volume expected within `horizon_s` of `start` that comes by `at`.

        A horizon in which no volume is expected (outside the session) passes evenly.
        """
        elapsed = min(1.0, max(0.0, (at - start).total_seconds() / horizon_s))
        if not self.shares or elapsed in (0.0, 1.0):
            return elapsed
        whole = self.between(hours, start, start + timedelta(seconds=horizon_s))
        return self.between(hours, start, at) / whole if whole > 0 else elapsed

    def between(self, hours: TradingHours, start: datetime, end: datetime) -> float:
        """Days' volume expected from `start` to `end`: 1 for a whole session."""
        zone = ZoneInfo(hours.time_zone)
        start, end = start.astimezone(zone), end.astimezone(zone)
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        total = 0.0
        while midnight < end:
            since, until = (_minutes(moment, midnight, hours) for moment in (start, end))
            total += max(0.0, self._by(until) - self._by(since))
            midnight += timedelta(days=1)
        return total

    def _by(self, share_of_session: float) -> float:
        """Share of the session's volume that has come when this share of its time has passed."""
        place = share_of_session * len(self.shares)
        whole = int(place)
        partly = (place - whole) * self.shares[whole] if whole < len(self.shares) else 0.0
        return (_total(self.shares[:whole]) + partly) / _total(self.shares)


def _minutes(moment: datetime, midnight: datetime, hours: TradingHours) -> float:
    # Local wall time against local wall time: aware datetimes of one zone subtract as the clock on the wall does.
    minutes = (moment - midnight).total_seconds() / 60
    return min(1.0, max(0.0, (minutes - hours.opens) / (hours.closes - hours.opens)))


def _total(shares: Sequence[float]) -> float:
    return float(sum(shares))


CONTINUOUS = VolumeCurve()

U_SHAPE = VolumeCurve((0.15, 0.095, 0.075, 0.065, 0.06, 0.055, 0.05, 0.05, 0.055, 0.06, 0.07, 0.08, 0.135))
"""Half hours of a 6.5 hour equity day. First and last carry 13-18% of the volume each in recorded US trading; the
rest is smoothed between. An assumption to replace by the instrument's own history where there is one."""

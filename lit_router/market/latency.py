"""How long what participants send is on its way to a venue: one constant, in market time."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from rfq.domain.errors import BadInput


class InFlight:
    """What was sent and has not arrived: first sent, first come."""

    def __init__(self, latency_s: float) -> None:
        """Raises BadInput for a negative latency."""
        if not 0.0 <= latency_s < float("inf"):
            raise BadInput("latency_s", latency_s, "must not be negative")
        self.latency_s = latency_s
        self._sent: deque[tuple[datetime, Callable[[], None]]] = deque()

    def send(self, now: datetime, arrive: Callable[[], None]) -> None:
        """Calls `arrive` at once where there is no latency, else when `due` is asked for its time."""
        if self.latency_s:
            self._sent.append((now + timedelta(seconds=self.latency_s), arrive))
        else:
            arrive()

    def due(self, until: datetime) -> Iterator[tuple[datetime, Callable[[], None]]]:
        """What arrives up to a time, in order, with the time of each."""
        while self._sent and self._sent[0][0] <= until:
            yield self._sent.popleft()

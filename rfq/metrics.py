"""What is counted and timed, in one place. The registry is passed in: two services in one process do not mix."""

from collections.abc import Callable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rfq.domain import events as ev

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
AUCTION_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
RECEIVED_KEPT = 10_000


class Metrics:
    """Counters and times of one service. `saw` derives the trade's own figures from events as they happen."""

    CONTENT_TYPE = "text/plain; version=0.0.4"

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter("sotto_http_requests", "HTTP answers", ("route", "method", "status"), registry=registry)
        self.request_s = Histogram(
            "sotto_http_request_seconds", "Time to answer", ("route", "method"), buckets=FAST_S, registry=registry
        )
        self.streams = Gauge("sotto_event_streams", "Server-sent event streams open", registry=registry)
        self.events = Counter("sotto_events", "Events by kind, as they happened", ("event",), registry=registry)
        self.outcomes = Counter("sotto_rfqs_over", "RFQs that ended, by how", ("outcome",), registry=registry)
        self.filled = Counter("sotto_filled_lots", "Lots filled, by where", ("where",), registry=registry)
        self.to_award_s = Histogram(
            "sotto_rfq_to_award_seconds", "From acceptance to the first award", buckets=AUCTION_S, registry=registry
        )
        self.confirm_s = Histogram(
            "sotto_lift_answer_seconds", "From lift to confirmation or refusal", buckets=FAST_S, registry=registry
        )
        self._counted: dict[type, Counter] = {}
        """Each kind's own counter: looking it up by its label costs more than counting."""
        self._received: dict[str, datetime] = {}
        self._lifted: dict[str, datetime] = {}

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge `sotto_<name>` whose value is read when it is asked for."""
        Gauge(f"sotto_{name}", meaning, registry=self.registry).set_function(read)

    def saw(self, stream: str, stamped: ev.Stamped) -> None:
        """Counts one event of `stream` (for an RFQ's events, its id)."""
        event = stamped.event
        kind = type(event)
        if (counted := self._counted.get(kind)) is None:
            counted = self._counted[kind] = self.events.labels(kind.__name__)
        counted.inc()
        match event:
            case ev.RfqReceived():
                _keep(self._received, stream, stamped.session_at)
            case ev.AwardDecided():
                if (received := self._received.pop(stream, None)) is not None:
                    self.to_award_s.observe((stamped.session_at - received).total_seconds())
            case ev.QuoteLifted(lift=lift):
                _keep(self._lifted, lift.lift_id, stamped.session_at)
            case ev.LiftConfirmed(lift_id=lift_id, fill=fill):
                self._answered(lift_id, stamped.session_at)
                self.filled.labels(fill.where.value).inc(fill.quantity)
            case ev.LiftRefused(lift_id=lift_id):
                self._answered(lift_id, stamped.session_at)
            case ev.ChildFilled(fill=fill):
                self.filled.labels(fill.where.value).inc(fill.quantity)
            case ev.RfqDone() | ev.RfqCancelled() | ev.RfqExpired() | ev.RfqRejected():
                self._received.pop(stream, None)
                self.outcomes.labels(type(event).__name__.removeprefix("Rfq").lower()).inc()
            case _:
                pass

    def page(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)

    def _answered(self, lift_id: str, at: datetime) -> None:
        if (sent := self._lifted.pop(lift_id, None)) is not None:
            self.confirm_s.observe((at - sent).total_seconds())


def _keep(held: dict[str, datetime], key: str, at: datetime) -> None:
    """Bounded: what never gets an answer is forgotten, oldest first."""
    if len(held) >= RECEIVED_KEPT:
        del held[next(iter(held))]
    held[key] = at

"""Errors as a dealer is told them: a code, whose fault it is, and for bad input the field, the value and the rule."""

from collections.abc import Callable

import structlog

from dealers import wire
from dealers.codec import Malformed
from rfq.domain.errors import BadInput, NotFound, PeerFault, Refusal

log = structlog.get_logger()


def told(error: Exception, sequence: int, refers_to: str) -> wire.Error:
    """What went wrong in one message, for the dealer that sent it. Our own faults are logged, and not described."""

    def fault(code: str, blame: str, text: str = "", **about: str) -> wire.Error:
        return wire.Error(sequence, code, (text or str(error))[:500], blame, refers_to=refers_to, **about)  # type: ignore[arg-type]

    match error:
        case Malformed():
            return fault("malformed", "dealer")
        case BadInput(field=field, value=value, rule=rule):
            return fault("bad_input", "dealer", field=str(field)[:100], value=_short(value), rule=str(rule)[:300])
        case NotFound(noun=noun, identity=identity):
            return fault("not_found", "dealer", field=f"{noun}_id", value=_short(identity), rule="must be known here")
        case Refusal():
            return fault("refused", "rules")
        case PeerFault():
            return fault("bad_input", "dealer")
        case _:
            log.error("dealer message failed", refers_to=refers_to, exc_info=error)
            return fault("our_fault", "us", "this one is on us; what you said was not taken")


def _short(value: object) -> str:
    return "" if value is None else str(value)[:100]


class Allowance:
    """So many a second, and a burst of as many: then no more until time has passed."""

    def __init__(self, per_s: float, burst: float, now_s: Callable[[], float]) -> None:
        self._per_s, self._burst, self._now_s = per_s, burst, now_s
        self._left, self._at = burst, now_s()

    def spend(self, cost: float = 1.0) -> bool:
        now = self._now_s()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) - cost
        self._at = now
        if self._left >= 0:
            return True
        self._left = max(self._left + cost, 0.0)
        return False

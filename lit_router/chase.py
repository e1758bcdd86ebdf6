"""Venues that owe us an answer: when to ask again, and when to stop asking."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rfq.domain.values import ChildId
from rfq.ports import Clock


@dataclass(slots=True)
class _Owed:
    due: datetime
    asked: int = 0


class Chase:
    """Children whose venue owes an answer, each with a session-clock deadline and a bounded number of askings."""

    def __init__(self, clock: Clock, answer_s: float, most_askings: int) -> None:
        self._clock, self._answer = clock, timedelta(seconds=answer_s)
        self._most = most_askings
        self._owed: dict[ChildId, _Owed] = {}

    def expect(self, child_id: ChildId) -> None:
        """Something was sent: an answer is due. Earlier askings still count."""
        due = self._clock.now() + self._answer
        owed = self._owed.setdefault(child_id, _Owed(due))
        owed.due = due

    def ask_now(self, child_id: ChildId) -> None:
        """An answer is due at once: it is asked for at the next look."""
        self._owed[child_id] = _Owed(self._clock.now())

    def settle(self, child_id: ChildId) -> None:
        """Nothing is owed any more."""
        self._owed.pop(child_id, None)

    def owes(self, child_id: ChildId) -> bool:
        return child_id in self._owed

    def overdue(self) -> list[ChildId]:
        """Children to ask about now; each counts as asked, with a new deadline."""
        now = self._clock.now()
        late = [c for c, owed in self._owed.items() if owed.due <= now and owed.asked < self._most]
        for child_id in late:
            owed = self._owed[child_id]
            owed.asked += 1
            owed.due = now + self._answer
        return late

    def lost(self, child_id: ChildId) -> bool:
        """Asked as often as may be, and the last deadline is past too."""
        owed = self._owed.get(child_id)
        return owed is not None and owed.asked >= self._most and owed.due <= self._clock.now()

    def next_due(self) -> datetime | None:
        """The next deadline that has not passed, lost ones aside."""
        now = self._clock.now()
        dues = [owed.due for owed in self._owed.values() if owed.due > now or owed.asked < self._most]
        return min(dues, default=None)

"""A dealer's memory of lifts: which it was sent, and what it answered. The first answer stands, however often asked."""

from typing import Generic, TypeVar

Answer = TypeVar("Answer")
Key = TypeVar("Key")
Value = TypeVar("Value")

REMEMBERED = 10_000


def remember(book: dict[Key, Value], key: Key, value: Value, bound: int = REMEMBERED) -> None:
    """Adds an entry; the oldest goes when there are more than `bound`."""
    book[key] = value
    if len(book) > bound:
        del book[next(iter(book))]


class LiftBook(Generic[Answer]):
    """Bounded: the oldest lifts are forgotten first."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer | None] = {}
        self._disowned: dict[str, None] = {}

    def open(self, lift_id: str) -> bool:
        """Notes a lift. True if it is new; False if it was sent before."""
        if lift_id in self._answers:
            return False
        remember(self._answers, lift_id, None)
        return True

    def knows(self, lift_id: str) -> bool:
        return lift_id in self._answers

    def answer(self, lift_id: str, answer: Answer) -> Answer:
        """Notes an answer; returns the one that stands, which is the first."""
        standing = self._answers.get(lift_id)
        if standing is None:
            standing = answer
            remember(self._answers, lift_id, answer)
        return standing

    def standing(self, lift_id: str) -> Answer | None:
        """The answer given, or None while there is none."""
        return self._answers.get(lift_id)

    def disown(self, lift_id: str) -> None:
        """Notes that a lift was called unknown: if it comes yet, it must be refused."""
        remember(self._disowned, lift_id, None)

    def is_disowned(self, lift_id: str) -> bool:
        return lift_id in self._disowned

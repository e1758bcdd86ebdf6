"""What Sotto says to one dealer, in domain nouns: numbered, kept and carried before it becomes anybody's bytes."""

from typing import TypeAlias

from rfq.domain.events import Notice
from rfq.domain.quote import Lift, Request
from rfq.domain.values import Frozen
from rfq.ports import Trade


class Asking(Frozen, frozen=True):
    sequence: int
    request: Request


class Lifting(Frozen, frozen=True):
    sequence: int
    lift: Lift


class StatusAsking(Frozen, frozen=True):
    sequence: int
    lift: Lift


class Booking(Frozen, frozen=True):
    sequence: int
    trade: Trade


class Telling(Frozen, frozen=True):
    sequence: int
    notice: Notice


class Withdrawing(Frozen, frozen=True):
    sequence: int
    request: Request
    reason: str


Saying: TypeAlias = Asking | Lifting | StatusAsking | Booking | Telling | Withdrawing

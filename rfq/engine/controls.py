"""What people hold over the engine: the kill switch and each desk's limits, folded from their own streams."""

import contextlib
from collections.abc import Iterator

from rfq.domain import events as ev
from rfq.domain.errors import BadInput, NoNewRisk
from rfq.domain.limits import DeskLimits
from rfq.domain.values import DeskId
from rfq.ports import Clock, ControlStore, MarketClock, StreamId

SWITCH = StreamId("system", "kill-switch")
LIMITS = ("largest_block", "open_rfqs", "largest_share_of_adv")


class Controls:
    """The kill switch acts at once and is recorded after; releasing it and changing limits are recorded first."""

    def __init__(self, store: ControlStore, clock: Clock, market_clock: MarketClock) -> None:
        self._store, self._clock, self._market_clock = store, clock, market_clock
        self._limits: dict[DeskId, DeskLimits] = {}
        self.killed: str | None = None
        """Why nothing new may be begun, or None."""
        self._deciding = 0

    async def load(self) -> None:
        """Takes up what people decreed, at other services too. What is being decided here meanwhile stands."""
        history = await self._store.history(SWITCH)
        self._limits.clear()
        if self._deciding:
            return
        self.killed = None
        for stamped in history:
            match stamped.event:
                case ev.KillSwitchThrown(by=by, reason=reason):
                    self.killed = f"{reason} ({by})"
                case ev.KillSwitchReleased():
                    self.killed = None
                case _:
                    pass

    def refuse_if_killed(self) -> None:
        """Raises NoNewRisk while the kill switch is thrown."""
        if self.killed is not None:
            raise NoNewRisk(f"the kill switch is thrown: {self.killed}")

    async def kill(self, by: str, reason: str) -> None:
        self.killed = f"{reason} ({by})"
        with self._deciding_here():
            await self._record(SWITCH, ev.KillSwitchThrown(by, reason))

    async def release(self, by: str) -> None:
        with self._deciding_here():
            await self._record(SWITCH, ev.KillSwitchReleased(by))
            self.killed = None

    @contextlib.contextmanager
    def _deciding_here(self) -> Iterator[None]:
        """While the switch's record is on its way, or failed to get there, what is on record is not the last word."""
        self._deciding += 1
        yield
        self._deciding -= 1

    async def limits(self, desk_id: DeskId) -> DeskLimits:
        known = self._limits.get(desk_id)
        if known is None:
            known = DeskLimits()
            for stamped in await self._store.history(_stream(desk_id)):
                if isinstance(stamped.event, ev.LimitSet):
                    known = _with(known, stamped.event.limit, stamped.event.value)
            self._limits[desk_id] = known
        return known

    async def set_limits(self, desk_id: DeskId, limits: DeskLimits, by: str) -> None:
        before = await self.limits(desk_id)
        for name in LIMITS:
            if getattr(before, name) != getattr(limits, name):
                value = str(getattr(limits, name))
                await self._record(_stream(desk_id), ev.LimitSet(desk_id, name, value, by))
        self._limits[desk_id] = limits

    async def _record(self, stream: StreamId, event: ev.SideEvent) -> None:
        await self._store.record(stream, event, self._clock.now(), self._market_clock.now())


def _stream(desk_id: DeskId) -> StreamId:
    return StreamId("limit", desk_id)


def _with(limits: DeskLimits, name: str, value: str) -> DeskLimits:
    if name not in LIMITS:
        raise BadInput("limit", name, f"must be one of {LIMITS}")
    kind = type(getattr(limits, name))
    return limits.but(**{name: kind(value)})

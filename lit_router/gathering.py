"""Orders that decide in the same moment are decided together: one call of the policy, one forward pass."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from lit_router.domain.observation import Observation
from lit_router.ports import Slice, SlicePolicy

MOST_TOGETHER = 512
"""Observations in one call; those beyond are decided in the loop's next turn, so that it is never held for long."""


class Waiting(NamedTuple):
    seen: Observation
    answer: asyncio.Future[Slice]


class Gathered:
    """A policy, asked by many orders on one event loop: all that ask in one turn of the loop share its next call.

    Nobody waits longer than until the end of that turn. An order has at most one question open, so that what waits is
    bounded by the orders being worked.
    """

    def __init__(self, policy: SlicePolicy, most: int = MOST_TOGETHER) -> None:
        self.policy = policy
        self._most = most
        self._waiting: list[Waiting] = []

    async def propose(self, seen: Observation) -> Slice:
        """Raises what the policy raises for this observation; the others that were asked with it do not notice."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._decide, loop)
        waiting = Waiting(seen, loop.create_future())
        self._waiting.append(waiting)
        return await waiting.answer

    def _decide(self, loop: asyncio.AbstractEventLoop) -> None:
        asked = [one for one in self._waiting if not one.answer.done()]  # An order may have been given up.
        now, self._waiting = asked[: self._most], asked[self._most :]
        if self._waiting:
            loop.call_soon(self._decide, loop)
        if now:
            self._together(now)

    def _together(self, asked: Sequence[Waiting]) -> None:
        try:
            slices = list(self.policy.propose([one.seen for one in asked]))
            if len(slices) != len(asked):
                raise ValueError(f"{len(slices)} slices for {len(asked)} observations")
        except Exception as error:
            if len(asked) == 1:
                return asked[0].answer.set_exception(error)
            for one in asked:
                self._together([one])
            return
        for one, decided in zip(asked, slices, strict=True):
            one.answer.set_result(decided)

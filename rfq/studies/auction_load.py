"""RFQs put through a service: so many in flight, or so many a second; each round timed and its processor time taken."""

import asyncio
import random
from collections.abc import Awaitable, Iterable
from time import process_time
from typing import Any

from rfq.domain.errors import OurFault
from rfq.domain.values import Frozen
from rfq.studies.bench_dealers import BenchDealers, BenchDesk, Sourced
from rfq.studies.child_process import ChildProcess
from rfq.studies.figures import progress

FAILED_SHARE = 0.02
"""Of the RFQs: a service that fails more of them is not measured."""


class Round(Frozen, frozen=True):
    """One round at saturation. Counts and processor milliseconds are for each RFQ; frames as the dealers see them."""

    rfqs_per_s: float
    cpu_ms: float
    bench_cpu_ms: float
    award_s: tuple[float, ...]
    frames_out: float
    frames_in: float


class AuctionLoad:
    """Puts RFQs through one service, and weighs it every so many of them."""

    def __init__(self, child: ChildProcess, desk: BenchDesk, dealers: BenchDealers, every: int) -> None:
        self._child, self._desk, self._dealers, self._every = child, desk, dealers, every
        self.done = self.failed = 0
        self.memory_mb: dict[int, float] = {}
        """Resident memory of the service after so many RFQs."""

    async def sourced(self, count: int, in_flight: int) -> list[Sourced]:
        """`count` RFQs: whoever ends one begins the next. Those that failed are left out."""
        found: list[Sourced] = []
        numbers = iter(range(count))

        async def one_after_another() -> None:
            for _ in numbers:
                if not (sourced := await self._one()).failed:
                    found.append(sourced)

        await together(one_after_another() for _ in range(min(in_flight, count)))
        return found

    async def round(self, count: int, in_flight: int) -> Round:
        clock = asyncio.get_running_loop().time
        began, cpu_s, own_s = clock(), self._child.cpu_s(), process_time()
        out, back = self._dealers.received, self._dealers.sent
        found = await self.sourced(count, in_flight)
        return Round(
            rfqs_per_s=len(found) / (clock() - began),
            cpu_ms=(self._child.cpu_s() - cpu_s) / count * 1e3,
            bench_cpu_ms=(process_time() - own_s) / count * 1e3,
            award_s=tuple(s.award_s for s in found),
            frames_out=(self._dealers.received - out) / count,
            frames_in=(self._dealers.sent - back) / count,
        )

    async def arriving(self, rate: float, for_s: float) -> list[float]:
        """Seconds to award with RFQs arriving at random (Poisson), `rate` a second, whatever becomes of them."""
        rng, clock = random.Random(1), asyncio.get_running_loop().time
        tasks: list[asyncio.Task[Sourced]] = []
        due = clock()
        until = due + for_s
        while due < until:
            await asyncio.sleep(max(0.0, due - clock()))
            tasks.append(asyncio.create_task(self._one()))
            due += rng.expovariate(rate)
        await together(tasks)
        return [one.award_s for task in tasks if not (one := task.result()).failed]

    async def _one(self) -> Sourced:
        sourced = await self._desk.source()
        self.done += 1
        if sourced.failed:
            self.failed += 1
            progress(sourced.failed)
            if self.failed > max(5, FAILED_SHARE * self.done):
                raise OurFault(f"{self.failed} of {self.done} RFQs failed, the last of them so: {sourced.failed}")
        if self.done % self._every == 0:
            self.memory_mb[self.done] = self._child.resident_mb()
            progress(f"{self.done} RFQs, the service holds {self.memory_mb[self.done]:.0f} MB")
        return sourced


async def together(work: Iterable[Awaitable[Any]]) -> None:
    """Waits for all; the first to fail ends the others and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

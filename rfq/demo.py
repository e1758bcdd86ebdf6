"""The demonstration: a stream of RFQs and the block of 500,000 shares, from the first quote to the last child order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from rfq.api import answers as a
from rfq.api.messages import LegBody, PickBody, ResidualBody, RfqBody
from rfq.client import Client, ClientError, Conflict, Unavailable, Unreachable
from rfq.clocks import RandomIds
from rfq.domain.errors import OurFault
from rfq.domain.fill import Where
from rfq.domain.rfq import AwardMode, RequestSide, TellLosers, Urgency
from rfq.domain.values import Side
from rfq.narrator import Narrator, lots
from rfq.stage import Stage
from rfq.tca.report import BlockReport

T = TypeVar("T")

SPEED = "150"
"""Market seconds a second while no auction is on: three hours pass in a bit over a minute."""
PATIENCE_S = 300.0
"""Until the demonstration is given up: it takes about a hundred seconds on two free cores, more on busy ones."""
SETTLE_S = 15.0
"""Silence after which an RFQ that needs a person is waited for no longer."""
COME_BACK_S = 15.0
BENCHMARKS_S = 20.0
WINDOW_S = 3.0

BLOCK = RfqBody(
    legs=(LegBody(symbol="QDI", side=RequestSide.SELL, quantity="500000"),),
    client_order_id="the block",
    quote_window_s=5.0,
    residual=ResidualBody(horizon_s=3 * 3600, max_participation=0.2),
)


def stream() -> list[RfqBody]:
    """A morning's requests, each with something else that a desk may want."""

    def rfq(symbol: str, side: RequestSide, quantity: str, name: str, /, intent: Side | None = None, **terms: object):
        leg = LegBody(symbol=symbol, side=side, quantity=quantity, intent=intent)
        given = {"legs": (leg,), "client_order_id": name, "quote_window_s": WINDOW_S} | terms
        return RfqBody(**given)  # type: ignore[arg-type]

    soon = ResidualBody(horizon_s=900, max_participation=0.15, urgency=Urgency.HIGH)
    return [
        rfq("NVEC", RequestSide.BUY, "60000", "plain", residual=soon),
        rfq("BRKF", RequestSide.SELL, "40000", "all or none", all_or_none=True),
        rfq("HALM", RequestSide.TWO_WAY, "20000", "side hidden", intent=Side.BUY, residual=soon),
        rfq("NVEC", RequestSide.SELL, "30000", "in waves", first_wave=3, max_dealers=8),
        rfq("BRKF", RequestSide.BUY, "50000", "by hand", award=AwardMode.MANUAL, residual=soon),
        rfq("OLEN", RequestSide.SELL, "15000", "anonymous", anonymous=True, tell_losers=TellLosers.AFTER_BLOCK,
            residual=soon),
    ]  # fmt: skip


async def run(data_dir: Path, keep: bool, say: Callable[[str], None]) -> int:
    """Plays it all; 0 if every RFQ ended, 1 if one needs a person or did not end in time."""
    settings = {"SOTTO_PORT": "0", "SOTTO_EXCHANGE_PORT": "0", "SOTTO_SIMULATION_SPEED": SPEED}
    async with Stage(data_dir, say, settings | {"SOTTO_LOG_LEVEL": "info"}) as stage, stage.client("desk") as desk:
        say(f"service at {stage.url}, logs in {data_dir}; times below are the market's, at {SPEED} to 1")
        ended = await stage.standing(play(desk, say))
        if keep:
            say(f"still serving at {stage.url}; key of the desk: {stage.key('desk')}; stop with Ctrl-C")
            await stage.standing(asyncio.Event().wait())
    return 0 if ended else 1


async def play(desk: Client, say: Callable[[str], None]) -> bool:
    """Posts everything and follows it to the end; True if all ended by themselves. Raises OurFault, saying why."""
    try:
        return await _play(desk, say)
    except* ClientError as refused:
        reason = str(refused.exceptions[0])
    except* TimeoutError:
        reason = f"not over after {PATIENCE_S:.0f} s"
    raise OurFault(f"the demonstration stopped: {reason}")


async def _play(desk: Client, say: Callable[[str], None]) -> bool:
    async with asyncio.timeout(PATIENCE_S):
        left_over = [rfq async for rfq in desk.rfqs() if not rfq.over]
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[str]] = []
            for rfq in left_over:
                say(f"taken up where it stopped: {rfq.rfq_id}")
                name = rfq.terms.client_order_id or rfq.rfq_id[-6:]
                going_on = follow(desk, rfq.rfq_id, name, say, rfq.sequence, bool(rfq.needs_person))
                tasks.append(group.create_task(going_on))
            for body in stream():
                tasks.append(group.create_task(source(desk, body, say)))
                await asyncio.sleep(0.7)
            await asyncio.sleep(WINDOW_S)
            say("")
            tasks.append(group.create_task(source(desk, BLOCK, say)))
        ends = await asyncio.gather(*(patient(lambda task=task: desk.get(task.result())) for task in tasks))
        reports = await asyncio.gather(*(reported(desk, rfq) for rfq in ends))
    say("")
    say(as_table([report for report in reports if report is not None]))
    unsettled = [rfq for rfq in ends if not rfq.over]
    for rfq in unsettled:
        why = rfq.needs_person or f"it is {rfq.status.value} and goes no further"
        say(f"NEEDS A PERSON: RFQ {rfq.rfq_id} ({rfq.terms.client_order_id}): {why}")
    return not unsettled


async def source(desk: Client, body: RfqBody, say: Callable[[str], None]) -> str:
    """Posts one RFQ and follows it; a manual one is awarded to the best quote. Returns its id."""
    key = RandomIds().new("order")  # One key however often it has to be sent: one RFQ.
    await manned(desk)
    rfq = await patient(lambda: desk.create_rfq(body, key))
    leg = body.legs[0]
    name = body.client_order_id
    say(f"{name:>12} | {leg.side.value.replace('_', '-')} {lots(leg.quantity)} {leg.symbol}, arrival {rfq.arrival.mid}")
    return await follow(desk, rfq.rfq_id, name, say)


async def follow(
    desk: Client, rfq_id: str, name: str, say: Callable[[str], None], after: int = 0, person: bool = False
) -> str:
    """Says what happens to an RFQ until it is over, or nothing happens for a while and a person is needed."""
    told = Narrator(name, say)
    events = patiently(desk, rfq_id, after)
    while True:
        try:
            async with asyncio.timeout(SETTLE_S if person else None):
                event = await anext(events)
        except (StopAsyncIteration, TimeoutError):
            return rfq_id
        told.tell(event)
        if event.event == "PersonNeeded":
            person = True
        elif event.event == "PersonSettled":
            person = False
        elif event.event == "AuctionClosed" and name == "by hand":
            await pick_best(desk, rfq_id)


async def patiently(desk: Client, rfq_id: str, after: int = 0) -> AsyncIterator[a.EventAnswer]:
    """The RFQ's events, over as many connections as it takes: the service may be killed and come back."""
    while True:
        try:
            async for event in desk.events(rfq_id, after):
                after = event.sequence
                yield event
            return
        except (Unreachable, Unavailable):
            await asyncio.sleep(0.5)


async def patient(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, however often the service has to be asked. Other refusals are raised."""
    while True:
        try:
            return await ask()
        except (Unreachable, Unavailable):
            await asyncio.sleep(0.5)


async def manned(desk: Client) -> None:
    """Waits, no longer than dealers take to come back, until most of those that were ever here are connected."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(COME_BACK_S):
            while True:
                dealers = await patient(desk.dealers)
                if 3 * sum(d.connected for d in dealers) > 2 * len(dealers):
                    return
                await asyncio.sleep(0.2)


async def pick_best(desk: Client, rfq_id: str) -> None:
    """The desk's own choice: the best offer, whole."""
    await asyncio.sleep(0.5)
    with contextlib.suppress(ClientError):  # It may have expired while we looked, or the service died.
        live = [q for q in await desk.quotes(rfq_id) if q.status == "live" and q.offer]
        if live:
            best = min(live, key=lambda q: Decimal(q.offer.price if q.offer else "0"))
            asked = Decimal((await desk.get(rfq_id)).unfilled)
            assert best.offer is not None
            quantity = min(asked, Decimal(best.offer.quantity))
            await desk.award(rfq_id, PickBody(quote_id=best.quote_id, quantity=str(quantity)))


async def reported(desk: Client, rfq: a.RfqAnswer) -> BlockReport | None:
    """The report, waiting a little for benchmarks where the block was worked for long enough to have them.

    None for one that was set aside with its auction open: its quotes are sealed.
    """
    wants = rfq.over and rfq.terms.residual is not None and rfq.terms.residual.horizon_s >= 600
    try:
        report = await patient(lambda: desk.report(rfq.rfq_id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BENCHMARKS_S):
                while wants and not report.benchmarks:
                    await asyncio.sleep(0.5)
                    report = await patient(lambda: desk.report(rfq.rfq_id))
    except Conflict:
        return None
    return report


def as_table(reports: list[BlockReport]) -> str:
    """One line a block: what was filled where, what it cost, and what it would have cost by market orders alone."""
    head = (
        f"{'block':>12} {'':4} {'symbol':6} {'asked':>8} {'quotes':>8} {'lit':>8} {'dark':>8} {'left':>7} "
        f"{'cost bps':>9} {'TWAP':>7} {'VWAP':>7} {'dealers':>8} {'cover bps':>9}"
    )
    lines = [head, "-" * len(head)]
    for r in reports:
        at = {place.where: place.quantity for place in r.places}
        beside = {b.name: b.cost_bps for b in r.benchmarks}
        auction = r.auctions[-1] if r.auctions else None
        lines.append(
            f"{r.client_order_id:>12} {r.side or '':4} {r.symbol:6} {r.asked:>8,f} {at[Where.QUOTE]:>8,f} "
            f"{at[Where.LIT]:>8,f} {at[Where.DARK]:>8,f} {r.unfilled:>7,f} {r.all_in_bps:>9.2f} "
            f"{_bps(beside.get('twap')):>7} {_bps(beside.get('vwap')):>7} "
            f"{f'{auction.quoted}/{auction.asked}' if auction else '-':>8} "
            f"{_bps(auction.best_to_cover_bps if auction else None):>9}"
        )
    worked = [part for report in reports for part in report.worked]
    for schedule, weights in sorted({(part.schedule.value, part.weights) for part in worked}):
        alike = [part for part in worked if (part.schedule.value, part.weights) == (schedule, weights)]
        decisions, by_rule = sum(part.decisions for part in alike), sum(part.by_rule for part in alike)
        how = f", weights {weights}: {decisions} decisions, {by_rule} of them by the rule" if decisions else ""
        lines.append(f"{len(alike)} residuals worked by {schedule.replace('_', '-')}{how}")
    lines += [
        "",
        "cost: all-in, fees and unfilled lots included, in bps of arrival; positive is worse than arrival.",
        "TWAP, VWAP: the whole block by market orders alone on the same market path; - where nothing was to be worked,",
        "or the market ended with its service. dealers: quoted/asked.",
        "cover bps: how much worse the best losing quote was; negative: it was better, and not taken.",
    ]
    return "\n".join(lines)


def _bps(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"

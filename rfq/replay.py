"""A block on a recorded day: auctioned to the dealers, its residual worked against the real recorded book."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

from rfq.api.answers import FillAnswer, ParentAnswer
from rfq.api.messages import LegBody, ResidualBody, RfqBody
from rfq.client import Client, ClientError
from rfq.demo import follow, reported
from rfq.domain.errors import BadInput, OurFault
from rfq.domain.fill import Where
from rfq.domain.rfq import RequestSide, Schedule
from rfq.stage import Stage, scratch
from rfq.tca.report import BlockReport
from rfq.tca.table import as_table

OPEN_S = 9.5 * 3600


async def run(
    book: Path,
    *,
    trades: Path | None = None,
    side: RequestSide,
    quantity: str,
    begin: str,
    horizon_s: float,
    participation: float,
    schedule: Schedule,
    dealers: int,
    speed: float,
    latency_s: float,
    say: Callable[[str], None],
) -> int:
    """Plays a recorded day from `begin` (HH:MM, New York) and sources one block in it; 0 if every lot is accounted for.

    `book` is a LOBSTER zip, or with `trades` (a zip of the day's trades) one of the day's quotes.
    Raises BadInput for a bad argument or a file that cannot be played.
    """
    settings = {
        "SOTTO_PORT": "0",
        "SOTTO_EXCHANGE_PORT": "0",
        "SOTTO_SIMULATION_SPEED": str(speed),
        "SOTTO_REPLAY_BOOK": str(book),
        "SOTTO_REPLAY_FROM_S": str(_seconds(begin) - OPEN_S),
        "SOTTO_VENUE_LATENCY_S": str(latency_s),
    }
    if trades is not None:
        settings["SOTTO_REPLAY_TRADES"] = str(trades)
    with scratch() as folder:
        async with Stage(folder, say, settings) as stage, stage.client("desk") as desk:
            (listed,) = await desk.instruments()
            say(f"{listed.symbol} as recorded in {book.name} from {begin}, market time at {speed:g}x")
            body = RfqBody(
                legs=(LegBody(symbol=listed.symbol, side=side, quantity=quantity),),
                client_order_id=listed.symbol,
                max_dealers=dealers,
                max_winners=1,
                quote_window_s=4.0,
                residual=ResidualBody(horizon_s=horizon_s, max_participation=participation, schedule=schedule),
            )
            try:
                report = await _source(desk, body, say)
                fills, parents = await desk.fills(report.rfq_id), await desk.orders(report.rfq_id)
            except ClientError as refused:
                raise OurFault(f"the replay stopped: {refused}") from None
    say("")
    say(as_table(report))
    adds_up, sums = account(report.asked, fills, parents)
    say("\n" + "\n".join(sums))
    return 0 if adds_up else 1


async def _source(desk: Client, body: RfqBody, say: Callable[[str], None]) -> BlockReport:
    rfq = await desk.create_rfq(body)
    leg = body.legs[0]
    say(f"{leg.side.value} {leg.quantity} {leg.symbol}, arrival {rfq.arrival.mid}")
    await follow(desk, rfq.rfq_id, leg.symbol, say)
    ended = await desk.get(rfq.rfq_id)
    report = await reported(desk, ended)
    if report is None:
        raise OurFault(f"RFQ {rfq.rfq_id} needs a person: {ended.needs_person}")
    return report


def account(asked: Decimal, fills: Sequence[FillAnswer], parents: Sequence[ParentAnswer]) -> tuple[bool, list[str]]:
    """Whether every lot is accounted for, and the sums in words: each fill by itself against what the orders say."""

    def filled(*places: Where) -> Decimal:
        return sum((Decimal(f.quantity) for f in fills if f.where in places), Decimal(0))

    residual = sum((Decimal(p.quantity) for p in parents), Decimal(0))
    left = sum((Decimal(p.quantity) - Decimal(p.filled) for p in parents), Decimal(0))
    quotes, lit, dark = filled(Where.QUOTE), filled(Where.LIT), filled(Where.DARK)
    idle = asked - quotes - residual if not parents else Decimal(0)
    adds_up = residual == lit + dark + left and asked == quotes + residual + idle and idle >= 0
    verdict = "adds up" if adds_up else "DOES NOT ADD UP"
    not_traded = f" + {idle:,f} not traded" if idle else ""
    return adds_up, [
        f"asked {asked:,f} = {quotes:,f} at quotes + {residual:,f} to work{not_traded}",
        f"residual {residual:,f} = {lit:,f} lit + {dark:,f} hidden + {left:,f} left: {verdict}",
    ]


def _seconds(clock: str) -> float:
    hours, _, minutes = clock.partition(":")
    try:
        seconds = int(hours) * 3600.0 + int(minutes) * 60.0
    except ValueError:
        raise BadInput("--from", clock, "must be HH:MM") from None
    if not OPEN_S <= seconds < 16 * 3600:
        raise BadInput("--from", clock, "must be from 09:30 to before 16:00")
    return seconds


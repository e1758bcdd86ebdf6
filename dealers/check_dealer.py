"""Does a dealer's client keep to the protocol? Waits for it, plays its counterparty, and says what it broke."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from dealers.check import Broken, Report, Rule, Unchecked
from dealers.counterparty import DEALER, Counterparty
from rfq.domain.events import Notice, NoticeKind
from rfq.domain.fill import Fill, Where
from rfq.domain.quote import Lift, Request
from rfq.domain.rfq import RequestSide
from rfq.domain.values import FillId
from rfq.ports import DealerQuoted, LiftAnswered, Trade

Play = Callable[[], Awaitable[str | None]]


class DealerCheck:
    """One check of one dealer's client, in the order in which a dealer's day goes."""

    def __init__(self, counterparty: Counterparty) -> None:
        self._sotto, self._patience = counterparty, counterparty.patience
        self._quoted: tuple[Request, DealerQuoted] | None = None
        self._open: tuple[Request, DealerQuoted] | None = None
        self._answered: tuple[Lift, LiftAnswered] | None = None

    async def run(self, host: str, port: int, *, wait_s: float, say: Callable[[str], None]) -> Report:
        """Listens, waits up to `wait_s` for the client, checks. Raises OSError if the port cannot be had."""
        report = Report()
        async with self._sotto.listening(host, port) as url:
            say(f"waiting for a dealer at {url}")
            logon = Rule("logon", "connects with its key and a subprotocol, and logs on")
            here = await report.check(logon, lambda: self._logon(wait_s))
            for rule, play in self._rules():
                if here:
                    await report.check(rule, play)
                else:
                    report.skip([rule], "no dealer was logged on")
        return report

    def _rules(self) -> list[tuple[Rule, Play]]:
        return [
            (Rule("quote", "a desk that buys is offered, in time, on tick and in lots"), self._quotes_buy),
            (Rule("sides", "a desk that sells is bid; a two-way request gets both"), self._quotes_others),
            (Rule("repeat", "a request that comes again gets no second quote"), self._repeated_request),
            (Rule("symbol", "an instrument that it does not know is declined, not ignored"), self._unknown_symbol),
            (Rule("lift", "a lift is answered in time; a firm quote is confirmed"), self._lifted),
            (Rule("again", "a lift that comes again is never answered otherwise"), self._lifted_again),
            (Rule("status", "a status request is answered as the lift was"), self._status),
            (Rule("stale", "a lift of a revision that it never made is refused"), self._stale_lift),
            (Rule("unknown", "a lift never seen is 'unknown', and refused if it comes yet"), self._unknown_lift),
            (Rule("trade", "a trade is acknowledged, each time that it comes"), self._trade),
            (Rule("notices", "outcomes and withdrawals are taken without complaint"), self._notices),
            (Rule("newer", "messages and fields of a newer protocol are let pass"), self._newer),
            (Rule("garbage", "a frame that cannot be read does not end it"), self._garbage),
            (Rule("heartbeat", "a quiet line carries its heartbeats"), self._heartbeat),
            (Rule("return", "after a lost line it comes back, naming session and sequence"), self._return),
            (Rule("resumed", "back again, it does not quote open requests twice, and quotes new ones"), self._resumed),
            (Rule("mistakes", "it has sent nothing that had to be corrected"), self._mistakes),
        ]

    async def _logon(self, wait_s: float) -> str:
        logon = await self._sotto.logged_on(0, wait_s)
        cancels = "yes" if logon.get("cancel_on_disconnect") else "no"
        return f"{self._sotto.line.subprotocol}; cancel on disconnect: {cancels}"

    # --- asked ---------------------------------------------------------------------------------------------------

    def _first(self) -> tuple[Request, DealerQuoted]:
        if self._quoted is None:
            raise Unchecked("it has quoted nothing")
        return self._quoted

    async def _quotes_buy(self) -> str:
        request, quoted = self._quoted = await self._sotto.ask(RequestSide.BUY)
        lift, instrument = self._sotto.lift_of(request, quoted), self._sotto.instrument
        kind = "firm" if quoted.firm else f"last look of {quoted.last_look_s:g} s"
        quantity, price = instrument.format_quantity(lift.quantity), instrument.format_price(lift.price)
        return f"{quantity} of {request.symbol} at {price}, {kind}"

    async def _quotes_others(self) -> None:
        await self._sotto.ask(RequestSide.SELL)
        await self._sotto.ask(RequestSide.TWO_WAY)

    async def _repeated_request(self) -> None:
        request, quoted = self._first()
        await self._sotto.gateway.ask([request])
        await asyncio.sleep(self._patience.quiet_s)
        self._one_quote(request, quoted)

    def _one_quote(self, request: Request, quoted: DealerQuoted) -> None:
        for other in self._sotto.quotes_of(request):
            if (other.quote_id, other.revision) != (quoted.quote_id, quoted.revision):
                first, second = f"{quoted.quote_id}/{quoted.revision}", f"{other.quote_id}/{other.revision}"
                raise Broken(f"it quoted the same request twice, as {first} and {second}")

    async def _unknown_symbol(self) -> None:
        """Said past the gateway, which would not ask for what it does not know; nor does it take the decline."""
        tap, name = self._sotto.line, self._sotto.ids.new("request")
        deadline = self._sotto.clock.now() + timedelta(seconds=self._patience.window_s)
        request = {
            "type": "quote_request",
            "sequence": 0,
            "request_id": name,
            "symbol": "NOSUCH",
            "side": "buy",
            "quantity": "100",
            "deadline": deadline.isoformat().replace("+00:00", "Z"),
            "time_left_s": self._patience.window_s,
            "currency": "USD",
            "lot": "1",
            "ticks": [{"from_price": "0", "tick": "0.01"}],
            "possible_duplicate": True,
        }
        await tap.send_object(request)
        said = await tap.heard.wait(lambda m: m.get("request_id") == name, self._patience.window_s)
        await asyncio.sleep(self._patience.quiet_s)
        tap.errors = [error for error in tap.errors if name not in str(error)]
        if said is None:
            raise Broken(f"no decline within {self._patience.window_s:g} s")
        if said.get("type") != "decline":
            raise Broken(f"it answered with a {said.get('type')}")

    # --- lifted --------------------------------------------------------------------------------------------------

    def _standing(self) -> tuple[Lift, LiftAnswered]:
        if self._answered is None:
            raise Unchecked("it has answered no lift")
        return self._answered

    async def _lifted(self) -> str:
        request, quoted = self._first()
        lift = self._sotto.lift_of(request, quoted)
        await self._sotto.lift(lift)
        answer = await self._sotto.answer_to(lift)
        if answer.answer == "unknown" or (quoted.firm and answer.answer != "confirmed"):
            raise Broken(f"a {'firm' if quoted.firm else 'last-look'} quote, lifted in time, was {answer.answer}")
        if answer.quantity is not None and answer.quantity != lift.quantity:
            raise Broken(f"it confirmed {answer.quantity} lots of {lift.quantity}")
        self._answered = lift, answer
        return answer.answer

    async def _lifted_again(self) -> None:
        lift, first = self._standing()
        await self._sotto.lift(lift)
        await asyncio.sleep(self._patience.quiet_s)
        for answer in self._sotto.answers_to(lift):
            if answer.answer != first.answer:
                raise Broken(f"first {first.answer}, then {answer.answer}")

    async def _status(self) -> None:
        lift, first = self._standing()
        tap = self._sotto.line
        before = tap.heard.count
        await self._sotto.ask_status(lift)
        said = await tap.heard.wait(lambda m: m.get("type") == "status", self._patience.answer_s, before)
        if said is None:
            raise Broken(f"no status within {self._patience.answer_s:g} s")
        if said.get("state") != first.answer:
            raise Broken(f"the lift was {first.answer}, and it says {said.get('state')!r}")

    async def _stale_lift(self) -> None:
        request, quoted = await self._sotto.ask(RequestSide.BUY)
        lift = self._sotto.lift_of(request, quoted, quoted.revision + 7)
        await self._sotto.lift(lift)
        if (answer := await self._sotto.answer_to(lift)).answer != "refused":
            raise Broken(f"revision {lift.revision} was {answer.answer}, where it had made {quoted.revision}")

    async def _unknown_lift(self) -> None:
        request, quoted = await self._sotto.ask(RequestSide.BUY)
        lift = self._sotto.lift_of(request, quoted)
        await self._sotto.ask_status(lift)
        if (answer := await self._sotto.answer_to(lift)).answer != "unknown":
            raise Broken(f"it says {answer.answer} of a lift that it was never sent")
        await self._sotto.lift(lift)
        await asyncio.sleep(quoted.last_look_s + self._patience.quiet_s)
        answers = {answer.answer for answer in self._sotto.answers_to(lift)}
        if "confirmed" in answers:
            raise Broken("it called the lift unknown, and then confirmed it")
        if "refused" not in answers:
            raise Broken("it called the lift unknown, and did not refuse it when it came")

    async def _trade(self) -> None:
        lift, _ = self._standing()
        now = self._sotto.clock.now()
        fill = Fill(
            fill_id=FillId(self._sotto.ids.new("fill")),
            rfq_id=lift.rfq_id,
            symbol=lift.symbol,
            side=lift.side,
            price=lift.price,
            quantity=lift.quantity,
            where=Where.QUOTE,
            venue=DEALER,
            filled_at=now,
            market_filled_at=now,
            mid_at_fill=self._sotto.mid,
            dealer_id=DEALER,
            lift_id=lift.lift_id,
        )
        wanted, within_s = ("trade_ack", lift.lift_id), self._patience.answer_s
        for time in ("first", "second"):
            tap = self._sotto.line
            before = tap.heard.count
            await self._sotto.gateway.book(Trade(lift, fill))
            if not await tap.heard.wait(lambda m: (m.get("type"), m.get("lift_id")) == wanted, within_s, before):
                raise Broken(f"no trade_ack the {time} time, within {within_s:g} s")

    # --- the rest ------------------------------------------------------------------------------------------------

    async def _notices(self) -> None:
        request, _ = await self._sotto.ask(RequestSide.BUY)
        await self._sotto.gateway.tell([Notice(request.request_id, DEALER, NoticeKind.COVER)])
        request, _ = await self._sotto.ask(RequestSide.BUY)
        await self._sotto.gateway.withdraw([request], "cancelled")
        await self._sotto.ask(RequestSide.BUY)

    async def _newer(self) -> None:
        await self._sotto.line.send_object({"type": "weather", "sequence": 0, "text": "fair"})
        await self._sotto.line.send_object({"type": "heartbeat", "sequence": 0, "colour": "red"})
        await self._sotto.ask(RequestSide.BUY)

    async def _garbage(self) -> None:
        await self._sotto.line.send_nonsense()
        await self._sotto.ask(RequestSide.BUY)

    async def _heartbeat(self) -> None:
        tap = self._sotto.line
        within_s = 3 * self._patience.beat_s
        if await tap.heard.wait(lambda m: m.get("type") == "heartbeat", within_s, tap.heard.count) is None:
            raise Broken(f"none in {within_s:g} s, where one was due every {self._patience.beat_s:g} s")

    async def _return(self) -> str:
        tap = self._sotto.line
        self._open = await self._sotto.ask(RequestSide.BUY)
        gateway, cut_at = self._sotto.gateway, self._sotto.clock.now()
        sequence = gateway.states()[0].sequence
        before = self._sotto.said.count
        tap.cut()
        logon = await self._sotto.logged_on(before, self._patience.return_s)
        session, last = logon.get("session_id", ""), logon.get("last_sequence", 0)
        if (session, last) != (gateway.session_id, sequence):
            raise Broken(f"it named session {session!r} and sequence {last}, where {sequence} was the last")
        return f"back after {(self._sotto.clock.now() - cut_at).total_seconds():.1f} s"

    async def _resumed(self) -> None:
        if self._open is None:
            raise Unchecked("it has no open request")
        await asyncio.sleep(self._patience.quiet_s)
        self._one_quote(*self._open)
        await self._sotto.ask(RequestSide.BUY)

    async def _mistakes(self) -> None:
        errors = [error for tap in self._sotto.taps for error in tap.errors if error.get("blame") == "dealer"]
        if errors:
            about, text = errors[0].get("refers_to", ""), errors[0]["text"]
            raise Broken(f"{len(errors)} corrections; the first: {about}: {text}")

"""One participant's connection to the exchange, apart from the socket: what it says, and what is waiting for it."""

import asyncio
from collections import deque
from collections.abc import Mapping
from datetime import datetime

import msgspec

from lit_router.market import orders, wire
from lit_router.market.matching_core import REMEMBERED, MatchingCore
from lit_router.market.orders import AnyReport, Ticket
from rfq.domain.errors import BadInput, PeerFault
from rfq.domain.order import TimeInForce
from rfq.domain.values import Instrument, Quantity, Side, Symbol
from rfq.ports import MarketClock, MarketView

MOST_ACCOUNTS = 256


class ParticipantSession:
    """Decodes and carries out messages; keeps reports in order, and of market data only the latest of each symbol."""

    def __init__(
        self, name: str, core: MatchingCore, clock: MarketClock, codec: wire.Codec, *, most_reports: int
    ) -> None:
        self.name, self._core, self._clock, self._codec = name, core, clock, codec
        self._instruments = {symbol: core.instrument(symbol) for symbol in core.symbols()}
        self._symbols: frozenset[Symbol] = frozenset()
        self._accounts: set[str] = set()
        self._order_symbols: dict[tuple[str, str], Symbol] = {}
        self._waiting: deque[wire.ToParticipant] = deque()
        self._latest: dict[Symbol, MarketView] = {}
        self._told: dict[Symbol, MarketView] = {}
        self._due = False
        self._wake = asyncio.Event()
        self._most = most_reports
        self.overran = asyncio.Event()
        """More reports were waiting than allowed: the connection must end."""
        self._say(self._welcome())

    # --- heard ----------------------------------------------------------------------------------------------------

    def heard(self, frame: wire.Frame) -> None:
        """Carries out one message, or answers it with an error."""
        order_id = ""
        try:
            message = self._codec.from_participant(frame)
            order_id = getattr(message, "order_id", "")
            self._obey(message)
        except BadInput as bad:
            self._say(wire.Error(reason=str(bad), field=bad.field, order_id=order_id))
        except (PeerFault, msgspec.DecodeError, UnicodeDecodeError) as bad:
            self._say(wire.Error(reason=str(bad), order_id=order_id))

    def _obey(self, message: wire.FromParticipant) -> None:
        match message:
            case wire.Subscribe(symbols=symbols):
                unknown = set(symbols) - set(self._instruments)
                if unknown:
                    raise BadInput("symbols", sorted(unknown), "must be listed here")
                self._symbols = frozenset(map(Symbol, symbols)) or frozenset(self._instruments)
                self._told.clear()
            case wire.NewOrder():
                ticket = self._ticket(message)
                participant = self._participant(message.account)
                self._order_symbols[message.account, message.order_id] = ticket.symbol
                if len(self._order_symbols) > REMEMBERED:
                    self._order_symbols.pop(next(iter(self._order_symbols)))
                self._core.submit(participant, ticket)
            case wire.CancelOrder():
                self._core.cancel(self._participant(message.account), message.order_id)
            case wire.AskStatus():
                self._core.status(self._participant(message.account), message.order_id)

    def _ticket(self, order: wire.NewOrder) -> Ticket:
        instrument = self._instruments.get(Symbol(order.symbol))
        if instrument is None:
            raise BadInput("symbol", order.symbol, "must be listed here")
        if not 0 < len(order.order_id) <= 64:
            raise BadInput("order_id", order.order_id, "must have 1 to 64 characters")
        return Ticket(
            order_id=order.order_id,
            symbol=instrument.symbol,
            side=Side(_one_of("side", order.side, ("buy", "sell"))),
            quantity=instrument.parse_quantity(order.quantity),
            price=None if order.price is None else instrument.parse_order_price(order.price),
            tif=TimeInForce(_one_of("time_in_force", order.time_in_force, ("day", "ioc"))),
            minimum=Quantity(0) if order.minimum is None else instrument.parse_quantity(order.minimum, "minimum"),
            book=_one_of("book", order.book, self._core.books()),
        )

    def _participant(self, account: str) -> str:
        if account not in self._accounts:
            if len(account) > 64 or len(self._accounts) >= MOST_ACCOUNTS:
                raise BadInput("account", account, f"must be one of at most {MOST_ACCOUNTS} names of 64 characters")
            self._accounts.add(account)
            self._core.connect(self._core_name(account), lambda report: self._reported(account, report))
        return self._core_name(account)

    def _core_name(self, account: str) -> str:
        return f"{self.name}/{account}"

    def left(self) -> None:
        """The connection ended: live orders of its accounts are cancelled."""
        for account in self._accounts:
            self._core.disconnect(self._core_name(account), cancel=True)

    # --- said -----------------------------------------------------------------------------------------------------

    async def outgoing(self) -> list[wire.Frame]:
        """Waits until something is to be sent; reports first, then market data if it is due."""
        while not (self._waiting or self._due):
            self._wake.clear()
            await self._wake.wait()
        frames = [self._codec.encode(message) for message in self._waiting]
        self._waiting.clear()
        if self._due:
            self._due = False
            frames.append(self._codec.encode(self._data()))
        return frames

    def saw(self, views: Mapping[Symbol, MarketView]) -> None:
        """The market has moved: whoever subscribed is due an update of what changed."""
        if self._symbols:
            self._latest.update({symbol: views[symbol] for symbol in self._symbols})
            self._due = True
            self._wake.set()

    def _say(self, message: wire.ToParticipant) -> None:
        if len(self._waiting) >= self._most:
            self.overran.set()
        else:
            self._waiting.append(message)
        self._wake.set()

    def _reported(self, account: str, report: AnyReport) -> None:
        instrument = self._instruments.get(self._order_symbols.get((account, report.order_id), Symbol("")))
        self._say(_execution(account, report, instrument))

    def _data(self) -> wire.Data:
        changed = [
            view
            for symbol, view in self._latest.items()
            if symbol not in self._told or view.but(source_at=self._told[symbol].source_at) != self._told[symbol]
        ]
        self._told.update({view.symbol: view for view in changed})
        tops = [_top(view, self._instruments[view.symbol]) for view in changed]
        return wire.Data(market_time=self._market_time(), rate=self._rate(), tops=tops)

    def _welcome(self) -> wire.Welcome:
        listed = [
            wire.Listed(symbol=i.symbol, currency=i.currency, price_unit=str(i.price_unit), lot=str(i.lot))
            for i in self._instruments.values()
        ]
        return wire.Welcome(
            participant=self.name,
            market_time=self._market_time(),
            rate=self._rate(),
            books=list(self._core.books()),
            instruments=listed,
        )

    def _market_time(self) -> datetime:
        return self._clock.now()

    def _rate(self) -> float:
        return float(getattr(self._clock, "rate", 1.0))


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise BadInput(field, value, f"must be one of {', '.join(allowed)}")
    return value


def _top(view: MarketView, instrument: Instrument) -> wire.Top:
    price, lots = instrument.format_price, instrument.format_quantity
    mid = view.mid
    return wire.Top(
        symbol=view.symbol,
        bid=None if view.bid is None else price(view.bid),
        bid_quantity=None if view.bid is None else lots(view.bid_quantity),
        ask=None if view.ask is None else price(view.ask),
        ask_quantity=None if view.ask is None else lots(view.ask_quantity),
        mid=None if mid is None else price(mid),
        last=None if view.last is None else price(view.last),
        volume=lots(view.volume),
        halted=view.halted,
    )


def _execution(account: str, report: AnyReport, instrument: Instrument | None) -> wire.Execution:
    """The report in decimals. An order that was never taken here has no price or quantity to tell."""
    executed = report if isinstance(report, orders.Executed) else None
    leaves = getattr(report, "leaves", None)
    return wire.Execution(
        order_id=report.order_id,
        account=account,
        kind=str(type(report).__struct_config__.tag),
        market_at=report.at,
        execution_id=executed.fill_id if executed else "",
        price=instrument.format_price(executed.price) if executed and instrument else None,
        quantity=instrument.format_quantity(executed.quantity) if executed and instrument else None,
        leaves=instrument.format_quantity(leaves) if leaves is not None and instrument else None,
        maker=executed.maker if executed else None,
        state=report.state.value if isinstance(report, orders.OrderStatus) else "",
        reason=getattr(report, "reason", ""),
    )

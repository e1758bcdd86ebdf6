"""How dealers have done of late, from recorded outcomes, beside whether their lines are up."""

import asyncio
from datetime import datetime, timedelta
from statistics import fmean, median

from rfq.api.house_answers import DealerAnswer, DealersAnswer
from rfq.api.ports import Reachable
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import DealerId
from rfq.ports import Clock, DealerOutcome, HistoryReader, KeyStore, MarketClock

LOOK_BACK = timedelta(days=5)
"""Market time."""
MOST_OUTCOMES = 20_000
FRESH = timedelta(seconds=15)
AFTER_LOSING = MARK_OUT_HORIZONS_S.index(60.0)


class Record:
    """One dealer's outcomes, added up."""

    def __init__(self) -> None:
        self.asked = self.answered = self.lifted = self.confirmed = self.refused = 0
        self.response_s: list[float] = []
        self.quote_cost_bps: list[float] = []
        self.after_losing_bps: list[float] = []

    def add(self, one: DealerOutcome) -> None:
        self.asked += 1
        self.answered += one.answered
        self.lifted += one.lifted
        self.confirmed += one.confirmed
        self.refused += one.refused
        if one.response_s is not None:
            self.response_s.append(one.response_s)
        if one.side is not None and one.quote_price is not None and one.mid_at_quote:
            self.quote_cost_bps.append(
                one.side.sign * (one.quote_price - one.mid_at_quote) / one.mid_at_quote * 1e4,
            )
        move, control = one.mark_outs[AFTER_LOSING], one.controls[AFTER_LOSING]
        if not one.lifted and move is not None:
            self.after_losing_bps.append(move - (control or 0.0))

    def answer(self, dealer_id: str, connected: bool, with_costs: bool) -> DealerAnswer:
        return DealerAnswer(
            dealer_id=dealer_id,
            connected=connected,
            asked=self.asked,
            answered=self.answered,
            lifted=self.lifted,
            confirmed=self.confirmed,
            refused=self.refused,
            response_s=median(self.response_s) if self.response_s else None,
            quote_cost_bps=fmean(self.quote_cost_bps) if with_costs and self.quote_cost_bps else None,
            after_losing_bps=fmean(self.after_losing_bps) if with_costs and self.after_losing_bps else None,
        )


class Scoreboard:
    """Reads the history at most once in fifteen seconds, whoever asks."""

    def __init__(
        self, history: HistoryReader, keys: KeyStore, reachable: Reachable, clock: Clock, market_clock: MarketClock
    ) -> None:
        self._history, self._keys, self._reachable = history, keys, reachable
        self._clock, self._market_clock = clock, market_clock
        self._records: dict[DealerId, Record] = {}
        self._names: list[str] = []
        self._since: datetime | None = None
        self._read_at: datetime | None = None
        self._reading = asyncio.Lock()

    async def show(self, with_costs: bool) -> DealersAnswer:
        """Every dealer that has a key or a record, by name. Raises StoreUnavailable."""
        async with self._reading:
            if self._since is None or self._read_at is None or self._clock.now() - self._read_at > FRESH:
                await self._read()
        assert self._since is not None
        up = self._reachable()
        known = sorted({*self._names, *self._records, *up})
        return DealersAnswer(
            dealers=tuple(
                self._records.get(DealerId(name), Record()).answer(name, name in up, with_costs) for name in known
            ),
            since=self._since,
        )

    async def _read(self) -> None:
        since = self._market_clock.now() - LOOK_BACK
        names = await self._keys.names("dealer")
        records: dict[DealerId, Record] = {}
        async for outcome in self._history.outcomes(since, MOST_OUTCOMES):
            records.setdefault(outcome.dealer_id, Record()).add(outcome)
        self._names, self._records, self._since, self._read_at = names, records, since, self._clock.now()

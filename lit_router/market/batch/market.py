"""B markets in one object: made from a parameter set, stepped together, looked at as tensors."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import torch

from lit_router.market.batch import draws, pools
from lit_router.market.batch.book import redrawn
from lit_router.market.batch.compiled import play
from lit_router.market.batch.compiled_entering import enter_all, enter_at
from lit_router.market.batch.entering import Ticket, cancel, enter, market_price
from lit_router.market.batch.impact import unit_of
from lit_router.market.batch.laws import OCTAVE, laws_of
from lit_router.market.batch.orders import NO_LIMIT
from lit_router.market.batch.rules import CHANCE, CancelAssumption, Rules, rules_of
from lit_router.market.batch.state import empty, record, recorded, viewed
from lit_router.market.batch.step import step
from lit_router.market.parameters import BookParameters
from rfq.domain.errors import BadInput

STEP_S = 0.25
USUAL_SLOTS = 6
"""For orders of one participant: what rests, what was added to it, three pools, what crosses."""


class Character(NamedTuple):
    """What one market is, beside its parameter set."""

    first_bid: int = 20_000
    """Price of the best bid at the open, price units."""
    grid: int = 2
    """Price units between two modelled levels; two, so that a midpoint is whole."""
    mean_lots: int = 100
    pace: float = 1.0
    theta: float | None = None
    """None: the set's."""
    sigma_cells: float = 0.0
    """Daily volatility in cells, and lots traded in a day, for the impact of participants; 0: the set's, scaled."""
    day_lots: float = 0.0
    opened_s: float = 0.0
    """Seconds of the session that have passed at step 0."""


class BatchedMarket:
    """B markets of one parameter set. Steps are compiled for a processor and for a CUDA device (with numba-cuda), and
    tensor operations on any other."""

    def __init__(
        self,
        parameters: BookParameters,
        seeds: Sequence[int],
        *,
        characters: Sequence[Character] | Character | None = None,
        conditions: bool = True,
        orders: int = USUAL_SLOTS,
        pool_characters: tuple[pools.PoolCharacter, ...] = pools.POOLS,
        cancels: CancelAssumption = CancelAssumption.RANDOM,
        step_s: float = STEP_S,
        device: str | torch.device = "cpu",
        threads: int = 1,
    ) -> None:
        """One market for each seed. `characters`: one for all or one each (None: the set's own); `orders`: slots for
        participants' orders in each market. `conditions` off is the plain book of the set, without regimes, news, flow
        or makers. `threads` share the markets between them on a processor."""
        self.parameters, self.step_s, self.threads = parameters, step_s, threads
        self.device, self._threads = torch.device(device), None
        self.pool_characters = pool_characters
        if not 0 < orders <= draws.MOST_ORDERS:
            raise BadInput("orders", orders, f"must be from 1 to {draws.MOST_ORDERS}")
        self._settings, self._held = (conditions, cancels), False
        count = len(seeds)
        characters = Character(mean_lots=parameters.mean_lots) if characters is None else characters
        each = [characters] * count if isinstance(characters, Character) else list(characters)
        shape = (count, parameters.levels, orders)
        if self._cpu:
            self._hold(recorded(*shape), 0)
        elif self.device.type == "cuda":
            # Only who has a GPU has what compiles for it.
            from lit_router.market.batch.compiled_cuda import Threads

            self._threads, self._played = Threads(*shape, self.device), 0
            self.state = self._threads.state
        else:
            self.state = empty(*shape, self.device)
        self._make_tables()
        self._open(seeds, each)

    @property
    def _cpu(self) -> bool:
        return self.device.type == "cpu"

    def _make_tables(self) -> None:
        self.laws = laws_of(self.parameters, self.step_s, self.device)
        self.rules = self._rules_on(self.device)
        if self._cpu:
            self._tables, self._rule = record(self.laws), record(self.rules)
        elif self._threads:
            self._threads.take(laws_of(self.parameters, self.step_s, torch.device("cpu")), self._rules_on("cpu"))

    def _rules_on(self, device: str | torch.device) -> Rules:
        conditions, cancels = self._settings
        found = rules_of(
            self.parameters, self.step_s, conditions, cancels, self.pool_characters, torch.device(device)
        )
        return found._replace(regime_switch=0) if self._held else found

    def _hold(self, records: np.ndarray, steps: int) -> None:
        """Takes these records for the markets, `steps` steps after their opening."""
        self._records, self.state = records, viewed(records, steps)
        self.events = np.zeros(len(records), np.int64)
        self._none = np.zeros((0, len(records)), np.int64)
        self._workers = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def _open(self, seeds: Sequence[int], each: Sequence[Character]) -> None:
        p, s = self.parameters, self.state
        for place, c in enumerate(each):
            if not c.pace > 0 or c.mean_lots < 1 or c.grid < 1:
                raise BadInput(f"characters[{place}]", c, "must have a positive pace, grid and average event")
            if c.first_bid <= (p.levels + 2) * c.grid:
                raise BadInput(f"characters[{place}].first_bid", c.first_bid, "must leave room for all levels below it")
        s.key.copy_(draws.keys_of(seeds, self.device))

        def put(field: torch.Tensor, values: list[Any]) -> None:
            field.copy_(torch.tensor(values, dtype=field.dtype))

        put(s.mean_lots, [c.mean_lots for c in each])
        put(s.grid, [c.grid for c in each])
        put(s.log_pace, [round(OCTAVE * float(np.log2(c.pace))) for c in each])
        put(s.liveliness, [c.pace for c in each])
        put(s.theta, [round(CHANCE * (p.theta if c.theta is None else c.theta)) for c in each])
        put(s.opened, [round(c.opened_s / self.step_s) for c in each])
        day = [c.day_lots or p.day_lots * c.pace * c.mean_lots / p.mean_lots for c in each]
        sigma = [c.sigma_cells or p.day_sigma_grids * c.pace**0.5 for c in each]
        put(s.day_lots, day)
        units = [unit_of(sig, lots, self.step_s) if lots else 0.0 for sig, lots in zip(sigma, day, strict=True)]
        put(s.impact_unit, units)
        put(s.first_bid, [c.first_bid for c in each])
        s.step.fill_(-1)  # The opening book is drawn at step -1.
        s.queues.copy_(redrawn(s, self.laws))
        s.step.fill_(0)

    @property
    def markets(self) -> int:
        return self.state.key.shape[0]

    @property
    def steps(self) -> int:
        """Steps played so far."""
        return int(self.state.step)

    @property
    def records(self) -> np.ndarray:
        """On a processor: the markets' records, which the tensors of the state view."""
        return self._records

    @property
    def compiled(self) -> tuple[np.ndarray, np.void, np.void]:
        """What compiled code takes, on a processor: the markets' records, the laws and the rules."""
        return self._records, self._tables, self._rule

    def hold_regimes(self) -> None:
        """From now on no regime ends by itself: whoever tells a story sets them in the state."""
        self._held = True
        self._make_tables()

    def taking_part(self) -> bool:
        """Whether anybody has an order in any of the markets, or left traces in one."""
        s = self.state
        return any(bool(field.any()) for field in (s.side, s.taken, s.net, s.pressed, s.kernel, s.pending))

    def copy(self, places: Sequence[int] | None = None) -> "BatchedMarket":
        """An independent twin of some markets (None: all), on a processor: what is done to one is not done to the
        other, and both see the same anonymous flow."""
        twin = copy(self)
        twin._hold(self._records[list(range(self.markets) if places is None else places)].copy(), self.steps)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        made_again = ("state", "laws", "rules", "events", "_tables", "_rule", "_none", "_workers")
        return {name: value for name, value in self.__dict__.items() if name not in made_again} | {"_at": self.steps}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        at = kept.pop("_at")
        self.__dict__.update(kept)
        self._make_tables()
        self._hold(self._records, at)

    def compile(self) -> "BatchedMarket":
        """Compiles what stepping will need, if it is not in the cache: half a minute the first time on a machine."""
        if self._cpu:
            self.advance(0)
            self.play_one(0, 0, self._none, self._none, stop_at_fills=True)
            self.enter_one(0, 0, 0, 0, 0, 0, 0, 0, 0)
            self.enter(0, self.ticket(0, 0))
        return self

    def advance(self, steps: int, where: torch.Tensor | None = None) -> None:
        """Plays every market for `steps` steps. `where`, bool [B]: no longer those of which nothing more is asked; they
        may stay behind, and must not be played again."""
        if self._threads:
            self._threads.play(self._played, steps, where)
            self._played += steps
            self.state.step.add_(steps)
        elif self._cpu:
            self._play(steps, self._none, self._none, where)
        else:
            for _ in range(steps):
                step(self.state, self.laws, self.rules)

    def watch(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Plays `steps` steps; returns twice the displayed mid (-1: none) and lots traded so far, [steps, B] each."""
        mids, volumes = np.zeros((2, steps, self.markets), np.int64)
        self._play(steps, mids, volumes)
        return mids, volumes

    def _play(
        self, steps: int, mids: np.ndarray, volumes: np.ndarray, where: torch.Tensor | None = None
    ) -> None:
        first = int(self.state.step)

        def part(low: int, high: int) -> None:
            play(
                self._records, self._tables, self._rule, low, high, first, steps, mids, volumes, False, self.events
            )

        if where is not None:
            for place in where.nonzero()[:, 0].tolist():
                part(place, place + 1)
        elif self._workers is None:
            part(0, self.markets)
        else:
            edges = np.linspace(0, self.markets, self.threads + 1).astype(int).tolist()
            list(self._workers.map(part, edges[:-1], edges[1:]))
        self.state.step.add_(steps)

    def enter(self, slot: int, ticket: Ticket) -> None:
        """One new order in each market where the ticket has a side, into a free slot; see `entering`.

        It arrives now: latency is steps played between looking at the market and this.

        Raises BadInput for a slot that does not exist and, on a processor, for one that is taken, a venue that does not
        exist and an order at any price that would rest in the lit book.
        """
        if not 0 <= slot < self.state.side.shape[1]:
            raise BadInput("slot", slot, f"must be below {self.state.side.shape[1]}")
        if self._threads:
            self._threads.enter(slot, ticket)
            return
        if not self._cpu:
            enter(self.state, self.rules, slot, ticket)
            return
        new, priceless = ticket.side != 0, ticket.price.abs() >= NO_LIMIT
        _must(~(new & (self.state.side[:, slot] != 0)), "slot", "must be free")
        _must((ticket.venue >= 0) & (ticket.venue <= self.rules.pools), "venue", "must be 0 or a pool's number")
        _must(~(new & priceless & (ticket.rests != 0) & (ticket.venue == 0)), "price", "is needed to rest")
        arrays = {name: value.to(torch.int64).numpy() for name, value in ticket._asdict().items()}
        enter_all(self._records, self._rule, slot, **arrays)

    def play_one(
        self, place: int, first: int, mids: np.ndarray, volumes: np.ndarray, *, stop_at_fills: bool
    ) -> int:
        """Plays one market from step `first` on, on a processor, for as many steps as `mids` has rows or up to a step
        in which a participant's order was executed; returns the steps played. Other markets stay where they are."""
        return play(
            self._records,
            self._tables,
            self._rule,
            place,
            place + 1,
            first,
            len(mids),
            mids,
            volumes,
            stop_at_fills,
            self.events,
        )

    def enter_one(
        self, place: int, slot: int, side: int, lots: int, price: int, venue: int, rests: int, least: int, owner: int
    ) -> bool:
        """One order in one market, on a processor; see `entering.Ticket`. Returns whether it was stopped by an order of
        its own owner."""
        return enter_at(self._records, self._rule, place, slot, side, lots, price, venue, rests, least, owner)

    def cancel(self, slot: int, where: torch.Tensor) -> None:
        """Takes the orders in a slot out of the markets `where` [B] says so."""
        cancel(self.state, slot, where)

    def ticket(
        self,
        side: torch.Tensor | int,
        lots: torch.Tensor | int,
        price: torch.Tensor | int | None = None,
        *,
        venue: torch.Tensor | int = 0,
        rests: torch.Tensor | int = 0,
        least: torch.Tensor | int = 0,
        owner: torch.Tensor | int = 1,
    ) -> Ticket:
        """A ticket from numbers or tensors [B]; no price is a market order."""

        def spread(value: torch.Tensor | int) -> torch.Tensor:
            if isinstance(value, int):
                return torch.full((self.markets,), value, dtype=torch.int64, device=self.device)
            return value.to(torch.int64).contiguous()

        sides = spread(side)
        limit = market_price(sides) if price is None else spread(price)
        return Ticket(sides, spread(lots), limit, spread(venue), spread(rests), spread(least), spread(owner))


def _must(holds: torch.Tensor, field: str, rule: str) -> None:
    if not bool(holds.all()):
        raise BadInput(field, f"market {int((~holds).nonzero()[0])}", rule)

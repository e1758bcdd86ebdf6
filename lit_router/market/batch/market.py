"""B markets in one object: made from a parameter set, stepped together, looked at as tensors."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from lit_router.market.batch import draws, pools
from lit_router.market.batch.book import redrawn
from lit_router.market.batch.entering import Ticket, cancel, market_price
from lit_router.market.batch.impact import unit_of
from lit_router.market.batch.laws import OCTAVE, Laws, laws_of
from lit_router.market.batch.on_processor import Processor
from lit_router.market.batch.on_tensors import Tensors
from lit_router.market.batch.rules import CHANCE, CancelAssumption, Rules, rules_of
from lit_router.market.batch.state import State, recorded
from lit_router.market.parameters import BookParameters
from rfq.domain.errors import BadInput, OurFault

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


class Player(Protocol):
    """What steps markets on one kind of device."""

    @property
    def state(self) -> State: ...
    @property
    def tables_on(self) -> torch.device:
        """Where it wants its tables."""
        ...

    def take(self, laws: Laws, rules: Rules) -> None: ...
    def play(self, steps: int, where: torch.Tensor | None) -> None: ...
    def enter(self, slot: int, ticket: Ticket) -> None: ...


def _player(markets: int, levels: int, orders: int, device: torch.device, threads: int) -> Player:
    if device.type == "cpu":
        return Processor(recorded(markets, levels, orders), threads)
    if device.type == "cuda":
        # Only who has a GPU has what compiles for it.
        from lit_router.market.batch.compiled_cuda import Gpu

        return Gpu(markets, levels, orders, device)
    return Tensors(markets, levels, orders, device)


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
        self.parameters, self.step_s = parameters, step_s
        self.device, self.pool_characters = torch.device(device), pool_characters
        if not 0 < orders <= draws.MOST_ORDERS:
            raise BadInput("orders", orders, f"must be from 1 to {draws.MOST_ORDERS}")
        self._settings, self._held = (conditions, cancels), False
        characters = Character(mean_lots=parameters.mean_lots) if characters is None else characters
        each = [characters] * len(seeds) if isinstance(characters, Character) else list(characters)
        self._player = _player(len(seeds), parameters.levels, orders, self.device, threads)
        self._make_tables()
        self._open(seeds, each)

    @property
    def state(self) -> State:
        return self._player.state

    @property
    def processor(self) -> Processor:
        """What only markets on a processor have. Raises OurFault for others."""
        if not isinstance(self._player, Processor):
            raise OurFault(f"one market alone is stepped, watched and copied on a processor only, not on {self.device}")
        return self._player

    def _make_tables(self) -> None:
        self.laws, self.rules = self._tables(self.device)
        on = self._player.tables_on
        self._player.take(*((self.laws, self.rules) if on == self.device else self._tables(on)))

    def _tables(self, device: torch.device) -> tuple[Laws, Rules]:
        conditions, cancels = self._settings
        rules = rules_of(self.parameters, self.step_s, conditions, cancels, self.pool_characters, device)
        if self._held:
            rules = rules._replace(regime_switch=0)
        return laws_of(self.parameters, self.step_s, device), rules

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
        twin = object.__new__(BatchedMarket)
        twin.__dict__.update(self.__dict__)
        twin._player = self.processor.copy(range(self.markets) if places is None else places)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("laws", "rules")}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._make_tables()

    def compile(self) -> "BatchedMarket":
        """Compiles what stepping will need, if it is not in the cache: half a minute the first time on a machine."""
        if isinstance(self._player, Processor):
            self._player.compile()
        return self

    def advance(self, steps: int, where: torch.Tensor | None = None) -> None:
        """Plays every market for `steps` steps. `where`, bool [B]: no longer those of which nothing more is asked; they
        may stay behind, and must not be played again."""
        self._player.play(steps, where)

    def enter(self, slot: int, ticket: Ticket) -> None:
        """One new order in each market where the ticket has a side, into a free slot; see `entering`.

        It arrives now: latency is steps played between looking at the market and this.

        Raises BadInput for a slot that does not exist and, on a processor, for one that is taken, a venue that does not
        exist and an order at any price that would rest in the lit book.
        """
        if not 0 <= slot < self.state.side.shape[1]:
            raise BadInput("slot", slot, f"must be below {self.state.side.shape[1]}")
        self._player.enter(slot, ticket)

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

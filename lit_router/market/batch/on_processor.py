"""Markets on a processor: records, stepped by compiled code, which the tensors of the state view."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from lit_router.market.batch.compiled import play
from lit_router.market.batch.compiled_entering import enter_all, enter_at
from lit_router.market.batch.entering import Ticket
from lit_router.market.batch.laws import Laws
from lit_router.market.batch.orders import NO_LIMIT
from lit_router.market.batch.rules import Rules
from lit_router.market.batch.state import record, viewed
from rfq.domain.errors import BadInput


class Processor:
    """The markets of one `BatchedMarket` on a processor."""

    tables_on = torch.device("cpu")

    def __init__(self, records: np.ndarray, threads: int, steps: int = 0) -> None:
        """Takes these records, `steps` steps after their opening; `threads` share them between them."""
        self.records, self.state, self._threads = records, viewed(records, steps), threads
        self.events = np.zeros(len(records), np.int64)
        """Of the anonymous flow, so far and by market."""
        self._nothing = np.zeros((0, len(records)), np.int64)
        self._workers = ThreadPoolExecutor(threads) if threads > 1 else None

    @property
    def compiled(self) -> tuple[np.ndarray, np.void, np.void]:
        """What compiled code takes: the records, the laws and the rules."""
        return self.records, self._laws, self._rules

    def take(self, laws: Laws, rules: Rules) -> None:
        """Goes by these tables from now on."""
        self._laws, self._rules = record(laws), record(rules)

    def copy(self, places: Sequence[int]) -> "Processor":
        """Of these markets alone."""
        twin = Processor(self.records[list(places)].copy(), self._threads, int(self.state.step))
        twin._laws, twin._rules = self._laws, self._rules
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {"records": self.records, "threads": self._threads, "steps": int(self.state.step)}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Without tables: the market's own are taken again."""
        self.__init__(**kept)

    def compile(self) -> None:
        """Compiles all that is called here, if it is not in the cache."""
        self.play(0, None)
        self.play_one(0, 0, self._nothing, self._nothing, stop_at_fills=True)
        self.enter_one(0, 0, 0, 0, 0, 0, 0, 0, 0)
        none = torch.zeros(len(self.records), dtype=torch.int64)
        self.enter(0, Ticket(*(none for _ in Ticket._fields)))

    # --- all markets ----------------------------------------------------------------------------------------------

    def play(self, steps: int, where: torch.Tensor | None) -> None:
        """Plays all markets, or those chosen, bool [B], for `steps` steps."""
        self._play(steps, self._nothing, self._nothing, where)

    def watch(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Plays `steps` steps; returns twice the displayed mid (-1: none) and lots traded so far, [steps, B] each."""
        mids, volumes = np.zeros((2, steps, len(self.records)), np.int64)
        self._play(steps, mids, volumes, None)
        return mids, volumes

    def _play(self, steps: int, mids: np.ndarray, volumes: np.ndarray, where: torch.Tensor | None) -> None:
        first = int(self.state.step)

        def part(low: int, high: int) -> None:
            play(*self.compiled, low, high, first, steps, mids, volumes, False, self.events)

        if where is not None:
            for place in where.nonzero()[:, 0].tolist():
                part(place, place + 1)
        elif self._workers is None:
            part(0, len(self.records))
        else:
            edges = np.linspace(0, len(self.records), self._threads + 1).astype(int).tolist()
            list(self._workers.map(part, edges[:-1], edges[1:]))
        self.state.step.add_(steps)

    def enter(self, slot: int, ticket: Ticket) -> None:
        """One order in each market where the ticket has a side. Raises BadInput for a slot that is taken, a venue that
        does not exist and an order at any price that would rest in the lit book."""
        new, priceless = ticket.side != 0, ticket.price.abs() >= NO_LIMIT
        pools = int(self._rules["pools"])
        _must(~(new & (self.state.side[:, slot] != 0)), "slot", "must be free")
        _must((ticket.venue >= 0) & (ticket.venue <= pools), "venue", "must be 0 or a pool's number")
        _must(~(new & priceless & (ticket.rests != 0) & (ticket.venue == 0)), "price", "is needed to rest")
        arrays = {name: value.to(torch.int64).numpy() for name, value in ticket._asdict().items()}
        enter_all(self.records, self._rules, slot, **arrays)

    # --- one market -----------------------------------------------------------------------------------------------

    def play_one(
        self, place: int, first: int, mids: np.ndarray, volumes: np.ndarray, *, stop_at_fills: bool
    ) -> int:
        """Plays one market from step `first` on for as many steps as `mids` has rows, or up to a step in which a
        participant's order was executed; returns the steps played. Other markets stay where they are."""
        return play(*self.compiled, place, place + 1, first, len(mids), mids, volumes, stop_at_fills, self.events)

    def enter_one(
        self, place: int, slot: int, side: int, lots: int, price: int, venue: int, rests: int, least: int, owner: int
    ) -> bool:
        """One order in one market; see `entering.Ticket`. Returns whether it was stopped by an order of its own
        owner."""
        return enter_at(self.records, self._rules, place, slot, side, lots, price, venue, rests, least, owner)


def _must(holds: torch.Tensor, field: str, rule: str) -> None:
    if not bool(holds.all()):
        raise BadInput(field, f"market {int((~holds).nonzero()[0])}", rule)

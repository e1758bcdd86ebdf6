"""Markets on any device, stepped by tensor operations: the definition of what the compiled steps do."""

import torch

from lit_router.market.batch.entering import Ticket, enter
from lit_router.market.batch.laws import Laws
from lit_router.market.batch.rules import Rules
from lit_router.market.batch.state import empty
from lit_router.market.batch.step import step


class Tensors:
    """The markets of one `BatchedMarket` on any device."""

    def __init__(self, markets: int, levels: int, orders: int, device: torch.device) -> None:
        self.state, self.tables_on = empty(markets, levels, orders, device), device

    def take(self, laws: Laws, rules: Rules) -> None:
        """Goes by these tables from now on."""
        self._laws, self._rules = laws, rules

    def play(self, steps: int, where: torch.Tensor | None) -> None:
        """Plays all markets for `steps` steps, whoever was chosen: no value is looked at."""
        for _ in range(steps):
            step(self.state, self._laws, self._rules)

    def enter(self, slot: int, ticket: Ticket) -> None:
        """One order in each market where the ticket has a side."""
        enter(self.state, self._rules, slot, ticket)

"""Participants' new orders and cancels as tensor operations: the definition of `compiled_entering.py`.

An order takes effect at once, on the book as it stands between two steps: it walks the displayed book within its limit,
stops before an order of its own owner, and what is left rests or goes.
"""

from typing import NamedTuple

import torch

from lit_router.market.batch import dark
from lit_router.market.batch.orders import (
    NO_LIMIT,
    UNKNOWN_AHEAD,
    best_prices,
    cells_of,
    own_limit,
    prices,
    shown,
    sweep,
)
from lit_router.market.batch.rules import Rules
from lit_router.market.batch.state import State


class Ticket(NamedTuple):
    """One new order for each market, int64 [B] each; `side` 0 where there is none."""

    side: torch.Tensor
    """1 buys, -1 sells."""
    lots: torch.Tensor
    price: torch.Tensor
    """Limit in price units; NO_LIMIT to buy and -NO_LIMIT to sell at any price."""
    venue: torch.Tensor
    """0 lit, 1.. the dark pools."""
    rests: torch.Tensor
    """1: what is left rests; 0: it expires (immediate or cancel)."""
    least: torch.Tensor
    """Smallest execution wanted, in a pool."""
    owner: torch.Tensor


def market_price(side: torch.Tensor) -> torch.Tensor:
    """The limit that is none."""
    return side * NO_LIMIT


def enter(s: State, r: Rules, slot: int, ticket: Ticket) -> None:
    """Takes one order a market into `slot`, which must be free. Orders for halted markets are dropped: nothing is left,
    nothing filled. `filled` and `paid` of the slot say what was executed."""
    new = (ticket.side != 0) & (s.halt == 0)
    lit, side = new & (ticket.venue == 0), ticket.side
    bids = side < 0
    reach = own_limit(s, bids, ticket.lots, ticket.price, ticket.owner)
    done, paid = sweep(s, bids, reach * lit, ticket.price)
    s.filled[:, slot] = torch.where(ticket.side != 0, done, s.filled[:, slot]).to(torch.int32)
    s.paid[:, slot] = torch.where(ticket.side != 0, paid, s.paid[:, slot])
    s.net.add_((side * done * lit).to(torch.int32))
    left = (ticket.lots - done) * new
    met_itself = lit & (reach < ticket.lots) & (done == reach)
    stays = new & (left > 0) & ((ticket.rests != 0) | ~lit) & ~met_itself
    arrival = s.rank.amax(1) + 1
    values = {"side": side, "venue": ticket.venue, "price": ticket.price, "leaves": left, "least": ticket.least}
    values |= {"owner": ticket.owner, "rank": arrival, "ahead": torch.zeros_like(left)}
    for name, value in values.items():
        field = getattr(s, name)
        field[:, slot] = torch.where(stays, value, field[:, slot]).to(field.dtype)
    s.side[:, slot] = torch.where(new & ~stays, 0, s.side[:, slot])
    s.leaves[:, slot] = torch.where(new & ~stays, 0, s.leaves[:, slot])
    s.ahead[:, slot] = torch.where(stays & lit, _queue_ahead(s, slot), s.ahead[:, slot]).to(torch.int32)
    bid, ask = best_prices(s)
    twice_mid = torch.where((bid >= 0) & (ask >= 0), bid + ask, -1)
    for pool in range(r.pools):
        here = new & (ticket.venue == pool + 1)
        dark.meet_hidden(s, r, pool, twice_mid, here)
        dark.meet_participants(s, r, pool, slot, twice_mid, here)
    cancel(s, slot, new & ~lit & (ticket.rests == 0))


def _queue_ahead(s: State, slot: int) -> torch.Tensor:
    """Anonymous lots displayed at the price of the order in `slot`."""
    cell, mine = cells_of(s)
    here = shown(s).gather(1, cell[:, slot, None].clamp(0, s.queues.shape[1] - 1))[:, 0]
    price, deepest = s.price[:, slot].long(), prices(s)
    beyond = torch.where(s.side[:, slot] > 0, price < deepest[:, 0], price > deepest[:, -1])
    return torch.where(mine[:, slot], here, torch.where(beyond, UNKNOWN_AHEAD, 0))


def cancel(s: State, slot: int, where: torch.Tensor) -> None:
    """Takes the order in `slot` out of its market `where` [B] says so."""
    s.side[:, slot] *= ~where
    s.leaves[:, slot] *= ~where

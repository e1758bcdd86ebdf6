"""What a learned slicer may do: three choices at every decision, each of which may be left to the rule."""

import torch

from ml.slicer.situation import POOLS, Intent, Moment, Residual, View

CROSS = ("rule", "nothing", "half", "pace", "much", "all")
PACES = (0.0, 0.5, 1.5, 4.0)
"""What crosses, over what would have to be done at each decision from now on."""
PLACE = ("rule", "nothing", "some", "all", "improve", "back")
SOME = 2.0
DARK = ("rule", "nothing", "block", "broker", "stream", "split")
HEADS = (len(CROSS), len(PLACE), len(DARK))
NOTHING = 1
"""Its place in every head."""
NEVER = -1e9
"""Log-odds of what is not allowed."""


def intended(action: torch.Tensor, rule: Intent, residual: Residual, seen: View, moment: Moment) -> Intent:
    """The intent of an action, int64 [B, 3], where the rule would do `rule`."""
    cross_head, place_head, dark_head = action.T
    left, side = seen.left, residual.side
    pace = left * (moment.step / (1 - moment.elapsed).clamp(min=1e-9)).clamp(max=1.0)
    crossings = torch.stack([rule.cross.double(), *(pace * factor for factor in PACES), left])
    cross = crossings.gather(0, cross_head[None])[0].ceil()
    cross = torch.minimum(torch.where(moment.last, left, cross), left)
    room = left - cross
    own, other = torch.where(side > 0, seen.bid, seen.ask), torch.where(side > 0, seen.ask, seen.bid)
    better = torch.where((other - own).abs() > residual.notch, own + side * residual.notch, own)
    nothing = torch.zeros_like(room)
    rests = torch.stack([rule.rest.double(), nothing, SOME * pace, room, room, room])
    prices = torch.stack([rule.price.double(), own, own, own, better, own - side * residual.notch])
    rest = torch.minimum(rests.gather(0, place_head[None])[0].ceil(), room)
    price = prices.gather(0, place_head[None])[0]
    dark = _in_the_dark(room - rest, residual.pools)
    dark = torch.cat([rule.dark.double()[None], dark]).gather(0, dark_head[None, :, None].expand(1, -1, POOLS))[0]
    return Intent(cross.long(), rest.long(), price.long(), dark.long())


def _in_the_dark(lots: torch.Tensor, open_pools: torch.Tensor) -> torch.Tensor:
    """Nothing, all in one pool, or split between those that are open: [2 + POOLS, B, POOLS]."""
    one = torch.eye(POOLS, dtype=lots.dtype, device=lots.device)[:, None, :] * lots[None, :, None]
    share = open_pools.double() / open_pools.double().sum(1, keepdim=True).clamp(min=1.0)
    split = (lots[:, None] * share).floor()
    return torch.cat([torch.zeros_like(split)[None], one, split[None]])


def allowed(residual: Residual) -> torch.Tensor:
    """Which choices make sense, bool [B, sum(HEADS)]: no pool that is not open."""
    lit = torch.ones_like(residual.pools[:, :1]).expand(-1, HEADS[0] + HEADS[1] + 2)
    return torch.cat([lit, residual.pools, residual.pools.any(1, keepdim=True)], 1)

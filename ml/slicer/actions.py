"""What a learned slicer may do: three choices at every decision, each of which may be left to the rule."""

import torch

from ml.slicer.execution import POOLS, Execution, Intent, View

CROSS = ("rule", "nothing", "half", "some", "much", "all")
PACES = (0.0, 0.5, 1.5, 4.0)
"""What crosses, over what would have to be done at each decision from now on."""
PLACE = ("rule", "nothing", "some", "all", "improve", "back")
SOME = 2.0
DARK = ("rule", "nothing", "block", "broker", "stream", "split")
HEADS = (len(CROSS), len(PLACE), len(DARK))


def intended(action: torch.Tensor, rule: Intent, execution: Execution, seen: View) -> Intent:
    """The intent of an action, int64 [B, 3], where the rule would do `rule`."""
    cross_head, place_head, dark_head = action.T
    left, side = seen.left, execution.side
    pace = left / max(1, execution.law.decisions - execution.decision)
    crossings = torch.stack([rule.cross.double(), *(pace * factor for factor in PACES), left])
    cross = crossings.gather(0, cross_head[None])[0].ceil()
    if execution.decision == execution.law.decisions - 1:
        cross = left
    cross = torch.minimum(cross, left)
    room = left - cross
    own, other = torch.where(side > 0, seen.bid, seen.ask), torch.where(side > 0, seen.ask, seen.bid)
    grid = execution.market.state.grid.double()
    better = torch.where((other - own).abs() > grid, own + side * grid, own)
    nothing = torch.zeros_like(room)
    rests = torch.stack([rule.rest.double(), nothing, SOME * pace, room, room, room])
    prices = torch.stack([rule.price.double(), own, own, own, better, own - side * grid])
    rest = torch.minimum(rests.gather(0, place_head[None])[0].ceil(), room)
    price = prices.gather(0, place_head[None])[0]
    hidden = room - rest
    each = [nothing] * POOLS
    ways = [rule.dark.double(), torch.stack(each, 1)]
    for pool in range(POOLS):
        ways.append(torch.stack([hidden if k == pool else nothing for k in range(POOLS)], 1))
    third = (hidden / POOLS).floor()
    ways.append(torch.stack([hidden - (POOLS - 1) * third] + [third] * (POOLS - 1), 1))
    dark = torch.stack(ways).gather(0, dark_head[None, :, None].expand(1, -1, POOLS))[0]
    return Intent(cross.long(), rest.long(), price.long(), dark.long())

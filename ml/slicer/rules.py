"""Rules of execution: schedules by market orders or passive first, and one strong rule that minds what it sees.

All follow a trajectory: Almgren and Chriss (2000) in shape, `steepness` 0 being TWAP. What is due rests at the own best
price, what stays undone too long crosses, and a share of the rest waits in the pools. The strong rule also reads the
book: it crosses early where the queue imbalance says that the price is about to move away, waits where it comes, steps
back where much comes, hurries after an adverse move, and does not cross a wide spread before it must.
"""

from typing import NamedTuple

import torch

from ml.slicer.execution import Execution, Intent, View


class Rule(NamedTuple):
    """Shares are of the residual's quantity unless said otherwise; imbalances from -1 to 1, positive where the price is
    about to move against us."""

    steepness: float = 1.0
    grace: float = 0.05
    """May lag behind the trajectory before it crosses; shrinks to nothing at the end."""
    lead: float = 0.05
    """May rest before it is due."""
    show: float = 1.0
    """Most shown, over the lots displayed at the own best price."""
    block: float = 0.3
    broker: float = 0.3
    stream: float = 0.2
    """Of what neither crosses nor rests, in each pool."""
    alarm: float = 2.0
    """Imbalance from which `rush` crosses at once; 2: never."""
    rush: float = 0.02
    patience: float = -2.0
    """Imbalance below which nothing crosses unless it is `late` in the horizon; -2: never."""
    back: float = -2.0
    """Imbalance below which orders rest a grid step behind the best; -2: never."""
    late: float = 0.9
    """Share of the horizon from which the signals no longer hold it back."""
    panic: float = 1e3
    """Adverse move since arrival, in arrival spreads, from which `speed` takes over."""
    speed: float = 0.0
    """Added to the trajectory's share done, after a panic."""
    wide: float = 1e3
    """Spread, in usual ones, above which nothing crosses before it is late."""
    market: int = 0
    """1: market orders alone, nothing rests and nothing waits in the dark."""


TWAP = Rule(steepness=0.0, grace=0.0, lead=0.0, market=1)
ALMGREN_CHRISS = Rule(market=1, grace=0.0, lead=0.0)
SUBMIT_AND_LEAVE = Rule(steepness=0.0, grace=1.0, lead=1.0, show=1e6, block=0.0, broker=0.0, stream=0.0)


def intend(rule: Rule, execution: Execution, seen: View, usual_spread: float) -> Intent:
    """What the rule wants at this decision. `usual_spread` in price units."""
    lots, side = execution.lots.double(), execution.side.double()
    step = 1.0 / execution.law.decisions
    now, later = execution.elapsed, min(1.0, execution.elapsed + step)
    filled = lots - seen.left
    pressure = side * (seen.bid_lots - seen.ask_lots) / (seen.bid_lots + seen.ask_lots).clamp(min=1.0)
    adverse = side * (seen.mid - execution.arrival) / execution.arrival_spread.mean()
    hurry = rule.speed * (adverse > rule.panic).double()
    due = lots * (hurry + share_done(rule, later)).clamp(max=1.0)
    grace = lots * min(rule.grace, 2 * rule.grace * (1 - later))
    cross = (due - grace - filled).clamp(min=0)
    cross = torch.maximum(cross, (pressure >= rule.alarm).double() * rule.rush * lots)
    spread = seen.ask - seen.bid
    if now < rule.late:
        waits = (pressure <= rule.patience) | (spread > rule.wide * usual_spread)
        cross = cross * ~waits
    if later >= 1.0:
        cross = seen.left
    cross = torch.minimum(cross.ceil(), seen.left)
    own = torch.where(side > 0, seen.bid, seen.ask)
    rest = (due + rule.lead * lots - filled - cross).clamp(min=0).ceil()
    shown = torch.where(side > 0, seen.bid_lots, seen.ask_lots).clamp(min=1.0)
    rest = torch.minimum(rest, (rule.show * shown).ceil()) * (1 - rule.market)
    price = own - side * execution.market.state.grid * (pressure <= rule.back) * (now < rule.late)
    hidden = (seen.left - cross - rest).clamp(min=0) * (1 - rule.market)
    dark = torch.stack([hidden * share for share in (rule.block, rule.broker, rule.stream)], 1)
    return Intent(cross.long(), rest.long(), price.long(), dark.long())


def share_done(rule: Rule, elapsed: float) -> torch.Tensor:
    """Of the trajectory at a share of the horizon."""
    k, u = torch.tensor(rule.steepness, dtype=torch.float64), torch.tensor(1.0 - elapsed, dtype=torch.float64)
    return 1 - torch.sinh(k * u) / torch.sinh(k) if rule.steepness > 1e-6 else 1 - u


def worked(rule: Rule, execution: Execution, usual_spread: float) -> torch.Tensor:
    """Works all residuals to the end by the rule; their shortfalls, see `Execution.shortfall`."""
    while not execution.over:
        execution.step(intend(rule, execution, execution.view(), usual_spread))
    return execution.shortfall()

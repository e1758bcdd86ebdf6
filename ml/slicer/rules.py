"""Rules of execution: schedules by market orders or passive first, and one strong rule that minds what it sees.

All follow a trajectory: Almgren and Chriss (2000) in shape, `steepness` 0 being TWAP, over the clock, the day's usual
volume (VWAP) or the volume that has come (POV). What is due rests at the own best price, what stays undone too long
crosses, and a share of the rest waits in the pools. The strong rule also reads the book: it crosses early where the
queue imbalance says that the price is about to move away, waits where it comes, steps back where much comes, hurries
after an adverse move, and does not cross a wide spread before it must.
"""

import json
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import torch

from ml.slicer.situation import Intent, Moment, Residual, View, lean
from rfq.domain.errors import BadInput


class Follows(IntEnum):
    """What a trajectory goes by."""

    CLOCK = 0
    CURVE = 1
    """The day's usual volume: VWAP."""
    VOLUME = 2
    """The volume that has come, as a share of what is usual over the horizon: POV."""


class Rule(NamedTuple):
    """Shares are of the residual's quantity unless said otherwise; imbalances from -1 to 1, positive where the price is
    about to move against us."""

    follows: int = Follows.CLOCK
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
    """Imbalance below which orders rest a notch behind the best; -2: never."""
    late: float = 0.9
    """Share of the horizon from which the signals no longer hold it back."""
    panic: float = 1e3
    """Adverse move since arrival, in usual spreads, from which `speed` takes over."""
    speed: float = 0.0
    """Added to the trajectory's share done, after a panic."""
    wide: float = 1e3
    """Spread, in usual ones, above which nothing crosses before it is late."""
    market: int = 0
    """1: market orders alone, nothing rests and nothing waits in the dark."""


TWAP = Rule(steepness=0.0, grace=0.0, lead=0.0, market=1)
VWAP = TWAP._replace(follows=Follows.CURVE)
POV = TWAP._replace(follows=Follows.VOLUME)
ALMGREN_CHRISS = TWAP._replace(steepness=1.0)
SUBMIT_AND_LEAVE = Rule(steepness=0.0, grace=1.0, lead=1.0, show=1e6, block=0.0, broker=0.0, stream=0.0)


def intend(rule: Rule, residual: Residual, seen: View, moment: Moment) -> Intent:
    """What the rule wants at this decision."""
    lots, side = residual.lots, residual.side
    filled = lots - seen.left
    pressure = side * lean(seen)
    adverse = side * (seen.mid - residual.arrival) / residual.spread
    hurry = rule.speed * (adverse > rule.panic).double()
    due = lots * (hurry + share_done(rule, residual, seen, moment)).clamp(max=1.0)
    grace = lots * (2 * rule.grace * (1 - moment.later)).clamp(max=rule.grace)
    cross = (due - grace - filled).clamp(min=0)
    cross = torch.maximum(cross, (pressure >= rule.alarm).double() * rule.rush * lots)
    early = moment.elapsed < rule.late
    waits = (pressure <= rule.patience) | (seen.ask - seen.bid > rule.wide * residual.spread)
    cross = cross * ~(early & waits)
    cross = torch.where(moment.last, seen.left, torch.minimum(cross.ceil(), seen.left))
    own = torch.where(side > 0, seen.bid, seen.ask)
    rest = (due + rule.lead * lots - filled - cross).clamp(min=0).ceil()
    shown = torch.where(side > 0, seen.bid_lots, seen.ask_lots).clamp(min=1.0)
    rest = torch.minimum(torch.minimum(rest, (rule.show * shown).ceil()), seen.left - cross) * (1 - rule.market)
    price = own - side * residual.notch * ((pressure <= rule.back) & early).double()
    hidden = (seen.left - cross - rest).clamp(min=0) * (1 - rule.market)
    dark = torch.stack([hidden * share for share in (rule.block, rule.broker, rule.stream)], 1) * residual.pools
    return Intent(cross.long(), rest.long(), price.long(), dark.long())


def share_done(rule: Rule, residual: Residual, seen: View, moment: Moment) -> torch.Tensor:
    """Of the trajectory, by the next decision."""
    match rule.follows:
        case Follows.CURVE:
            passed = moment.curve_later
        case Follows.VOLUME:
            # What comes until the next decision is expected as usual.
            come = seen.volume / residual.volume_s / residual.horizon_s + moment.step
            passed = torch.where(moment.last, 1.0, come.clamp(max=1.0))
        case _:
            passed = moment.later
    if rule.steepness <= 1e-6:
        return passed
    return 1 - torch.sinh(rule.steepness * (1 - passed)) / torch.sinh(torch.full_like(passed, rule.steepness))


def read(path: Path) -> dict[str, Rule]:
    """Rules by name, as tuning wrote them. Raises BadInput for a file that is not one."""
    try:
        return {name: Rule(**one["rule"]) for name, one in json.loads(path.read_text()).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise BadInput("rules", str(path), f"must be a file of tuned rules: {reason}") from None

"""What the market did afterwards: mark-outs of winners, losers and fills, net of what it would have done anyway."""

from collections.abc import Iterable, Mapping
from statistics import fmean

from rfq.domain.block import Block
from rfq.domain.fill import MARK_OUT_HORIZONS_S, MarkOut, Where
from rfq.domain.values import Frozen, Side

WINNERS, LOSERS = "winners", "losers"


class MarkOutMean(Frozen, frozen=True):
    """The mean move of the mid over one horizon, for one group of requests or fills.

    Groups: 'winners' and 'losers' from when the dealer was asked; 'quote', 'lit', 'dark' from the fill. Moves in bps,
    positive towards the desk's side: what a buyer still to buy would pay more, and what its counterparty lost.
    """

    group: str
    horizon_s: float
    count: int
    missing: int
    """Mark-outs that are not there yet, or were stored as not to be had."""
    move_bps: float | None
    net_bps: float | None
    """The move less that of the control, over those whose control is known."""


def mark_out_means(block: Block, mark_outs: Iterable[MarkOut]) -> tuple[MarkOutMean, ...]:
    """Means per group and horizon; empty without a side. Groups that have no members are left out."""
    side = block.rfq.side
    if side is None:
        return ()
    by_subject: dict[tuple[str, float], MarkOut] = {(m.subject, m.horizon_s): m for m in mark_outs}
    return tuple(
        _mean(group, horizon, subjects, by_subject, side)
        for group, subjects in _groups(block).items()
        if subjects
        for horizon in MARK_OUT_HORIZONS_S
    )


def _groups(block: Block) -> dict[str, list[str]]:
    won = {f.dealer_id for f in block.fills.values() if f.where is Where.QUOTE}
    groups: dict[str, list[str]] = {
        WINNERS: [r.request_id for r in block.requests.values() if r.dealer_id in won],
        LOSERS: [r.request_id for r in block.requests.values() if r.dealer_id not in won],
    }
    for where in Where:
        groups[where.value] = [f.fill_id for f in block.fills.values() if f.where is where]
    return groups


def _mean(
    group: str, horizon: float, subjects: list[str], marks: Mapping[tuple[str, float], MarkOut], side: Side
) -> MarkOutMean:
    moves: list[float] = []
    net: list[float] = []
    for subject in subjects:
        mark = marks.get((subject, horizon))
        if mark is None or mark.mid is None:
            continue
        move = (mark.mid - mark.reference) / mark.reference * 1e4
        moves.append(side.sign * move)
        if mark.control_bps is not None:
            net.append(side.sign * (move - mark.control_bps))
    return MarkOutMean(
        group=group,
        horizon_s=horizon,
        count=len(moves),
        missing=len(subjects) - len(moves),
        move_bps=fmean(moves) if moves else None,
        net_bps=fmean(net) if net else None,
    )

"""What a learned slicer sees, as numbers: one function, in the simulator and live. Nothing latent enters.

All lengths are in usual spreads, lots in those of the order or of usual volume, signs from the order's side.
"""

import torch

from ml.slicer.situation import BACK, Intent, Moment, Recent, Residual, View

NAMES = (
    "left",
    "elapsed",
    "behind",
    "last",
    "risk",
    "log_participation",
    "log_volume_a_decision",
    "log_left_a_decision",
    "log_decision_s",
    "pressure",
    "pressure_change",
    "pressure_mean",
    "own_queue",
    "other_queue",
    "spread",
    "spread_ticks",
    "adverse",
    "adverse_1",
    "adverse_3",
    "adverse_8",
    "volatility",
    "volume_1",
    "volume_8",
    "resting",
    "resting_behind",
    "block_gained",
    "broker_gained",
    "stream_gained",
    "block_waiting",
    "broker_waiting",
    "stream_waiting",
    "block_open",
    "broker_open",
    "stream_open",
    "rule_cross",
    "rule_rest",
)
USUAL_DECISION_S = 15.0
MOST = 5.0
"""Features are held to so much either way."""


def features(residual: Residual, seen: View, recent: Recent, moment: Moment, rule: Intent) -> torch.Tensor:
    """float32 [B, len(NAMES)]. `recent` ends with `seen`; `rule` is what the rule would do."""
    r, sign, lots = residual, residual.side, residual.lots
    mids, volumes, leans = recent.mids, recent.volumes, recent.lean * sign[:, None]
    own, other = torch.where(sign > 0, seen.bid, seen.ask), torch.where(sign > 0, seen.ask, seen.bid)
    own_lots = torch.where(sign > 0, seen.bid_lots, seen.ask_lots)
    other_lots = torch.where(sign > 0, seen.ask_lots, seen.bid_lots)
    span = recent.count.clamp(min=1.0)
    usual = (r.volume_s * r.horizon_s * moment.step).clamp(min=1e-9)
    # To the millisecond: live, the clock says the same in other sums.
    decision_s = (r.horizon_s * moment.step * 1e3).round() / 1e3
    to_go = (1 - moment.elapsed) / moment.step.clamp(min=1e-9)

    def moved(back: int) -> torch.Tensor:
        return sign * (mids[:, -1] - mids[:, -1 - back]) / r.spread

    behind = torch.where(seen.resting > 0, sign * (own - seen.resting_price), 0.0) / r.spread
    columns = [
        seen.left / lots,
        moment.elapsed,
        moment.elapsed - (1 - seen.left / lots),
        moment.last.double(),
        r.risk,
        torch.log(lots / (r.volume_s * r.horizon_s)) / 2 + 1,
        torch.log(usual / r.event_lots) / 3,
        torch.log((seen.left / to_go.clamp(min=1.0) / usual).clamp(min=1e-4)) / 2 + 1,
        torch.log(decision_s.clamp(min=1e-3) / USUAL_DECISION_S),
        leans[:, -1],
        leans[:, -1] - leans[:, -2],
        leans.mean(1),
        torch.log1p(own_lots / r.event_lots) / 2,
        torch.log1p(other_lots / r.event_lots) / 2,
        (other - own).abs() / r.spread,
        torch.log(r.spread / r.notch),
        sign * (seen.mid - r.arrival) / r.spread / 2,
        moved(1),
        moved(3),
        moved(BACK) / 2,
        mids.diff(dim=1).abs().sum(1) / span / r.spread,
        (volumes[:, -1] - volumes[:, -2]) / usual,
        (volumes[:, -1] - volumes[:, 0]) / usual / span,
        seen.resting / lots,
        behind,
        *(3 * recent.dark_gained / lots[:, None]).T,
        *(seen.dark_resting / lots[:, None]).T,
        *r.pools.double().T,
        3 * rule.cross / lots,
        rule.rest / lots,
    ]
    return torch.stack(columns, 1).clamp(-MOST, MOST).float()

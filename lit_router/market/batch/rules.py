"""All constants of a step in one place, as tensors or numbers: the parameter set's and the declared assumptions'."""

import math
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from lit_router.market.batch import bursts, flow, impact, makers, news, pools, regimes, replenishment
from lit_router.market.batch.laws import OCTAVE
from lit_router.market.parameters import BookParameters
from rfq.domain.errors import BadInput

CHANCE = 1 << 21
"""Chances are compared with draws of 21 bits."""
STRIDES = 2
"""Cells that the reference price may follow the mid in one step: events come in bursts, each of which might move it.
The plain book, whose steps hold few events, moves one."""
LEANS = 64
LEAN_STEP = OCTAVE // 16


class CancelAssumption(IntEnum):
    """Where in the queue anonymous cancels fall relative to our orders: unknown in practice, so an assumption."""

    FRONT = 0
    RANDOM = 1
    BACK = 2


class Rules(NamedTuple):
    """Whole numbers are chances in 2^-21, steps, or logarithms in 1/OCTAVE unless said otherwise."""

    follow: int
    strides: int
    """Most cells that the reference price follows in one step."""
    theta_reinit: int
    thin_queue: int
    conditions: int
    """1: regimes, clustering, flow, news, makers and the shape of the day; 0: the plain book."""
    cancels: int
    steps_a_half_hour: int
    curve: torch.Tensor
    burst_logs: torch.Tensor
    burst_switch: int
    lull: int
    """Chance of a step in which little happens, in 2^-12; and the paces of such a step and of the others."""
    lull_log: int
    stir_log: int
    regime_switch: int
    regime_bounds: torch.Tensor
    """int32: cumulative shares."""
    regime_pace: torch.Tensor
    regime_strain: torch.Tensor
    regime_drift: torch.Tensor
    regime_news: torch.Tensor
    """float64: strain."""
    news_decay: float
    halt_chance: int
    """In 2^-40: halts are rare."""
    halt_steps: int
    flow_decay: torch.Tensor
    flow_kick: torch.Tensor
    tactical: torch.Tensor
    adapts: float
    """Strain for each unit of tilt."""
    contrarian: float
    """For each cell of trend."""
    trend_decay: float
    usual_heat: float
    """Cells."""
    fear: float
    """OCTAVEs of strain for each cell beyond."""
    load: float
    """OCTAVEs of strain for each average event of makers' inventory."""
    heat_decay: float
    inventory_decay: float
    pressed_decay: float
    step_s: float
    kernel_decay: torch.Tensor
    kernel_weight: torch.Tensor
    taken_fade: int
    """Share of what was taken that is replenished in a step, in 2^-16."""
    pools: int
    """How many there are; the tables below have room for MOST_POOLS."""
    pool_logs: torch.Tensor
    """Expected arrivals a step, by pool."""
    powers: torch.Tensor
    """int64 [OCTAVE]: powers of two with the exponents 0 to 1, in 2^-40."""
    pool_sizes: torch.Tensor
    """float64 [MOST_POOLS, QUANTILES]: sizes as shares of the day's volume."""
    pool_fleeting: torch.Tensor
    pool_fade: torch.Tensor
    pool_least: torch.Tensor
    """float64 [MOST_POOLS]: share of the day's volume."""
    pool_lean: torch.Tensor
    """int32 [MOST_POOLS, LEANS + 1]: chance that an arrival buys, by tilt in LEAN_STEPs from the least."""


def _logs(values: np.ndarray) -> np.ndarray:
    return np.rint(OCTAVE * np.log2(np.maximum(values, 2.0**-4))).astype(np.int32)


def chance(probability: float) -> int:
    return round(probability * CHANCE)


@lru_cache(maxsize=16)
def rules_of(
    parameters: BookParameters,
    step_s: float,
    conditions: bool,
    cancels: CancelAssumption,
    characters: tuple[pools.PoolCharacter, ...],
    device: torch.device,
) -> Rules:
    """The rules for steps of `step_s` seconds. Raises BadInput for more than MOST_POOLS pools."""
    if len(characters) > pools.MOST_POOLS:
        raise BadInput("pool_characters", len(characters), f"must be at most {pools.MOST_POOLS}")

    def table(values: object, kind: torch.dtype = torch.int32) -> torch.Tensor:
        return torch.tensor(np.array(values), dtype=kind, device=device)

    def by_pool(value: Callable[[pools.PoolCharacter], object], kind: torch.dtype = torch.int32) -> torch.Tensor:
        spare = [pools.BLOCK] * (pools.MOST_POOLS - len(characters))
        return table([value(character) for character in (*characters, *spare)], kind)

    real = torch.float64
    tilts = (np.arange(LEANS + 1) - LEANS / 2) * LEAN_STEP / OCTAVE
    return Rules(
        follow=parameters.follow,
        strides=STRIDES if conditions else 1,
        theta_reinit=round(parameters.theta_reinit * 4096),
        thin_queue=parameters.thin_queue,
        conditions=int(conditions),
        cancels=int(cancels),
        steps_a_half_hour=round(1800 / step_s),
        curve=table(_logs(np.array(parameters.volume_curve))),
        burst_logs=table(_logs(np.array(parameters.burst))),
        burst_switch=chance(min(1.0, step_s / parameters.burst_s)),
        lull=round(4096 * bursts.LULLS),
        lull_log=round(OCTAVE * math.log2(bursts.LULL_PACE)),
        stir_log=round(OCTAVE * math.log2((bursts.MEAN_PACE - bursts.LULLS * bursts.LULL_PACE) / (1 - bursts.LULLS))),
        regime_switch=chance(step_s / regimes.LASTS_S),
        regime_bounds=table(np.rint(np.cumsum([r.share for r in regimes.REGIMES]) * CHANCE)),
        regime_pace=table(_logs(np.array([r.pace for r in regimes.REGIMES]))),
        regime_strain=table([round(OCTAVE * r.strain) for r in regimes.REGIMES]),
        regime_drift=table([round(OCTAVE * r.drift) for r in regimes.REGIMES]),
        regime_news=table([r.news for r in regimes.REGIMES], real),
        news_decay=math.exp(-step_s / news.FADES_S),
        halt_chance=round(news.HALTS_A_DAY * step_s / impact.DAY_S * (1 << 40)),
        halt_steps=round(news.HALT_S / step_s),
        flow_decay=table(flow.decays(step_s), real),
        flow_kick=table(flow.kicks(step_s), real),
        tactical=table(flow.tactical_logs(OCTAVE)),
        adapts=flow.ADAPTS,
        contrarian=flow.CONTRARIAN / makers.spread_cells(parameters),
        trend_decay=math.exp(-step_s / flow.TREND_S),
        usual_heat=makers.USUAL_HEAT * makers.spread_cells(parameters),
        fear=makers.FEAR * OCTAVE / makers.spread_cells(parameters),
        load=makers.LOAD * OCTAVE,
        heat_decay=math.exp(-step_s / makers.HEAT_S),
        inventory_decay=math.exp(-step_s / makers.FADES_S),
        pressed_decay=math.exp(-step_s / impact.SMOOTHED_S),
        step_s=step_s,
        kernel_decay=table(np.exp(-step_s / np.array(impact.KERNEL_S)), real),
        kernel_weight=table(impact.weights(), real),
        taken_fade=round(65536 * -math.expm1(-step_s / replenishment.LIFE_S)),
        pools=len(characters),
        pool_logs=by_pool(lambda p: round(OCTAVE * math.log2(p.contra_of_day / p.mean_of_day * step_s / impact.DAY_S))),
        powers=table(np.rint(2.0 ** (40 + np.arange(OCTAVE) / OCTAVE)), torch.int64),
        pool_sizes=by_pool(lambda p: pools.size_multiples(p) * p.mean_of_day, real),
        pool_fleeting=by_pool(lambda p: round(p.fleeting * 4096)),
        pool_fade=by_pool(lambda p: chance(-math.expm1(-step_s / p.life_s))),
        pool_least=by_pool(lambda p: p.least_of_day, real),
        pool_lean=by_pool(lambda p: np.rint(CHANCE / (1 + 2.0 ** (-2 * p.toxicity * tilts)))),
    )

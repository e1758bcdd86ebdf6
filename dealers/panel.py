"""The declared fleet: twelve dealers with neutral codes, and more of the same kinds on demand."""

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from dealers.behaviour import SimulatedDealer
from dealers.behaviour_traits import DealerTraits
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId

SECTORS = (
    "technology",
    "financials",
    "health",
    "energy",
    "consumer",
    "industrials",
    "utilities",
    "materials",
)

KINDS: tuple[Mapping[str, object], ...] = (
    # Large all-rounder: broad appetite, honest, average price.
    {"appetite": 0.09, "answer_logit": 1.8, "relationship": 0.8, "leak_rate": 0.05},
    # Technology specialist: keen in its sector, firm.
    {"specialisms": ("technology",), "specialist_discount": 0.35, "appetite": 0.07, "leak_rate": 0.06},
    # Keen, and leaks: the best headline price, paid for afterwards.
    {
        "risk_charge": 0.42,
        "margin": 0.35,
        "answer_logit": 2.0,
        "leak_rate": 0.75,
        "leak_share": 0.25,
        "informed": 0.1,
    },
    # Financials and industrials specialist.
    {"specialisms": ("financials", "industrials"), "appetite": 0.06, "leak_rate": 0.1},
    # Chronic fader: keen, last look, refuses about three in ten.
    {
        "risk_charge": 0.44,
        "margin": 0.3,
        "last_look_s": 1.5,
        "fade_rate": 0.30,
        "fade_per_move": 4.0,
        "answer_logit": 1.9,
        "leak_rate": 0.1,
    },
    # Inventory house: strong skew, slow inventory, sometimes inside mid.
    {"skew": 0.06, "inventory_half_life_s": 60_000.0, "appetite": 0.08, "answer_axe": 0.9, "leak_rate": 0.04},
    # Health and consumer specialist, cautious elsewhere.
    {
        "specialisms": ("health", "consumer"),
        "answer_logit": 0.6,
        "specialist_discount": 0.35,
        "leak_rate": 0.05,
    },
    # Electronic market maker: instant, small, last look with a low fade rate.
    {
        "pace": 0.05,
        "latency_s": 0.01,
        "appetite": 0.02,
        "risk_charge": 0.46,
        "noise": 0.2,
        "last_look_s": 0.3,
        "fade_rate": 0.03,
        "hedge_share": 0.95,
        "hedge_horizon_s": 300.0,
        "leak_rate": 0.25,
        "leak_share": 0.1,
    },
    # Leaky and slow: wide too, so rarely worth asking.
    {
        "risk_charge": 0.68,
        "pace": 0.55,
        "leak_rate": 0.6,
        "leak_share": 0.3,
        "leak_horizon_s": 200.0,
        "informed": 0.2,
    },
    # Energy and materials only.
    {
        "specialisms": ("energy", "materials"),
        "coverage": ("energy", "materials", "utilities", "industrials"),
        "appetite": 0.07,
        "leak_rate": 0.08,
    },
    # Relationship bank: likes named desks, dislikes anonymity, minimum quantities.
    {
        "relationship": 1.0,
        "anonymity_premium": 0.3,
        "minimum_share": 0.3,
        "appetite": 0.1,
        "answer_logit": 1.4,
        "leak_rate": 0.02,
    },
    # Second fader: refuses when the market moves, otherwise behaves.
    {
        "last_look_s": 1.0,
        "fade_rate": 0.12,
        "fade_per_move": 8.0,
        "risk_charge": 0.48,
        "leak_rate": 0.3,
        "leak_share": 0.15,
    },
)

JITTERED = ("spread_share", "risk_charge", "provision", "margin", "skew", "noise", "appetite", "leak_share")


def default_panel(seed: int, n: int = 12) -> tuple[DealerTraits, ...]:
    """`n` dealers D01, D02, ...: the declared kinds in order, repeated past twelve.

    `seed` moves each parameter in JITTERED by about 10%. Raises BadInput for n < 1.
    """
    if n < 1:
        raise BadInput("n", n, "must be at least 1")
    rng = np.random.default_rng([seed, 0xD0])
    panel: list[DealerTraits] = []
    for i in range(n):
        traits = DealerTraits(dealer=DealerId(f"D{i + 1:02d}"), **KINDS[i % len(KINDS)])  # type: ignore[arg-type]
        moved = {
            name: getattr(traits, name) * float(np.exp(0.1 * rng.standard_normal())) for name in JITTERED
        }
        panel.append(traits.but(**moved))
    return tuple(panel)


def breadth_of(panel: tuple[DealerTraits, ...], sectors: tuple[str, ...] = SECTORS) -> dict[str, float]:
    """The share of the panel that makes each sector's markets."""
    return {sector: sum(sector in t.specialisms for t in panel) / len(panel) for sector in sectors}


def open_panel(
    panel: tuple[DealerTraits, ...], rng: Generator, sectors: tuple[str, ...] = SECTORS
) -> dict[DealerId, SimulatedDealer]:
    """Living dealers, each with its own opening inventory, in panel order."""
    breadth = breadth_of(panel, sectors)
    return {traits.dealer: SimulatedDealer(traits, rng, sectors, breadth) for traits in panel}

"""A further wave of a live auction: what is in hand and what history says of waiting, put to the models.

What waiting risks is taken from three places. A quote that expires before the next wave closes is not there any more.
Any other is good with the probability with which quotes of this service's history were not taken back while their
auction was open (`holds_of`), shrunk towards a declared one. And what those asked first are expected to leak comes,
as declared, evenly over the five minutes in which it is measured.
"""

import math
from collections.abc import Iterable

from ml.dealer_models import Asking, DealerModels, counts_up_to
from ml.expected_cost import BlockTerms, rest_of
from ml.memory import PanelMemory
from ml.outcomes import MARK_OUT_S, facts_of
from ml.waves import InHand, Waiting, worth_asking
from rfq.domain.errors import OurFault
from rfq.domain.selection import WaveDecision
from rfq.ports import DealerOutcome, WaveRequest

HELD, WORTH = 0.85, 20.0
"""The declared probability that a quote is not taken back, and how many quotes it is worth."""


def holds_of(rows: Iterable[DealerOutcome]) -> float:
    """Probability that a quote is still there when its auction closes, from stored rows."""
    quoted = [row.withdrawn for row in rows if row.mid_at_quote is not None]
    return (len(quoted) - sum(quoted) + HELD * WORTH) / (len(quoted) + WORTH)


def further(models: DealerModels, wave: WaveRequest, memory: PanelMemory, holds: float = HELD) -> WaveDecision:
    """Whom to ask next, or nobody. The same request, memory and `holds` give the same answer.

    Raises BadInput for `holds` that is no probability, OurFault where the models' expectation is no number.
    """
    request, facts = wave.request, facts_of(wave.request)
    dealers = request.panel
    counts = counts_up_to(len(dealers))
    forecast = models.forecasts([Asking(facts, dealers, counts)], memory)[0]
    place = {dealer: n for n, dealer in enumerate(dealers)}
    asked: dict[int, InHand | None] = {
        place[a.dealer_id]: None
        if a.cost_bps is None
        else InHand(a.cost_bps, a.quantity / request.instrument.adv, a.lapses)
        for a in wave.asked
    }
    at = min(range(len(counts)), key=lambda n: abs(counts[n] - len(asked)))
    leaked = float(forecast.leakage_bps[at, list(asked)].sum())
    moved_bps = leaked * min(1.0, request.terms.quote_window_s / MARK_OUT_S)
    waiting = Waiting(holds, moved_bps)
    block, rest = BlockTerms.of(request.terms, facts.size), rest_of(request.residual, facts)
    wider = worth_asking(forecast, asked, waiting, block, rest, len(dealers), request.seed)
    if not math.isfinite(wider.saving_bps):
        raise OurFault("the models' expectation of a further wave is no number")
    why = "expected to save more than waiting for it may cost" if wider.further else "not expected to pay for the wait"
    return WaveDecision(
        wave=wave.wave,
        further=tuple(dealers[n] for n in wider.further),
        by="models",
        reason=why,
        saving_bps=wider.saving_bps,
        margin_bps=waiting.margin_bps,
        holds=holds,
        moved_bps=moved_bps,
        model_version=models.version,
    )

"""Estimated rates with their standard errors and counts, as a table for people."""

from collections.abc import Iterator, Mapping

from lit_router.market.parameters import BookParameters, ByLevel
from lit_router.market.pooled_rates import NAMES
from lit_router.market.stream import CANCEL, LIMIT, MARKET


def of(parameters: BookParameters) -> dict[int, ByLevel]:
    """A set's own rates by kind."""
    return {LIMIT: parameters.limit, CANCEL: parameters.cancel, MARKET: parameters.market}


def lines(parameters: BookParameters, rates: Mapping[int, ByLevel]) -> Iterator[str]:
    """The set in short, then a line for each level and queue size point that there is evidence for: exposure, and
    rate ± standard error and count of each kind. `rates` are those that the evidence gave, by kind."""
    p, evidence = parameters, parameters.evidence
    yield f"{p.name}: {p.source}"
    yield (
        f"{p.levels} levels of {p.grid_ticks} ticks, follow {p.follow}, average event {p.mean_lots} shares, "
        f"hidden or off exchange {p.hidden_share:.1%}, bursts of {p.burst_s:g} s"
    )
    if evidence is None:
        return
    yield "spread in grid steps, share of time: " + "  ".join(
        f"{steps}: {share:.1%}" for steps, share in enumerate(evidence.spread_law) if share >= 0.0005
    )
    columns = {
        LIMIT: (evidence.limit_errors, evidence.limit_counts),
        CANCEL: (evidence.cancel_errors, evidence.cancel_counts),
        MARKET: (evidence.market_errors, evidence.market_counts),
    }
    yield "rates a second on one side at pace 1, by level (0 is next to the reference) and queue size in average events"
    yield f"{'level':>5} {'size':>6} {'seconds':>8}" + "".join(f"{name:>17} ± s.e. (events)" for name in NAMES.values())
    for level, exposures in enumerate(evidence.exposure_s):
        for place, (size, seconds) in enumerate(zip(p.queue_sizes, exposures, strict=True)):
            row = f"{level:>5} {size:>6.1f} {seconds:>8,.0f}"
            for kind, (errors, counts) in columns.items():
                rate, error, count = (table[level][place] for table in (rates[kind], errors, counts))
                row += f"{rate:>15.4f} ± {error:.4f} {f'({count:,.0f})':>9}"
            yield row
    for words in evidence.thin:
        yield f"warning: thin, pooled with its neighbours: {words}"

"""Whom to ask: the scores, the decision and its propensities, as they are stored and explained."""

from rfq.domain.values import DealerId, Frozen


class DealerScore(Frozen, frozen=True):
    """What the models expect of one dealer for one request. Costs in bps of mid, positive when worse for the desk."""

    dealer_id: DealerId
    response_probability: float
    quote_cost_bps: tuple[float, ...]
    """Quantiles of the quote's cost given a response, at `QUANTILES`, never crossing."""
    leakage_bps: float
    """Expected adverse move caused by asking and not hitting."""
    fade_probability: float
    reasons: dict[str, float]
    """Largest feature contributions, feature name -> bps of expected cost."""
    fallback: str = ""
    """Why a prior was used instead of the model, if so."""
    response_s: float | None = None
    """Median time to a quote, given that there will be one; None where nothing is known."""


QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


class Selection(Frozen, frozen=True):
    """The ranking, and the set chosen. `curve_bps[k]` is the expected all-in cost of asking the k best (0 = none)."""

    ranking: tuple[DealerScore, ...]
    chosen: tuple[DealerId, ...]
    propensities: dict[DealerId, float]
    """Probability with which each dealer of the panel was to be asked, under the logged randomisation."""
    curve_bps: tuple[float, ...]
    model_version: str
    seed: int
    explored: tuple[DealerId, ...] = ()
    """Those among the chosen who owe their place to randomisation."""
    notes: tuple[str, ...] = ()
    exploration: str = ""
    """How the choice was randomised, in words: by which way, and how much of it."""
    set_propensity: float | None = None
    """Exact probability with which just the chosen were to be asked together."""
    marginal_low_bps: tuple[float, ...] = ()
    marginal_high_bps: tuple[float, ...] = ()
    """90% bounds of `marginal_bps` over what might as well be believed of the dealers; empty where not asked for."""

    @property
    def marginal_bps(self) -> tuple[float, ...]:
        """Saving expected from each further dealer, in bps: positive while asking one more pays."""
        return tuple(a - b for a, b in zip(self.curve_bps, self.curve_bps[1:], strict=False))

    @property
    def expected_cost_bps(self) -> float:
        return self.curve_bps[min(len(self.chosen), len(self.curve_bps) - 1)]


class WaveDecision(Frozen, frozen=True):
    """Whether further dealers were asked once those asked before had answered, and why."""

    wave: int
    """The one decided on: 2 is the first further one."""
    further: tuple[DealerId, ...]
    """Who is asked in it; nobody where what is in hand had better be taken."""
    by: str
    """'models', or 'rule' where they could not say or the terms left nothing to weigh."""
    reason: str
    """In words, without figures: those would tell of quotes that are still sealed."""
    saving_bps: float | None = None
    """Expected of the wider set over what is in hand, in bps of the mid over the whole block; the least that is worth
    the wait is `margin_bps`. None where the models did not say."""
    margin_bps: float | None = None
    holds: float | None = None
    """Probability with which a quote in hand was expected to be good still when the further ones are in."""
    moved_bps: float | None = None
    """Adverse move expected until then from those asked before."""
    model_version: str = ""

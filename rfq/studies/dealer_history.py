"""A study world that writes dealer history quickly: declared dealers, a desk's habits, a drifting price.

One process, no sockets and no book: mark-outs are a leakage kernel plus sector drift (seen through a control)
plus noise. It exists to train and to judge the dealer models; its truth is returned apart from the rows.
"""

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec
import numpy as np

from dealers.behaviour import SimulatedDealer
from dealers.behaviour_traits import DealerTraits, Quoting, RequestView, Silence
from dealers.panel import SECTORS, default_panel
from ml.outcomes import MARK_OUT_S, Answer, Asked, Outcome, RequestFacts
from rfq.domain.errors import BadInput
from rfq.domain.values import Instrument, Price, Quantity, RfqId, Side, Symbol, TickBand

DAY_S = 23_400.0
DISCLOSED_REST = 0.4
"""Share of the block to be worked beside the auction, where dealers are told."""
START = dt.datetime(2026, 1, 5, 14, 30, tzinfo=dt.UTC)


class StudyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Declared parameters of the world. Propensities of the randomised slots are logged in every row."""

    requests: int = 6000
    dealers: int = 12
    explored: float = 0.15
    """Probability that a slot is filled at random instead of by the desk's habit."""
    least: int = 2
    most: int = 7
    requests_per_day: float = 60.0
    impact: float = 0.55
    """Move caused by leaked lots: impact * daily volatility * sqrt(lots / ADV), once they are done."""
    hedge_impact: float = 0.25
    """The same for the winners' hedging."""
    control_noise: float = 0.35
    """Standard deviation of the control's error, as a share of the sector's own move."""
    sector_share: float = 0.5
    """Share of an instrument's variance that is its sector's."""


class StudyWorld:
    """Instruments, dealers and a desk, advancing request by request from one seed."""

    def __init__(self, seed: int, terms: StudyTerms | None = None, panel: Sequence[DealerTraits] = ()) -> None:
        """Raises BadInput where fewer dealers exist than are to be asked."""
        self.terms = terms = terms or StudyTerms()
        self.panel = tuple(panel) or default_panel(seed, terms.dealers)
        if not 1 <= terms.least <= terms.most <= len(self.panel):
            raise BadInput("most", terms.most, f"must be from least (at least 1) to {len(self.panel)} dealers")
        purposes = ("desk", "dealers", "market", "opening")
        streams = np.random.SeedSequence(seed).spawn(len(purposes))
        self._desk, self._dealing, self._market, opening = (np.random.default_rng(s) for s in streams)
        self.instruments = tuple(_instruments(opening))
        self.dealers = [SimulatedDealer(traits, opening, SECTORS) for traits in self.panel]
        self.now = START
        self._asked = np.full((len(self.panel), len(SECTORS)), 2.0)
        self._won = np.full((len(self.panel), len(SECTORS)), 0.4)

    def history(self) -> Iterator[Outcome]:
        """`terms.requests` auctions in time order."""
        for number in range(self.terms.requests):
            yield self.next_auction(number)

    def next_auction(self, number: int) -> Outcome:
        """One request from the desk's habit to its mark-out."""
        self._pass_time()
        facts, instrument, signal_bps, sector_bps = self._request()
        chosen, propensities = self._choose(SECTORS.index(facts.sector))
        view = self._view(facts, instrument, len(chosen) - 1, signal_bps)
        asked, quotes = self._ask(chosen, propensities, view, facts)
        asked = self._award(asked, quotes, view, facts)
        moved_bps = self._mark_out(asked, view, facts, sector_bps)
        error = 1.0 + self.terms.control_noise * float(self._market.standard_normal())
        return Outcome(
            rfq=RfqId(f"study-{number:06d}"),
            facts=facts,
            asked=asked,
            mark_out_bps=moved_bps,
            control_bps=facts.sign * sector_bps * error,
        )

    def expected_leakage_bps(self, dealer: int, facts: RequestFacts) -> float:
        """Truth, for judging only: the mean move at the mark-out caused by asking this dealer and not hitting."""
        instrument = next(i for i in self.instruments if i.symbol == facts.symbol)
        view = self._view(facts, instrument, 3, 0.0)
        traits = self.panel[dealer]
        done = min(1.0, MARK_OUT_S / traits.leak_horizon_s)
        # E[sqrt(share)] of the lognormal share, as drawn in SimulatedDealer.after_losing (capped at its appetite).
        share = min(traits.leak_share * math.exp(-0.02) * facts.size, traits.appetite)
        return (self.dealers[dealer].leak_probability(view) * self.terms.impact * facts.volatility_bps
                * math.sqrt(share) * done)  # fmt: skip

    def _pass_time(self) -> None:
        gap_s = float(self._market.exponential(DAY_S / self.terms.requests_per_day))
        self.now += dt.timedelta(seconds=gap_s)
        for dealer in self.dealers:
            dealer.pass_time(gap_s, self._dealing)

    def _request(self) -> tuple[RequestFacts, Instrument, float, float]:
        """Facts, the instrument, what informed dealers believe and the sector's coming move (bps, unsigned)."""
        desk, market = self._desk, self._market
        instrument = self.instruments[int(desk.integers(len(self.instruments)))]
        regime = math.exp(0.3 * float(market.standard_normal()))
        volatility = instrument.volatility_bps * regime
        share = math.sqrt(MARK_OUT_S / DAY_S)
        sector_bps = math.sqrt(self.terms.sector_share) * volatility * share * float(market.standard_normal())
        noise = volatility * share * float(market.standard_normal())
        side = Side.BUY if desk.random() < 0.5 else Side.SELL
        size = float(np.clip(math.exp(math.log(0.04) + 0.9 * desk.standard_normal()), 0.002, 0.4))
        facts = RequestFacts(
            at=self.now,
            symbol=instrument.symbol,
            sector=instrument.sector,
            side=side,
            two_way=bool(desk.random() < 0.15),
            size=size,
            volatility_bps=volatility,
            spread_bps=instrument.spread_bps * math.sqrt(regime),
            usual_volatility_bps=instrument.volatility_bps,
            usual_spread_bps=instrument.spread_bps,
            window_s=float(desk.choice([5.0, 10.0, 20.0])),
            anonymous=bool(desk.random() < 0.4),
            residual_disclosed=bool(desk.random() < 0.3),
        )
        return facts, instrument, sector_bps + 0.5 * noise, sector_bps

    def _view(self, facts: RequestFacts, instrument: Instrument, rivals: int, belief_bps: float) -> RequestView:
        lots = Quantity(max(1, int(facts.size * instrument.adv)))
        return RequestView(
            instrument=instrument.but(spread_bps=facts.spread_bps),
            side=None if facts.two_way else facts.side,
            quantity=lots,
            mid=Price(20_000),
            volatility_bps=facts.volatility_bps,
            time_left_s=facts.window_s,
            competitors=rivals,
            residual=Quantity(int(DISCLOSED_REST * lots)) if facts.residual_disclosed else None,
            desk=None if facts.anonymous else "study desk",
            belief_bps=belief_bps,
        )

    def _choose(self, sector: int) -> tuple[list[int], list[float]]:
        """The desk's habit: best hit rates in the sector, so many as it draws; each slot random with `explored`.

        Slots are filled one after the other from those left, so the probability of a dealer is computed slot by
        slot along the path that was taken: the chance with which it got this slot given those before it.
        """
        terms, desk = self.terms, self._desk
        count = int(desk.integers(terms.least, terms.most + 1))
        rates = self._won[:, sector] / self._asked[:, sector]
        left = [int(i) for i in np.argsort(-rates, kind="stable")]
        chosen: list[int] = []
        propensities: list[float] = []
        for _ in range(count):
            at = int(desk.integers(len(left))) if desk.random() < terms.explored else 0
            propensities.append(terms.explored / len(left) + (1.0 - terms.explored if at == 0 else 0.0))
            chosen.append(left.pop(at))
        return chosen, propensities

    def _ask(
        self, chosen: list[int], propensities: list[float], view: RequestView, facts: RequestFacts
    ) -> tuple[list[Asked], list[tuple[float, int, Quoting]]]:
        """What each dealer does, and the quotes that came in time with their cost and place in `asked`."""
        asked: list[Asked] = []
        quotes: list[tuple[float, int, Quoting]] = []
        for place, (index, propensity) in enumerate(zip(chosen, propensities, strict=True)):
            dealer = self.dealers[index]
            plan = dealer.on_request(view, self._dealing)
            row = Asked(dealer=dealer.id, propensity=propensity, answer=Answer.NONE)
            if not isinstance(plan, Silence) and plan.delay_s <= facts.window_s:
                row = row.but(response_s=plan.delay_s)
                if isinstance(plan, Quoting):
                    price = plan.offer if facts.side is Side.BUY else plan.bid
                    lots = plan.offer_quantity if facts.side is Side.BUY else plan.bid_quantity
                    assert price is not None
                    cost = facts.sign * (price - view.mid) / view.mid * 1e4
                    row = row.but(answer=Answer.QUOTED, cost_bps=cost, quoted_size=lots / view.instrument.adv)
                    quotes.append((cost, place, plan))
            asked.append(row)
        return asked, quotes

    def _award(
        self,
        asked: list[Asked],
        quotes: list[tuple[float, int, Quoting]],
        view: RequestView,
        facts: RequestFacts,
    ) -> tuple[Asked, ...]:
        """Lifts the best quotes, three at most, while they beat the going rate; counts hit rates for the desk."""
        sector, names = SECTORS.index(facts.sector), {d.id: i for i, d in enumerate(self.dealers)}
        side = Side.BUY if facts.sign > 0 else Side.SELL
        left, winners = int(view.quantity), 0
        going_bps = facts.spread_bps / 2 + 0.45 * facts.volatility_bps * math.sqrt(facts.size)
        for row in asked:
            self._asked[names[row.dealer], sector] += 1.0
        for cost, place, quote in sorted(quotes, key=lambda q: q[:2]):
            if not left or winners == 3 or cost > going_bps:
                break
            index = names[asked[place].dealer]
            dealer = self.dealers[index]
            drift = facts.volatility_bps * math.sqrt(facts.window_s / DAY_S) * float(self._market.standard_normal())
            moved = Price(round(view.mid * (1 + drift / 1e4)))
            said = dealer.answer_lift(quote, side, view.mid, moved, facts.volatility_bps, self._dealing)
            asked[place] = asked[place].but(lifted=True, confirmed=said.confirmed)
            if not said.confirmed:
                continue
            lots = min(left, quote.offer_quantity if side is Side.BUY else quote.bid_quantity)
            left, winners = left - lots, winners + 1
            self._won[index, sector] += 1.0
            dealer.after_winning(view.instrument, side, Quantity(lots), self._dealing)
        return tuple(asked)

    def _mark_out(
        self, asked: tuple[Asked, ...], view: RequestView, facts: RequestFacts, sector_bps: float
    ) -> float | None:
        """Leakage of the losers + hedging of the winners + the sector's move + noise; missing once in fifty."""
        terms, rng = self.terms, self._market
        names = {d.id: d for d in self.dealers}
        sigma, adv = facts.volatility_bps, view.instrument.adv
        total = facts.sign * sector_bps
        total += sigma * math.sqrt((1 - terms.sector_share) * MARK_OUT_S / DAY_S) * float(rng.standard_normal())
        for row in asked:
            dealer = names[row.dealer]
            if row.lifted and row.confirmed:
                hedged = dealer.traits.hedge_share * (row.quoted_size or 0.0)
                done = min(1.0, MARK_OUT_S / dealer.traits.hedge_horizon_s)
                total += terms.hedge_impact * sigma * math.sqrt(hedged) * done
            elif (campaign := dealer.after_losing(view, self._dealing)) is not None:
                done = min(1.0, MARK_OUT_S / campaign.horizon_s)
                total += terms.impact * sigma * math.sqrt(campaign.lots / adv) * done
        return None if rng.random() < 0.02 else total


def _instruments(rng: np.random.Generator) -> Iterator[Instrument]:
    """Three instruments a sector, with volatilities, spreads and volumes drawn once."""
    for sector in SECTORS:
        for number in range(3):
            yield Instrument(
                symbol=Symbol(f"{sector[:3].upper()}{number}"),
                currency="USD",
                price_unit=Decimal("0.005"),
                tick_bands=(TickBand(Price(0), 2),),
                adv=Quantity(int(1_000_000 * math.exp(0.7 * rng.standard_normal()))),
                volatility_bps=float(150 * math.exp(0.25 * rng.standard_normal())),
                spread_bps=float(5 * math.exp(0.4 * rng.standard_normal())),
                sector=sector,
            )

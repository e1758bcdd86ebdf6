"""Hiding the side and splitting a block: what is compared is the same request, and the plan says what models know."""

import msgspec
import numpy as np
import pytest
from choosing import NO_DRAW, request
from study_world import after, asking

from ml.choosing import Chooser
from ml.dealer_models import DealerModels
from ml.memory import PanelMemory
from rfq.studies import hiding_evaluation, split_evaluation, splitting
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.figures import Figures
from rfq.studies.splitting import Blended, Offer, Standing
from rfq.studies.world_requests import WorldTerms


@pytest.fixture(scope="module")
def world() -> DealerWorld:
    return DealerWorld(31, WorldTerms(dealers=12, most=8))


def standing(offers: list[Offer], left: float = 100.0, impact: float = 40.0, winners: int = 3) -> Standing:
    """100 lots, worked at a square-root cost."""
    return Standing(offers, left, 100, winners, lambda share: impact * share**1.5)


def taken(way: splitting.Splitting, offers: list[Offer], **terms) -> float:
    """Lots lifted in the end, every lift confirmed."""
    s, total = standing(offers, **terms), 0.0
    while s.offers and s.winners and (lift := way(s)):
        offer, lots = lift
        assert 0 < lots <= min(offer.lots, s.left)
        total += lots
        rest = [o for o in s.offers if o != offer]
        s = s._replace(offers=rest, left=s.left - lots, winners=s.winners - 1)
    return total


def test_ways_to_split_take_what_they_say():
    offers = [Offer(5.0, 0, 30.0), Offer(9.0, 1, 60.0), Offer(90.0, 2, 100.0)]
    assert taken(splitting.all_at_quotes, offers) == 100.0
    assert taken(splitting.all_residual, offers) == 0.0
    assert taken(splitting.half, offers) == 50.0
    assert 0.0 < taken(splitting.while_cheaper, offers) < 100.0


def test_the_blended_split_is_never_dearer_than_the_simple_ones():
    rng = np.random.default_rng(4)
    for _ in range(30):
        count = int(rng.integers(1, 6))
        costs, lots = np.sort(rng.uniform(-5.0, 60.0, count)), rng.integers(5, 90, count)
        offers = [Offer(float(costs[i]), i, float(lots[i])) for i in range(count)]
        impact = float(rng.uniform(5.0, 80.0))

        def cost(way: splitting.Splitting, offers=offers, impact=impact) -> float:
            s, paid = standing(offers, impact=impact), 0.0
            while s.offers and s.winners and (lift := way(s)):
                offer, n = lift
                paid += offer.cost_bps * n / 100
                s = s._replace(offers=[o for o in s.offers if o != offer], left=s.left - n, winners=s.winners - 1)
            return paid + s.worked_bps(s.left / 100)

        simple = (splitting.all_at_quotes, splitting.all_residual, splitting.half, splitting.while_cheaper)
        # The curve is straight between its points: a little is lost to that.
        assert cost(Blended()) <= min(map(cost, simple)) + 0.1


def test_leakage_that_is_paid_on_the_residual_moves_lots_to_quotes():
    offers, blended = [Offer(21.0, 0, 60.0), Offer(24.0, 1, 60.0)], Blended()
    before = taken(blended, offers)
    blended.leakage_bps = 30.0
    assert taken(blended, offers) > before


def test_the_world_splits_as_it_is_told(world):
    own = world.fork()
    request = after(own, 0, two_way=False)
    chosen = asking(*own.dealers[:8])
    usual = own.play(request, chosen)
    assert 0 < usual.won_lots.sum() <= request.quantity
    own.splitting = splitting.all_residual
    none = own.play(request, chosen)
    assert none.left == 1.0 and not none.won_lots.any() and none.paid_bps == 0.0
    own.splitting = splitting.half
    assert own.play(request, chosen).won_lots.sum() <= request.quantity - request.quantity // 2


def test_hidden_and_shown_are_the_same_request(world):
    own = world.fork()
    request = after(own, 0, two_way=False, anonymous=False)
    hidden = hiding_evaluation._asked(request, hidden=True)
    assert hidden.facts.but(two_way=False) == request.facts and hidden.chances is request.chances
    one, other = (own.play(r, asking(*own.dealers)) for r in (request, hidden))
    assert {a.dealer for a in one.outcome.asked} == {a.dealer for a in other.outcome.asked}
    free = DealerWorld(31, own.terms, [t.but(hedge_share=0.0) for t in own.panel])
    free.inventory = own.inventory
    assert free.play(hidden, asking(*own.dealers)).moved_bps == 0.0, "nobody knows which way"


def test_a_small_table_of_hiding_is_whole():
    found = hiding_evaluation.hiding(hiding_evaluation.Plan(log=420, requests=6, redraws=1), 3)
    at = hiding_evaluation.PREMIUMS.index(0.1)
    for one in found:
        assert one.swept_bps[at] == pytest.approx(one.hidden.all_in_bps)
        assert np.isfinite(one.promised_bps) and np.isfinite(one.own_set_bps)
    figures = Figures("tiny")
    hiding_evaluation.describe(figures, [found, found])
    told = figures.figures
    assert told["hiding_all_all_in_bps"] == pytest.approx(
        told["hiding_all_paid_bps"] + told["hiding_all_leaked_bps"], abs=1e-3
    )


def test_a_small_table_of_splits_is_whole():
    found = split_evaluation.splits(split_evaluation.Plan(log=420, requests=4, redraws=1), 3)
    figures = Figures("tiny")
    split_evaluation.describe(figures, [found, found])
    for impact, by_way in found.items():
        assert by_way["all_residual"][1] == 1.0
        assert by_way["all_at_quotes"][1] <= by_way["half"][1]
        saved = by_way["half"][0] - by_way["blended"][0]
        assert figures.figures[f"split_{impact}_blended_saves_over_half_bps"] == pytest.approx(saved, rel=1e-3)


# --- in plans ------------------------------------------------------------------------------------------------------


def test_a_plan_says_what_hiding_the_side_would_save():
    models = DealerModels.load()
    planned = msgspec.structs.replace(request(), intervals=True)
    notes = Chooser(models, NO_DRAW).select(planned, PanelMemory()).notes
    assert any(note.startswith("hiding the side is expected to") and note.endswith("bps") for note in notes)
    undecided = msgspec.structs.replace(request(side="two_way"), intervals=True)
    told = Chooser(models, NO_DRAW).select(undecided, PanelMemory()).notes
    assert any("hiding the side" in note for note in told)
    assert not any("hiding" in note for note in Chooser(models, NO_DRAW).select(request(), PanelMemory()).notes)


def test_models_of_one_kind_of_request_say_nothing_of_the_other():
    models = DealerModels.load()
    assert models.knows_hidden_sides
    one_kind = models._margin
    place = models.manifest.features.index("two_way")
    models._margin = msgspec.structs.replace(
        one_kind, high=(*one_kind.high[:place], one_kind.low[place], *one_kind.high[place + 1 :])
    )
    assert not models.knows_hidden_sides
    planned = msgspec.structs.replace(request(), intervals=True)
    notes = Chooser(models, NO_DRAW).select(planned, PanelMemory()).notes
    assert not any("hiding the side is expected" in note for note in notes)

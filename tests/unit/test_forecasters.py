"""Forecasters: symmetry by construction, one device, determinism, planted signals found, honest judgement, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.parameters import load as load_set
from ml.forecasters.baselines import last_value, linear, logistic
from ml.forecasters.gathering import Gathered
from ml.forecasters.judging import gained, judged
from ml.forecasters.making import judgements_of, made
from ml.forecasters.networks import KINDS, Forecaster
from ml.forecasters.samples import (
    CONTINUOUS,
    FILLS,
    IMPACTS,
    ODD,
    TARGETS,
    TEST,
    TRAIN,
    VALIDATE,
    Samples,
)
from ml.forecasters.training import Plan, said_of, trained
from ml.forecasters.weights import SAID, Forecasters, load, save
from ml.forecasters.windows import ABOUT, CHANNELS, LOOKS, ORDER, Usual, Watch, mirrored
from ml.forecasters.worth import FIRST_DECISION, Decisions, decisions, from_side, worth
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.features import NAMES
from rfq.domain.errors import BadInput

META = torch.device("meta")
SHORT = Plan(steps=100, batch=128, rate=8e-3, every=50, most=400)


class OneDevice(TorchDispatchMode):
    """Every operation takes and gives tensors of the meta device only."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, given)):
            if isinstance(leaf, torch.Tensor) and leaf.device != META:
                raise RuntimeError(f"{func} has a tensor on {leaf.device}")
        return given


def planted(count: int = 1500, seed: int = 0, signal: float = 1.0) -> Samples:
    """Windows of noise; the 15 s move follows the imbalance of two seconds ago, which means over spans blur, and the
    block pool fills buyers where asks outweigh."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, len(CHANNELS), LOOKS, generator=g)
    lead = x[:, CHANNELS.index("imbalance"), -3]
    y = torch.full((count, len(TARGETS)), torch.nan)
    y[:, TARGETS.index("move_15")] = signal * lead + 0.5 * torch.randn(count, generator=g)
    y[:, TARGETS.index("volume_15")] = 1 + torch.rand(count, generator=g)
    chance = (-2 * x[:, CHANNELS.index("imbalance"), -1]).sigmoid()
    y[:, TARGETS.index("block_buy")] = (torch.rand(count, generator=g) < chance).float()
    y[:, TARGETS.index("block_sell")] = (torch.rand(count, generator=g) < 1 - chance).float()
    block, zero = torch.arange(count) // 10, torch.zeros(count, dtype=torch.int64)
    about, order = torch.zeros(count, ABOUT), torch.zeros(count, ORDER)
    return Samples(x, about, order, y, torch.arange(count).double(), block, zero)


@pytest.mark.parametrize("kind", KINDS)
def test_buyers_and_sellers_changed_over_change_the_forecast_over(kind: str) -> None:
    torch.manual_seed(3)
    network = Forecaster(kind)
    network.shift.copy_(torch.where(network.odd, 0.0, 0.7))
    x, about, order = torch.randn(6, len(CHANNELS), LOOKS), torch.randn(6, ABOUT), torch.randn(6, ORDER)
    order[0] = 0
    said, turned = network(x, about, order), network(mirrored(x), about, -order)
    odd = torch.tensor([name in ODD for name in CONTINUOUS])
    assert torch.allclose(turned.mean, torch.where(odd, -said.mean, said.mean), atol=1e-5)
    flipped = torch.where(odd[:, None], -said.quantiles.flip(2), said.quantiles)
    assert torch.allclose(turned.quantiles, flipped, atol=1e-5)
    assert torch.allclose(turned.fills.view(6, -1, 2), said.fills.view(6, -1, 2).flip(2), atol=1e-5)
    assert (said.mean[:, odd].abs().sum(1) > 0).all() and not torch.allclose(said.mean[0], said.mean[1])
    impacts = [CONTINUOUS.index(name) for name in IMPACTS]
    assert not said.mean[0, impacts].any() and said.mean[1:, impacts].all(), "no order moves nothing"


def test_forecasts_keep_to_one_device() -> None:
    forecasters = Forecasters({kind: Forecaster(kind).to(META) for kind in KINDS}, {})
    market = BatchedMarket(load_set("large_tick"), range(3), device=META)
    usual = Usual(*(torch.ones(3, dtype=torch.float64, device=META) for _ in Usual._fields))
    with OneDevice():
        # That the market's own step keeps to it is shown elsewhere.
        watch = Watch(market)
        watch._look()
        said = forecasters.predicted(watch.seen, usual)
        moved = forecasters.moved_by(torch.ones(3, dtype=torch.float64, device=META), watch.seen, usual)
    assert said.shape == (3, len(SAID)) and said.dtype == torch.float32 and moved.shape == (3, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_signal_is_found_and_what_it_gains_on_means_over_spans(kind: str) -> None:
    train, validate, test = (planted(count, seed) for count, seed in ((2000, 1), (400, 2), (1500, 3)))
    network, least = trained(kind, train, validate, 5, SHORT, lambda _: None)
    found = {one.target: one for one in judged(test, {
        "last": last_value(train, test), "linear": linear(train, validate, test), kind: said_of(network, test),
    })}  # fmt: skip
    assert set(found) == {"move_15", "volume_15", "block_buy", "block_sell"} and least < float("inf")
    move, fill = found["move_15"], found["block_buy"]
    assert move.r2[kind] > move.r2["linear"] + 0.05 > 0.2 and move.r2["last"] == pytest.approx(0)
    assert move.base == "linear" and move.verdict == {kind: "better"}
    assert fill.loss[kind] < fill.loss["last"] - 0.05 and fill.loss["linear"] < fill.loss["last"] - 0.05


def test_where_there_is_no_signal_none_is_claimed() -> None:
    train, validate, test = (planted(count, seed, 0.0) for count, seed in ((1500, 1), (400, 2), (1500, 3)))
    network, _ = trained("cnn", train, validate, 5, SHORT._replace(steps=50), lambda _: None)
    said = {"linear": linear(train, validate, test), "cnn": said_of(network, test)}
    move = next(one for one in judged(test, said) if one.target == "move_15")
    assert move.r2["cnn"] < 0.02 and move.r2["linear"] < 0.02 and move.verdict["cnn"] != "better"


def test_the_same_seed_gives_the_same_network_and_another_does_not() -> None:
    train, validate = planted(400, 1), planted(200, 2)
    plan = Plan(steps=6, batch=64, every=3)
    told: list[Any] = []
    first, again, other = (trained("cnn", train, validate, seed, plan, told.append)[0] for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.plain.weight, other.plain.weight)
    assert [p.step for p in told[:2]] == [3, 6] and told[:2] == told[2:4]


def test_intervals_know_that_neighbours_are_alike() -> None:
    g = np.random.default_rng(1)
    block = np.arange(2000) // 20
    base = np.ones(2000)
    other = 0.9 + np.repeat(g.normal(0, 0.5, 100), 20)
    gain, low, high = gained(base, other, block)
    assert gain == pytest.approx(1 - other.mean()) and low < gain < high
    _, nearer, farther = gained(base, other, np.arange(2000))
    assert high - low > 3 * (farther - nearer)
    assert gained(base, 0.5 * base, block) == pytest.approx((0.5, 0.5, 0.5))


def test_a_logistic_regression_finds_the_odds_that_were_drawn_from() -> None:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(20_000, 2, generator=g, dtype=torch.float64)
    odds = 0.5 + 1.5 * x[:, 0] - x[:, 1]
    y = (torch.rand(20_000, generator=g) < odds.sigmoid()).double()
    y[::7] = torch.nan
    assert (logistic(x, y, x) - odds).abs().mean() < 0.05


def test_what_is_written_is_read_again_with_its_card_and_nothing_else_is(tmp_path: Path) -> None:
    data = Gathered(("acme",), planted(900), torch.tensor([TRAIN, VALIDATE, TEST]).repeat_interleave(300))
    said: list[str] = []
    found = made(data, 7, "v1", said.append, Plan(steps=4, batch=64, every=2))
    path = tmp_path / "deep" / "f.safetensors"
    save(found, path)
    again = load(path)
    assert path.stat().st_size < 5_000_000 and not path.with_suffix(".part").exists()
    assert again.version == found.version and again.card["code"] == "v1" and again.card["seed"] == 7
    assert again.card["windows"] == {"acme": [300, 300, 300]} and "move_15" in again.card["judged"]["acme"]
    assert len(said) == 2 * len(KINDS)
    test = data.of(TEST)
    for kind, network in found.networks.items():
        one, other = said_of(network, test), said_of(again.networks[kind], test)
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert {name for name, _ in judgements_of(data, again)} == {"acme"}
    path.write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="must be forecasters' weights"):
        load(path)
    save_file({"a": torch.zeros(1)}, path, {"card": '{"channels": ["left"]}'})
    with pytest.raises(BadInput, match="other inputs"):
        load(path)
    with pytest.raises(BadInput, match="must be writable"):
        save(found, Path("/proc/none/f.safetensors"))


def test_what_forecasts_are_worth_is_what_they_add() -> None:
    g = torch.Generator().manual_seed(2)

    def some(count: int, told: float) -> Decisions:
        known, news, noise = torch.randn(3, count, generator=g, dtype=torch.float64)
        filler = torch.randn(count, 4, generator=g, dtype=torch.float64)
        forecasts = torch.stack([news if told else noise.roll(1), torch.zeros(count, dtype=torch.float64)], 1)
        x = torch.cat([known[:, None], filler], 1)
        return Decisions(x, forecasts, 0.5 * known + 0.5 * news + noise, torch.arange(count) // 30)

    for told in (1.0, 0.0):
        found = worth(some(3000, told), some(3000, told))
        for one in found.values():
            gain, low, high = one.gain
            assert low <= gain <= high and one.beside - one.alone == pytest.approx(gain)
            assert 0.05 < one.alone < 0.25
            assert (low > 0.08) if told else (high < 0.03)


def test_decisions_are_seen_from_the_orders_side() -> None:
    torch.manual_seed(0)
    forecasters = Forecasters({kind: Forecaster(kind).eval() for kind in KINDS}, {"version": "one"})
    law = EpisodeLaw(horizon_s=90.0, decisions=6, warm_up_s=10.0)
    found = decisions(load_set("large_tick"), range(8), forecasters, law)
    count = 8 * (6 - FIRST_DECISION)
    assert found.features.shape == (count, len(NAMES)) and found.forecasts.shape == (count, len(SAID))
    assert found.move.shape == (count,) and found.episode.tolist() == list(range(8)) * (6 - FIRST_DECISION)
    assert not found.features.isnan().any() and found.move.any()
    said = torch.arange(len(SAID)).double().repeat(2, 1)
    bought, sold = from_side(said, torch.tensor([1, -1]))
    assert torch.equal(bought, said[0])
    assert sold[SAID.index("move_5")] == -said[0, SAID.index("move_5")]
    assert sold[SAID.index(FILLS[0])] == said[0, SAID.index(FILLS[1])]
    assert sold[SAID.index("spread_15")] == said[0, SAID.index("spread_15")]

"""Both forecasters trained and judged, with their card."""

import hashlib
from collections.abc import Callable
from typing import Any

import torch

from ml.forecasters.baselines import last_value, linear
from ml.forecasters.gathering import Gathered
from ml.forecasters.judging import Judged, judged
from ml.forecasters.networks import KINDS, Forecast, Forecaster
from ml.forecasters.samples import TEST, TRAIN, VALIDATE
from ml.forecasters.training import Plan, said_of, trained
from ml.forecasters.weights import Forecasters


def made(
    data: Gathered, seed: int, code: str, say: Callable[[str], None], plan: Plan | None = None
) -> Forecasters:
    """Trains both networks on what is gathered. `code` is the version of the code, for the card."""
    plan, networks, least = plan or Plan(), dict[str, Forecaster](), dict[str, float]()
    train, validate = data.of(TRAIN), data.of(VALIDATE)
    for kind in KINDS:
        networks[kind], least[kind] = trained(
            kind, train, validate, seed, plan,
            lambda p, kind=kind: say(f"{kind}: step {p.step} of {plan.steps}, validated {p.validated:.4f}"),
        )  # fmt: skip
    windows = {
        name: [int(((data.samples.source == place) & (data.part == part)).sum()) for part in (TRAIN, VALIDATE, TEST)]
        for place, name in enumerate(data.names)
    }
    card: dict[str, Any] = {"code": code, "seed": seed, "plan": plan._asdict(), "windows": windows, "validated": least}
    digest = hashlib.sha256()
    for network in networks.values():
        for value in network.state_dict().values():
            digest.update(value.numpy().tobytes())
    card["version"] = f"forecasters-{digest.hexdigest()[:8]}"
    found = Forecasters(networks, card)
    card["judged"] = {
        name: {one.target: one._asdict() for one in judgements} for name, judgements in judgements_of(data, found)
    }
    return found


def judgements_of(data: Gathered, forecasters: Forecasters) -> list[tuple[str, list[Judged]]]:
    """Of each source, where nobody was trained: the baselines, each network, and both together."""
    found = []
    for place, name in enumerate(data.names):
        own = Gathered(data.names, data.samples.where(data.samples.source == place),
                       data.part[data.samples.source == place])  # fmt: skip
        train, validate, test = (own.of(part) for part in (TRAIN, VALIDATE, TEST))
        said = {"last": last_value(train, test), "linear": linear(train, validate, test)}
        networks = {kind: said_of(network, test) for kind, network in forecasters.networks.items()}
        both = Forecast(*(torch.stack(fields).mean(0) for fields in zip(*networks.values(), strict=True)))
        found.append((name, judged(test, said | networks | {"both": both})))
    return found

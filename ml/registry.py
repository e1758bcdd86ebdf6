"""Models on disk: boosters as .ubj beside one JSON manifest that says what they are and what they fit."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import xgboost as xgb

from rfq.code_version import code_version
from rfq.domain.errors import OurFault

MANIFEST = "manifest.json"
SHIPPED = Path(__file__).parent / "models"
"""Small default models that come with the package."""


class ModelMismatch(OurFault):
    """The stored model does not fit this code or its own manifest. It is refused rather than used wrongly."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a saved model is. `digests` maps each booster's file to its SHA-256."""

    kind: str
    version: str
    schema: str
    """Hash of the feature schema it was trained on."""
    features: tuple[str, ...]
    seed: int
    trained_on: str
    """The data, in words."""
    metrics: Mapping[str, float]
    parameters: Mapping[str, object]
    """Whatever the model needs besides its boosters."""
    library: str
    digests: Mapping[str, str]
    signs: Mapping[str, Mapping[str, int]]
    """What is constrained to rise (1) or fall (-1) with which features."""
    code: str
    """See `code_version`."""


def save(folder: Path, manifest: Manifest, boosters: Mapping[str, xgb.Booster]) -> Manifest:
    """Writes boosters and manifest; returns the manifest with version, library, code and digests filled in.

    The version is made from the contents, so that the same training gives the same version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{name}.ubj": bytes(booster.save_raw("ubj")) for name, booster in sorted(boosters.items())}
    digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    contents = json.dumps([manifest.schema, manifest.seed, msgspec.to_builtins(manifest.parameters), digests],
                          sort_keys=True)  # fmt: skip
    version = f"{manifest.kind}-{hashlib.sha256(contents.encode()).hexdigest()[:10]}"
    full = msgspec.structs.replace(
        manifest, version=version, library=f"xgboost {xgb.__version__}", digests=digests, code=code_version()
    )
    for stale in folder.glob("*.ubj"):
        if stale.name not in files:
            stale.unlink()
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    # Last, so that a folder with a manifest is a whole one.
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(full, order="sorted"), indent=2) + b"\n")
    return full


def load(folder: Path, kind: str, schema: str) -> tuple[Manifest, dict[str, xgb.Booster]]:
    """Reads a saved model. Raises ModelMismatch where it is missing, damaged or trained on other features."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as broken:
        raise ModelMismatch(f"no readable model in {folder}: {broken}") from broken
    if manifest.kind != kind:
        raise ModelMismatch(f"{folder} holds a model of {manifest.kind!r}, wanted {kind!r}")
    if manifest.schema != schema:
        raise ModelMismatch(
            f"model {manifest.version} was trained on feature schema {manifest.schema}, "
            f"this code computes {schema}: train it again"
        )
    boosters: dict[str, xgb.Booster] = {}
    for name, digest in manifest.digests.items():
        try:
            raw = (folder / name).read_bytes()
        except OSError as broken:
            raise ModelMismatch(f"model {manifest.version} lacks {name}") from broken
        if hashlib.sha256(raw).hexdigest() != digest:
            raise ModelMismatch(f"{folder / name} is not the file that the manifest describes")
        booster = xgb.Booster({"nthread": 1})
        booster.load_model(bytearray(raw))
        boosters[name.removesuffix(".ubj")] = booster
    return manifest, boosters

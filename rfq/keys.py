"""The first keys of a service, and the file of callers that an operator or a demo may declare."""

import os
import secrets
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import msgspec

from rfq.domain.errors import BadInput
from rfq.domain.values import Frozen
from rfq.ports import KeyStore, Principal, Role

FLEET_FILE = "fleet.toml"
"""Of the simulated dealers, in the data directory."""


class KeyEntry(Frozen, frozen=True):
    """One [[keys]] table of the file."""

    name: str
    role: Role
    key: str

    def __post_init__(self) -> None:
        if len(self.key) < 16:
            raise BadInput(f"key of {self.name}", "(not shown)", "must be at least 16 characters")


class KeyFile(Frozen, frozen=True):
    keys: tuple[KeyEntry, ...] = ()


def new_key() -> str:
    """192 random bits, safe in a header and in a shell."""
    return "sk-" + secrets.token_urlsafe(24)


def read(path: Path) -> tuple[KeyEntry, ...]:
    """Callers and their keys of a TOML file. Raises BadInput naming the file and what is wrong in it."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), KeyFile).keys
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadInput("keys_file", str(path), f"must be a readable file of [[keys]]: {error}") from None


def write(path: Path, entries: Iterable[KeyEntry]) -> None:
    """Writes such a file, readable by its owner alone."""
    lines = [f'[[keys]]\nname = "{e.name}"\nrole = "{e.role}"\nkey = "{e.key}"\n' for e in entries]
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write("\n".join(lines))


async def declare(store: KeyStore, entries: Iterable[KeyEntry]) -> None:
    """Adds declared callers that have no key of that role yet."""
    for role in get_args(Role):
        known = set(await store.names(role))
        for entry in entries:
            if entry.role == role and entry.name not in known:
                await store.add(Principal(entry.name, role), entry.key)


async def first_start(store: KeyStore, say: Callable[[str], None]) -> None:
    """Makes a key for each role that has none, and says it once: only its hash is kept."""
    for role in get_args(Role):
        if not await store.names(role):
            key = new_key()
            await store.add(Principal(f"{role}-1", role), key)
            say(f"key of {role}-1 ({role}): {key}")


def of_fleet(path: Path, names: Iterable[str]) -> tuple[KeyEntry, ...]:
    """Keys of the simulated dealers, kept in a file so that the fleet finds them; made where they are missing."""
    entries = {e.name: e for e in read(path)} if path.exists() else {}
    missing = [name for name in names if name not in entries]
    if missing:
        entries |= {name: KeyEntry(name, "dealer", new_key()) for name in missing}
        write(path, entries.values())
    return tuple(entries.values())

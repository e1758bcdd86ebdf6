"""How the step is compiled, and where the result is kept.

Numba keeps compiled code beside the source and looks at one file's age alone: a constant or a function changed in
another file would go unnoticed. So the folder is named after a digest of every source in this package, and lies in the
user's cache, which is writable however the package was installed. It costs half a minute once.
"""

import os
import tempfile
from hashlib import sha256
from pathlib import Path

import numba
from numba.core import config, types

_HERE = Path(__file__).parent


def _folder() -> Path:
    sources = sorted([*_HERE.glob("*.py"), _HERE.parent / "parameters.py"])
    digest = sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "sotto" / "compiled" / digest
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"sotto-compiled-{os.getuid()}-{digest}"
    return folder


config.CACHE_DIR = str(_folder())  # pyright: ignore[reportAttributeAccessIssue]


def _named_by_content(record: types.Record) -> tuple[str, tuple[str, ...]]:
    return "Record", (sha256(str(record).encode()).hexdigest()[:16],)


# Numba names compiled functions by a number that a record type gets when a process first sees it. Cached functions of
# two shapes, compiled in different processes, would bear one name and call each other's parts: memory would be
# overwritten.
types.Record.mangling_args = property(_named_by_content)  # pyright: ignore[reportAttributeAccessIssue]
compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
inlined = numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
"""For what is small, or called from one place."""

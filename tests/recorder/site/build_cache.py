"""Each board's build is worked out once in a run, whichever process asks for it.

`install(folder, …)`: what tools.build has from tools.slim and tools.mpy is kept in `folder`, under a hash of
what went in and of the code that works on it. Those functions stay as they are for whoever tests them.
"""

import fcntl
import hashlib
import os
import pickle
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

FOLDER = "VITALWIRE_BUILDS"
"""The environment variable that names the folder."""


def install(folder: str, on_import: Callable[[str, Callable[[Any], None]], None]) -> None:
    """`on_import(name, wrap)` has a module wrapped once it has run (wire_recorder.py)."""

    def wrap(build: Any) -> None:
        # A worker is such a process, too: it has been here as it started.
        if hasattr(build.slim, "__wrapped__"):
            return
        for name in ("slim", "put_in_place", "compile_mpy"):
            setattr(build, name, _kept(name, getattr(build, name), Path(folder), Path(build.__file__).parent))

    on_import("tools.build", wrap)


def _kept(name: str, real: Callable[..., Any], folder: Path, tools: Path) -> Callable[..., Any]:
    @wraps(real)
    def kept(*args: Any) -> Any:
        asked = repr((name, [_ordered(one) for one in args], _code(tools)))
        place = folder / hashlib.sha256(asked.encode()).hexdigest()
        with place.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if place.exists():
                return pickle.loads(place.read_bytes())
            found = real(*args)
            new = place.with_suffix(".new")
            new.write_bytes(pickle.dumps(found))
            os.replace(new, place)
            return found

    return kept


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted(value.items())
    return sorted(value) if isinstance(value, (set, frozenset)) else value


@cache
def _code(tools: Path) -> str:
    sources = [tools / "mpy.py", *sorted((tools / "slim").glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()

"""A folder for as long as a run of tests lasts. A run that is killed leaves its own: the next one takes it
away.
"""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# In each folder: locked for as long as its run lives, however that ends.
HELD = "held"


@contextlib.contextmanager
def run_folder(name: str, parent: Path) -> Iterator[Path]:
    """A new folder parent/NAME-…; those of runs that live stay."""
    # Two that begin at once: neither takes away what the other has made and not locked yet.
    with (parent / f"{name}.lock").open("wb") as beginning:
        fcntl.flock(beginning, fcntl.LOCK_EX)
        for held in parent.glob(f"{name}-*/{HELD}"):
            with contextlib.suppress(OSError), _locked(held):
                shutil.rmtree(held.parent, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        alive = _locked(folder / HELD)
    with alive:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked(path: Path) -> BinaryIO:
    """The file, open and locked. OSError: it is locked already, or somebody else's."""
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file

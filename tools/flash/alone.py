"""One at a time on a port: between two steps of flashing nobody holds it, and another could take it."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent import lock
from edge_agent.files import make_folder
from edge_agent.links.ports import is_url
from tools.flash.trouble import Trouble


@contextmanager
def alone(port: str) -> Iterator[None]:
    """Be the only one on this machine, of this user, who flashes on that port, by whichever name it goes.
    Trouble.
    """
    place = port if is_url(port) else os.path.realpath(port)
    folder = Path(tempfile.gettempdir()) / f"vitalwire-{os.getuid() if hasattr(os, 'getuid') else 'flash'}"
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    try:
        make_folder(folder)
        held = lock.hold(folder / f"{name}.lock")
    except lock.Locked as e:
        raise Trouble(
            f"{place} is being flashed already, by another program or under another name",
            "wait until that has ended; name each board once",
        ) from e
    except OSError as e:
        raise Trouble(f"{folder}: {e.strerror}", "set TMPDIR to a folder that you may write to") from e
    with held:
        yield

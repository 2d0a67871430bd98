"""For every test, whatever room it is in."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.recorder.plugin", "tests.once", "tests.services"]


@pytest.fixture
def own_multicast() -> Iterator[None]:
    """The loopback's multicast for one test at a time: a node that is nobody's goes to whichever agent it
    hears there.
    """
    import fcntl

    with (Path(tempfile.gettempdir()) / "vitalwire-multicast.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""For the tests of the collector: one on each of the two databases that it writes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.collector_rig import Rig


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> str | None:
    """Where a collector's store is: None for a file of its own, or a fresh PostgreSQL database."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
def rig(tmp_path: Path, place: str | None) -> Iterator[Rig]:
    """A collector on a folder of its own. A file that wants one of the databases only has its own `place`."""
    rig = Rig(tmp_path, place)
    yield rig
    rig.store.close()

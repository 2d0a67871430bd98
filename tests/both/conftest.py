"""Under pytest: the files of the process's own disk are given back to firmware.flash after each test."""

from collections.abc import Iterator

import pytest

from firmware import flash


@pytest.fixture(autouse=True)
def own_disk() -> Iterator[None]:
    """Tests of records put a medium of their own under the module; other rooms' write to real files."""
    real = flash.os
    yield
    flash.os = real
    vars(flash).pop("open", None)

"""What these tests make is wrong on purpose: the recorder of what either side emits looks away."""

from collections.abc import Iterator

import pytest

from tests.recorder.site import wire_recorder


@pytest.fixture(autouse=True)
def deliberately_wrong() -> Iterator[None]:
    with wire_recorder.deliberate():
        yield

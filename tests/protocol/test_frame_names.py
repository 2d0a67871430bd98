"""Every number that has a name in the code has one for people, and what is known is what has a name."""

import pytest

from protocol import frame_names, frame_schema, frames

NAMES = [
    ("RESET_", frame_names.RESET_NAMES),
    ("PRIORITY_", frame_names.PRIORITY_NAMES),
    ("MODE_", frame_names.MODE_NAMES),
    ("STATE_", frame_names.STATE_NAMES),
    ("REASON_", frame_names.REASON_NAMES),
    ("RESULT_", frame_names.RESULT_NAMES),
    ("STEP_", frame_names.STEP_NAMES),
]
FLAGS = [
    (frames.KIND_WAVE, frames.WAVE_FLAGS, frame_names.WAVE_FLAG_NAMES),
    (frames.KIND_VITALS, frames.VITALS_FLAGS, frame_names.VITALS_FLAG_NAMES),
    (frames.KIND_BP, frames.BP_FLAGS, frame_names.BP_FLAG_NAMES),
]


@pytest.mark.parametrize(("prefix", "names"), NAMES, ids=[prefix for prefix, _ in NAMES])
def test_every_number_has_a_name(prefix: str, names: "dict[int, str]") -> None:
    assert {number for name, number in vars(frames).items() if name.startswith(prefix)} == set(names)


@pytest.mark.parametrize(("kind", "key", "names"), FLAGS, ids=["wave", "vitals", "bp"])
def test_flags_are_single_bits_in_a_row_and_the_next_one_is_not_known(
    kind: int, key: int, names: "dict[int, str]"
) -> None:
    assert list(names) == [1 << i for i in range(len(names))]
    assert frame_schema.unknown_meanings(kind, {key: sum(names)}) == 0
    assert frame_schema.unknown_meanings(kind, {key: 1 << len(names)}) == 1


@pytest.mark.parametrize("kind", [frames.KIND_BOOT, frames.KIND_LOG])
def test_the_known_reset_causes_are_those_with_a_name(kind: int) -> None:
    key = frames.BOOT_RESET_CAUSE if kind == frames.KIND_BOOT else frames.LOG_RESET_CAUSE
    unknown = [cause for cause in range(256) if frame_schema.unknown_meanings(kind, {key: cause})]
    assert unknown == [cause for cause in range(256) if cause not in frame_names.RESET_NAMES]


def test_the_known_loss_reasons_are_those_with_a_name() -> None:
    losses = [[10 * reason, 1, reason] for reason in range(256)]
    unknown = frame_schema.unknown_meanings(frames.KIND_LOSS, {frames.LOSS_RANGES: losses})
    assert unknown == 256 - len(frame_names.LOSS_NAMES)

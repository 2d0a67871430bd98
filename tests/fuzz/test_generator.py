"""The generator: everything follows from the seed, and every change is made."""

import pytest

from protocol import cbor
from tools.fuzz.mutate import MAX_BYTES, Generator
from tools.fuzz.programs import MAX_STEPS, assemble, steps_of
from tools.fuzz.targets import TARGETS

SOUND = [cbor.dumps([3, 1_000_000, {1: 653, 2: [912, 918], 6: b"\x83\x01\x02\x03", 7: "text"}]), b"\xff" * 30]


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_seed_gives_the_same_inputs(name: str) -> None:
    first, again, other = (TARGETS[name].generator([], seed) for seed in (3, 3, 4))
    inputs = [first.next() for _ in range(200)]
    assert inputs == [again.next() for _ in range(200)]
    assert inputs != [other.next() for _ in range(200)]
    assert len(set(inputs)) > 150


@pytest.mark.parametrize(
    "name",
    [
        "flip",
        "replace",
        "insert",
        "delete",
        "repeat",
        "truncate",
        "splice",
        "lie",
        "declare",
        "nest",
        "twice",
        "boundary",
        "tree",
    ],
)
def test_every_change_changes_and_takes_nothing(name: str) -> None:
    generator = Generator(SOUND, 1)
    change = getattr(generator, name)
    changed = {change(SOUND[0]) for _ in range(100)}
    assert changed - set(SOUND)
    for _ in range(100):
        change(b"")
        change(b"x")


def test_inputs_are_bounded_and_of_every_sort() -> None:
    generator = Generator(SOUND, 1)
    inputs = [generator.next() for _ in range(3000)]
    assert max(len(data) for data in inputs) <= MAX_BYTES
    values = 0
    for data in inputs:
        try:
            cbor.loads(data)
            values += 1
        except cbor.CborError:
            pass
    assert 300 < values < 2700
    assert any(len(data) > 1000 for data in inputs) and any(len(data) < 3 for data in inputs)


def test_what_is_learned_is_begun_from() -> None:
    generator = Generator([b"\x01"], 1)
    generator.learn(b"\x83learned, and long enough to be seen again")
    assert any(b"learned" in generator.next() for _ in range(200))


def test_a_generator_wants_something_sound() -> None:
    with pytest.raises(ValueError, match="sound"):
        Generator([], 1)


def test_programs_are_read_as_they_were_written_and_from_any_bytes() -> None:
    steps = [(1, b""), (255, b"x" * 300), (0, b"\0\1")]
    assert steps_of(assemble(steps)) == steps
    data = assemble(steps)
    for end in range(len(data)):
        assert len(steps_of(data[:end])) <= 3
    assert len(steps_of(bytes(1000))) == MAX_STEPS

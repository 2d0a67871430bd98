"""Every sound input cut at every offset, and short ones with every bit turned: refused, or sound itself."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tools.fuzz import compare, parties, seeds
from tools.fuzz.mutate import Generator
from tools.fuzz.targets import Target, load

SHORT = 160
ON_VM = 100
WHOLE = {
    "cbor": seeds.for_cbor,
    "cose": seeds.for_cose,
    "frames": lambda: list(seeds.plaintexts()),
    "messages": lambda: list(seeds.clear()),
    "waveform": seeds.for_waveform,
    "orders": seeds.for_orders,
    "batch": seeds.for_batch,
    "receipt": seeds.for_receipt,
    "records": seeds.for_records,
}
HEADS = {"cose": 1, "waveform": 2, "batch": 1, "receipt": 1, "records": 1}


@pytest.fixture(scope="module", autouse=True)
def curves() -> None:
    parties.remember_curves()


@cache
def target(name: str) -> Target:
    return load(name)


def cut(data: bytes, head: int) -> Iterator[bytes]:
    """All proper beginnings, the head always whole."""
    return (data[:end] for end in range(head, len(data)))


def turned(data: bytes, head: int) -> Iterator[bytes]:
    """With each bit turned in its turn, those of the head left as they are."""
    for at in range(head, len(data)):
        for bit in range(8):
            yield data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


@pytest.mark.parametrize("name", WHOLE)
def test_no_beginning_of_a_sound_input_is_sound(name: str) -> None:
    head = HEADS.get(name, 0)
    for data in WHOLE[name]():
        sound = target(name).run(data).startswith("=")
        for part in cut(data, head):
            said = target(name).run(part)
            assert not (sound and said.startswith("=")), (data.hex(), len(part))


@pytest.mark.parametrize("name", WHOLE)
def test_every_bit_turned(name: str) -> None:
    """The target itself asserts that what is still accepted is canonical, and that offsets are inside."""
    head = HEADS.get(name, 0)
    for data in WHOLE[name]():
        if len(data) <= SHORT:
            for changed in turned(data, head):
                target(name).run(changed)


def test_no_turned_bit_of_a_seal_opens() -> None:
    for data in seeds.for_cose():
        if target("cose").run(data).startswith("="):
            for changed in turned(data, 1):
                assert not target("cose").run(changed).startswith("="), changed.hex()


@pytest.mark.parametrize(("name", "head"), [("batch", 0), ("receipt", 0), ("records", 0)])
def test_no_turned_bit_of_what_is_signed_verifies(name: str, head: int) -> None:
    for data in WHOLE[name]():
        if data[0] == head and target(name).run(data).startswith("=") and len(data) < 500:
            for changed in turned(data, 1):
                assert not target(name).run(changed).startswith("="), changed.hex()


class Listed(Generator):
    """Gives what it is told to, in order."""

    def __init__(self, inputs: "list[bytes]"):
        super().__init__(inputs, 0)
        self._left = iter(inputs)

    def next(self) -> bytes:
        return next(self._left)


@pytest.mark.parametrize("name", ["cbor", "frames", "messages", "cose", "waveform"])
def test_the_vms_cut_and_turn_alike(
    name: str, micropython: Callable[..., object], micropython32: Callable[..., object]
) -> None:
    head = HEADS.get(name, 0)
    inputs: list[bytes] = []
    for data in WHOLE[name]():
        inputs += cut(data, head)
        if len(data) <= ON_VM:
            inputs += list(turned(data, head))[:: 1 if len(data) < 40 else 7]
    report = compare.compare(name, Listed(inputs), len(inputs))
    assert report.finding is None, report.finding.account
    assert report.inputs == len(inputs) > 1000 and report.note.count("the same") == 2

"""Every target under changed inputs: never anything but a named refusal, and what is sound stays so."""

import ast
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.strategies import FRAMES, VALUES, edited, encoded, programs
from tools.fuzz import outcome, parties, seeds
from tools.fuzz.run import fuzz
from tools.fuzz.targets import TARGETS, Target, load

INPUTS = 600
PROTOCOL = Path(__file__).resolve().parents[2] / "protocol"


@pytest.fixture(scope="module", autouse=True)
def curves() -> None:
    parties.remember_curves()


@cache
def target(name: str) -> Target:
    return load(name)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs(name: str) -> None:
    report = fuzz(target(name), TARGETS[name].generator([], 20), INPUTS)
    assert report.finding is None, report.finding.account
    assert report.inputs == INPUTS == report.accepted + sum(report.refused.values())


@pytest.mark.parametrize("name", TARGETS)
def test_sound_inputs_and_none(name: str) -> None:
    for data in [*TARGETS[name].generator([], 1).seeds, b"", b"\0", b"\xff" * 40]:
        assert target(name).run(data)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("cbor", 30),
        ("frames", 15),
        ("messages", 8),
        ("waveform", 4),
        ("orders", 1),
        ("batch", 8),
        ("receipt", 6),
    ],
)
def test_what_is_sound_is_accepted(name: str, least: int) -> None:
    """Else the changed inputs would all be refused at the door."""
    said = [target(name).run(data) for data in TARGETS[name].generator([], 1).seeds]
    assert sum(one.startswith("=") for one in said) >= least


@settings(max_examples=150)
@given(encoded(VALUES))
def test_any_value(data: bytes) -> None:
    for name in ("cbor", "messages", "frames"):
        target(name).run(data)
    for name in ("batch", "receipt", "records", "inspect"):
        for how in range(6):
            target(name).run(bytes((how,)) + data)


@settings(max_examples=300)
@given(encoded(FRAMES))
def test_any_body_of_any_kind(data: bytes) -> None:
    target("frames").run(data)
    target("orders").run(data)
    target("inspect").run(b"\0" + data)


@settings(max_examples=100)
@given(st.sampled_from([name for name in TARGETS if not name.startswith("session")]), st.data())
def test_edited_inputs(name: str, data: st.DataObject) -> None:
    target(name).run(data.draw(edited(TARGETS[name].generator([], 1).seeds)))


@settings(max_examples=60)
@given(programs(*seeds.for_agent()))
def test_edited_programs_for_an_agent(data: bytes) -> None:
    target("session_agent").run(data)


@settings(max_examples=60)
@given(programs(*seeds.for_node()))
def test_edited_programs_for_a_node(data: bytes) -> None:
    target("session_node").run(data)


def test_frames_begin_from_signed_orders_too() -> None:
    signed = {bytes.fromhex(row["plaintext"]) for row in seeds.vectors("orders")["signed"]}
    assert signed and signed <= set(seeds.plaintexts())


def test_every_cause_in_the_code_is_a_documented_one() -> None:
    known = {cause for causes in outcome.CAUSES.values() for cause in causes}
    known.update(outcome.COUNTED, ("protocol_error", "local_error", "exhausted", "repeated_number"))
    found = {cause for path in PROTOCOL.glob("*.py") for cause in _causes(ast.parse(path.read_text()))}
    assert len(found) > 20
    assert not found - known


def _causes(tree: ast.AST) -> "set[str]":
    """The texts given as `cause=`, as an error's third argument, to `_reject`, or to a class's `cause`."""
    said: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            said += [word.value for word in node.keywords if word.arg == "cause"]
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "_reject":
                said += node.args[:1]
            elif name.endswith("Error"):
                said += node.args[2:3]
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "cause":
            said.append(node.value)
    return {one.value for one in said if isinstance(one, ast.Constant) and isinstance(one.value, str)}

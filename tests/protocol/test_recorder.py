"""The recorder sees what the product emits, in any process, and a wrong sample fails the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from protocol import cbor, cobs, crypto, frames, identity, messages, seal
from protocol.session_agent import AgentSession
from tests.both.sealing import sealing
from tests.recorder.plugin import NOT_VALIDATED
from tests.recorder.site import wire_recorder
from tests.recorder.site.wire_recorder import Samples
from tests.recorder.verdict import judge

ROOT = Path(__file__).resolve().parents[2]

SLIP = """
import os
from protocol import crypto, identity, messages
from protocol.session_agent import AgentSession
messages.VERSION = {version}
me = crypto.run(identity.generate_steps(os.urandom(64)))
session = AgentSession(me, {{}}.get, {{}}.get, os.urandom)
session.solicit()
assert session.pull(0)
"""
TESTS = """
import subprocess, sys

SLIP = {slip!r}

def test_here():
    exec(SLIP.format(version={here}))

def test_in_a_process_of_its_own():
    subprocess.run([sys.executable, "-c", SLIP.format(version={there})], check=True)
"""


def run_of(folder: Path, here: int, there: int, more: str = "") -> "subprocess.CompletedProcess[str]":
    """A run of pytest of its own, over tests whose sessions emit solicits of these versions."""
    path = folder / "test_slips.py"
    path.write_text(TESTS.format(slip=SLIP, here=here, there=there) + more, "utf-8")
    options = [
        "-q",
        "-p",
        "tests.recorder.plugin",
        "-p",
        "no:cacheprovider",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    with wire_recorder.deliberate():
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options, "--rootdir", str(folder), str(path)],
            cwd=ROOT,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )


def test_a_run_without_a_slip_is_fine(tmp_path: Path) -> None:
    done = run_of(tmp_path, 1, 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 samples of 1 rules are valid" in done.stdout


@pytest.mark.parametrize(
    ("here", "there", "test", "data"),
    [(7, 1, "test_here", "a200060107"), (1, 9, "test_in_a_process_of_its_own", "a200060109")],
)
def test_a_slip_fails_the_run_with_rule_bytes_and_test(
    tmp_path: Path, here: int, there: int, test: str, data: str
) -> None:
    done = run_of(tmp_path, here, there)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert f"solicit: {data}\n  made by test_slips.py::{test}" in done.stdout.replace(f"{tmp_path}/", "")
    assert "should have value 1" in done.stdout


def test_a_run_without_a_validator_says_so(tmp_path: Path) -> None:
    done = run_of(tmp_path, 7, 1, "sys.modules['zcbor'] = None\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{NOT_VALIDATED}\n") == 1 and "2 passed" in done.stdout


def test_no_process_records_twice() -> None:
    """Nor does a worker, whose recorder was there before its tests."""
    assert [type(finder).__name__ for finder in sys.meta_path].count("_Finder") == 1


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """What is recorded during the test, instead of by the run's own recorder."""
    mine = Samples(str(tmp_path))
    monkeypatch.setattr(wire_recorder, "samples", mine)
    return mine


def written(samples: Samples) -> "list[tuple[str, str]]":
    samples.flush()
    paths = Path(samples.folder).glob("*.samples")
    lines = [line.split("\t") for path in paths for line in path.read_text("utf-8").splitlines()]
    return [(line[0], line[2]) for line in lines]


def test_every_extreme_is_kept_and_little_else(samples: Samples) -> None:
    for n in [*range(500), 1000, 1001, *range(900), -1]:
        samples.add("vitals-frame", frames.pack(frames.KIND_VITALS, 5, {frames.VITALS_SPO2: n}))
    kept = {cbor.loads(bytes.fromhex(data))[2][frames.VITALS_SPO2] for _, data in written(samples)}
    assert {0, 1001, -1} <= kept and len(kept) < 20
    verdict = judge(Path(samples.folder))
    assert {cbor.loads(bytes.fromhex(one.data))[2][frames.VITALS_SPO2] for one in verdict.wrong} == {1001, -1}


def test_other_keys_types_and_lengths_are_new(samples: Samples) -> None:
    bodies = [{}, {1: 5}, {1: 5, 2: [9]}, {1: 5, 2: [9, 9]}, {1: "x"}, {1: True}, {1: b"", 3: None}]
    for body in bodies * 3:
        samples.add("vitals-frame", cbor.dumps([3, 0, body]))
    assert [cbor.loads(bytes.fromhex(data))[2] for _, data in written(samples)] == bodies


def a_frame_through_an_agent(plaintext: bytes, known_here: bool) -> None:
    """A node that this process did not make, or one that it did, sends a frame to an agent."""
    node = crypto.run(identity.generate_steps(os.urandom(64)))
    agent = crypto.run(identity.generate_steps(os.urandom(64)))
    session = AgentSession(agent, {node.id: node.public()}.get, {}.get, os.urandom)
    boot_id, key = (1).to_bytes(4, "big") + os.urandom(8), os.urandom(16)
    keys = sealing(key, boot_id)
    if not known_here:
        wire_recorder._here.discard(boot_id)  # pyright: ignore[reportPrivateUsage]
    enc, wrapped = crypto.run(
        seal.wrap_header_steps(key, boot_id, node, agent.id, agent.x_pub, os.urandom(32))
    )
    boots = [[boot_id, [[agent.id, enc, wrapped]], 1, [[0, 1]]]]
    body = messages.hello_body(1, node.id, os.urandom(16), 1, boots)
    session.feed(cobs.encode(messages.hello(body, keys.hello_tag(body))), 0)
    session.feed(cobs.encode(messages.data(0, keys.seal(0, plaintext))), 0)
    session.pull(0)


def test_what_a_node_elsewhere_emitted_is_seen_when_an_agent_opens_it(samples: Samples) -> None:
    wrong = cbor.dumps([frames.KIND_VITALS, 0, {frames.VITALS_SPO2: 1001}])
    a_frame_through_an_agent(wrong, False)
    rules = {rule for rule, _ in written(samples)}
    assert {"hello", "hello-body", "welcome", "vitals-frame"} <= rules
    assert [(one.rule, one.data) for one in judge(Path(samples.folder)).wrong] == [
        ("vitals-frame", wrong.hex())
    ]


def test_what_a_test_made_is_not_the_product_s(samples: Samples) -> None:
    a_frame_through_an_agent(b"\xff nothing of the kind", True)
    messages.solicit(9)
    frames.pack(frames.KIND_ACK, 0, "wrong")
    assert {rule for rule, _ in written(samples)} == {"welcome"}
    assert not judge(Path(samples.folder)).wrong


def test_what_is_wrong_on_purpose_is_not_kept(samples: Samples) -> None:
    with wire_recorder.deliberate():
        a_frame_through_an_agent(b"\xff", False)
        assert wire_recorder.FOLDER not in os.environ
    assert written(samples) == []

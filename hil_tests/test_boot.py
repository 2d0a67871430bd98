"""The node as whoever opens its port meets it: hello, pairing, boot frame, status."""

import os
import time

import pytest

from boards.virtual.rig import VirtualNode
from hil_tests.duts import NodeDut, one_identity
from hil_tests.rig_file import RigFile
from protocol import frames, messages, session_events
from protocol.identity import node_id
from protocol.session_agent import AgentSession

pytestmark = pytest.mark.parametrize("embedded_services", ["serial"], indirect=True)


def hello(dut: NodeDut, timeout_s: float) -> dict:
    for message in dut.messages(timeout_s):
        if messages.sort(message) == messages.SORT_CLEAR:
            kind, fields = messages.parse_clear(message)
            if kind == messages.MSG_HELLO:
                return fields
    raise AssertionError(f"no hello within {timeout_s} s; the log is {dut.logfile}")


def test_a_node_says_hello_and_shows_its_keys(dut: NodeDut, rig: RigFile) -> None:
    said = hello(dut, rig.boot_s)
    assert said["version"] == messages.VERSION
    assert node_id(*said["keys"]) == said["node_id"]
    assert said["conn"] >= 1


def test_every_boot_has_a_new_number_and_the_same_keys(
    dut: NodeDut, rig: RigFile, board: VirtualNode
) -> None:
    if board is None:
        pytest.skip("a bench rig has no reset line here")
    before = hello(dut, rig.boot_s)
    board.reset()
    after = before
    end = time.monotonic() + rig.boot_s
    while after["boots"][0][0] == before["boots"][0][0]:
        assert time.monotonic() < end, "no other boot than the one before says hello"
        after = hello(dut, rig.boot_s)
    assert after["keys"] == before["keys"]
    assert (
        int.from_bytes(after["boots"][0][0][:4], "big")
        == int.from_bytes(before["boots"][0][0][:4], "big") + 1
    )
    assert after["nonce"] != before["nonce"]


# Not the wall's clock: with any other, a host that hesitates lets no FIFO run over.
@pytest.mark.patient(speed=1.5)
def test_a_paired_node_proves_itself_and_reports(dut: NodeDut, rig: RigFile, virtual: None) -> None:
    me = one_identity(os.urandom(64))
    known: dict[bytes, tuple[bytes, bytes]] = {}
    session = AgentSession(me, known.get, lambda _: None, os.urandom)
    hello(dut, rig.boot_s)
    nonce = os.urandom(16)
    session.request_pairing(nonce)
    found: dict[int, dict] = {}
    heard: dict[int, bytes] = {}
    live = False
    for event in dut.converse(session, 120):
        if isinstance(event, session_events.PairReply):
            assert event.signature_ok and event.nonce == nonce
            known[node_id(event.ed_pub, event.x_pub)] = (event.ed_pub, event.x_pub)
        elif isinstance(event, session_events.Live):
            live = True
        elif isinstance(event, session_events.FrameIn):
            # A host that hesitates too long with an acknowledgement gets the frame again: the same one.
            assert heard.setdefault(event.seq, event.plaintext) == event.plaintext
            kind, _, body = frames.unpack(event.plaintext)
            found.setdefault(kind, body)
        wanted = {
            frames.KIND_BOOT,
            frames.KIND_WAVE,
            frames.KIND_VITALS,
            frames.KIND_STATUS,
            frames.KIND_ATTEST,
        }
        if live and wanted <= found.keys():
            break
    assert live and sorted(found) and wanted <= found.keys()
    boot = found[frames.KIND_BOOT]
    assert boot[frames.BOOT_BOARD] == rig.board
    assert "synthetic" in boot[frames.BOOT_INPUT].lower()
    assert found[frames.KIND_WAVE][frames.SOURCE] == frames.SRC_SYNTHETIC
    status = found[frames.KIND_STATUS]
    assert status[frames.STATUS_HEAP_FREE] >= status[frames.STATUS_HEAP_LOW] > 20_000
    assert status[frames.STATUS_MISSED] == 0

"""Somebody else on the cable: forged, replayed and foreign messages are refused and counted."""

import contextlib
import os
import random
import time
from collections.abc import Callable

import pytest

from boards.virtual.rig import VirtualNode
from hil_tests.duts import one_identity
from hil_tests.stack import PATIENCE_S, Stack, StackError
from protocol import cobs, messages
from protocol.outbox import Outbox
from protocol.seal import BootKeys, SealingKeys
from protocol.session_node import NodeSession


class Tapped:
    """A paired node in full flow, everything it has said, and its agent."""

    def __init__(self, node: VirtualNode, stack: Stack, heard: list[bytes]) -> None:
        self.node = node
        self.stack = stack
        self.heard = heard

    def rejected(self, cause: str) -> int:
        """How often the agent has refused something for that cause."""
        return self.stack.status()["rejected"].get(cause, 0)

    def refuses(self, data: bytes, cause: str) -> None:
        """Inject, and wait until the agent has counted it by that cause."""
        before = self.rejected(cause)
        self.attack(data, f"refused as {cause}", lambda: self.rejected(cause) > before)

    def attack(self, data: bytes, what: str, fact: Callable[[], bool]) -> None:
        """Inject, again where the line had no room for it, until `fact` is true."""
        end = time.monotonic() + PATIENCE_S
        while True:
            self.node.cable.inject(b"\0" + data)
            with contextlib.suppress(StackError):
                self.stack.wait_until(what, fact, 10)
                return
            assert time.monotonic() < end, what

    def goes_on_and_is_sound(self) -> None:
        """The true node still delivers, and at the end everything verifies."""
        produced = self.stack.ledger()["totals"]["produced"]
        self.stack.wait_delivered(produced + 5)
        self.node.stop()
        self.stack.wait_settled()
        self.stack.assert_sound()


@pytest.fixture
def tapped(make_node, make_stack) -> Tapped:
    """See Tapped."""
    node = make_node()
    heard: list[bytes] = []
    node.cable.tap = heard.append
    node.start()
    stack = make_stack(node)
    stack.wait_delivered(10)
    return Tapped(node, stack, heard)


def said(tapped: Tapped) -> list[bytes]:
    decoder = cobs.Decoder()
    return decoder.feed(b"".join(tapped.heard))


def test_a_forged_frame(tapped: Tapped) -> None:
    boot = messages.parse_clear(next(m for m in said(tapped) if messages.sort(m) == messages.SORT_CLEAR))[1][
        "boots"
    ][0][0]
    forged = SealingKeys(os.urandom(16), BootKeys(bytes(16), boot)).seal(
        10**6, b"\x83\x05\x00\xa2\x01\x09\x02\x00"
    )
    tapped.refuses(cobs.encode(messages.data(0, forged)), "bad_tag")
    tapped.goes_on_and_is_sound()


def test_a_frame_with_one_bit_changed(tapped: Tapped) -> None:
    frame = bytearray(next(m for m in reversed(said(tapped)) if messages.sort(m) == messages.SORT_DATA))
    frame[-3] ^= 0x10
    tapped.refuses(cobs.encode(bytes(frame)), "bad_tag")
    tapped.goes_on_and_is_sound()


def test_a_replayed_frame(tapped: Tapped) -> None:
    frame = next(m for m in said(tapped) if messages.sort(m) == messages.SORT_DATA)
    before = tapped.stack.ledger()["totals"]["resent"]
    tapped.attack(
        cobs.encode(frame),
        "the repetition counted",
        lambda: tapped.stack.ledger()["totals"]["resent"] > before,
    )
    tapped.goes_on_and_is_sound()


def test_a_replayed_connection(tapped: Tapped) -> None:
    hellos = [m for m in said(tapped) if messages.sort(m) == messages.SORT_CLEAR]
    old = next(
        m
        for m in hellos
        if messages.parse_clear(m)[0] == messages.MSG_HELLO and not messages.parse_clear(m)[1]["keys"]
    )
    tapped.stack.stop("agent")
    tapped.stack.start_agent()
    produced = tapped.stack.ledger()["totals"]["produced"]
    tapped.stack.wait_delivered(produced + 5)
    recorded = b"".join(
        cobs.encode(m)
        for m in [old, *[m for m in said(tapped) if messages.sort(m) == messages.SORT_DATA][:20]]
    )
    tapped.refuses(recorded, "replayed_hello")
    tapped.goes_on_and_is_sound()


def test_a_node_that_nobody_paired(tapped: Tapped) -> None:
    stranger = one_identity(os.urandom(64))
    boot = BootKeys(os.urandom(16), (7).to_bytes(4, "big") + os.urandom(8))
    session = NodeSession(stranger, boot, Outbox(10_000), os.urandom)
    session.tick(0)
    tapped.refuses(session.pull(0), "unknown_node")
    tapped.goes_on_and_is_sound()


def test_noise_on_the_line(tapped: Tapped) -> None:
    # Of such noise one in 130 is a sound message by its length alone: this one is not.
    dice = random.Random(1)
    tapped.refuses(dice.randbytes(3000).replace(b"\0", b"\1") + b"\0", "malformed_cobs")
    for _ in range(20):
        tapped.node.cable.inject(dice.randbytes(200))
        time.sleep(0.1)
    tapped.goes_on_and_is_sound()

"""A node as the tests of both rigs have it: a virtual one, or the board of a bench."""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from boards.virtual.rig import VirtualNode
from edge_agent.keys import PublicKeys
from hil_tests.hands import PAIRS, Hands
from hil_tests.rig_file import RigFile
from hil_tests.stack import COMMAND, PATIENCE_S, ROOT, StackError
from protocol import cbor

# What `vitalwire flash` says while it waits for a hand.
RESET = "press its reset button"
FLASH_S = 5 * PATIENCE_S


class RigNode(VirtualNode):
    """A virtual node, with what a test does to any."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A hand on its button."""
        self.bench.pins["BUTTON"] = 1
        try:
            yield
        finally:
            self.bench.pins["BUTTON"] = 0

    def public_keys(self) -> PublicKeys:
        """As its maker read them from it."""
        record = self.flash_dir / "state" / "identity"
        deadline = time.monotonic() + PATIENCE_S
        while not record.exists():
            assert time.monotonic() < deadline, "no identity on flash"
            time.sleep(0.05)
        _, ed_pub, _, x_pub = cbor.loads(record.read_bytes()[8:])[:4]
        return PublicKeys(ed_pub, x_pub)


class BenchNode:
    """The board of a bench with the application of `tree` on it, reached by its port and by hands alone; what
    comes with flashing goes into `folder`. `start()` erases it: it is a new node, and nobody's.
    """

    def __init__(self, rig: RigFile, tree: Path, folder: Path, hands: Hands) -> None:
        self.port = rig.port
        self.running = False
        self._image = rig.image
        self._tree = tree
        self._kit = folder / "kit.json"
        self._hands = hands
        # Which of PAIRS are done, and not undone.
        self._done: set[str] = set()

    def start(self) -> "BenchNode":
        """Flash it, unless that is done. StackError holds what `vitalwire flash` said."""
        if not self.running:
            words = ["--tree", str(self._tree), "--port", self.port, "--kit", str(self._kit), "--yes"]
            code, said = flash(self._hands, *words, "--erase", "--image", self._image)
            if code:
                raise StackError(f"vitalwire flash → {code}\n{said}")
            self.running = True
        return self

    def public_keys(self) -> PublicKeys:
        """As its maker read them from it."""
        (node,) = json.loads(self._kit.read_text())["nodes"]
        return PublicKeys(bytes.fromhex(node["ed25519"]), bytes.fromhex(node["x25519"]))

    def world_s(self) -> float:
        """The patient's time, in seconds since some moment."""
        return time.monotonic()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A hand on its button."""
        self._do("button")
        try:
            yield
        finally:
            self._undo("button")

    def unplug(self) -> None:
        """Bytes go neither way any more; it keeps its power."""
        self._do("cable")

    def replug(self) -> None:
        """They go again."""
        self._undo("cable")

    def power_cycle(self) -> None:
        """Take its power away, and give it back."""
        self._do("power")
        self._undo("power")

    reset = power_cycle

    def stop(self) -> None:
        """Take its power away. What it had in memory goes with it, and nobody hears of that before its next
        boot.
        """
        self._do("power")

    def close(self) -> None:
        """Undo what is done."""
        for pair in PAIRS:
            self._undo(pair)

    def _do(self, pair: str) -> None:
        if pair not in self._done:
            self._hands.do(PAIRS[pair][0])
            self._done.add(pair)

    def _undo(self, pair: str) -> None:
        if pair in self._done:
            self._done.discard(pair)
            self._hands.do(PAIRS[pair][1])


Node = RigNode | BenchNode


def flash(hands: Hands, *words: str) -> tuple[int, str]:
    """(exit status, all that `vitalwire flash` says); whoever it asks presses the reset button, at most once
    for each time that it asks.
    """
    said: list[str] = []
    with subprocess.Popen(
        [*COMMAND, "flash", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ, PYTHONUNBUFFERED="1"),
    ) as process:
        limit = threading.Timer(FLASH_S, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                if RESET in line:
                    hands.do("reset")
        finally:
            limit.cancel()
    return process.wait(), "".join(said)

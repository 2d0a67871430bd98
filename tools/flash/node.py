"""What a board with its application says: at the prompt its self-test and its public keys, then its hello."""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import serial

from edge_agent.links.ports import PortError, read_some
from protocol import cobs, messages
from protocol.errors import HelloError
from protocol.identity import fingerprint
from tools.build import Build
from tools.flash import ports
from tools.flash.prompt import Failed, Prompt
from tools.flash.tree import START
from tools.flash.trouble import Trouble
from tools.slot_tree import ENTRY

TEST_S = 180.0
HELLO_S = 90.0
ASK_S = 2.0
BOARD_CONFIG = "board_config.py"

TEST = """\
{folder}{root}
from firmware.selftest import self_test
self_test(Board,SENSORS,CONFIG)
"""
TICKS = "import time\nprint(time.ticks_ms())"
TICKS_PERIOD = 1 << 30
# A crystal keeps 50 ppm; what runs without one is off by percents.
CLOCK_PPM = 1000
LOOKS = 3


class Line(NamedTuple):
    """A result of the self-test: what was found, with its unit; `why` it is wrong, "" when it is right."""

    name: str
    found: str | int
    unit: str
    why: str


class Keys(NamedTuple):
    """A node's public keys."""

    ed25519: bytes
    x25519: bytes

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of both."""
        return fingerprint(self.ed25519, self.x25519)

    @property
    def id(self) -> str:
        """The node's id in hex."""
        return self.fingerprint[:8].hex()


def folder_of(build: Build) -> str:
    """The folder of the tree that the application's modules lie in; "": its root."""
    return (
        next(path for path in build.files if path.endswith(BOARD_CONFIG))
        .removesuffix(BOARD_CONFIG)
        .rstrip("/")
    )


def self_test(prompt: Prompt, build: Build) -> tuple[list[Line], Keys | None]:
    """Have the board test itself and make its keys where it has none. Trouble when the test cannot run."""
    folder = folder_of(build)
    root = build.files[f"{folder}/{ENTRY}" if folder else START].decode()
    code = TEST.format(
        folder=f"import sys\nsys.path.insert(0,{folder!r})\n" if folder else "",
        root=root.rpartition("\nrun(")[0],
    )
    try:
        printed = prompt.run(code, TEST_S)
    except Failed as e:
        raise Trouble(f"the self-test ended early: {e.trace.strip().splitlines()[-1]}", e.remedy) from e
    lines: list[Line] = []
    keys = None
    for text in printed.splitlines():
        try:
            found = json.loads(text)
            if isinstance(found, list):
                lines.append(Line(*found))
            elif isinstance(found, dict):
                keys = Keys(bytes.fromhex(found["ed25519"]), bytes.fromhex(found["x25519"]))
        except (ValueError, TypeError, KeyError):
            continue  # Something else that was printed: a board that waits for its bridge says so.
    return lines, keys


class Clock:
    """The board's clock held against the host's, between two looks."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._begun = self._look()

    def _look(self) -> tuple[float, float, int]:
        """(the host's middle of the look in s, half its width, the board's ticks in ms): of some the
        narrowest."""
        looks: list[tuple[float, float, int]] = []
        for _ in range(LOOKS):
            before = time.monotonic()
            ticks = int(self._prompt.run(TICKS))
            after = time.monotonic()
            looks.append(((before + after) / 2, (after - before) / 2, ticks))
        return min(looks, key=lambda look: look[1])

    def line(self) -> Line:
        """How far they have come apart, within the bound that the looks' widths leave."""
        host, half, ticks = self._look()
        since = host - self._begun[0]
        gone = (ticks - self._begun[2]) % TICKS_PERIOD / 1000
        ppm = (gone - since) / since * 1e6
        bound = (half + self._begun[1] + 0.001) / since * 1e6
        wrong = abs(ppm) - bound > CLOCK_PPM
        return Line(
            "clock", f"{ppm:+.0f} ± {bound:.0f}", "ppm", "the board's crystal is off" if wrong else ""
        )


def wait_for_hello(port: str, keys: Keys, waiting: Callable[[], None]) -> None:
    """Until the node on `port` says hello, as the node with these keys; `waiting` is called meanwhile.
    Trouble."""
    try:
        line = ports.open_line(port)
    except PortError as e:
        raise Trouble(e.problem, e.hint) from e
    solicit = b"\0" + cobs.encode(messages.solicit(messages.VERSION))
    decoder = cobs.Decoder()
    until = time.monotonic() + HELLO_S
    asked = 0.0
    try:
        while time.monotonic() < until:
            waiting()
            if time.monotonic() - asked > ASK_S:
                asked = time.monotonic()
                line.write(solicit)
            for message in decoder.feed(read_some(line)):
                hello = _hello(message)
                if hello is not None:
                    _compare(hello, keys)
                    return
    except (OSError, serial.SerialException) as e:
        raise Trouble(f"the port went away: {e}", "plug the board in again, and run this again") from e
    finally:
        line.close()
    raise Trouble(
        f"the node says no hello within {HELLO_S:.0f} s",
        "press its reset button and run this again; at the prompt, open('fault.txt') tells of a fault",
    )


def _hello(message: bytes) -> dict[str, Any] | None:
    try:
        kind, fields = messages.parse_clear(message)
    except HelloError:
        return None
    return fields if kind == messages.MSG_HELLO else None


def _compare(hello: dict[str, Any], keys: Keys) -> None:
    shown = hello["keys"]
    if hello["node_id"].hex() != keys.id or (shown is not None and tuple(shown) != tuple(keys)):
        raise Trouble(
            f"another node answers: {hello['node_id'].hex()}, not {keys.id}",
            "is another board on this port now? plug in one by one, and run this again",
        )

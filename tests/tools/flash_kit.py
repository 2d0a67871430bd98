"""Boards to flash, and what goes onto them: a small application that tests itself and says hello at once."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil_tests.flash_board import FlashBoard
from protocol import cobs, crypto, messages
from protocol.identity import generate_steps
from tools import build
from tools.flash.image import Image
from tools.flash.node import Keys
from tools.flash.run import Plan

# Of an ESP32's image: the magic byte, a chip id of 0 at 12, and a gap where MicroPython keeps its settings.
KIB = 1024
NODE = crypto.run(generate_steps(bytes(range(64))))
KEYS = Keys(*NODE.public())

MAIN = """\
import gc
from app.tiny import run, Board, SENSORS, FEATURES
from board_config import CONFIG

run(Board(CONFIG), SENSORS, FEATURES)
"""
TINY = """\
import sys, time, micropython
SENSORS = FEATURES = {}
HELLO = %r
def Board(config):
    return config
def run(board, sensors, features):
    micropython.kbd_intr(-1)
    while True:
        sys.stdout.buffer.write(HELLO)
        time.sleep_ms(100)
"""
SELF_TEST = """\
def self_test(board, sensors, config):
    print("something else")
    print('["ram", 1000, "bytes", ""]')
    print('["ecg", "MAX30003", "", %s]')
    print(%r)
"""


def image(chip_id: int = 0, size: int = 64 * KIB) -> bytes:
    """An image of random bytes, but for its header and a gap of two blank sectors."""
    data = bytearray(os.urandom(size))
    data[0] = 0xE9
    data[12:14] = chip_id.to_bytes(2, "little")
    data[16 * KIB : 24 * KIB] = b"\xff" * 8 * KIB
    return bytes(data)


def tiny_build(keys: Keys = KEYS, fault: str = "", extra: dict[str, bytes] | None = None) -> build.Build:
    """An application whose self-test finds `fault`."""
    body = messages.hello_body(1, keys.fingerprint[:8], bytes(16), 1, [[bytes(12), [], 0, []]], list(keys))
    hello = b"\0" + cobs.encode(messages.hello(body, bytes(16)))
    public = json.dumps({"ed25519": keys.ed25519.hex(), "x25519": keys.x25519.hex(), "strong": True})
    files = {
        "app/tiny.py": (TINY % hello).encode(),
        "board_config.py": b"CONFIG = {}\n",
        "firmware/selftest.py": (SELF_TEST % (json.dumps(fault), public)).encode(),
        "lib/data.bin": hashlib.sha256(b"data").digest() * 200,
        "main.py": MAIN.encode(),
        **(extra or {}),
    }
    made = build.Build("virtual", "source", "1.2.3", files)
    made.files[build.MANIFEST] = build.manifest(made)
    return made


def plan(
    folder: Path,
    data: bytes,
    made: build.Build | None = None,
    chips: dict[str, str] | None = None,
    board: str | None = "virtual",
    flash_mib: int = 4,
    **options: bool,
) -> Plan:
    """A Plan whose kit file is in `folder`."""
    found = made or tiny_build()
    return Plan(
        board,
        lambda name: Image(data, hashlib.sha256(data).hexdigest(), None),
        lambda name: found,
        {} if chips is None else chips,
        {"virtual": flash_mib},
        {"virtual": "A board in software"},
        folder / "kit.json",
        **options,
    )


def hand(press_reset: Callable[[], None]) -> Callable[[str, int, int], None]:
    """Whom a board that cannot be reset asks: somebody presses its button."""

    last = ""

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last
        if what == "press its reset button" != last:
            press_reset()
        last = what

    return tell


class Boards:
    """Boards in software, each made by a call with FlashBoard's options; they end with the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[FlashBoard] = []

    def __enter__(self) -> "Boards":
        return self

    def __exit__(self, *_: object) -> None:
        for board in self._made:
            board.close()

    def __call__(self, **options: Any) -> FlashBoard:
        self._made.append(FlashBoard(self._folder / f"board{len(self._made)}", **options))
        return self._made[-1]


def held(board: FlashBoard, files: dict[str, bytes]) -> bool:
    """Whether the board's files are these."""
    return all(
        (board.files / path).is_file() and (board.files / path).read_bytes() == data
        for path, data in files.items()
    )

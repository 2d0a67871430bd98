"""A bare board for the hands of a person who has none: a port for the commands of docs/for-engineers.md, and
a bench for the tests of docs/bench.md.

`python -m hil_tests.bare_board FOLDER` writes an image, an agent's configuration and a rig file there, and
says what to type. What is typed into it are the board's hands: `button`, held for as long as an agent asks,
and `reset`.
"""

import contextlib
import json
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from boards.virtual.air import AccessPoint
from boards.virtual.ble.radio import Radio
from hil_tests.flash_board import FlashBoard
from hil_tests.soft_bench import hands_of, rig_file_of

KIB = 1024
HELD_S = 7.0
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SSID, PASSWORD = "Flat 7", "correct horse battery"
AGENT_TOML = """\
[agent]
state_dir = "agent"

[[links]]
port = {port}

[tcp]
listen = "127.0.0.1:0"
mdns = "always"
"""
TEXT = """\
a bare board, of software, is on {port}; it hears the Wi-Fi "{ssid}", password "{password}"
In the terminals where you type commands:

  export BOARD=virtual_kit PORT={port} IMAGE={folder}/image.bin
  export STATE={folder}/agent VITALWIRE_CONFIG={folder}/agent.toml

To have the tests of a real bench run on it: pytest hil_tests --rig {folder}/bench.toml

Here its hands are words: button holds its button for {held:.0f} s, reset presses its reset button.
Ctrl-C ends it."""


def image() -> bytes:
    """What the loader takes for a MicroPython of an ESP32."""
    data = bytearray(os.urandom(64 * KIB))
    data[0], data[12:14] = 0xE9, b"\0\0"
    return bytes(data)


def main() -> int:
    """See above; the exit status."""
    if len(sys.argv) != 2:
        print("usage: python -m hil_tests.bare_board FOLDER", file=sys.stderr)
        return 2
    for ending in ENDINGS:
        signal.signal(ending, _end)
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image.bin").write_bytes(image())
    with contextlib.suppress(KeyboardInterrupt):
        _serve(folder)
    return 0


def _end(number: int, frame: object) -> None:
    """A terminal that is closed ends it as Ctrl-C does. What comes after that does not interrupt it: a VM
    left alone would run on.
    """
    for ending in ENDINGS:
        signal.signal(ending, lambda number, frame: None)
    raise KeyboardInterrupt


def _serve(folder: Path) -> None:
    with (
        Radio() as radio,
        tempfile.TemporaryDirectory(prefix="vitalwire-bare-") as own,
        contextlib.closing(FlashBoard(Path(own), ble=str(radio.peripheral().path))) as board,
        hands_of(board, Path(own) / "hands") as hands,
    ):
        home = AccessPoint(SSID, PASSWORD)
        board.air.set([home])
        text = rig_file_of(board.port, folder / "image.bin", home, radio.hci, hands)
        (folder / "bench.toml").write_text(text)
        (folder / "agent.toml").write_text(AGENT_TOML.format(port=json.dumps(board.port)))
        print(
            TEXT.format(port=board.port, ssid=SSID, password=PASSWORD, folder=folder, held=HELD_S),
            flush=True,
        )
        for line in _typed():
            _hand(board, line.strip())


def _typed() -> Iterator[str]:
    """The lines of stdin. A signal ends the wait for one by a byte in a pipe: of two at once another thread
    may take both, and no read here would be interrupted.
    """
    ended, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled)
    stdin, begun = sys.stdin.fileno(), b""
    while True:
        if stdin not in select.select([stdin, ended], [], [])[0]:
            continue
        data = os.read(stdin, 4096)
        *lines, begun = (begun + data).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        if not data:
            return


def _hand(board: FlashBoard, word: str) -> None:
    if word == "button":
        board.bench.pins["BUTTON"] = 1
        time.sleep(HELD_S)
        board.bench.pins["BUTTON"] = 0
        print("let go", flush=True)
    elif word == "reset":
        board.press_reset()
        print("pressed", flush=True)
    elif word:
        print("its hands are: button, reset", flush=True)


if __name__ == "__main__":
    sys.exit(main())

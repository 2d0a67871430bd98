"""A bare board for the hands of a person who has none: a port for the commands of docs/for-engineers.md.

`python -m hil_tests.bare_board FOLDER` writes an image and an agent's configuration there, and says what to
type. What is typed into it are the board's hands: `button`, held for as long as an agent asks, and `reset`.
"""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from boards.virtual.air import AccessPoint
from boards.virtual.ble.radio import Radio
from hil_tests.flash_board import FlashBoard

KIB = 1024
HELD_S = 7.0
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
    # A terminal that is closed ends it as Ctrl-C does: a VM left alone would run on.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image.bin").write_bytes(image())
    with Radio() as radio, tempfile.TemporaryDirectory(prefix="vitalwire-bare-") as own:
        board = FlashBoard(Path(own), ble=str(radio.peripheral().path))
        try:
            board.air.set([AccessPoint(SSID, PASSWORD)])
            (folder / "agent.toml").write_text(AGENT_TOML.format(port=json.dumps(board.port)))
            print(
                TEXT.format(port=board.port, ssid=SSID, password=PASSWORD, folder=folder, held=HELD_S),
                flush=True,
            )
            for line in sys.stdin:
                _hand(board, line.strip())
        except KeyboardInterrupt:
            pass
        finally:
            board.close()
    return 0


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

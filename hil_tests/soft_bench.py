"""What makes a bench of a board of software: hands that are commands, and the rig file that names them.

The tests reach it as they reach any bench: by its port, by its hands, by the air.
"""

import contextlib
import json
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from boards.virtual.air import AccessPoint
from hil_tests.flash_board import FlashBoard

COMMAND = Path(__file__).with_name("soft_hand.py")
RIG = """\
name = "a bench of software"
board = "virtual_kit"

[patient]
hr_bpm = 72.0
spo2_pct = 97.0

[node]
boot_s = 60.0

[bench]
port = %s
image = %s

[wifi]
ssid = %s
password = %s
listen = "127.0.0.1"

[ble]
adapter = %s

[hands]
"""


@contextlib.contextmanager
def hands_of(board: FlashBoard, at: Path) -> Iterator[dict[str, str]]:
    """The hands of a rig file as commands, which are obeyed at the socket `at` meanwhile."""
    pins = board.bench.pins
    does: dict[str, Callable[[], object]] = {
        "hold": lambda: pins.__setitem__("BUTTON", 1),
        "release": lambda: pins.__setitem__("BUTTON", 0),
        "reset": board.press_reset,
        "power_off": lambda: board.set_power(False),
        "power_on": lambda: board.set_power(True),
        "unplug": lambda: board.set_cable(False),
        "replug": lambda: board.set_cable(True),
    }
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(at))
        listener.listen()
        thread = threading.Thread(target=_obey, args=(listener, does), daemon=True)
        thread.start()
        try:
            yield {
                word: shlex.join([sys.executable, "-S", "-E", str(COMMAND), str(at), word]) for word in does
            }
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _obey(listener: socket.socket, does: dict[str, Callable[[], object]]) -> None:
    """One word a connection."""
    while True:
        try:
            line = listener.accept()[0]
        except OSError:
            return
        with line, contextlib.suppress(OSError):
            word = line.makefile().readline().strip()
            if word in does:
                does[word]()
            line.sendall(b"done\n" if word in does else b"there is no such hand\n")


def rig_file_of(port: str, image: Path, home: AccessPoint, adapter: str, hands: dict[str, str]) -> str:
    """The text of the rig file."""
    facts = (port, str(image), home.ssid, home.password, adapter)
    text = RIG % tuple(json.dumps(fact) for fact in facts)
    return text + "".join(f"{name} = {json.dumps(command)}\n" for name, command in hands.items())

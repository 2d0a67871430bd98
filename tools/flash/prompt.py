"""MicroPython's prompt on a board, spoken to by mpremote's library.

The library's serial transport is private interface and pinned; what goes beyond it is here: getting the
prompt from a board whose application takes the console, and time limits wherever a board may fall silent.
"""

import contextlib
import re
import time
from collections.abc import Callable
from typing import Any

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from tools.flash import ports
from tools.flash.trouble import Trouble

INTERRUPT = b"\r\x03\x03"
END = b"\x04"
EVERY_S = 0.02
READ_S = 5.0
# A first start makes the file system; a person finds the reset button.
FIRST_S = 1.0
PROMPT_S = 12.0
RESETS = 3
BUTTON_S = 60.0
RUN_S = 60.0
LEAST_VERSION = (1, 24)
ABOUT = "import sys\ni=sys.implementation\nprint(*i.version[:3])\nprint(getattr(i,'_machine',''))"


class Prompt:
    """The raw prompt of the board on `port`, from `get` to `close`. `machine`: what MicroPython says it runs
    on."""

    def __init__(self, port: str) -> None:
        ports.wait_for(port)
        self._port = port
        try:
            self._transport: Any = ports.patiently(
                port, lambda: SerialTransport(port, timeout=READ_S), (TransportError,)
            )
        except (TransportError, OSError) as e:
            raise Trouble(f"port {port} cannot be opened: {e}", "close what else uses it") from e
        self.machine = ""

    def get(self, tell: Callable[[str], None]) -> None:
        """Interrupt what runs, resetting the board where its port can, else asking for a press of its button
        by `tell`. Trouble when no MicroPython answers."""
        line = self._transport.serial
        try:
            if not self._interrupt(FIRST_S, tell, "prompt") and not self._reset(line, tell):
                raise Trouble(
                    "no MicroPython prompt",
                    "is it the right image for this board? run this again without --app-only; else press its"
                    " reset button while this waits",
                )
            self._transport.enter_raw_repl(soft_reset=False)
        except (TransportError, serial.SerialException, OSError) as e:
            raise Trouble(
                f"no MicroPython prompt: {e}", "press the board's reset button, run this again"
            ) from e
        self._know()

    def _reset(self, line: Any, tell: Callable[[str], None]) -> bool:
        for _ in range(RESETS):
            if not ports.press_reset(line):
                break
            if self._interrupt(PROMPT_S, tell, "prompt"):
                return True
        else:
            return False
        return self._interrupt(BUTTON_S, tell, "press its reset button")

    def _interrupt(self, seconds: float, tell: Callable[[str], None], what: str) -> bool:
        """Ctrl-C until a prompt answers; between a reset and the application's start it is still heard."""
        line = self._transport.serial
        heard = b""
        until = time.monotonic() + seconds
        line.timeout = EVERY_S
        try:
            while time.monotonic() < until:
                tell(what)
                line.write(INTERRUPT)
                heard = (heard + line.read(4096))[-4096:]
                if re.search(rb">>> \r?\n?>>> $|(\r?\n>)+$", heard):
                    # Ctrl-B: from a raw prompt that was left open to the friendly one.
                    line.write(b"\x02")
                    return True
        finally:
            line.timeout = READ_S
        return False

    def _know(self) -> None:
        version, _, self.machine = self.run(ABOUT).strip().partition("\n")
        numbers = tuple(int(part) for part in version.split())
        if numbers < LEAST_VERSION:
            raise Trouble(
                f"MicroPython {'.'.join(map(str, numbers))} is too old",
                f"flash {'.'.join(map(str, LEAST_VERSION))} or newer: run this without --app-only",
            )

    def run(self, code: str, seconds: float = RUN_S) -> str:
        """What `code` prints. Trouble with the last line of its traceback, or when the board falls silent."""
        printed = bytearray()
        until = time.monotonic() + seconds

        def collect(data: bytes) -> None:
            printed.extend(data.replace(END, b""))
            if data == b"\n" and time.monotonic() > until:
                raise Trouble(
                    f"the board goes on for more than {seconds:.0f} s: {bytes(printed[-80:])!r}",
                    "see what it waits for, and run this again",
                )

        try:
            error = self._transport.exec_raw(code, timeout=seconds, data_consumer=collect)[1]
        except Trouble:
            raise
        except (TransportError, serial.SerialException, OSError, IndexError, ValueError) as e:
            raise Trouble(
                f"the board stopped answering: {e}", "see to its cable and supply, and run this again"
            ) from e
        except Exception as e:
            # struct.error and the like: half an answer.
            raise Trouble(f"half an answer from the board: {e}", "run this again") from e
        if error:
            raise Failed(printed.decode(errors="replace"), error.decode(errors="replace"))
        return printed.decode(errors="replace").replace("\r\n", "\n")

    def reset(self) -> None:
        """Have the board start its application, and let go of the port."""
        line = self._transport.serial
        try:
            if not ports.press_reset(line):
                self._transport.exec_raw_no_follow("import machine\nmachine.reset()")
        except (TransportError, serial.SerialException, OSError) as e:
            raise Trouble(f"the board does not start again: {e}", "press its reset button") from e
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the port."""
        with contextlib.suppress(OSError, serial.SerialException):
            self._transport.serial.close()


class Failed(Trouble):
    """Code failed on the board. `printed` before that; `trace`: its traceback."""

    def __init__(self, printed: str, trace: str) -> None:
        lines = trace.strip().splitlines() or ["no traceback"]
        super().__init__(f"on the board: {lines[-1]}", "run this again; if it stays so, look at the report")
        self.printed = printed
        self.trace = trace

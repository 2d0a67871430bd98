"""The chip's ROM loader, spoken to by esptool's library: what chip it is, and the image on its flash."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import serial
from esp_pylib.logger import EspLog, EspLogBase
from esptool import cmds, reset
from esptool.targets import CHIP_DEFS
from esptool.util import FatalError

from tools.flash import ports
from tools.flash.trouble import Trouble

FAST_BAUD = 460800
ATTEMPTS = 3
SECTOR = 4096
# In the header of an image (esptool's documentation, "Firmware Image Format", extended file header).
CHIP_ID_AT = 12
Progress = Callable[[int, int], None]


class _Quiet(EspLogBase):
    """esptool's one log, for any number of boards: nothing but the progress of the thread that asked."""

    def __init__(self) -> None:
        self.here = threading.local()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def err(self, *args: Any, suggestion: str | None = None) -> None:
        """Nothing: an error is raised, too."""

    warn = err

    def note(self, *args: Any) -> None:
        """Nothing."""

    hint = debug = note

    def set_verbosity(self, mode: int | str) -> None:
        """There is but one."""

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        """To whoever follows in this thread."""
        follow: Progress | None = getattr(self.here, "follow", None)
        if follow is not None:
            follow(cur_iter, total_iters)


_quiet = _Quiet()
# It has taken hold of the log that was there when it was imported.
vars(reset)["ResetStrategy"].print_once = staticmethod(lambda text: None)


@contextmanager
def _named(action: str, remedy: str) -> Iterator[None]:
    """What esptool raises within, as Trouble."""
    try:
        yield
    except (FatalError, serial.SerialException, OSError) as e:
        lines = str(e).strip().splitlines() or [type(e).__name__]
        raise Trouble(f"{action}: {lines[0].rstrip('.')}", remedy) from e


class Chip:
    """A chip whose loader runs. `model`: esp32, esp32s3, …; `mac`; `flash_mib`; `boot_offset`: where its
    first-stage image lies."""

    def __init__(self, port: str) -> None:
        """Reset the board on `port` into its loader. Trouble."""
        EspLog.set_logger(_quiet)
        with _named(
            "no answer from the chip's loader",
            "hold BOOT while you press reset (or plug it in), then run this again",
        ):
            rom = ports.patiently(
                port, lambda: cmds.detect_chip(port, ports.BAUD, connect_attempts=ATTEMPTS), (FatalError,)
            )
        self._esp: Any = rom
        try:
            with _named(
                "the flash does not answer", "try another cable or USB port; else the board is broken"
            ):
                self.model = rom.CHIP_NAME.lower().replace("-", "")
                self.mac = ":".join(f"{byte:02x}" for byte in self._esp.read_mac("BASE_MAC"))
                self.boot_offset = rom.BOOTLOADER_FLASH_OFFSET
                self._esp = rom.run_stub()
                if self._esp._port.baudrate < FAST_BAUD:
                    self._esp.change_baud(FAST_BAUD)
                cmds.attach_flash(self._esp)
                size = cmds.detect_flash_size(self._esp) or "0MB"
                self.flash_mib = int(size.removesuffix("MB")) if size.endswith("MB") else 0
        except BaseException:
            self.close()
            raise

    def holds(self, image: bytes, offset: int) -> bool:
        """Whether the image is on the flash: by MD5, which is all that the loader computes. What is blank in
        the image is not compared: there MicroPython keeps settings."""
        with _named("the flash cannot be read", "run this again"):
            for at, length in _written(image):
                digest = hashlib.md5(image[at : at + length], usedforsecurity=False).hexdigest()
                if self._esp.flash_md5sum(offset + at, length) != digest:
                    return False
        return True

    def check(self, image: bytes) -> None:
        """Trouble unless the image is one for this chip."""
        found = int.from_bytes(image[CHIP_ID_AT : CHIP_ID_AT + 2], "little")
        if found != self._esp.IMAGE_CHIP_ID:
            names = [rom.CHIP_NAME for rom in CHIP_DEFS.values() if found == rom.IMAGE_CHIP_ID]
            raise Trouble(
                f"wrong image: it is for {names[0] if names else 'no chip that is known'}, not for"
                f" {self._esp.CHIP_NAME}",
                "say another --image: micropython.org/download has one for each chip",
            )

    def erase(self) -> None:
        """Erase all of the flash."""
        with _named("erasing failed", "run this again"):
            self._esp.erase_flash()

    def write(self, image: bytes, offset: int, progress: Progress) -> None:
        """Write the image. Trouble, also when the flash holds something else then."""
        _quiet.here.follow = progress
        same = True
        try:
            with _named(
                "writing MicroPython failed",
                "run this again; if it stays so, use another cable or USB port",
            ):
                cmds.write_flash(self._esp, [(offset, image)])
        except Trouble as e:
            # It compares, too, as it ends.
            if "MD5" not in e.problem:
                raise
            same = False
        finally:
            _quiet.here.follow = None
        if not (same and self.holds(image, offset)):
            raise Trouble(
                "verify failed: the flash does not hold what was written",
                "run this again; if it stays so, the board's flash is worn or its supply is weak",
            )

    def close(self, reset: bool = True) -> None:
        """Let go of the port; `reset`: and have the board start what is on its flash, where its port can."""
        try:
            if reset:
                self._esp.hard_reset()
        except (FatalError, OSError):
            pass
        finally:
            self._esp._port.close()

    def __enter__(self) -> "Chip":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _written(image: bytes) -> Iterator[tuple[int, int]]:
    """(start, length) of each stretch of sectors that are not blank."""
    start = None
    for at in range(0, len(image), SECTOR):
        blank = image[at : at + SECTOR].strip(b"\xff") == b""
        if blank and start is not None:
            yield start, at - start
            start = None
        elif not blank and start is None:
            start = at
    if start is not None:
        yield start, len(image) - start

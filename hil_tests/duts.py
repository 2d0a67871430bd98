"""What pytest-embedded drives here: a node on a serial port, virtual or on a bench."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_embedded_serial import Serial, SerialDut

from hil_tests.nodes import Node
from protocol import cobs, crypto, session_events
from protocol.identity import Identity, generate_steps
from protocol.session_agent import AgentSession

# How often a conversation says None.
LOOK_S = 0.25


class NodeSerial(Serial):
    """The port of a node. A virtual one is switched on when the port is open, so that nothing is missed."""

    board: Node | None = None

    def _start(self) -> None:
        if self.board is not None and not self.board.running:
            self.board.start()


class NodeDut(SerialDut):
    """A node as its agent sees it. The log that pytest-embedded keeps holds every byte it sent."""

    serial: NodeSerial

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else reads the port meanwhile (the redirect thread polls it only every 50 ms)."""
        self.serial.stop_redirect_thread()
        try:
            yield
        finally:
            self.serial.start_redirect_thread()

    def _read(self) -> bytes:
        """What is there, or comes soon; into the log as well."""
        port: Any = self.serial.proc
        data = port.read(port.in_waiting or 1)
        if data:
            self._q.put(data)
        return data

    def messages(self, timeout_s: float) -> Iterator[bytes]:
        """The framed messages that arrive, one after the other, until the time is up."""
        decoder = cobs.Decoder()
        deadline = time.monotonic() + timeout_s
        with self._alone():
            while time.monotonic() < deadline:
                yield from decoder.feed(self._read())

    def converse(self, session: AgentSession, timeout_s: float) -> Generator[Any, None, None]:
        """Be the agent at the other end: every event of `session`, and None now and then, until the time is
        up. Who ends it before that may miss what the node says meanwhile.

        Frames are acknowledged as they come; a welcomed node is asked for a time echo.
        """
        deadline = time.monotonic() + timeout_s
        said = 0.0
        with self._alone():
            while time.monotonic() < deadline:
                if time.monotonic() - said > LOOK_S:
                    yield None
                    said = time.monotonic()
                now_ms = int(time.monotonic() * 1000)
                for event in session.feed(self._read(), now_ms):
                    if isinstance(event, session_events.HelloAccepted):
                        session.ping()
                    elif isinstance(event, session_events.FrameIn):
                        session.ack(event.boot_id, [(event.seq, 1)])
                    yield event
                out = session.pull(now_ms)
                if out:
                    self.serial.proc.write(out)


def one_identity(random: bytes) -> Identity:
    """An agent's identity from 64 bytes."""
    return crypto.run(generate_steps(random))

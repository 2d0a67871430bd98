"""A serial port as a link: a thread that reads, one that writes, and reconnection for ever.

The threads hold no state of the session: they hand bytes to the event loop with the time at which they were
read, and take bytes from it, one write at a time. A port that cannot be opened, or dies, is reported once a
failure and tried again after a back-off with jitter.
"""

import asyncio
import logging
import queue
import threading
import time
from contextlib import suppress
from typing import Any

import serial

from edge_agent.backoff import Backoff
from edge_agent.beside import beside
from edge_agent.config import LinkConfig
from edge_agent.links.base import LinkOwner
from edge_agent.links.ports import PortError, named, open_port, read_some
from edge_agent.ops.logs import about

log = logging.getLogger("vitalwire.link")


class SerialLink:
    """One port. `start()` and `stop()` from the event loop; `write()` when `ready`."""

    def __init__(self, config: LinkConfig, owner: LinkOwner, backoff: Backoff | None = None) -> None:
        self.config = config
        self.ready = False
        self.bytes_in = 0
        self.bytes_out = 0
        # A start bit, eight of data, a stop bit.
        self.bytes_s = config.baud // 10
        self._owner = owner
        self._told: str | None = None
        self._backoff = backoff or Backoff(first_s=0.25, max_s=10.0, stable_s=3.0)
        self._stopping = threading.Event()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"link {config.port}", daemon=True)

    def start(self) -> None:
        """Begin; the owner is told from now on."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """End both threads and close the port."""
        self._stopping.set()
        self._outbox.put(None)
        if self._thread.is_alive():
            await beside(self._thread.join, 3.0)

    def end(self, why: str) -> None:
        """A cable stays: another node may be on it."""

    def write(self, data: bytes) -> None:
        """Hand bytes to the writing thread; not again before the owner's written()."""
        self.ready = False
        self.bytes_out += len(data)
        self._outbox.put(data)

    # The threads

    def _tell(self, what: Any, *args: Any) -> None:
        assert self._loop is not None
        if not self._stopping.is_set():
            try:
                self._loop.call_soon_threadsafe(what, *args)
            except RuntimeError:
                self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                error = self._session(open_port(self.config))
            except PortError as e:
                error = e
            if error is not None:
                delay = self._backoff.failed()
                self._tell(self._closed, error, delay)
                self._stopping.wait(delay)

    def _session(self, port: "serial.SerialBase") -> PortError | None:
        """Serve one opening of the port to its end; why it ended, None when told to stop."""
        self._backoff.succeeded()
        while not self._outbox.empty():
            self._outbox.get()
        broken: list[PortError] = []
        writer = threading.Thread(target=self._write_all, args=(port, broken), daemon=True)
        writer.start()
        self._tell(self._opened)
        try:
            while not self._stopping.is_set() and not broken:
                data = read_some(port)
                if data:
                    self._tell(self._received, data, time.time_ns() // 1000)
        except (OSError, TypeError) as e:
            # pyserial raises TypeError when another thread closes a port that is being read.
            broken.append(named(self.config.port, e))
        finally:
            self._outbox.put(None)
            writer.join(6.0)
            with suppress(OSError):  # It may be gone, which is why it is being closed.
                port.close()
        return broken[0] if broken else None

    def _write_all(self, port: Any, broken: list[PortError]) -> None:
        while True:
            data = self._outbox.get()
            if data is None:
                return
            try:
                port.write(data)
            except OSError as e:
                broken.append(named(self.config.port, e))
                return
            self._tell(self._written)

    # In the event loop's thread

    def _opened(self) -> None:
        self.ready = True
        self._told = None
        about(log, link=self.config.port).info("%s: open", self.config.port)
        self._owner.opened(self)

    def _received(self, data: bytes, unix_us: int) -> None:
        self.bytes_in += len(data)
        self._owner.received(self, data, unix_us)

    def _written(self) -> None:
        self.ready = True
        self._owner.written(self)

    def _closed(self, error: PortError, retry_s: float) -> None:
        self.ready = False
        if self._told != error.condition:
            self._told = error.condition
            about(log, link=self.config.port).warning("%s; trying again until it works", error)
        self._owner.closed(self, error, retry_s)

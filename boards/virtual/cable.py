"""The cable between a virtual node and whoever opens its serial port: a pty, and a plug that can be pulled.

As with a real UART, what nobody reads is lost: the node never waits for its reader.
"""

import contextlib
import os
import pty
import select
import socket
import threading
import tty
from collections.abc import Callable

CHUNK = 4096


class Cable:
    """A pty whose slave is `port`, pumped to and from whatever node end is attached.

    `tap`, when set, is called with every chunk of bytes from the node, plugged in or not. `dropped` counts
    bytes from the node that found no room in a reader's buffer, or no plug.
    """

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self.tap: Callable[[bytes], None] | None = None
        self.dropped = 0
        self._plugged = True
        self._node: socket.socket | None = None
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._closing = False
        self._thread = threading.Thread(target=self._pump, name="cable", daemon=True)
        self._thread.start()

    def new_end(self) -> socket.socket:
        """A fresh socket for a node's stdin and stdout; the one before is closed."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with self._lock:
            old, self._node = self._node, ours
        if old is not None:
            old.close()
        self._wake()
        return theirs

    def unplug(self) -> None:
        """From now on bytes go neither way; they are lost."""
        self._plugged = False

    def plug(self) -> None:
        """Bytes go through again."""
        self._plugged = True

    def inject(self, data: bytes) -> None:
        """Put bytes on the wire to the reader, as if the node had sent them."""
        self._to_reader(data)

    def close(self) -> None:
        """End the pump and give the pty back."""
        self._closing = True
        self._wake()
        self._thread.join()
        with self._lock:
            if self._node is not None:
                self._node.close()
                self._node = None
        for fd in (self._master, self._slave, self._wake_read, self._wake_write):
            os.close(fd)

    def _wake(self) -> None:
        os.write(self._wake_write, b"x")

    def _pump(self) -> None:
        while not self._closing:
            with self._lock:
                node = self._node
            waiting: list[int | socket.socket] = [self._master, self._wake_read]
            if node is not None and node.fileno() >= 0:
                waiting.append(node)
            try:
                ready = select.select(waiting, [], [])[0]
            except (OSError, ValueError):  # the node's end was replaced meanwhile
                continue
            if self._wake_read in ready:
                os.read(self._wake_read, 64)
            if self._master in ready:
                self._to_node(node)
            if node in ready:
                self._from_node(node)

    def _to_node(self, node: socket.socket | None) -> None:
        try:
            data = os.read(self._master, CHUNK)
        except OSError:
            return
        if node is not None and self._plugged:
            with contextlib.suppress(OSError):
                node.send(data)

    def _from_node(self, node: socket.socket) -> None:
        try:
            data = node.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            with self._lock:
                if self._node is node:
                    self._node = None
            node.close()
            return
        if self.tap is not None:
            self.tap(data)
        if self._plugged:
            self._to_reader(data)
        else:
            self.dropped += len(data)

    def _to_reader(self, data: bytes) -> None:
        try:
            sent = os.write(self._master, data)
        except BlockingIOError:
            sent = 0
        self.dropped += len(data) - sent

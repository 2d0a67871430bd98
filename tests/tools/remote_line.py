"""A board's serial port with all its lines, over the network as RFC 2217 has it: pyserial's own server."""

import contextlib
import os
import select
import socket
import threading

from serial.rfc2217 import PortManager

from hil_tests.flash_board import FlashBoard

CHUNK = 4096


class _Line:
    """What the server takes for its serial port: settings that a pty has none of, and the two lines."""

    baudrate, bytesize, parity, stopbits = 115200, 8, "N", 1
    xonxoff = rtscts = break_condition = cts = dsr = ri = cd = False

    def __init__(self, board: FlashBoard) -> None:
        self._board = board
        self._dtr = self._rts = False

    def reset_input_buffer(self) -> None: ...

    reset_output_buffer = reset_input_buffer

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, on: bool) -> None:
        self._dtr = on
        self._board.set_lines(self._dtr, self._rts)

    @property
    def rts(self) -> bool:
        return self._rts

    @rts.setter
    def rts(self, on: bool) -> None:
        self._rts = on
        self._board.set_lines(self._dtr, self._rts)


class RemoteLine:
    """The port of a wired board at `url`, for one client at a time, until `close()`."""

    def __init__(self, board: FlashBoard) -> None:
        self._line = _Line(board)
        self._pty = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        os.close(self._pty)

    def _serve(self) -> None:
        while not self._closing:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        out = _Out(client)
        manager = PortManager(self._line, out)
        while not self._closing:
            ready = select.select([client, self._pty], [], [], 0.2)[0]
            if client in ready:
                data = client.recv(CHUNK)
                if not data:
                    return
                os.write(self._pty, b"".join(manager.filter(data)))
            if self._pty in ready:
                out.write(b"".join(manager.escape(os.read(self._pty, CHUNK))))


class _Out:
    """What the server writes its own answers to."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def write(self, data: bytes) -> None:
        self._client.sendall(data)

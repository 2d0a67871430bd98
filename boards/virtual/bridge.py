"""The host's end of the bus bridge: executes a node's transfers on a bench, over a socket or a serial port.

Sans-I/O core (`BridgeSession.feed`) and two blocking loops around it. The wire format is in bridge_wire.
"""

import json
import os
import select
import socket
import struct
from binascii import crc32
from typing import Any

from boards.virtual import bridge_wire as wire
from boards.virtual.bench import Bench

_HEADER = struct.Struct("<HBB")
_REPLY = struct.Struct("<BHBB")
_U64 = struct.Struct("<Q")
_SPI = struct.Struct("<BH")
_READ = struct.Struct("<BBBH")
_U16 = struct.Struct("<H")
# After this much silence a half-received request is noise, not a request: no sender pauses so long inside
# one.
SILENCE_S = 0.03


class BridgeSession:
    """One node's connection. `feed(data)` takes what arrived and gives what to send back.

    Counters: `requests`, `repeated` (asked for again), `noise` (bytes dropped because no frame began or
    checked there).
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._buffer = b""
        self._last_request = b""
        self._last_reply = b""
        self._attached = False
        self.requests = 0
        self.repeated = 0
        self.noise = 0

    @property
    def partial(self) -> bool:
        """Whether the beginning of a request is waiting for its end."""
        return bool(self._buffer)

    @property
    def wanted(self) -> int:
        """How many bytes are at least missing until a request is whole."""
        held = len(self._buffer)
        if held < wire.HEADER:
            return wire.OVERHEAD - held
        return wire.OVERHEAD + _HEADER.unpack_from(self._buffer, 1)[0] - held

    def silence(self) -> bytes:
        """The line went quiet inside what looked like a request: look for requests behind its first byte."""
        self.noise += 1
        return self._parse(self._buffer[1:])

    def feed(self, data: bytes) -> bytes:
        """Execute the requests that `data` completes; their replies."""
        return self._parse(self._buffer + data if self._buffer else data)

    def close(self) -> None:
        """The connection is over."""
        if self._attached:
            self._attached = False
            with self._bench.lock:
                self._bench.detach()

    def _parse(self, data: bytes) -> bytes:
        out = b""
        while data:
            if data[0] != wire.REQUEST:
                start = data.find(wire.REQUEST)
                self.noise += len(data) if start < 0 else start
                data = b"" if start < 0 else data[start:]
                continue
            if len(data) < wire.OVERHEAD:
                break
            length, op, seq = _HEADER.unpack_from(data, 1)
            end = wire.HEADER + length
            if length > wire.MAX_PAYLOAD + 8:
                self.noise += 1
                data = data[1:]
                continue
            if len(data) < end + 2:
                break
            frame = data[: end + 2]
            if crc32(frame[1:end]) & 0xFFFF != _U16.unpack_from(frame, end)[0]:
                self.noise += 1
                data = data[1:]
                continue
            out += self._answer(frame, op, seq, end)
            data = data[end + 2 :]
        self._buffer = data
        return out

    def _answer(self, frame: bytes, op: int, seq: int, end: int) -> bytes:
        if frame == self._last_request and op & 0x7F != wire.SYNC:
            self.repeated += 1
            return self._last_reply
        self.requests += 1
        bench = self._bench
        at = wire.HEADER
        status, payload = wire.BAD_REQUEST, b""
        with bench.lock:
            if op & wire.STAMPED:
                if end - at >= 8:
                    stamp_us = _U64.unpack_from(frame, at)[0]
                    at += 8
                    if op == wire.SYNC | wire.STAMPED and not self._attached:
                        self._attached = True
                        bench.attach(stamp_us)
                    bench.now_us = bench.clock.stamp(stamp_us)
                    status, payload = self._execute(op & 0x7F, frame, at, end)
            else:
                bench.now_us = bench.clock.now_us()
                status, payload = self._execute(op, frame, at, end)
        body = _REPLY.pack(wire.REPLY, len(payload), status, seq) + payload
        reply = body + _U16.pack(crc32(body[1:]) & 0xFFFF)
        self._last_request, self._last_reply = frame, reply
        return reply

    def _execute(self, op: int, frame: bytes, at: int, end: int) -> tuple[int, bytes]:
        bench = self._bench
        try:
            if op == wire.SPI:
                device, n = _SPI.unpack_from(frame, at)
                chip = bench.spi.get(device)
                out = frame[at + 3 : end]
                if n > wire.MAX_PAYLOAD or len(out) > n:
                    return wire.BAD_REQUEST, b""
                if chip is None:
                    return wire.NACK, b""
                return wire.OK, chip.transfer(out + bytes(n - len(out)))
            if op == wire.I2C_READ:
                bus, address, register, n = _READ.unpack_from(frame, at)
                chip = bench.i2c.get(bus, {}).get(address)
                if n > wire.MAX_PAYLOAD:
                    return wire.BAD_REQUEST, b""
                found = None if chip is None else chip.read(register, n)
                return (wire.NACK, b"") if found is None else (wire.OK, found)
            return self._execute_rare(op, frame[at:end])
        except (struct.error, IndexError, UnicodeDecodeError):
            return wire.BAD_REQUEST, b""

    def _execute_rare(self, op: int, data: bytes) -> tuple[int, bytes]:
        bench = self._bench
        if op == wire.I2C_WRITE:
            chip = bench.i2c.get(data[0], {}).get(data[1])
            return (wire.OK if chip is not None and chip.write(data[2], data[3:]) else wire.NACK), b""
        if op == wire.I2C_SCAN:
            return wire.OK, bytes(sorted(a for a, c in bench.i2c.get(data[0], {}).items() if c.present))
        if op == wire.GPIO_GET:
            return wire.OK, bytes((bench.read_pin(data.decode()),))
        if op == wire.GPIO_SET:
            bench.pins.drive(data[1:].decode(), data[0])
            return wire.OK, b""
        if op == wire.PWM:
            bench.pins.drive(data[2:].decode(), _U16.unpack_from(data)[0])
            return wire.OK, b""
        if op == wire.RANDOM:
            return wire.OK, os.urandom(data[0])
        if op == wire.INFO:
            return wire.OK, json.dumps(bench.info()).encode()[: wire.MAX_PAYLOAD]
        if op == wire.WATCH:
            bench.watchdog.feed(struct.unpack("<I", data)[0])
            return wire.OK, b""
        if op == wire.SYNC:
            return wire.OK, bytes((wire.VERSION,))
        return wire.BAD_REQUEST, b""


def serve_socket(sock: socket.socket, bench: Bench) -> BridgeSession:
    """Serve one connected socket until its other end closes it; the session, for its counters."""
    session = BridgeSession(bench)
    try:
        while True:
            if session.partial and not select.select([sock], [], [], SILENCE_S)[0]:
                reply = session.silence()
            else:
                data = sock.recv(4096)
                if not data:
                    return session
                reply = session.feed(data)
            if reply:
                sock.sendall(reply)
    except (ConnectionError, OSError):
        return session
    finally:
        session.close()


def serve_serial(port: Any, bench: Bench, running: Any = None) -> BridgeSession:
    """Serve an open pyserial port (or URL handler) until it fails or `running()` is false; the session, for
    its counters.

    Raises what pyserial raises when the port goes away.
    """
    session = BridgeSession(bench)
    port.timeout = SILENCE_S
    try:
        while running is None or running():
            data = port.read(max(session.wanted, port.in_waiting))
            if data:
                reply = session.feed(data)
            elif session.partial:
                reply = session.silence()
            else:
                continue
            if reply:
                port.write(reply)
    finally:
        session.close()
    return session

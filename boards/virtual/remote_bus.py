"""Buses whose other end is the bus bridge: machine.SPI, machine.I2C and pins over any byte stream.

Runs on a MicroPython VM (stream = a socket with a time-out), on a bare ESP32 (stream = machine.UART, made
with timeout=0 and rxbuf >= 512) and on CPython. The wire format is in bridge_wire.

The stream has `write(buf) -> n or None` and `readinto(buf) -> n or None` (0, None or OSError ETIMEDOUT:
nothing yet). A call blocks its caller until the reply, at most attempts * timeout_ms.
"""

import json
import struct

from boards.virtual import bridge_wire as wire

ETIMEDOUT = 110
ENODEV = 19
EINVAL = 22
EAGAIN = 11
# After this much silence a half-received reply is noise. A USB serial adapter holds bytes back up to 16 ms.
SILENCE_MS = 25
_WAITING = (ETIMEDOUT, EAGAIN, 116)  # ESP32 has 116 for ETIMEDOUT


class Bridge:
    """The node's end of one bridge.

    `ticks_ms`, `ticks_diff`: the clock for time-outs, as in MicroPython's time module. `stamp`: gives the
    node's time in microseconds, sent with each request (None: the host uses its own clock). `closed`: called
    when the stream ends (a read of 0 bytes, or an error that is no time-out). `retries` counts requests sent
    again. Raises OSError: ETIMEDOUT, ENODEV (nobody acknowledged), EINVAL.
    """

    def __init__(self, stream, ticks_ms, ticks_diff, timeout_ms=100, attempts=4, stamp=None, closed=None):
        self._stream = stream
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._timeout_ms = timeout_ms
        self._attempts = attempts
        self._stamp = stamp
        self._closed = closed
        self._out = memoryview(bytearray(wire.MAX_PAYLOAD + wire.OVERHEAD + 8))
        self._in = memoryview(bytearray(wire.MAX_PAYLOAD + wire.OVERHEAD))
        self._head = wire.HEADER + (8 if stamp else 0)
        self._payload = self._out[self._head :]
        self._in_head = self._in[: wire.HEADER]
        # Views by payload length, of which there are few: of a request, what is checked and what is sent; of
        # a reply, what comes behind its header, what is checked, and the payload.
        self._frames = {}
        self._replies = {}
        self._seq = 0
        self.retries = 0
        self.sync()

    def sync(self) -> None:
        """Begin a connection: both ends forget what was before."""
        version = self.request(wire.SYNC, 0)
        if len(version) != 1 or version[0] != wire.VERSION:
            raise OSError(EINVAL)

    def info(self) -> dict:
        """What the chips are attached to: {source_ecg, source_ppg, source_cuff, label, speed}; sources as in
        the wire protocol (0: a body).
        """
        found = json.loads(bytes(self.request(wire.INFO, 0)).decode())
        return {
            "source_ecg": found["ecg"],
            "source_ppg": found["ppg"],
            "source_cuff": found["cuff"],
            "label": found["label"],
            "speed": found["speed"],
        }

    def gpio_read(self, pin: str) -> int:
        """0 or 1 at a pin of the bridge; unknown pins read 0."""
        return self.request(wire.GPIO_GET, self._text(0, pin))[0]

    def gpio_write(self, pin: str, value: int) -> None:
        """Drive a pin of the bridge."""
        self._out[self._head] = 1 if value else 0
        self.request(wire.GPIO_SET, self._text(1, pin))

    def pwm_write(self, pin: str, duty: int) -> None:
        """Drive a pin of the bridge with that duty, 0 … 65535."""
        struct.pack_into("<H", self._out, self._head, duty)
        self.request(wire.PWM, self._text(2, pin))

    def random(self, n: int) -> bytes:
        """`n` (up to 255) bytes from the host's random source."""
        self._out[self._head] = n
        return bytes(self.request(wire.RANDOM, 1))

    def watchdog(self, timeout_ms: int) -> None:
        """Have the node reset unless this is called again within `timeout_ms` of its time; 0 stops that."""
        struct.pack_into("<I", self._out, self._head, timeout_ms)
        self.request(wire.WATCH, 4)

    def _text(self, at: int, text: str) -> int:
        data = text.encode()
        start = self._head + at
        self._out[start : start + len(data)] = data
        return at + len(data)

    @property
    def payload(self):
        """Where the next request's payload is written (memoryview)."""
        return self._payload

    def request(self, op: int, length: int):
        """Send the `length` payload bytes in place and wait; the reply's payload, valid until the next
        request.
        """
        out = self._out
        seq = self._seq = (self._seq + 1) & 0xFF
        head = self._head
        if self._stamp is None:
            struct.pack_into("<BHBB", out, 0, wire.REQUEST, length, op, seq)
        else:
            struct.pack_into(
                "<BHBBQ", out, 0, wire.REQUEST, length + 8, op | wire.STAMPED, seq, self._stamp()
            )
        end = head + length
        views = self._frames.get(length)
        if views is None:
            views = self._frames[length] = (out[1:end], out[: end + 2])
        sum16 = wire.check(views[0])
        out[end] = sum16 & 0xFF
        out[end + 1] = sum16 >> 8
        frame = views[1]
        for attempt in range(self._attempts):
            if attempt:
                self.retries += 1
            n = None
            try:
                n = self._stream.write(frame)
            except OSError as e:
                self._failed(e)
            if n != len(frame):
                self._write(frame, n or 0)
            n = self._receive(seq)
            if n < 0:
                continue
            status = self._in[3]
            if status == wire.OK:
                return self._replies[n][2]
            raise OSError(ENODEV if status == wire.NACK else EINVAL)
        raise OSError(ETIMEDOUT)

    def _write(self, frame, at: int) -> None:
        """The rest of a request of which the stream took only `at` bytes at once."""
        start = self._ticks_ms()
        while at < len(frame):
            n = None
            try:
                n = self._stream.write(frame[at:])
            except OSError as e:
                self._failed(e)
            at += n or 0
            if not n and self._ticks_diff(self._ticks_ms(), start) > self._timeout_ms:
                return

    def _receive(self, seq: int) -> int:
        """Wait for the reply to `seq`; the length of its payload, or -1 when the time is up."""
        data = self._in
        start = heard = -1  # looked at when something does not come at once
        have = 0
        view = self._in_head  # where the bytes still wanted go; made anew only when that changes
        while True:
            n = None
            try:
                n = self._stream.readinto(view)
            except OSError as e:
                self._failed(e)
            if n:
                have += n
                heard = -1
            else:
                if n == 0 and self._closed is not None:
                    self._closed()
                now = self._ticks_ms()
                if start < 0:
                    start = now
                if heard < 0:
                    heard = now
                if self._ticks_diff(now, start) > self._timeout_ms:
                    return -1
                if not have or self._ticks_diff(now, heard) <= SILENCE_MS:
                    continue
                have = self._resync(have)
            want = wire.HEADER
            while have >= want:
                length = data[1] | (data[2] << 8)
                if data[0] == wire.REPLY and length <= wire.MAX_PAYLOAD:
                    views = self._replies.get(length)
                    want = wire.OVERHEAD + length
                    if have < want:
                        view = views[0] if views and have == wire.HEADER else data[have:want]
                        break
                    end = want - 2
                    checked = views[1] if views else data[1:end]
                    if data[4] == seq and data[end] | (data[end + 1] << 8) == wire.check(checked):
                        if views is None:
                            behind = data[wire.HEADER : want]
                            self._replies[length] = (behind, checked, behind[:length])
                        return length
                have = self._resync(have)
                want = wire.HEADER
            else:
                view = data[have:want]

    def _resync(self, have: int) -> int:
        """Drop bytes up to the next that can begin a reply; how many are left."""
        data = self._in
        for i in range(1, have):
            if data[i] == wire.REPLY:
                data[: have - i] = bytes(data[i:have])
                return have - i
        return 0

    def _failed(self, e: OSError) -> None:
        if e.args and e.args[0] in _WAITING:
            return
        if self._closed is not None:
            self._closed()
        raise e


class RemoteSPI:
    """machine.SPI's `write_readinto` to one device of the bridge; each call is a whole transaction, chip
    select included.
    """

    def __init__(self, bridge: Bridge, device: int = 0):
        self._bridge = bridge
        self._device = device

    def write_readinto(self, out, into) -> None:
        """Exchange len(out) bytes; `into` has the same length."""
        bridge = self._bridge
        payload = bridge.payload
        payload[0] = self._device
        payload[1] = len(out) & 0xFF
        payload[2] = len(out) >> 8
        sent = bytes(out).rstrip(b"\0")
        end = 3 + len(sent)
        payload[3:end] = sent
        into[:] = bridge.request(wire.SPI, end)


class RemoteI2C:
    """machine.I2C's memory operations, and its plain ones, on one bus of the bridge."""

    def __init__(self, bridge: Bridge, bus: int = 0):
        self._bridge = bridge
        self._bus = bus

    def readfrom_mem_into(self, address: int, register: int, buf) -> None:
        """Fill `buf` from a register on. OSError ENODEV: nobody acknowledged."""
        n = len(buf)
        struct.pack_into("<BBBH", self._bridge.payload, 0, self._bus, address, register, n)
        buf[:] = self._bridge.request(wire.I2C_READ, 5)

    def writeto_mem(self, address: int, register: int, buf) -> None:
        """Write `buf` from a register on."""
        payload = self._bridge.payload
        struct.pack_into("<BBB", payload, 0, self._bus, address, register)
        payload[3 : 3 + len(buf)] = buf
        self._bridge.request(wire.I2C_WRITE, 3 + len(buf))

    def readfrom_into(self, address: int, buf) -> None:
        """Fill `buf` from a chip that has no registers."""
        self.readfrom_mem_into(address, 0, buf)

    def writeto(self, address: int, buf) -> None:
        """Write to a chip that has no registers; at least one byte."""
        self.writeto_mem(address, buf[0], buf[1:])

    def scan(self) -> list:
        """Addresses that acknowledge."""
        self._bridge.payload[0] = self._bus
        return list(self._bridge.request(wire.I2C_SCAN, 1))

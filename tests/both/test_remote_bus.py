"""The node's end of the bus bridge against a peer that answers, corrupts, repeats, falls silent; on both
interpreters.
"""

import struct

from boards.virtual import bridge_wire as wire
from boards.virtual.remote_bus import ETIMEDOUT, Bridge, RemoteI2C, RemoteSPI
from boards.virtual.remote_pins import Crossing, RemotePin, RemotePwm


class Peer:
    """A stream whose other end executes requests and may spoil the traffic.

    `spoil(number, reply)` gives the bytes that really come back for the reply of that number; `chunk`: bytes
    a read gives at most.
    """

    def __init__(self, chunk=1000, spoil=None, hear=None):
        self.chunk = chunk
        self.spoil = spoil
        self.hear = hear
        self.ms = (1 << 30) - 20
        self.inbox = b""
        self.pending = b""
        self.executed = []
        self.last = None
        self.replies = 0
        self.requests = 0

    def ticks_ms(self):
        self.ms = (self.ms + 1) & ((1 << 30) - 1)
        return self.ms

    def ticks_diff(self, end, start):
        return ((end - start + (1 << 29)) & ((1 << 30) - 1)) - (1 << 29)

    def write(self, data):
        data = bytes(data)
        accepted = len(data)
        if self.hear:
            data = self.hear(self.requests, data)
        self.requests += 1
        self.inbox += data
        if len(self.inbox) >= 7:
            length = self.inbox[1] | (self.inbox[2] << 8)
            frame, self.inbox = self.inbox, b""
            end = 5 + length
            if len(frame) == end + 2 and wire.check(frame[1:end]) == frame[end] | (frame[end + 1] << 8):
                self.answer(frame, end)
        return accepted

    def answer(self, frame, end):
        if self.last and self.last[0] == frame:
            reply = self.last[1]
        else:
            op, seq = frame[3], frame[4]
            data = frame[5:end]
            self.executed.append((op, data))
            status, payload = self.execute(op & 0x7F, data[8:] if op & 0x80 else data)
            body = struct.pack("<HBB", len(payload), status, seq) + payload
            reply = bytes((wire.REPLY,)) + body + struct.pack("<H", wire.check(body))
            self.last = (frame, reply)
        if self.spoil:
            reply = self.spoil(self.replies, reply)
        self.replies += 1
        self.pending += reply

    def execute(self, op, data):
        if op == wire.SYNC:
            return wire.OK, b"\x01"
        if op == wire.SPI:
            n = data[1] | (data[2] << 8)
            out = data[3:] + bytes(n - len(data) + 3)
            return wire.OK, bytes(b ^ 0xFF for b in out)
        if op == wire.I2C_READ:
            if data[1] != 0x57:
                return wire.NACK, b""
            return wire.OK, bytes((data[2] + i) & 0xFF for i in range(data[3] | (data[4] << 8)))
        if op == wire.I2C_WRITE:
            return (wire.OK if data[1] == 0x57 else wire.NACK), b""
        if op == wire.I2C_SCAN:
            return wire.OK, b"\x57"
        if op == wire.GPIO_GET:
            return wire.OK, bytes((1 if data == b"STOP" else 0,))
        if op == wire.INFO:
            return wire.OK, b'{"ecg": 2, "ppg": 2, "cuff": 2, "label": "synthetic", "speed": 1.0}'
        if op == wire.RANDOM:
            return wire.OK, bytes(range(data[0]))
        return wire.OK, b""

    def readinto(self, buf):
        if not self.pending:
            return None
        n = min(len(buf), self.chunk, len(self.pending))
        buf[:n] = self.pending[:n]
        self.pending = self.pending[n:]
        return n


def bridge(peer, **options):
    return Bridge(peer, peer.ticks_ms, peer.ticks_diff, **options)


def errno_of(call):
    try:
        call()
    except OSError as e:
        return e.args[0]
    return None


def exercise(peer, b):
    """Every operation once; all of it must be executed exactly once."""
    del peer.executed[:]
    into = bytearray(7)
    RemoteSPI(b, 0).write_readinto(b"\x43\x01\0\0\0\0\0", into)
    assert bytes(into) == b"\xbc\xfe\xff\xff\xff\xff\xff"
    i2c = RemoteI2C(b)
    buf = bytearray(192)
    i2c.readfrom_mem_into(0x57, 7, buf)
    assert bytes(buf) == bytes((7 + i) & 0xFF for i in range(192))
    i2c.writeto_mem(0x57, 9, b"\x03")
    assert i2c.scan() == [0x57]
    assert b.gpio_read("STOP") == 1
    assert b.gpio_read("BUTTON") == 0
    b.gpio_write("LED_GREEN", True)
    assert b.random(5) == b"\0\1\2\3\4"
    info = b.info()
    assert info.pop("source_cuff") == 2
    assert info == {"source_ecg": 2, "source_ppg": 2, "label": "synthetic", "speed": 1}
    b.watchdog(5000)
    crossing = Crossing(b, None)
    RemotePwm(crossing, "PUMP").duty_u16(0xFF01)
    assert RemotePin(crossing, "STOP").value() == 1
    RemotePin(crossing, "ARM").value(1)
    assert len(peer.executed) == 13
    assert peer.executed[6] == (wire.GPIO_SET, b"\x01LED_GREEN")
    assert peer.executed[9] == (wire.WATCH, b"\x88\x13\0\0")
    assert peer.executed[10] == (wire.PWM, b"\x01\xffPUMP")
    assert peer.executed[12] == (wire.GPIO_SET, b"\x01ARM")


def test_every_operation():
    peer = Peer()
    exercise(peer, bridge(peer))


def test_a_byte_at_a_time():
    peer = Peer(chunk=1)
    b = bridge(peer, timeout_ms=1000)
    exercise(peer, b)
    assert b.retries == 0


def test_requests_are_short_when_the_rest_is_zeros():
    peer = Peer()
    b = bridge(peer)
    into = bytearray(97)
    RemoteSPI(b, 0).write_readinto(b"\x41" + bytes(96), into)
    assert peer.executed[-1] == (wire.SPI, b"\x00\x61\x00\x41")
    assert bytes(into) == b"\xbe" + b"\xff" * 96


def test_stamps_go_in_front():
    peer = Peer()
    now = [5_000_000_000]
    b = bridge(peer, stamp=lambda: now[0])
    now[0] = (1 << 40) + 3
    assert b.gpio_read("STOP") == 1
    op, data = peer.executed[-1]
    assert op == wire.GPIO_GET | wire.STAMPED
    assert data == struct.pack("<Q", (1 << 40) + 3) + b"STOP"


def test_a_chip_without_registers():
    peer = Peer()
    i2c = RemoteI2C(bridge(peer))
    buf = bytearray(4)
    i2c.readfrom_into(0x57, buf)
    assert bytes(buf) == b"\0\1\2\3" and peer.executed[-1][1] == b"\0\x57\0\4\0"
    i2c.writeto(0x57, b"\xaa\0\0")
    assert peer.executed[-1] == (wire.I2C_WRITE, b"\0\x57\xaa\0\0")


def test_what_interrupts_a_request_goes_over_the_urgent_bridge():
    usual, urgent = Peer(), Peer()
    crossing = Crossing(bridge(usual), bridge(urgent))
    pin = RemotePin(crossing, "FEED")

    def interrupts(level):
        raise ValueError(pin.value(level))

    try:
        crossing.call(interrupts, 1)
    except ValueError:
        pass
    assert urgent.executed[-1] == (wire.GPIO_SET, b"\x01FEED") and usual.executed[-1][0] == wire.SYNC
    pin.value(0)
    assert usual.executed[-1] == (wire.GPIO_SET, b"\0FEED")


def test_nobody_acknowledges():
    peer = Peer()
    i2c = RemoteI2C(bridge(peer))
    assert errno_of(lambda: i2c.readfrom_mem_into(0x58, 0, bytearray(1))) == 19
    assert errno_of(lambda: i2c.writeto_mem(0x58, 0, b"\0")) == 19


def test_each_corrupted_byte_of_a_reply_costs_one_repetition_and_nothing_else():
    for at in range(13):
        for value in (0x00, 0xFF, wire.REPLY):

            def spoil(number, reply, at=at, value=value):
                if number == 1:
                    value = value if reply[at] != value else value ^ 1
                    return reply[:at] + bytes((value,)) + reply[at + 1 :]
                return reply

            peer = Peer(spoil=spoil)
            b = bridge(peer)
            into = bytearray(6)
            RemoteSPI(b, 0).write_readinto(b"\x43\0\0\0\0\0", into)
            assert bytes(into) == b"\xbc\xff\xff\xff\xff\xff", (at, value)
            assert b.retries == 1, (at, value, b.retries)
            assert len(peer.executed) == 2
            exercise(peer, b)


def test_a_lost_reply_at_every_length_is_asked_for_again():
    for kept in range(13):
        peer = Peer(spoil=lambda number, reply, kept=kept: reply[:kept] if number == 1 else reply)
        b = bridge(peer)
        into = bytearray(6)
        RemoteSPI(b, 0).write_readinto(b"\x43\0\0\0\0\0", into)
        assert bytes(into) == b"\xbc\xff\xff\xff\xff\xff"
        assert b.retries == 1 and len(peer.executed) == 2


def test_a_lost_request_is_sent_again():
    peer = Peer(hear=lambda number, data: b"" if number == 1 else data)
    b = bridge(peer)
    exercise(peer, b)
    assert b.retries == 1


def test_noise_before_a_reply_is_passed_over():
    for noise in (
        b"\0",
        b"\xba",
        b"\xba\xba\xba\x05\x00",
        b"\xba\xff\xff\0\0",
        b"hello, world",
        bytes(range(256)),
    ):
        peer = Peer(spoil=lambda number, reply, noise=noise: noise + reply)
        b = bridge(peer)
        exercise(peer, b)
        assert b.retries == 0


def test_a_late_reply_is_not_taken_for_the_next_one():
    def spoil(number, reply):
        return b"" if number == 1 else reply + reply if number == 2 else reply

    peer = Peer(spoil=spoil)
    b = bridge(peer)
    exercise(peer, b)


def test_silence_ends_in_a_time_out():
    peer = Peer()
    b = bridge(peer, timeout_ms=50, attempts=3)
    peer.spoil = lambda number, reply: b""
    before = peer.ms
    assert errno_of(lambda: b.gpio_read("STOP")) == ETIMEDOUT
    waited = peer.ticks_diff(peer.ms, before)
    assert 150 <= waited <= 200, waited
    assert b.retries == 2
    peer.spoil = None
    assert b.gpio_read("STOP") == 1


def test_a_declared_length_beyond_all_bounds_does_not_hang():
    peer = Peer(spoil=lambda number, reply: b"\xba\xff\xff\x00" if number == 1 else reply)
    b = bridge(peer)
    assert b.gpio_read("STOP") == 1


def test_the_end_of_the_stream_is_reported():
    peer = Peer()
    ended = []

    def closed():
        ended.append(1)
        raise OSError(104)

    b = bridge(peer, closed=closed)
    peer.readinto = lambda buf: 0
    assert errno_of(lambda: b.gpio_read("STOP")) == 104
    assert ended


def test_another_protocol_version_is_refused():
    peer = Peer()
    peer.execute = lambda op, data: (wire.OK, b"\x02")
    assert errno_of(lambda: bridge(peer)) == 22

"""The bridge's end without a line: requests in pieces, repeated, malformed and stamped."""

import random
import struct
from array import array

import pytest

from boards.virtual import bridge_wire as wire
from boards.virtual.bench import Bench
from boards.virtual.bridge import BridgeSession
from boards.virtual.patient import make_patient
from boards.virtual.remote_bus import Bridge, RemoteSPI
from drivers.max30003 import Max30003
from tests.boards.bridge_line import ticks_diff, ticks_ms


@pytest.fixture
def bench() -> Bench:
    return Bench(make_patient())


def frame(op: int, payload: bytes, seq: int) -> bytes:
    body = struct.pack("<HBB", len(payload), op, seq) + payload
    return bytes((wire.REQUEST,)) + body + struct.pack("<H", wire.check(body))


def test_a_repeated_request_is_executed_once(bench: Bench) -> None:
    session = BridgeSession(bench)
    request = frame(wire.GPIO_SET, b"\x01A", 9)
    first = session.feed(request)
    bench.pins["A"] = 5
    assert session.feed(request) == first
    assert (bench.pins["A"], session.requests, session.repeated) == (5, 1, 1)
    session.feed(frame(wire.GPIO_SET, b"\x01A", 10))
    assert bench.pins["A"] == 1


def test_a_new_client_s_first_request_is_not_taken_for_a_repetition(bench: Bench) -> None:
    session = BridgeSession(bench)
    hello = frame(wire.SYNC, b"", 1)
    assert session.feed(hello) == session.feed(hello)
    assert session.repeated == 0


def test_requests_byte_by_byte_and_all_at_once(bench: Bench) -> None:
    requests = [frame(wire.SYNC, b"", 1), frame(wire.I2C_SCAN, b"\0", 2), frame(wire.INFO, b"", 3)]
    whole = BridgeSession(bench).feed(b"".join(requests))
    session = BridgeSession(bench)
    assert b"".join(session.feed(bytes((b,))) for b in b"".join(requests)) == whole
    assert session.noise == 0 and not session.partial


def test_what_is_wanted_never_reaches_beyond_the_request(bench: Bench) -> None:
    for request in (frame(wire.SYNC, b"", 1), frame(wire.SPI, b"\0\4\0\3", 2)):
        session = BridgeSession(bench)
        for at, byte in enumerate(request):
            assert 1 <= session.wanted <= len(request) - at
            session.feed(bytes((byte,)))
        assert session.wanted == wire.OVERHEAD


def test_every_truncation_is_waited_for_and_then_passed_over(bench: Bench) -> None:
    good = frame(wire.GPIO_GET, b"STOP", 2)
    expected = BridgeSession(bench).feed(good)
    for cut in range(1, len(good)):
        session = BridgeSession(bench)
        assert session.feed(good[:cut]) == b""
        assert session.partial
        while session.partial:
            session.silence()
        assert session.feed(good) == expected


def test_every_corrupted_byte_is_refused(bench: Bench) -> None:
    good = frame(wire.GPIO_SET, b"\x01X", 2)
    for at in range(len(good)):
        session = BridgeSession(bench)
        session.feed(good[:at] + bytes((good[at] ^ 0x10,)) + good[at + 1 :])
        while session.partial:
            session.silence()
        assert "X" not in bench.pins
        assert session.feed(good) and bench.pins.pop("X") == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        frame(wire.SPI, b"", 1),
        frame(wire.SPI, b"\0\xff\xff", 1),
        frame(wire.SPI, b"\0\x01\0" + b"abcdef", 1),
        frame(wire.I2C_READ, b"\0\x57\0\xff\xff", 1),
        frame(wire.I2C_READ, b"\0", 1),
        frame(wire.I2C_WRITE, b"", 1),
        frame(wire.GPIO_GET, b"\xff\xfe", 1),
        frame(wire.WATCH, b"\0", 1),
        frame(wire.RANDOM, b"", 1),
        frame(wire.SYNC | wire.STAMPED, b"\0\0", 1),
        frame(0x55, b"", 1),
    ],
)
def test_a_malformed_request_is_answered_as_such(bench: Bench, request_bytes: bytes) -> None:
    session = BridgeSession(bench)
    reply = session.feed(request_bytes)
    assert reply[3] == wire.BAD_REQUEST
    assert session.feed(frame(wire.SYNC, b"", 2))[3] == wire.OK


def test_random_bytes_do_no_harm(bench: Bench) -> None:
    dice = random.Random(3)
    session = BridgeSession(bench)
    for _ in range(300):
        session.feed(dice.randbytes(dice.randrange(1, 80)))
        while session.partial and dice.random() < 0.5:
            session.silence()
    while session.partial:
        session.silence()
    assert session.feed(frame(wire.SYNC, b"", 1))[3] == wire.OK


def test_stamps_lead_the_chips(bench: Bench) -> None:
    session = BridgeSession(bench)
    node_us = [3_000_000]

    class Loop:
        pending = b""

        def write(self, buf: memoryview) -> int:
            self.pending += session.feed(bytes(buf))
            return len(buf)

        def readinto(self, buf: memoryview) -> int | None:
            n = min(len(buf), len(self.pending))
            buf[:n] = self.pending[:n]
            self.pending = self.pending[n:]
            return n or None

    def stamp() -> int:
        node_us[0] += 20
        return node_us[0]

    ecg = Max30003(RemoteSPI(Bridge(Loop(), ticks_ms, ticks_diff, stamp=stamp)))
    ecg.check()
    ecg.configure()
    ecg.start()
    into = array("i", [0] * 32)
    total = 0
    for _ in range(1000):
        node_us[0] += 40_000
        total += ecg.drain(into)
        assert not ecg.overflowed
    assert abs(total - 10_010) <= 5

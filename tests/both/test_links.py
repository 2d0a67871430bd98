"""One session over several pipes: which carries it, and when it changes."""

import asyncio

from firmware import links
from firmware.links import BLE, CABLE, SILENT_MS, TCP, Links
from protocol import cobs, messages
from protocol.session_states import GREETING, STREAMING

SOLICIT = b"\0" + cobs.encode(messages.solicit(messages.VERSION))


class Session:
    """Says what it is told to, and counts."""

    def __init__(self):
        self.state = GREETING
        self.conn = 1
        self.paired = False
        self.begun = 0
        self.fed = []
        self.silent = 0
        self.says = []

    def begin_anew(self, now_ms):
        self.begun += 1
        self.conn += 1
        self.state = GREETING
        self.says = [b"hello"]

    def silent_ms(self, now_ms):
        return self.silent

    def feed(self, data, now_ms, stamp):
        self.fed.append(bytes(data))
        if self.state == GREETING and data.endswith(SOLICIT):
            self.conn += 1

    def take_events(self):
        return []

    def pull(self, now_ms):
        return self.says.pop(0) if self.says else b""


class Clock:
    def now_us(self):
        return 1000

    def now_ms(self):
        return 1


class Port:
    def __init__(self, rank):
        self.rank = rank
        self.closed = False
        self.written = []

    def write(self, data):
        self.written.append(bytes(data))
        return len(data)

    def close(self):
        self.closed = True


def several(*ranks):
    """(links, session, ports): the cable first, the others open."""
    session = Session()
    ports = [Port(rank) for rank in (CABLE,) + ranks]
    made = Links(ports[0], session, Clock(), None)
    made.ports = sorted(ports, key=lambda port: port.rank)
    return made, session, ports


def hear(made, port, data):
    """What the task of that port does with bytes."""
    if port is made._port or made._asked(port, data):
        made.take(data)


def test_a_better_pipe_has_the_session_as_soon_as_somebody_asks_there():
    made, session, (cable, tcp) = several(TCP)
    made._use(tcp)
    session.state = STREAMING
    hear(made, cable, b"noise of a plug\0\x05")
    assert made._port is tcp and session.begun == 1
    hear(made, cable, SOLICIT)
    assert made._port is cable and session.begun == 2 and session.fed == [SOLICIT]
    assert cable.written == [b"hello"] and made.cable


def test_a_connection_that_is_asked_for_stays_where_it_was_asked_for():
    made, session, (cable, ble) = several(BLE)
    made._use(ble)
    session.state = STREAMING
    hear(made, cable, SOLICIT)
    made.push(0)
    assert made._port is cable
    hear(made, cable, SOLICIT)
    made.push(0)
    assert made._port is cable
    session.conn += 1  # the session gave it up by itself
    made.push(0)
    assert made._port is ble


def test_who_waits_for_the_button_or_has_just_paired_keeps_the_session():
    made, session, (cable, ble) = several(BLE)
    made._use(ble)
    made.push(0)
    made.stays = True
    session.conn += 1
    made.push(0)
    assert made._port is ble
    made.stays = False
    session.paired = True
    session.conn += 1  # its header is new: another hello
    made.push(0)
    assert made._port is ble and not session.paired
    session.conn += 1
    made.push(0)
    assert made._port is cable


def test_a_request_that_comes_in_pieces_counts_with_its_last():
    made, session, (cable, tcp) = several(TCP)
    made._use(tcp)
    session.state = STREAMING
    for n in range(len(SOLICIT)):
        hear(made, cable, SOLICIT[n : n + 1])
    assert made._port is cable


def test_a_worse_pipe_does_not_take_a_session_that_streams():
    made, session, (cable, tcp, _) = several(TCP, BLE)
    session.state = STREAMING
    assert not made.wanted(TCP) and not made.wanted(BLE) and not made.wanted(CABLE)
    hear(made, tcp, SOLICIT)
    assert made._port is cable and not session.fed
    made._use(tcp)
    session.state = STREAMING
    assert made.wanted(CABLE) and not made.wanted(TCP) and not made.wanted(BLE) and not made.cable


def test_each_pipe_has_its_turn_while_nobody_answers():
    made, session, _ = several(TCP, BLE)
    made.push(0)
    used = []
    for _ in range(4):
        session.conn += 1  # the session gave a connection up
        made.push(0)
        used.append(made._port.rank)
        made.push(0)
    assert used == [TCP, BLE, CABLE, TCP]


def test_a_silent_agent_loses_the_session_to_the_next_pipe():
    made, session, (cable, tcp) = several(TCP)
    session.state = STREAMING
    session.silent = SILENT_MS - 1
    made.push(0)
    assert made._port is cable
    session.silent = SILENT_MS
    made.push(0)
    assert made._port is tcp and tcp.written == [b"hello"]


def test_alone_the_cable_keeps_the_session():
    made, session, (cable,) = several()
    session.state = STREAMING
    session.silent = SILENT_MS
    made.push(0)
    session.conn += 1
    made.push(0)
    assert made._port is cable and not session.begun


def test_a_pipe_that_closes_gives_the_session_back():
    made, session, (cable,) = several()
    tcp = Port(TCP)
    closing = []

    async def until_closed(port):
        while not closing:
            await asyncio.sleep(0)

    made._hear = until_closed

    async def both():
        task = asyncio.create_task(made.serve(tcp))
        await asyncio.sleep(0)
        assert made._port is tcp and made.ports == [cable, tcp]
        closing.append(True)
        await task

    asyncio.run(both())
    assert made._port is cable and made.ports == [cable] and tcp.closed and session.begun == 2


def test_half_a_message_is_not_finished_elsewhere():
    made, session, (cable, tcp) = several(TCP)
    cable.write = lambda data: 2
    session.says = [b"frame"]
    assert made.push(0)
    made._use(tcp)
    assert not made.push(0) and tcp.written == [b"hello"]


def test_the_decoder_of_a_pipe_that_is_gone_is_given_back():
    made, session, (cable, tcp) = several(TCP)
    made._use(tcp)
    session.state = STREAMING
    hear(made, cable, b"\x05par")
    assert made._decoded is cable
    made._use(cable)
    assert made._decoder is None and links.MAX_CLEAR == 256

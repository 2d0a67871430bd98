"""One session over several pipes: which carries it, and when it changes."""

import asyncio

from firmware import links
from firmware.links import ANSWER_MS, BACK_MS, BLE, CABLE, MAX_SAID, MOST_SHUT_MS, SILENT_MS, TCP, Links
from protocol import cobs, messages
from protocol import session_events as ev
from protocol.session_states import GREETING, OPENING, STREAMING

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
        self.told = []

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
        told, self.told = self.told, []
        return told

    def pull(self, now_ms):
        return self.says.pop(0) if self.says else b""


class Clock:
    ms = 1

    def now_us(self):
        return self.ms * 1000

    def now_ms(self):
        return self.ms


class Owner:
    """Has no memory for the first thing that it is told; `asked`: nonces of pair requests, and whether the
    cable was in use then.
    """

    def __init__(self):
        self.asked = []
        self.times = 0

    def time_asked(self, token, rx_us):
        self.times += 1
        if self.times == 1:
            raise MemoryError("token %d" % token)

    def pair_asked(self, ed_pub, x_pub, nonce, authority=None, button=False):
        self.asked.append((nonce, self.link.cable))


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
    owner = Owner()
    made = owner.link = Links(ports[0], session, Clock(), owner)
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
    assert made.carries(ble) and not made.carries(cable)
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


def test_who_asks_on_a_worse_pipe_waits_until_a_better_one_had_time_to_answer():
    made, session, (_, tcp, ble) = several(TCP, BLE)
    made._use(tcp)
    hear(made, ble, SOLICIT)
    made._clock.ms += ANSWER_MS - 1
    hear(made, ble, SOLICIT)
    assert made._port is tcp and session.begun == 1
    made._clock.ms += 1
    hear(made, ble, SOLICIT)
    assert made._port is ble
    hear(made, tcp, SOLICIT)
    assert made._port is tcp, "a better one is listened to at once"


def test_who_is_answered_is_disturbed_by_a_better_pipe_only():
    made, session, (cable, tcp, ble) = several(TCP, BLE)
    made._use(tcp)
    made._clock.ms += ANSWER_MS
    session.state = OPENING
    hear(made, ble, SOLICIT)
    assert made._port is tcp and session.begun == 1
    # Nor by a pipe that is opened anew.
    asyncio.run(_served(made, Port(BLE)))
    assert session.begun == 1
    hear(made, cable, SOLICIT)
    assert made._port is cable


async def _served(made, port):
    async def nothing(port):
        pass

    made._hear = nothing
    await made.serve(port)


def test_who_asked_to_pair_over_a_radio_is_not_taken_for_somebody_at_the_cable():
    made, session, (cable, tcp) = several(TCP)
    made._use(tcp)
    session.told = [ev.TimeAsked(1, 0), ev.PairAsked(b"e", b"x", b"radio"), ev.TimeAsked(2, 0)]
    try:
        made.take(b"")
        raise AssertionError("there was memory")
    except MemoryError:
        pass
    session.told = [ev.PairAsked(b"e", b"x", b"later")]
    made._use(cable)
    session.told = [ev.PairAsked(b"e", b"x", b"cable")]
    made.take(b"")
    assert made._owner.asked == [(b"cable", True)] and made._owner.times == 2


def test_a_pipe_is_closed_also_where_there_is_no_memory_to_begin_elsewhere():
    made, session, (cable,) = several()
    tcp = Port(TCP)

    def begin_anew(now_ms):
        raise MemoryError("a hello")

    async def till_then():
        made._use(tcp)
        session.begin_anew = begin_anew
        await _served(made, tcp)

    try:
        asyncio.run(till_then())
        raise AssertionError("there was memory")
    except MemoryError:
        pass
    assert tcp.closed and made._port is cable and made.ports == [cable]


def test_what_is_said_beside_the_session_is_bounded_and_waits_for_the_cable_asleep():
    made, session, (cable, tcp) = several(TCP)
    made._use(tcp)
    session.says = []
    cable.write = lambda data: 0
    for _ in range(100):
        made.say(bytes(64))
        assert len(made._said) <= MAX_SAID
    assert made.push(0) is False, "it would be asked a hundred times a second"
    cable.write = lambda data: 100
    assert made.push(0) and len(made._said) == MAX_SAID - 100


def test_a_better_pipe_on_which_nobody_answers_gives_back_what_it_took_and_waits_ever_longer():
    made, session, (cable, tcp) = several(TCP)
    clock = made._clock
    made._use(tcp)
    wait_ms = BACK_MS
    for _ in range(7):
        session.state = STREAMING
        hear(made, cable, SOLICIT)
        assert made._port is cable
        for ms in (0, BACK_MS - 1):
            clock.ms += ms
            # Who asks without end begins connections, and is not answered either.
            hear(made, cable, SOLICIT)
            made.push(clock.ms)
            assert made._port is cable
        clock.ms += 1
        made.push(clock.ms)
        assert made._port is tcp and session.state == GREETING
        session.state = STREAMING
        clock.ms += wait_ms - 1
        hear(made, cable, SOLICIT)
        assert made._port is tcp
        clock.ms += 1
        wait_ms = min(2 * wait_ms, MOST_SHUT_MS)
    # Answered at last, it is as any other again.
    hear(made, cable, SOLICIT)
    session.state = STREAMING
    made.push(clock.ms)
    made._use(tcp)
    session.state = STREAMING
    hear(made, cable, SOLICIT)
    clock.ms += BACK_MS
    made.push(clock.ms)
    assert made._port is tcp
    session.state = STREAMING
    clock.ms += BACK_MS
    hear(made, cable, SOLICIT)
    assert made._port is cable


def test_a_pipe_is_listened_to_at_once_where_nothing_streams_and_while_a_hand_is_on_the_button():
    made, session, (cable, tcp) = several(TCP)
    clock = made._clock
    made._use(tcp)
    session.state = STREAMING
    hear(made, cable, SOLICIT)
    made.stays = True
    clock.ms += 2 * BACK_MS
    made.push(clock.ms)
    assert made._port is cable
    made.stays = False
    session.paired = True
    session.conn += 1  # its header is made
    made.push(clock.ms)
    clock.ms += BACK_MS - 1
    made.push(clock.ms)
    assert made._port is cable
    clock.ms += 1
    made.push(clock.ms)
    assert made._port is tcp
    hear(made, cable, SOLICIT)
    assert made._port is cable, "nobody had answered on the other one"


def test_nothing_is_given_back_to_a_pipe_that_is_closed():
    made, session, (cable,) = several()
    tcp = Port(TCP)

    async def taken_over():
        async def until_then(port):
            session.state = STREAMING
            hear(made, cable, SOLICIT)

        made._hear = until_then
        await made.serve(tcp)

    asyncio.run(taken_over())
    made.ports.append(Port(BLE))
    made._clock.ms += BACK_MS
    made.push(made._clock.ms)
    assert made._port is cable

"""One session over several pipes: which carries it, and when it changes."""

import asyncio

from firmware import links
from firmware.links import BLE, CABLE, MAX_SAID, SILENT_MS, TCP
from protocol import session_events as ev
from protocol.session_states import STREAMING
from tests.both.links_world import SOLICIT, Port, hear, served, several


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
        await served(made, tcp)

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

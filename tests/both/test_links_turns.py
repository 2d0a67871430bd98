"""Several pipes on which somebody asks: each has its turn, and what nobody answers on is given back."""

import asyncio

from firmware.links import ANSWER_MS, BACK_MS, BLE, CABLE, MOST_SHUT_MS, SILENT_MS, TCP
from protocol.session_states import GREETING, OPENING, STREAMING
from tests.both.links_world import SOLICIT, Port, hear, served, several


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
    asyncio.run(served(made, Port(BLE)))
    assert session.begun == 1
    hear(made, cable, SOLICIT)
    assert made._port is cable


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

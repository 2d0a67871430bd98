"""Nodes over TCP: a connection is bounded in every direction, and none holds up the others."""

import asyncio
import resource
import select
import socket
import time

import pytest

from edge_agent.config import TcpConfig
from edge_agent.links.listener import TcpListener
from edge_agent.links.quota import Quota
from edge_agent.links.tcp import TcpLink
from protocol import cobs, messages
from tests.edge_agent.fakes import FakeNode
from tests.edge_agent.running import Kit, Running, wait_until


class Dial:
    """A node's end of a TCP connection that it makes itself, and makes anew when it is gone."""

    def __init__(self) -> None:
        self.address = ("127.0.0.1", 0)
        self.dialled = 0
        self._socket: socket.socket | None = None

    def to(self, running: Running) -> None:
        wait_until(lambda: running.agent.tcp and running.agent.tcp.listening, "the agent listens")
        self.address = running.agent.tcp.listening

    def read(self) -> bytes:
        if self._socket is None:
            if not self.address[1]:
                return b""
            try:
                self._socket = socket.create_connection(self.address, 5)
            except OSError:
                return b""
            self._socket.setblocking(False)
            self.dialled += 1
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.drop()
        return data

    def write(self, data: bytes) -> None:
        while data and self._socket is not None:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                select.select([], [self._socket], [], 0.05)
            except OSError:
                self.drop()

    def drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def hang(self) -> socket.socket:
        """Leave the connection as it is, for another one."""
        left, self._socket = self._socket, None
        assert left is not None
        return left

    close = drop


@pytest.fixture
def kit(tmp_path):
    kit = Kit(tmp_path)
    kit.options["tcp"] = TcpConfig("127.0.0.1", 0)
    return kit


def connect(running: Running) -> socket.socket:
    wait_until(lambda: running.agent.tcp and running.agent.tcp.listening, "the agent listens")
    return socket.create_connection(running.agent.tcp.listening, 5)


def ended(sock: socket.socket, timeout_s: float = 60.0) -> bool:
    """Whether the other end hangs up, whatever it says before."""
    sock.settimeout(timeout_s)
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def rejected(running: Running) -> dict[str, int]:
    return running.agent.hub.rejected


def test_a_node_over_tcp_is_served_like_one_on_a_port(kit):
    with FakeNode(Dial(), agent=kit.identity, rate=40) as node:
        kit.pair(node)
        with Running(kit.config()) as running:
            node.pipe.to(running)
            wait_until(lambda: len(node.made) > 60, "frames made")
            wait_until(lambda: kit.status["tcp"]["live"] == 1, "the status tells of it")
            assert kit.status["links"] == []
            node.making = False
            wait_until(lambda: node.held == 0, "every frame acknowledged")
            node.plugged = False
    assert kit.ledger.totals["produced"] == len(node.made) and kit.ledger.balanced


def test_a_node_that_connects_anew_takes_over_from_a_connection_that_hangs(kit):
    with FakeNode(Dial(), agent=kit.identity, rate=20) as node:
        kit.pair(node)
        with Running(kit.config()) as running:
            node.pipe.to(running)
            hub = running.agent.hub
            first = wait_until(lambda: hub.live.get(node.identity.id), "the node lives")
            with node._lock:
                left = node.pipe.hang()
                node.session._begin(time.monotonic_ns() // 1_000_000)
            second = wait_until(
                lambda: (now := hub.live.get(node.identity.id)) is not first and now, "it lives elsewhere"
            )
            assert ended(left) and first.node is None and second.node == node.identity.id
            assert hub.view(node.identity.id).live
            node.making = False
            wait_until(lambda: node.held == 0, "every frame acknowledged")
            left.close()


def test_who_says_no_hello_in_time_is_hung_up_on_however_slowly_it_talks(kit):
    kit.options["tcp"] = TcpConfig("127.0.0.1", 0, hello_s=0.5)
    with Running(kit.config()) as running:
        slow, mute = connect(running), connect(running)
        slow.settimeout(0.05)
        until = time.monotonic() + 60
        try:
            while time.monotonic() < until:
                slow.send(b"\x05")
                try:
                    if not slow.recv(4096):
                        break
                except TimeoutError:
                    continue
        except OSError:
            pass
        assert time.monotonic() < until and ended(mute)
        slow.close()
        mute.close()
        assert rejected(running)["tcp_no_hello"] >= 2
        wait_until(lambda: not running.agent.tcp.owners, "nothing of them is kept")


def test_who_proves_nothing_sends_no_more_than_a_bound(kit):
    with Running(kit.config()) as running:
        talker = connect(running)
        talker.settimeout(60)
        with pytest.raises(OSError):
            while True:
                talker.sendall(b"\x01" * 4096)
        talker.close()
        wait_until(lambda: rejected(running).get("tcp_unproved"), "it is counted")


def test_connections_are_bounded_and_the_oldest_stranger_gives_way(kit):
    kit.options["tcp"] = TcpConfig("127.0.0.1", 0, max_connections=3, hello_s=300)
    with FakeNode(Dial(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config()) as running:
            strangers = [connect(running) for _ in range(3)]
            wait_until(lambda: len(running.agent.tcp.owners) == 3, "all are there")
            node.pipe.to(running)
            wait_until(lambda: running.agent.hub.live, "the node has found room")
            assert ended(strangers[0]) and len(running.agent.tcp.owners) <= 3
            more = connect(running)
            assert ended(strangers[1])
            wait_until(lambda: rejected(running)["tcp_full"] >= 2, "both are counted")
            assert node.pipe.dialled == 1 and running.agent.hub.live
            for sock in (*strangers, more):
                sock.close()


def test_an_idle_node_is_hung_up_on(kit):
    kit.options["tcp"] = TcpConfig("127.0.0.1", 0, idle_s=1.0)
    with FakeNode(Dial(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config()) as running:
            node.pipe.to(running)
            wait_until(lambda: running.agent.hub.live, "the node lives")
            node.plugged = False
            wait_until(lambda: rejected(running).get("tcp_idle"), "it is hung up on")
            wait_until(lambda: not running.agent.hub.live, "it lives no more")


def hello_of_a_stranger(n: int) -> bytes:
    boots = [[bytes(3) + b"\x01" + n.to_bytes(8, "big"), [], 0, []]]
    body = messages.hello_body(messages.VERSION, n.to_bytes(8, "big"), bytes(16), 1, boots)
    return cobs.encode(messages.hello(body, bytes(16)))


def memory_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_flood_of_strangers_fills_no_memory_and_the_others_go_on(kit):
    """100 000 frames of nobody, on connection after connection, beside a node that is served."""
    kit.options["tcp"] = TcpConfig("127.0.0.1", 0, per_node_frames_s=100_000)
    frame = cobs.encode(b"\x82\x00" + bytes(60))
    flood = frame * 900
    with FakeNode(Dial(), agent=kit.identity, rate=20) as node:
        kit.pair(node)
        with Running(kit.config()) as running:
            node.pipe.to(running)
            wait_until(lambda: running.agent.hub.live, "the node lives")
            before, acked = memory_kb(), len(node.made) - node.held
            for n in range(112):
                with connect(running) as stranger:
                    stranger.settimeout(60)
                    stranger.sendall(hello_of_a_stranger(n) + flood)
                    stranger.shutdown(socket.SHUT_WR)
                    ended(stranger)
            wait_until(lambda: rejected(running)["no_session"] >= 100_000, "the frames were seen")
            assert memory_kb() - before < 20_000
            assert len(running.agent.hub.unpaired) <= 32 and len(running.agent.hub.views) == 1
            wait_until(lambda: len(node.made) - node.held > acked, "the node is acknowledged all the while")
            assert node.pipe.dialled == 1


def test_a_node_that_floods_waits_and_the_others_do_not(kit):
    kit.options["tcp"] = TcpConfig("127.0.0.1", 0, per_node_frames_s=20)
    flooding = FakeNode(Dial(), 1, kit.identity, rate=500, max_bytes=5_000_000)
    calm = FakeNode(Dial(), 2, kit.identity, rate=15)
    kit.pair(flooding, calm)
    with flooding, calm, Running(kit.config()) as running:
        began = time.monotonic()
        for node in (flooding, calm):
            node.pipe.to(running)
        wait_until(lambda: len(running.agent.hub.live) == 2, "both live")
        for made in range(30, 91, 15):
            wait_until(lambda made=made: len(calm.made) >= made, "frames of the calm one")
            wait_until(lambda: calm.held < 8, "which are acknowledged all the while")
        taken = len(flooding.made) - flooding.held
        assert taken <= 20 * (time.monotonic() - began + 6) + 40 and flooding.held > 100
        assert calm.pipe.dialled == flooding.pipe.dialled == 1
        with flooding._lock:
            flooding.making = False
            flooding.session.window.stop()


class Told:
    """A link's owner that counts what it is told."""

    node = None
    asked = False
    session_state = "waiting"

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.takes_s = 0.0
        self.why = ""

    def opened(self, link) -> None: ...

    def received(self, link, data, unix_us) -> int:
        time.sleep(self.takes_s)
        self.calls.append(len(data))
        return 1

    def written(self, link) -> None: ...

    def closed(self, link, error, retry_s) -> None:
        self.why = str(error)


class Wire(asyncio.Transport):
    """A transport that notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = self.aborted = False

    def set_write_buffer_limits(self, high=None, low=None) -> None: ...

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


class Bare:
    """A listener of one connection, on whose owner it depends what happens; inside an event loop."""

    def __init__(self, **limits) -> None:
        self.causes: list[str] = []
        self.stands = False
        self.told, self.wire = Told(), Wire()
        self.listener = TcpListener(
            TcpConfig("127.0.0.1", 0, **limits),
            lambda name: self.told,
            lambda cause, detail, where: self.causes.append(cause),
            lambda: self.stands,
        )
        self.link = TcpLink(self.listener)
        self.link.connection_made(self.wire)

    def come(self, nbytes: int) -> None:
        self.link.buffer_updated(nbytes)


def test_what_takes_long_is_taken_in_slices_between_which_others_come():
    async def within() -> None:
        bare = Bare()
        bare.told.takes_s = 0.004
        bare.come(16_384)
        assert bare.told.calls == [2048] and bare.wire.paused
        turns = 0
        while bare.wire.paused:
            turns += 1
            await asyncio.sleep(0)
        assert sum(bare.told.calls) == 16_384 and turns >= 7

    asyncio.run(within())


def test_while_the_disk_stands_nothing_is_read_and_nothing_is_lost():
    async def within() -> None:
        bare = Bare()
        bare.stands = True
        bare.come(3000)
        assert bare.told.calls == [] and bare.wire.paused
        await asyncio.sleep(0.2)
        assert bare.told.calls == [] and bare.wire.paused
        bare.link.look(time.monotonic())
        bare.stands = False
        while bare.wire.paused:
            await asyncio.sleep(0.01)
        assert sum(bare.told.calls) == 3000 and bare.causes == []

    asyncio.run(within())


def test_who_does_not_read_is_hung_up_on():
    async def within() -> None:
        bare = Bare(hello_s=300, idle_s=300)
        before = time.monotonic()
        bare.link.pause_writing()
        assert not bare.link.ready
        bare.link.look(before + 29)
        assert not bare.wire.aborted
        bare.link.resume_writing()
        bare.link.look(time.monotonic() + 60)
        assert bare.link.ready and not bare.wire.aborted
        bare.link.pause_writing()
        bare.link.look(time.monotonic() + 31)
        assert bare.wire.aborted and bare.causes == ["tcp_stalled"]
        bare.link.connection_lost(None)
        assert "read nothing" in bare.told.why and not bare.listener.owners

    asyncio.run(within())


def test_a_share_of_frames_fills_with_time():
    quota = Quota(10, 0.0)
    quota.spend(39, 100)
    assert quota.wait_s(0.0) == 0
    quota.spend(1, 10 * 4096)
    assert quota.wait_s(0.0) == pytest.approx(1.0)
    assert quota.wait_s(0.5) == pytest.approx(0.5)
    assert quota.wait_s(1.01) == 0
    assert quota.wait_s(1000.0) == 0
    quota.spend(40, 0)
    assert quota.wait_s(1000.0) > 0

"""A node in a network: which of the agents there it goes to, and which connections it gives up."""

from firmware import indications, wifi_find, wifi_join
from firmware.links import CABLE, TCP, Links
from firmware.wifi import AUTHORISED_MS, GRACE_MS, SILENT_MS, UNANSWERED_MS, Wifi
from protocol import cbor
from protocol.session_states import GREETING, STREAMING

HERE, THERE, ELSEWHERE = ("10.0.0.5", 7117), ("10.0.0.6", 7117), ("10.0.0.7", 7117)


def run(steps):
    """What a coroutine gives that never waits."""
    try:
        while True:
            steps.send(None)
    except StopIteration as end:
        return end.value


class Port:
    def __init__(self, rank, place=None):
        self.rank = rank
        self.place = place
        self.heard = 0


class Session:
    state = GREETING


class Radio:
    """network.WLAN of a chip whose driver has no memory."""

    def active(self, on=None):
        raise RuntimeError("Wifi Unknown Error 0x0101")


class Node:
    """A node as far as Wi-Fi goes: it is its own board, clock, start, pool, records and session's owner."""

    def __init__(self, kept=None):
        self.board = self.clock = self.start = self.pool = self.records = self
        self.config = {"wifi": {}}
        self.kept = kept
        self.agents = [(b"e" * 32, b"x" * 32)]
        self.session = Session()
        self.cable = Port(CABLE)
        self.link = Links(self.cable, self.session, self, None)
        self.ms = 1000
        self.reported = []

    def now_ms(self):
        return self.ms

    def random(self, n):
        return bytes(n)

    def holds(self, name):
        return self.kept is not None

    def read(self, name):
        return self.kept

    def write(self, name, data):
        self.kept = data

    def remove(self, name):
        self.kept = None

    def drain(self):
        pass

    def indicate(self, name, cause):
        pass

    def report(self, code, priority, value=None, text=None):
        self.reported.append((value, text))

    def careful(self, action, *args):
        action(*args)


class Wire:
    """A Wifi whose connections are made by this test."""

    def __init__(self):
        self.node = Node()
        self.wifi = Wifi(self.node, None)
        self.closed = 0
        self.wifi._drop = self._drop

    def _drop(self):
        self.closed += 1
        self.wifi._port = None

    def open(self, place):
        """A connection that the session is on."""
        port = self.wifi._port = self.node.link._port = Port(TCP, place)
        self.wifi._led = False
        self.wifi._heard = 0
        self.wifi._heard_ms = self.wifi._led_ms = self.node.ms
        return port

    def look(self, ms, heard=0):
        """So much later something may have been heard, and the node looks at the connection."""
        self.node.ms += ms
        if self.wifi._port is not None:
            self.wifi._port.heard += heard
            self.wifi._look_at_port(self.node.ms)

    def end(self, place, streams=False):
        """A connection that is opened and ends."""
        port = self.open(place)
        self.node.session.state = STREAMING if streams else GREETING
        self.look(10, heard=1)
        self.wifi._port = None
        self.wifi._ended(port)


def test_a_connection_on_which_nobody_says_anything_is_dead_wherever_the_session_is():
    wire = Wire()
    wire.open(HERE)
    wire.node.session.state = STREAMING
    wire.look(SILENT_MS, heard=1)
    # Its frames wait, and the cable has its turn, where nobody is; and so on.
    wire.node.session.state = GREETING
    wire.node.link._port = wire.node.cable
    wire.look(SILENT_MS)
    assert wire.closed == 0
    wire.look(1)
    assert wire.closed == 1 and wire.wifi._next_ms > wire.node.ms


def test_a_connection_that_is_not_needed_is_ended():
    wire = Wire()
    wire.open(HERE)
    wire.node.link._port = wire.node.cable
    wire.look(100)
    assert wire.closed == 0
    wire.node.session.state = STREAMING
    wire.look(100)
    assert wire.closed == 1 and wire.wifi.vain == []


def test_who_talks_without_a_session_that_comes_of_it_is_hung_up_on():
    wire = Wire()
    wire.open(HERE)
    for _ in range(UNANSWERED_MS // 1000):
        wire.look(1000, heard=20)
    assert wire.closed == 0
    wire.look(1, heard=20)
    assert wire.closed == 1 and wire.wifi.vain == [HERE]
    # A hand on the button takes its time.
    wire.open(HERE)
    wire.node.link.stays = True
    for _ in range(2 * UNANSWERED_MS // 1000):
        wire.look(1000, heard=20)
    assert wire.closed == 1


def test_a_network_that_is_lost_takes_its_connection_along():
    wire = Wire()
    wire.open(HERE)
    wire.wifi.online = True
    wire.wifi.on = lambda: None
    joined = []

    async def again(wifi):
        joined.append(wire.closed)
        return 0

    real, wifi_join.again = wifi_join.again, again
    try:
        for ms, closed in ((0, 0), (GRACE_MS - 1, 0), (1, 1)):
            wire.node.ms += ms
            run(wire.wifi._connect(wire.node.ms))
            assert wire.closed == closed
    finally:
        wifi_join.again = real
    assert joined == [1] and not wire.wifi.online


def test_a_session_elsewhere_is_no_success_of_this_connection():
    wire = Wire()
    for n in range(1, 4):
        wire.end(HERE)
        assert wire.wifi._fails == n
    wire.open(HERE)
    wire.node.link._port = Port(2)
    wire.node.session.state = STREAMING
    wire.look(100, heard=1)
    assert wire.wifi._fails == 3 and wire.wifi.last is None


def test_where_no_session_came_of_it_is_tried_last():
    wire = Wire()
    wifi = wire.wifi
    answers = []
    tried = []
    there = [HERE, THERE, ELSEWHERE]

    async def found(wifi):
        return answers

    async def connected(place):
        tried.append(place)
        return Port(TCP, place) if place in there else None

    real = wifi_find._found, wifi_find._connected
    wifi_find._found, wifi_find._connected = found, connected
    try:
        answers += [HERE, THERE, ELSEWHERE]
        assert run(wifi_find.reach(wifi)).place == HERE
        wire.end(HERE)
        assert run(wifi_find.reach(wifi)).place == THERE
        wire.end(THERE)
        assert run(wifi_find.reach(wifi)).place == ELSEWHERE
        wire.end(ELSEWHERE)
        assert run(wifi_find.reach(wifi)).place == HERE, "all once more, in the same order"
        wire.end(HERE)
        assert run(wifi_find.reach(wifi)).place == THERE
        wire.end(THERE, streams=True)
        # From here on nobody is asked, until somebody else has that address.
        assert wifi.last == THERE and wifi.vain == []
        del answers[:], tried[:]
        assert run(wifi_find.reach(wifi)).place == THERE
        wire.end(THERE)
        answers += [ELSEWHERE]
        assert run(wifi_find.reach(wifi)).place == ELSEWHERE
        wire.end(ELSEWHERE, streams=True)
        there.remove(ELSEWHERE)
        answers[:] = [ELSEWHERE, HERE]
        del tried[:]
        assert run(wifi_find.reach(wifi)).place == HERE and tried == [ELSEWHERE, HERE]
    finally:
        wifi_find._found, wifi_find._connected = real


def test_places_that_lead_nowhere_are_remembered_up_to_a_bound():
    wire = Wire()
    for n in range(30):
        wire.end(("10.0.0.%d" % n, 7117))
    assert len(wire.wifi.vain) == 8 and wire.wifi.vain[-1][0] == "10.0.0.29"


def test_a_radio_that_does_not_start_stops_no_sensor_and_says_so_once():
    kept = cbor.dumps(["Flat 7", "correct horse", True])
    on = Wifi.on
    Wifi.on = lambda self: Radio().active(True)
    try:
        node = Node(kept)
        wifi = Wifi(node, None)
        for _ in range(3):
            assert run(wifi_join.again(wifi)) == indications.WIFI_NOT_FOUND
    finally:
        Wifi.on = on
    assert node.reported == [(indications.WIFI_NOT_FOUND, "the radio says: Wifi Unknown Error 0x0101")]
    assert wifi.known and node.kept == kept


class Air:
    """A network that lets the node in at once; `then()` is what happens meanwhile."""

    def __init__(self, then):
        self.then = then
        self.within = 0

    def disconnect(self):
        self.within = 0

    def config(self, **what):
        pass

    def scan(self):
        return []

    def connect(self, ssid, password, bssid=None):
        self.within = 1
        self.then()

    def isconnected(self):
        return self.within


class Now:
    """In the place of asyncio: nothing waits."""

    @staticmethod
    async def sleep_ms(ms):
        pass


def test_a_network_that_is_forgotten_while_it_is_joined_is_left_and_not_kept():
    real = wifi_join.asyncio
    wifi_join.asyncio = Now
    try:
        for given in (True, False):
            node = Node(None if given else cbor.dumps(["Flat 7", "correct horse", False]))
            wifi = Wifi(Node(), None)
            wifi.node = node
            wifi.known = not given
            air = wifi.wlan = Air(wifi.leave)
            wifi.on = lambda air=air: air
            if given:
                assert run(wifi_join.change(wifi, "Flat 7", "correct horse")) == indications.HELP
            else:
                assert run(wifi_join.again(wifi)) == indications.HELP
            assert node.kept is None and not wifi.known and not air.within and wifi.leave_ms
    finally:
        wifi_join.asyncio = real


def test_an_agent_must_be_heard_in_the_other_network_only_where_it_asks_over_this_one():
    wire = Wire()
    wire.open(HERE)
    wire.wifi.join("Flat 8", "battery staple")
    assert wire.wifi.needs_agent
    for carries, done in ((True, print), (False, None)):
        wire = Wire()
        wire.open(HERE)
        if not carries:
            wire.node.link._port = wire.node.cable
        wire.wifi.join("Flat 8", "battery staple", done)
        assert not wire.wifi.needs_agent


def test_addresses_of_the_own_network_come_first():
    said = ["172.17.0.1", "192.168.1.5", "10.8.0.2", "fd00::5", "192.168.2.5"]
    own = ("192.168.1.77", "255.255.255.0")
    assert wifi_find.nearest(said, *own) == [
        "192.168.1.5",
        "172.17.0.1",
        "10.8.0.2",
        "fd00::5",
        "192.168.2.5",
    ]
    assert wifi_find.nearest(said, "10.9.1.1", "255.0.0.0")[0] == "10.8.0.2"


def test_a_button_that_sticks_is_one_press():
    wire = Wire()
    node, wifi = wire.node, wire.wifi
    for held, ms, authorised in (
        (False, 0, False),
        (True, 0, True),
        (True, AUTHORISED_MS - 1, True),
        (True, 1, False),
        (False, 100, False),
        (True, 100, True),
    ):
        node.ms += ms
        node.consent = lambda held=held: held
        wifi._look_at_button()
        assert wifi.authorised(False) == authorised


class NoThreads:
    """_thread of a chip without memory for one."""

    @staticmethod
    def start_new_thread(what, arguments):
        raise OSError("can't create thread")


def test_without_memory_for_a_thread_there_is_no_scan_and_no_answer():
    import sys

    real = sys.modules.get("_thread")
    sys.modules["_thread"] = NoThreads
    try:
        assert run(wifi_join.scanned(None)) is None
        assert run(wifi_find._answers_for_everybody()) is False
    finally:
        if real is None:
            del sys.modules["_thread"]
        else:
            sys.modules["_thread"] = real

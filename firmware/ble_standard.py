"""The three standard services – Heart Rate, Pulse Oximeter, Blood Pressure – for a phone that the node has a
bond with, as a feature of the node, where the board has `[phones]` beside `[ble]`.

Whoever holds the button for HOLD_MS lets phones bond for WINDOW_MS; held for FORGET_MS, all are forgotten.
The pairing is *just works*: the node has nothing to show a number with, so a hand on it has to do. One phone
at a time is served, beside an agent on its pipe. Nothing is sent, and no read answered, before the connection
is encrypted with the key of a bond; nothing that a phone writes does anything.

The stack asks for keys in an interrupt, in which nothing may touch flash: the task writes them.
"""

from firmware import ble_values
from firmware.ble_bonds import BONDS_RECORD, Bonds
from protocol import frames

GATTS_WRITE = 3
GATTS_READ_REQUEST = 4
CENTRAL_CONNECT = 1
CENTRAL_DISCONNECT = 2
GATTS_INDICATE_DONE = 20
MTU_EXCHANGED = 21
ENCRYPTION_UPDATE = 28
GET_SECRET = 29
SET_SECRET = 30

READ = 0x0002
NOTIFY = 0x0010
INDICATE = 0x0020
# To read wants encryption; so does to subscribe, with a NimBLE that knows it (others are sent nothing).
READ_ENCRYPTED = 0x0200
SUBSCRIBE_ENCRYPTED = 0x8000
INSUFFICIENT_AUTHENTICATION = 5
NO_INPUT_OUTPUT = 3
KEY_BYTES = 16
# Of a notification, its operation and handle.
OVERHEAD = 3

HEART_RATE = 0x180D
OXIMETER = 0x1822
PRESSURE = 0x1810
FINGER = 3
OTHER_PLACE = 0
# Status supported, pulse amplitude index, several bonds; then what of the status.
PLX_FEATURES = 0x00C1
PLX_STATUS_BITS = ble_values.ONGOING | ble_values.DEMONSTRATION | ble_values.QUESTIONABLE
SEVERAL_BONDS = 0x0020

HOLD_MS = 2000
FORGET_MS = 20000
WINDOW_MS = 120000
# An agent opens its pipe before; whoever has not is asked to pair, while somebody wants that.
ASK_MS = 2000
# Connected, and not bonded.
IDLE_MS = 30000
# A measurement without a time is dated by its arrival.
FRESH_MS = 60000


class Standard:
    """`conn`: the phone's connection, `bonded`: with its bond's encryption;
    `open_ms`: since when phones may bond, -1: they may not; `own`: what is said to everybody.
    """

    def __init__(self, node, _):
        self._node = node
        self._feature = None
        self.bonds = Bonds(node.start.records)
        self.conn = None
        self.bonded = False
        self.open_ms = self._held_ms = -1
        self.own = b""
        self._handles = []
        self._forgotten = False
        self._asked = None
        self._size = 0
        self._since_ms = 0
        self._number = self._due_ms = 0
        self._unconfirmed = False
        self._beats = 0

    def begin(self):
        """Nothing: it begins with the stack."""

    def channels(self):
        """No waveform."""
        return ()

    def tasks(self):
        """It has its time of Bluetooth's task."""
        return ()

    def stop(self):
        """The connection ends with the boot."""

    # Starting: of this boot's Ble

    def serve(self, feature):
        """`feature`: whose stack is about to start. The services as gatts_register_services() takes them, but
        for numbers in the places of UUIDs.
        """
        self._feature = feature
        node = self._node
        # Whose it was before, those phones were theirs.
        node.careful(self.bonds.load if node.start.agents else self.bonds.forget)
        listened = NOTIFY | SUBSCRIBE_ENCRYPTED
        read = READ | READ_ENCRYPTED
        made = []
        if node.ecg is not None or node.ppg is not None:
            made.append((HEART_RATE, ((0x2A37, listened), (0x2A38, read))))
        if node.ppg is not None:
            made.append((OXIMETER, ((0x2A5F, listened), (0x2A60, read))))
        if "cuff" in node.features:
            made.append((PRESSURE, ((0x2A35, INDICATE | SUBSCRIBE_ENCRYPTED), (0x2A49, read))))
        return made

    def started(self, ble, services, handles):
        """The stack is on, these services are at these handles, two each."""
        self._handles = handles
        ble.config(bond=False, mitm=False, io=NO_INPUT_OUTPUT, le_secure=True)
        place = OTHER_PLACE if self._node.ecg is not None else FINGER
        features = PLX_FEATURES.to_bytes(2, "little") + PLX_STATUS_BITS.to_bytes(2, "little")
        said = {
            HEART_RATE: bytes((place,)),
            OXIMETER: features,
            PRESSURE: SEVERAL_BONDS.to_bytes(2, "little"),
        }
        uuids = b""
        for n in range(len(services)):
            ble.gatts_write(handles[2 * n + 1], said[services[n][0]])
            uuids += services[n][0].to_bytes(2, "little")
        # Found by everybody, no BR/EDR; all UUIDs of 16 bits.
        self.own = b"\x02\x01\x06" + bytes((len(uuids) + 1, 3)) + uuids

    def wanted(self):
        """Whether to be seen: there is a phone to wait for, and none here."""
        return self.conn is None and (self.open_ms >= 0 or len(self.bonds.kept) > 0)

    # Interrupts

    def interrupt(self, event, data):
        """The stack's, before firmware/ble.py's; what it gives is the stack's answer."""
        if event == GATTS_READ_REQUEST:
            allowed = data[1] not in self._handles or (self.bonded and data[0] == self.conn)
            return 0 if allowed else INSUFFICIENT_AUTHENTICATION
        try:
            if event == GET_SECRET:
                return self.bonds.secret(data[0], data[1], data[2])
            if event == SET_SECRET:
                return self.bonds.put(data[0], data[1], data[2], self.open_ms >= 0)
            if event == CENTRAL_CONNECT and self._feature.conn is not None and self.conn is None:
                self._guest(data[0])
                return None
            if event == ENCRYPTION_UPDATE:
                self._encrypted(data[0], data[1] and data[3] and data[4] >= KEY_BYTES)
            elif data[0] == self.conn:
                self._of_phone(event, data)
        except Exception:
            self._feature.faults += 1
        return self._feature.interrupt(event, data)

    def _guest(self, conn):
        """Somebody more, while an agent has its pipe."""
        self.conn = conn
        self.bonded = False
        self._unconfirmed = False
        self._size = 0
        self._since_ms = self._node.clock.now_ms()
        # Others may come.
        self._feature.advertises = None

    def _encrypted(self, conn, bonded):
        if conn == self.conn:
            self.bonded = bonded
        elif bonded and self.conn is None and conn == self._feature.conn:
            feature = self._feature
            self._guest(conn)
            self._size = feature.size
            if feature.port is None and not feature.opens:
                feature.conn = None
            self.bonded = True

    def _of_phone(self, event, data):
        if event == CENTRAL_DISCONNECT:
            self.conn = None
            self.bonded = False
            self._feature.advertises = None
        elif event == GATTS_INDICATE_DONE:
            self._unconfirmed = False
            if data[2] == 0:
                self._due_ms = 0
        elif event == MTU_EXCHANGED:
            self._size = data[1] - OVERHEAD
        elif event == GATTS_WRITE and data[1] == self._feature.handles[0] and self._feature.conn is None:
            # An agent whose machine has bonded for another reason.
            self._feature.interrupt(CENTRAL_CONNECT, data)
            if self._size:
                self._feature.size = self._size

    # The task's

    def look(self, now_ms):
        """Four times a second: the button, who is connected without a bond, and what is to be on flash."""
        node = self._node
        self._look_at_button(now_ms)
        if self.open_ms >= 0 and now_ms - self.open_ms > WINDOW_MS:
            self._open(-1)
        feature = self._feature
        conn = self.conn
        if conn is None:
            conn = feature.conn if feature.port is None and not feature.opens else None
            since_ms = feature.since_ms
        else:
            since_ms = self._since_ms
        if self.bonds.changed and (conn is None or self.bonded):
            # All that there is of a pairing, at once.
            node.drain()
            node.careful(self.bonds.save)
            node.report(frames.EVENT_MARK, frames.PRIORITY_INFO, None, "a phone may read this node")
        if conn is None:
            self._asked = None
            if self.bonds.lent:
                node.careful(self.bonds.load)
        elif not self.bonded:
            if self.open_ms >= 0 and conn != self._asked and now_ms - since_ms > ASK_MS:
                self._asked = conn
                try:
                    feature.ble.gap_pair(conn)
                except OSError:
                    pass
            if conn == self.conn and now_ms - since_ms > IDLE_MS:
                self._part()

    def _look_at_button(self, now_ms):
        if not self._node.board.consent():
            self._held_ms = -1
            self._forgotten = False
            return
        if self._held_ms < 0:
            self._held_ms = now_ms
        held_ms = now_ms - self._held_ms
        if held_ms >= FORGET_MS:
            if not self._forgotten:
                self._forgotten = True
                self._forget()
        elif held_ms >= HOLD_MS and self.open_ms < self._held_ms and self._node.start.agents:
            self._open(now_ms)

    def _open(self, now_ms):
        """Let phones bond from now on; -1: no longer."""
        self.open_ms = now_ms
        self._feature.ble.config(bond=now_ms >= 0)
        if now_ms >= 0:
            self._node.signals.identify()

    def _forget(self):
        """All phones, and the one that is here goes."""
        node = self._node
        had = len(self.bonds.kept) > 0
        node.drain()
        node.careful(self.bonds.forget)
        self._open(-1)
        self.bonded = False
        self._part()
        node.signals.identify()
        if had and not node.start.records.holds(BONDS_RECORD):
            node.report(frames.EVENT_MARK, frames.PRIORITY_INFO, None, "no phone may read this node")

    def _part(self):
        """Hang up on the phone, if one is there."""
        try:
            if self.conn is not None:
                self._feature.ble.gap_disconnect(self.conn)
        except OSError:
            pass

    # What was measured

    def second(self, readings):
        """Once a second: say what there is to the phone. What the stack has no buffer for is not said."""
        bp = readings.bp
        now_ms = self._node.clock.now_ms()
        if bp is not None and bp[2] != self._number:
            self._number = bp[2]
            self._due_ms = now_ms + FRESH_MS
        if not self.bonded:
            return
        try:
            self._say(readings, now_ms)
        except Exception:
            # No buffer, no memory: the second's frames are not to suffer.
            pass

    def _say(self, readings, now_ms):
        node = self._node
        ble = self._feature.ble
        at = 0
        handles = self._handles
        if node.ecg is not None or node.ppg is not None:
            rate, rr_ms = readings.pulse_x10, ()
            if node.ecg is not None:
                rate = readings.hr_x10
                rr_ms = node.ecg.chain.rr_ms
                # More than a second's where vitals are made less often.
                beats, self._beats = self._beats, len(rr_ms)
                rr_ms = rr_ms[beats if beats <= len(rr_ms) else 0 :]
            self._notify(ble, handles[at], ble_values.heart_rate_value(rate, rr_ms))
            at += 2
        if node.ppg is not None:
            doubtful = readings.ppg_bad or not node.ppg.chain.calibrated
            value = ble_values.oximetry_value(
                readings.spo2_x10, readings.pulse_x10, readings.pi_x100, doubtful, bool(node.ppg.source)
            )
            self._notify(ble, handles[at], value)
            at += 2
        if self._due_ms and now_ms > self._due_ms:
            self._due_ms = 0
        if self._due_ms and not self._unconfirmed:
            ble.gatts_indicate(self.conn, handles[at], ble_values.pressure_value(*readings.bp[:2]))
            self._unconfirmed = True

    def _notify(self, ble, handle, value):
        if value is not None:
            ble.gatts_notify(self.conn, handle, value)

"""Bluetooth LE as a feature of the node: a service whose two characteristics are a pipe of bytes to an agent,
and Improv for whoever gives the node its network.

The central writes bytes to one characteristic and is notified by the other; messages are cut to the MTU, and
COBS finds them again. One central at a time is served, and meanwhile nobody else sees the node. A central
opens the pipe with its first byte; one that does nothing, or leads to no agent, is hung up on.
What is seldom done is elsewhere: starting (ble_start), Improv (ble_improv); and what few boards do: standard
services for a phone, beside (ble_standard).
"""

import asyncio

from micropython import RingIO

from firmware import radio
from firmware.requests import forget
from protocol import frames
from protocol.on_demand import forget_module
from protocol.session_states import STREAMING

CENTRAL_CONNECT = 1
CENTRAL_DISCONNECT = 2
GATTS_WRITE = 3
MTU_EXCHANGED = 21

RANK = 2
LOOK_MS = 250
# What a central may write before the node has come to read it: an agent's messages have 256 bytes at most.
RING_BYTES = 512
LEAST_MTU = 23
# Of a notification, its operation and handle.
OVERHEAD = 3
# Connected for nothing; with a pipe that leads to no agent, or to one that is not its own yet.
IDLE_MS = 30000
UNANSWERED_MS = 60000
UNCLAIMED_MS = 180000
# Nothing was written to it, the node writes each second: another pipe has the session.
UNUSED_MS = 10000
# Found fast at first, then with less current.
FAST_US = 100000
SLOW_US = 760000
FAST_MS = 30000
UNCLAIMED = 1
# What is said to everybody.
OWN = 0
IMPROV = 1
STANDARD = 2
# Improv's have 258 bytes at most.
MOST_COMMAND = 258


class BlePort:
    """The pipe to one central, as one of the node's ports (firmware/links.py). `conn`: its connection, None
    once it is over; `size`: the most bytes of a notification.
    """

    rank = RANK

    def __init__(self, ble, conn, size, ring):
        self._ble = ble
        self.conn = conn
        self.size = size
        self.stream = ring
        self.wrote_ms = ble.now_ms()

    def read(self):
        """What is there now; None: the connection is over."""
        if self.conn is None:
            return None
        return self.stream.read() or b""

    def write(self, data):
        """Hand over what the stack has buffers for; the number of bytes. It has more at the next beat."""
        taken = 0
        try:
            while taken < len(data) and self.conn is not None:
                part = data[taken : taken + self.size]
                self._ble.notify(self.conn, part)
                taken += len(part)
        except OSError:
            # No buffer is free, or the connection is over, which an interrupt says soon.
            pass
        self.wrote_ms = self._ble.now_ms()
        return taken

    def close(self):
        """Hang up."""
        self._ble.hang_up(self.conn)


class Ble:
    """`ble`: the stack, None where this boot has none; `handles`: of the pipe's two characteristics and of
    Improv's five; `own`, `improv`: advertisements, the latter None without Wi-Fi; `command`: what an Improv
    client has written; `faults`: interrupts that failed, most for want of memory; `conn`: the connection that
    is served, None; `since_ms`: since when; `size`: the most bytes of a notification on it; `opens`, `port`:
    that it is about to be a pipe, and the pipe; `advertises`: what is said to all, None; `standard`: the
    standard services, where the board has them.
    """

    def __init__(self, node, _):
        self.node = node
        self.mode = radio.mode(node.board.config, node.start.records)
        self._turn = None
        if self.mode == radio.BLE and "wifi" in node.board.config:
            self._turn = radio.Turn(node, radio.BLE)
        self.ble = None
        self.handles = None
        self.own = self.improv = None
        self.response = b""
        self.command = b""
        self.faults = 0
        self._ring = None
        self.standard = None
        self.conn = self.port = self._serving = self._client = None
        self.opens = False
        self.size = LEAST_MTU - OVERHEAD
        self.since_ms = self._seen_ms = 0
        self.advertises = None

    def begin(self):
        """The stack, where this boot has one."""
        if self.mode == radio.WIFI:
            return
        self._ring = RingIO(RING_BYTES)
        try:
            from firmware import ble_start

            self.ble = ble_start.started(self)
        except Exception as error:
            # A radio that does not start, for want of memory too, stops no sensor.
            self.node.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, "ble: %s" % error)
            return
        finally:
            forget("ble_start")

    def channels(self):
        """No waveform."""
        return ()

    def tasks(self):
        """Whatever there is to do for the central, or until there is one."""
        return () if self.ble is None else (("ble", self.run),)

    def second(self, readings):
        """What passes by itself."""
        if self._turn is not None:
            self._turn.second()

    def stop(self):
        """The connection stays for what is still to be sent."""

    # The port's

    def now_ms(self):
        """Of the node's clock."""
        return self.node.clock.now_ms()

    def notify(self, conn, data):
        """Raises OSError."""
        self.ble.gatts_notify(conn, self.handles[1], data)  # pyright: ignore[reportCallIssue]

    def hang_up(self, conn):
        """End that connection, if it is there still."""
        if conn is not None and conn == self.conn:
            try:
                self.ble.gap_disconnect(conn)
            except OSError:
                pass

    # Interrupts: between two bytecodes of whatever the tasks do. What one raises would be printed.

    def interrupt(self, event, data):
        """The stack's."""
        try:
            if event == GATTS_WRITE:
                self._written(data[0], data[1])
            elif event == CENTRAL_CONNECT:
                self._connected(data[0])
            elif event == CENTRAL_DISCONNECT:
                self._disconnected(data[0])
            elif event == MTU_EXCHANGED and data[0] == self.conn:
                self.size = data[1] - OVERHEAD
                if self.port is not None:
                    self.port.size = self.size
        except Exception:
            self.faults += 1

    def _connected(self, conn):
        if self.conn is not None:
            self.ble.gap_disconnect(conn)
            return
        self.conn = conn
        self.size = LEAST_MTU - OVERHEAD
        self.since_ms = self.now_ms()
        self.advertises = None
        self.command = b""

    def _written(self, conn, handle):
        data = self.ble.gatts_read(handle)
        if conn != self.conn:
            return
        if handle == self.handles[0]:
            self._ring.write(data)
            self.opens = self.port is None
        elif len(self.command) < MOST_COMMAND:
            self.command += data

    def _disconnected(self, conn):
        if conn != self.conn:
            return
        self.conn = None
        self.opens = False
        port, self.port = self.port, None
        if port is not None:
            port.conn = None
            # What was read of it in vain is nobody's; who waits for more finds out.
            self._ring.read()
            self._ring.write(b"\0")

    # The task

    async def run(self):
        """Serve the central, look after it, and be seen while there is none."""
        while True:
            await asyncio.sleep_ms(LOOK_MS)
            now_ms = self.now_ms()
            if self.standard is not None:
                self.standard.look(now_ms)
            if self.conn is None:
                self._forget_client()
                self._advertise(now_ms)
                continue
            if self.opens:
                self.opens = False
                self._forget_client()
                self.since_ms = now_ms
                port = self.port = BlePort(self, self.conn, self.size, self._ring)
                # No task of the node's: at the orderly end it goes on.
                self._serving = asyncio.create_task(self._serve(port))
            if self.port is None and (self._client is not None or self._offers_improv()):
                self._look_at_client(now_ms)
            if self._spent(now_ms):
                self.hang_up(self.conn)
            elif self.standard is not None and self.port is not None:
                self._advertise(now_ms)

    async def _serve(self, port):
        try:
            await self.node.link.serve(port)
        except Exception as error:
            self.node.died("ble", error)
        finally:
            if port is self.port:
                self.port = None

    def _spent(self, now_ms):
        """Whether the central has had its time: others may want it."""
        port = self.port
        node = self.node
        if port is None:
            return now_ms - self.since_ms > IDLE_MS
        link = node.link
        if node.session.state == STREAMING:
            self.since_ms = now_ms
            return not link.wanted(RANK) and now_ms - port.wrote_ms > UNUSED_MS
        return now_ms - self.since_ms > (UNANSWERED_MS if node.start.agents else UNCLAIMED_MS)

    # Being seen

    def _advertise(self, now_ms):
        """Say who is here, where a pipe is wanted; in turn with it, that the node wants a network, and that
        there is something for a phone.
        """
        kinds = []
        if self.conn is None:
            if self.node.link.wanted(RANK):
                kinds.append(OWN)
            if self._offers_improv():
                kinds.append(IMPROV)
        if self.standard is not None and self.standard.wanted():
            kinds.append(STANDARD)
        if not kinds:
            if self.advertises is not None:
                self.advertises = None
                self.ble.gap_advertise(None)  # pyright: ignore[reportArgumentType]
            return
        if self.advertises is None:
            self._seen_ms = now_ms
        kind = kinds[now_ms // 1000 % len(kinds)]
        unclaimed = 0 if self.node.start.agents else UNCLAIMED
        interval_us = FAST_US if now_ms - self._seen_ms < FAST_MS else SLOW_US
        what = (interval_us, kind, self._improv_state() if kind == IMPROV else unclaimed)
        if what == self.advertises:
            return
        if kind == IMPROV:
            data = self.improv
            data[-6] = what[2]
        elif kind == OWN:
            data = self.own
            data[-1] = unclaimed
        else:
            data = self.standard.own  # pyright: ignore[reportAttributeAccessIssue]
        try:
            self.ble.gap_advertise(interval_us, data, resp_data=self.response)
            self.advertises = what
        except OSError:
            # Busy with a connection that just ends; the next look tries again.
            self.advertises = None

    # Improv

    def _offers_improv(self):
        """While the node has no network, or somebody has pressed its button."""
        if self.improv is None:
            return False
        wifi = self.node.features["wifi"]
        return not wifi.known or wifi.authorised(False)

    def _improv_state(self):
        """As firmware/improv.py has it, which is not loaded for this."""
        wifi = self.node.features["wifi"]
        state = 3 if wifi.joining else 4 if wifi.online else 2 if wifi.authorised(False) else 1
        self.ble.gatts_write(self.handles[2], bytes((state,)))
        return state

    def _look_at_client(self, now_ms):
        """Whoever is connected may be an Improv client: its commands are answered, until it opens a pipe."""
        if self._client is None:
            from firmware import ble_improv

            self._client = ble_improv.BleClient(self)
        if self._client.look():
            self.since_ms = now_ms

    def _forget_client(self):
        if self._client is not None:
            self._client = None
            forget("ble_improv")
            forget("improv")
            forget_module("protocol", "improv")

"""MicroPython's bluetooth module for a peripheral: NimBLE is bumble, on the host at $VITALWIRE_BLE (see
boards/virtual/ble/wire.py).

Interrupts come as on an ESP32: through the scheduler, between two bytecodes of whatever the main thread does.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import _thread
import json
import os
import struct

import micropython
import uselect
import usocket

FLAG_READ = 0x0002
FLAG_WRITE_NO_RESPONSE = 0x0004
FLAG_WRITE = 0x0008
FLAG_NOTIFY = 0x0010
FLAG_INDICATE = 0x0020


class UUID:
    """16 bits as an integer, or 128 bits as text."""

    def __init__(self, value):
        self.text = "%04x" % value if isinstance(value, int) else value


def _open(kind):
    path = os.getenv("VITALWIRE_BLE")
    if not path:
        raise OSError(19)
    opened = usocket.socket(1, 1)
    opened.connect(struct.pack("<H", 1) + path.encode() + b"\0")
    opened.send(kind)
    return opened


def _all(opened, n):
    data = b""
    while len(data) < n:
        more = opened.recv(n - len(data))
        if not more:
            raise OSError(19)
        data += more
    return data


class BLE:
    """The one Bluetooth stack of the node."""

    _the_one = None

    def __new__(cls):
        if cls._the_one is None:
            cls._the_one = object.__new__(cls)
        return cls._the_one

    def __init__(self):
        if not hasattr(self, "_calls"):
            self._handler = None
            self._on = False
            self._calls = self._events = None

    def _ask(self, op, body=b""):
        if self._calls is None:
            self._calls = _open(b"c")
        self._calls.write(struct.pack("<HB", 1 + len(body), op) + body)
        head = _all(self._calls, 3)
        body = _all(self._calls, (head[0] | head[1] << 8) - 1)
        if head[2] == 255:
            raise RuntimeError("no memory for the stack")
        if head[2]:
            raise OSError(head[2])
        return body

    def active(self, active=None):
        if active is not None and bool(active) != self._on:
            if active and self._events is None:
                self._events = _open(b"e")
                self._poll = uselect.poll()
                self._poll.register(self._events, uselect.POLLIN)
                self._ref = self._interrupts
                self._taken = _thread.allocate_lock()
                _thread.start_new_thread(self._watch, ())
            self._ask(1, bytes((bool(active),)))
            self._on = bool(active)
        return self._on

    def config(self, *names, **settings):
        if names:
            answer = self._ask(12)
            return answer[0], answer[1:]
        self._ask(2, json.dumps(settings).encode())

    def irq(self, handler):
        self._handler = handler

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        if interval_us is None:
            self._ask(3, struct.pack("<iBB", -1, 0, 0))
            return
        # None: as before.
        if adv_data is not None:
            self._adv = bytes(adv_data)
        if resp_data is not None:
            self._resp = bytes(resp_data)
        adv = getattr(self, "_adv", b"")
        resp = getattr(self, "_resp", b"")
        if len(adv) > 31 or len(resp) > 31:
            raise OSError(22)
        self._ask(3, struct.pack("<iBB", interval_us, connectable, len(adv)) + adv + resp)

    def gatts_register_services(self, services):
        told = [[s[0].text, [[c[0].text, c[1]] for c in s[1]]] for s in services]
        answer = self._ask(4, json.dumps(told).encode())
        at = 0
        handles = []
        for service in services:
            n = len(service[1])
            handles.append(struct.unpack_from("<%dH" % n, answer, at))
            at += 2 * n
        return tuple(handles)

    def gatts_read(self, handle):
        return self._ask(5, struct.pack("<H", handle))

    def gatts_write(self, handle, data, send_update=False):
        self._ask(6, struct.pack("<HB", handle, send_update) + data)

    def gatts_notify(self, conn, handle, data=None):
        self._say(7, conn, handle, data)

    def gatts_indicate(self, conn, handle, data=None):
        self._say(8, conn, handle, data)

    def _say(self, op, conn, handle, data):
        self._ask(op, struct.pack("<HHB", conn, handle, data is not None) + (data or b""))

    def gatts_set_buffer(self, handle, length, append=False):
        self._ask(9, struct.pack("<HHB", handle, length, append))

    def gap_disconnect(self, conn):
        return bool(self._ask(10, struct.pack("<H", conn))[0])

    def gap_pair(self, conn):
        self._ask(11, struct.pack("<H", conn))

    # Interrupts

    def _watch(self):
        # A thread, in which nothing may take memory: it waits for something to read and has it read by the
        # main thread.
        poll = self._poll
        taken = self._taken
        while True:
            taken.acquire()
            for _ in poll.ipoll(-1):
                break
            while True:
                try:
                    micropython.schedule(self._ref, None)
                    break
                except RuntimeError:
                    pass

    def _interrupts(self, _):
        try:
            while self._poll.poll(0):
                head = _all(self._events, 3)
                body = _all(self._events, (head[0] | head[1] << 8) - 1)
                answer = self._interrupt(head[2], body)
                if isinstance(answer, bytes):
                    answer = b"\1" + answer
                else:
                    answer = bytes((int(answer or 0),))
                self._events.send(struct.pack("<H", len(answer)) + answer)
            self._taken.release()
        except OSError:
            # The host is gone: nothing comes any more, and the watching thread stays where it is.
            self._on = False

    def _interrupt(self, event, body):
        if event <= 2:
            data = (body[0] | body[1] << 8, body[2], body[3:])
        elif event == 29:
            data = (body[0], body[1], memoryview(body)[3:] if body[2] else None)
        elif event == 30:
            key, value = body[3 : 3 + body[2]], body[3 + body[2] :]
            data = (body[0], memoryview(key), memoryview(value) if body[1] else None)
        else:
            data = struct.unpack({20: "<HHB", 28: "<HBBBB"}.get(event, "<HH"), body)
        return self._handler(event, data) if self._handler is not None else None
